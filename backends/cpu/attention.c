/* What surrounds the two steps of attention on the processor. */
#include "config.h"

#include "cpu/attention.h"

#include "base/size.h"
#include "cpu/cpu.h"

#include <seqpar/status.h>

enum { TOKENS_AT_ONCE = 64 };

int sp_cpu_attention_finish(void *ctx, const struct sp_attention_finish *args)
{
	const struct sp_cpu *cpu = ctx;
	const int64_t blocks = sp_ceil_div(args->chunk, TOKENS_AT_ONCE), units = args->batch * blocks;
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
	for (int64_t unit = 0; unit < units; unit++) {
		const int64_t first = unit % blocks * TOKENS_AT_ONCE;
		cpu->kernels->attention_finish(args, unit / blocks, first, sp_min(first + TOKENS_AT_ONCE, args->chunk));
	}
	return SP_OK;
}

int sp_cpu_attention_merge(void *ctx, const struct sp_attention_merge *args)
{
	const struct sp_cpu *cpu = ctx;
	const int64_t blocks = sp_ceil_div(args->chunk, TOKENS_AT_ONCE), units = args->batch * blocks;
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
	for (int64_t unit = 0; unit < units; unit++) {
		const int64_t first = unit % blocks * TOKENS_AT_ONCE;
		cpu->kernels->attention_merge(args, unit / blocks, first, sp_min(first + TOKENS_AT_ONCE, args->chunk));
	}
	return SP_OK;
}

int sp_cpu_attention_dots(void *ctx, const struct sp_attention_dots *args)
{
	const struct sp_cpu *cpu = ctx;
	const int64_t blocks = sp_ceil_div(args->chunk, TOKENS_AT_ONCE), units = args->batch * blocks;
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
	for (int64_t unit = 0; unit < units; unit++) {
		const int64_t first = unit % blocks * TOKENS_AT_ONCE;
		cpu->kernels->attention_dots(args, unit / blocks, first, sp_min(first + TOKENS_AT_ONCE, args->chunk));
	}
	return SP_OK;
}
