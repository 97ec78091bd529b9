/* Sums over rows: parts of the rows are summed side by side, then the parts in order. */
#include "config.h"

#include "cpu/cpu.h"

#include "base/size.h"

enum {
	PART_ROWS = 1024,   /* longest running sum: beyond it rounding errors show */
	COLUMN_GRAIN = 64,
	ALONE = 1 << 15, /* additions that one thread has done before others have woken up */
};

int64_t sp_cpu_sum_parts(const struct sp_cpu *cpu, int64_t rows)
{
	return sp_max(1, sp_min(rows, sp_round_up(sp_ceil_div(rows, PART_ROWS), cpu->threads)));
}

void sp_cpu_sum_up(const struct sp_cpu *cpu, const float *sums, int64_t parts, int kinds, int64_t n,
                   float *const *totals)
{
	const int64_t slices = parts * kinds * n > ALONE ? sp_min(cpu->threads, sp_ceil_div(n, COLUMN_GRAIN)) : 1;
#pragma omp parallel for schedule(static) num_threads(cpu->threads) if (slices > 1)
	for (int64_t s = 0; s < slices; s++) {
		int64_t first, end;
		sp_cpu_part(n, COLUMN_GRAIN, slices, s, &first, &end);
		for (int64_t p = 0; p < parts; p++)
			for (int k = 0; k < kinds; k++)
				if (totals[k])
					cpu->kernels->add(totals[k] + first, sums + (p * kinds + k) * n + first, end - first);
	}
}
