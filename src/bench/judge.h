/* Is a result right? Plain float64 against what was computed. May include: libc. */
#ifndef SP_BENCH_JUDGE_H
#define SP_BENCH_JUDGE_H

#include <seqpar/compute.h>
#include <stddef.h>
#include <stdint.h>

/* Sums of squares of a difference and of what was expected; more may be added. */
struct sp_bench_difference {
	double wrong, size;
};

void sp_bench_differ(struct sp_bench_difference *d, double got, double want);
/* The relative L2 difference: sqrt(wrong / size); of nothing expected, 0 if nothing came. */
double sp_bench_relative(const struct sp_bench_difference *d);

/* An activation and its derivative. */
double sp_bench_act(enum sp_activation act, double x);
double sp_bench_act_slope(enum sp_activation act, double x);

/* The factor of attention's dropout for a query, a key and slot = sample x heads + head: 0 or 65536 / keep. */
double sp_bench_dropout(const struct sp_dropout *dropout, uint32_t query, uint32_t key, uint32_t slot);

#endif
