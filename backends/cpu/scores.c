/* Attention on whole rows of scores: rows shared out between threads. */
#include "config.h"

#include "cpu/cpu.h"

#include "base/size.h"

#include <seqpar/status.h>

enum { ROWS = 16 }; /* at a time */

static int64_t rows_of(const struct sp_attention_shape *s)
{
	return s->batch * s->heads * s->chunk;
}

int sp_cpu_scores_mask(void *ctx, const struct sp_scores_mask *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t rows = rows_of(&args->shape);
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < rows; i += ROWS)
		cpu->kernels->scores_mask(args, i, sp_min(i + ROWS, rows));
	return SP_OK;
}

int sp_cpu_scores_softmax(void *ctx, const struct sp_scores_softmax *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t rows = args->s.rows;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < rows; i += ROWS)
		cpu->kernels->scores_softmax(args, i, sp_min(i + ROWS, rows));
	return SP_OK;
}

int sp_cpu_scores_drop(void *ctx, const struct sp_scores_drop *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t rows = rows_of(&args->shape);
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < rows; i += ROWS)
		cpu->kernels->scores_drop(args, i, sp_min(i + ROWS, rows));
	return SP_OK;
}

int sp_cpu_scores_backward(void *ctx, const struct sp_scores_backward *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t rows = rows_of(&args->shape);
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < rows; i += ROWS)
		cpu->kernels->scores_backward(args, i, sp_min(i + ROWS, rows));
	return SP_OK;
}
