#include "config.h"

#include "cpu/cpu.h"

#include "base/size.h"

#include <math.h>
#include <seqpar/status.h>

enum { BLOCK = 1 << 16 }; /* elements summed as one; fixed, so that the sum does not depend on the thread count */

int sp_cpu_sum_squares(void *ctx, const struct sp_sum_squares *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t blocks = sp_ceil_div(args->n, BLOCK);
	double *sums = sp_cpu_scratch(cpu, (size_t)blocks * sizeof *sums);
	if (!sums)
		return SP_ERR_MEMORY;
#pragma omp parallel for schedule(static) num_threads(cpu->threads) if (blocks > 1)
	for (int64_t b = 0; b < blocks; b++)
		cpu->kernels->sum_squares(args->x + b * BLOCK, sp_min(BLOCK, args->n - b * BLOCK), sums + b);
	for (int64_t b = 0; b < blocks; b++)
		*args->sum += sums[b];
	return SP_OK;
}

int sp_cpu_clip_factor(void *ctx, const struct sp_clip_factor *args)
{
	(void)ctx;
	const double sum = *args->sum, factor = args->max_norm / (sqrt(sum) + 1e-6);
	if (!isfinite(sum))
		*args->factor = NAN;
	else
		*args->factor = args->max_norm > 0 && factor < 1 ? (float)factor : 1.0f;
	return SP_OK;
}

int sp_cpu_adamw(void *ctx, const struct sp_adamw *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t blocks = sp_ceil_div(args->n, BLOCK);
#pragma omp parallel for schedule(static) num_threads(cpu->threads) if (blocks > 1)
	for (int64_t b = 0; b < blocks; b++)
		cpu->kernels->adamw(args, b * BLOCK, sp_min((b + 1) * BLOCK, args->n));
	return SP_OK;
}

int sp_cpu_add(void *ctx, float *y, const float *x, int64_t n)
{
	struct sp_cpu *cpu = ctx;
	const int64_t blocks = sp_ceil_div(n, BLOCK);
#pragma omp parallel for schedule(static) num_threads(cpu->threads) if (blocks > 1)
	for (int64_t b = 0; b < blocks; b++)
		cpu->kernels->add(y + b * BLOCK, x + b * BLOCK, sp_min(BLOCK, n - b * BLOCK));
	return SP_OK;
}
