/* Sums over rows: parts of the rows are summed side by side, then the parts in order. May include: cpu/cpu.h. */
#ifndef SP_CPU_SUMS_H
#define SP_CPU_SUMS_H

#include "base/size.h"
#include "cpu/cpu.h"

/* One part a thread, or more where a part would be so long that rounding errors of a running sum show. */
static inline int64_t sp_cpu_sum_parts(const struct sp_cpu *cpu, int64_t rows)
{
	return sp_round_up(sp_max(sp_ceil_div(rows, 1024), 1), cpu->threads);
}

/* totals[k][j] += sum over parts of sums[part][k][j], j < n; totals that are NULL are left out. */
static inline void sp_cpu_sum_up(const struct sp_cpu *cpu, const float *sums, int64_t parts, int kinds, int64_t n,
                                 float *const *totals)
{
	for (int64_t p = 0; p < parts; p++)
		for (int k = 0; k < kinds; k++)
			if (totals[k])
				cpu->kernels->add(totals[k], sums + (p * kinds + k) * n, n);
}

#endif
