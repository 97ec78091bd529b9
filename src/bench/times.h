/* Timing one thing on all ranks at once. May include: backend, base. */
#ifndef SP_BENCH_TIMES_H
#define SP_BENCH_TIMES_H

#include "backend/comm.h"
#include "backend/compute.h"

/* The median of n numbers, which are sorted; 0 if there are none. */
double sp_bench_median(double *x, int64_t n);
/* How far apart the middle half of them lies, divided by the median: (third - first quartile) / median. Sorted numbers. */
double sp_bench_spread(const double *x, int64_t n);

/* Seconds. Over the repeats each rank takes the median; over ranks these are the least, their mean and the most. */
struct sp_bench_times {
	double own;                /* this rank's median */
	double least, mean, most;  /* over ranks */
	double spread;             /* of the repeats, on the rank where it is largest */
};

struct sp_bench_timing {
	struct sp_compute *compute; /* what it has queued is waited for; NULL: nothing is queued */
	struct sp_comm *world;
	int64_t warm_up, repeats;
	int many; /* a repeat is as many runs as fill about two milliseconds */
	/* Optional: queued before each repeat, and waited for before its time begins. A repeat is one run then. */
	int (*before)(void *context);
};

/* Runs `run` on all ranks, which begin each repeat together. Collective. Passes on what run returns. */
int sp_bench_time(const struct sp_bench_timing *timing, int (*run)(void *context), void *context,
                  struct sp_bench_times *times);

/* The largest over ranks; collective. */
int sp_bench_most(struct sp_comm *world, double *value);
/* Least, mean, most over ranks; collective. */
int sp_bench_over_ranks(struct sp_comm *world, double value, double *least, double *mean, double *most);

#endif
