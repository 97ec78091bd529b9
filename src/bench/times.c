#include "config.h"

#include "bench/times.h"

#include "base/clock.h"
#include "base/log.h"

#include <math.h>
#include <stdlib.h>

static int by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Between the two neighbours of a place that is not whole. */
static double quantile(const double *x, int64_t n, double share)
{
	const double at = share * (double)(n - 1);
	const int64_t i = (int64_t)at;
	return i + 1 < n ? x[i] + (at - (double)i) * (x[i + 1] - x[i]) : x[n - 1];
}

double sp_bench_median(double *x, int64_t n)
{
	if (n < 1)
		return 0;
	qsort(x, (size_t)n, sizeof *x, by_size);
	return quantile(x, n, 0.5);
}

double sp_bench_spread(const double *x, int64_t n)
{
	if (n < 1)
		return 0;
	const double middle = quantile(x, n, 0.5);
	return middle > 0 ? (quantile(x, n, 0.75) - quantile(x, n, 0.25)) / middle : 0;
}

int sp_bench_most(struct sp_comm *world, double *value)
{
	/* What is not a number may get lost in a maximum. */
	*value = isnan(*value) ? INFINITY : *value;
	return sp_comm_all_reduce(world, value, 1, SP_F64, SP_MAX);
}

int sp_bench_over_ranks(struct sp_comm *world, double value, double *least, double *mean, double *most)
{
	double sum = value, low = value, high = value;
	int status = sp_comm_all_reduce(world, &sum, 1, SP_F64, SP_SUM);
	if (!status)
		status = sp_comm_all_reduce(world, &low, 1, SP_F64, SP_MIN);
	if (!status)
		status = sp_bench_most(world, &high);
	if (status)
		return status;
	*least = low;
	*mean = sum / sp_comm_size(world);
	*most = high;
	return SP_OK;
}

/* Seconds of one of `loops` runs, all ranks having begun together. */
static int one(const struct sp_bench_timing *t, int (*run)(void *context), void *context, int64_t loops, double *seconds)
{
	int status = t->before ? t->before(context) : SP_OK;
	if (!status && t->before && t->compute)
		status = sp_compute_sync(t->compute);
	if (!status)
		status = sp_comm_barrier(t->world);
	const double begin = sp_clock();
	for (int64_t i = 0; i < loops && !status; i++)
		status = run(context);
	if (!status && t->compute)
		status = sp_compute_sync(t->compute);
	*seconds = (sp_clock() - begin) / (double)loops;
	return status;
}

/* The same number on all ranks, from the slowest run of the warm-up. */
static int count_loops(const struct sp_bench_timing *t, double seconds, int64_t *loops)
{
	static const double enough = 2e-3;
	int status = sp_bench_most(t->world, &seconds);
	*loops = !t->many || t->before || seconds >= enough ? 1 : seconds < 1e-6 ? 2000 : (int64_t)ceil(enough / seconds);
	return status;
}

int sp_bench_time(const struct sp_bench_timing *t, int (*run)(void *context), void *context, struct sp_bench_times *times)
{
	double *seconds = malloc((size_t)t->repeats * sizeof *seconds), warm = 0;
	int64_t loops = 1;
	int status = seconds ? SP_OK : sp_fail(SP_ERR_MEMORY, "out of memory for %lld times", (long long)t->repeats);
	for (int64_t i = 0; i < t->warm_up && !status; i++)
		status = one(t, run, context, 1, &warm);
	if (!status)
		status = count_loops(t, warm, &loops);
	for (int64_t i = 0; i < t->repeats && !status; i++)
		status = one(t, run, context, loops, &seconds[i]);
	if (!status) {
		times->own = sp_bench_median(seconds, t->repeats);
		times->spread = sp_bench_spread(seconds, t->repeats);
		status = sp_bench_over_ranks(t->world, times->own, &times->least, &times->mean, &times->most);
	}
	if (!status)
		status = sp_bench_most(t->world, &times->spread);
	free(seconds);
	return status;
}
