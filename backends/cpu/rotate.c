/* Rotary positions: rows shared out between threads. */
#include "config.h"

#include "cpu/cpu.h"

#include "base/size.h"

#include <seqpar/status.h>

#include <math.h>

int sp_cpu_rotate(void *ctx, const struct sp_rotate *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t half = args->head_dim / 2, parts = sp_min(cpu->threads, args->x.rows);
	double *frequency = sp_cpu_scratch(cpu, (size_t)half * sizeof *frequency);
	if (!frequency)
		return SP_ERR_MEMORY;
	for (int64_t j = 0; j < half; j++)
		frequency[j] = pow(args->base, -2.0 * (double)j / (double)args->head_dim);
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t p = 0; p < parts; p++) {
		int64_t first, end;
		sp_cpu_part(args->x.rows, 1, parts, p, &first, &end);
		cpu->kernels->rotate(args, frequency, first, end);
	}
	return SP_OK;
}
