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

static void take(struct sp_step *s, const struct sp_decide *args)
{
	const double clip = args->max_norm / (sqrt(s->sum) / s->scale + 1e-6);
	s->take = 1;
	s->taken++;
	s->since++;
	s->factor = (float)((args->max_norm > 0 && clip < 1 ? clip : 1) / s->scale);
	s->correction1 = (float)(1 - pow(args->beta1, (double)s->taken));
	s->correction2 = (float)(1 - pow(args->beta2, (double)s->taken));
	if (args->growth > 0 && s->since >= args->growth) {
		s->scale = fminf(2 * s->scale, SP_SCALE_MOST);
		s->since = 0;
	}
}

static void leave(struct sp_step *s, const struct sp_decide *args)
{
	s->take = s->since = 0;
	s->factor = 0;
	if (args->growth > 0)
		s->scale = fmaxf(s->scale / 2, SP_SCALE_LEAST);
}

int sp_cpu_decide(void *ctx, const struct sp_decide *args)
{
	(void)ctx;
	if (isfinite(args->step->sum))
		take(args->step, args);
	else
		leave(args->step, args);
	return SP_OK;
}

int sp_cpu_adamw(void *ctx, const struct sp_adamw *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t blocks = args->step->take ? sp_ceil_div(args->n, BLOCK) : 0;
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
