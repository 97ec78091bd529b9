/* What this device can do at best, for the ratios in reports. */
#include "config.h"

#include "cuda/cuda.h"

#include "base/clock.h"
#include "cuda/gemm.h"

#include <stdlib.h>
#include <string.h>

enum { BATCHES = 5, MOST_RUNS = 1 << 20 };

/* Time of `runs` operations queued one after the other. */
static int time_runs(struct sp_cuda *cuda, int (*run)(struct sp_cuda *, void *), void *work, int64_t runs, double *seconds)
{
	int status = sp_cuda_sync(cuda);
	const double start = sp_clock();
	for (int64_t i = 0; i < runs && status == SP_OK; i++)
		status = run(cuda, work);
	if (status == SP_OK)
		status = sp_cuda_sync(cuda);
	*seconds = sp_clock() - start;
	return status;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Median time of one operation over BATCHES batches of about seconds / BATCHES each, after a warm-up. Batches, because the
 * host waits for the device at the end of each. */
static int median_time(struct sp_cuda *cuda, int (*run)(struct sp_cuda *, void *), void *work, double seconds, double *median)
{
	double times[BATCHES], time = 0;
	int64_t runs = 1;
	int status = time_runs(cuda, run, work, 1, &time);
	while (status == SP_OK && time < seconds / BATCHES / 2 && runs < MOST_RUNS) {
		runs *= 2;
		status = time_runs(cuda, run, work, runs, &time);
	}
	for (int i = 0; i < BATCHES && status == SP_OK; i++) {
		status = time_runs(cuda, run, work, runs, &time);
		times[i] = time / (double)runs;
	}
	if (status == SP_OK) {
		qsort(times, BATCHES, sizeof *times, compare);
		*median = times[BATCHES / 2];
	}
	return status;
}

static int run_gemm(struct sp_cuda *cuda, void *work)
{
	return sp_cuda_gemm(cuda, work);
}

/* Numbers of no pattern: products of zeros take less power and are faster than any real ones. */
static int random_floats(struct sp_cuda *cuda, int64_t rows, int64_t cols, struct sp_matrix *m)
{
	const size_t n = (size_t)(rows * cols), bytes = n * sizeof(float);
	float *host = malloc(bytes ? bytes : 1);
	uint32_t state = 1;
	if (!host)
		return SP_ERR_MEMORY;
	for (size_t i = 0; i < n; i++) {
		state = state * 1664525u + 1013904223u;
		host[i] = (float)(int32_t)state * 0x1p-31f;
	}
	*m = sp_matrix(NULL, rows, cols);
	int status = sp_cuda_alloc(cuda, bytes, &m->data);
	if (status == SP_OK)
		status = sp_cuda_copy_in(cuda, m->data, host, bytes);
	free(host);
	return status;
}

/* m->data is the caller's to free, whatever is returned. */
static int random_matrix(struct sp_cuda *cuda, int64_t rows, int64_t cols, enum sp_dtype dtype, struct sp_matrix *m)
{
	struct sp_matrix floats = { 0 };
	if (dtype == SP_F32)
		return random_floats(cuda, rows, cols, m);
	*m = sp_matrix_of(NULL, rows, cols, dtype);
	int status = random_floats(cuda, rows, cols, &floats);
	if (status == SP_OK)
		status = sp_cuda_alloc(cuda, (size_t)(rows * cols) * sp_dtype_size(dtype), &m->data);
	if (status == SP_OK)
		status = sp_cuda_convert(cuda, floats, *m);
	if (status == SP_OK)
		status = sp_cuda_sync(cuda);
	sp_cuda_free(cuda, floats.data);
	return status;
}

int sp_cuda_gemm_rate(void *ctx, enum sp_dtype dtype, int64_t m, int64_t n, int64_t k, double seconds, double *flops_per_s)
{
	struct sp_cuda_gemm g = { .transpose_b = 1 };
	double time = 0;
	int status = random_matrix(ctx, m, k, dtype, &g.a);
	if (status == SP_OK)
		status = random_matrix(ctx, n, k, dtype, &g.b);
	if (status == SP_OK)
		status = random_matrix(ctx, m, n, dtype, &g.c);
	if (status == SP_OK)
		status = median_time(ctx, run_gemm, &g, seconds, &time);
	if (status == SP_OK)
		*flops_per_s = 2.0 * (double)m * (double)n * (double)k / time;
	sp_cuda_free(ctx, g.a.data);
	sp_cuda_free(ctx, g.b.data);
	sp_cuda_free(ctx, g.c.data);
	return status;
}

struct stream {
	void *x, *y;
	int64_t n;
};

static int run_add(struct sp_cuda *cuda, void *work)
{
	const struct stream *s = work;
	return sp_cuda_add(cuda, s->y, s->x, s->n);
}

int sp_cuda_memory_rate(void *ctx, double seconds, double *bytes_per_s)
{
	struct stream s = { .n = sp_cuda_stream_elements(ctx) };
	const size_t bytes = (size_t)s.n * sizeof(float);
	double time = 0;
	int status = sp_cuda_alloc(ctx, bytes, &s.x);
	if (status == SP_OK)
		status = sp_cuda_alloc(ctx, bytes, &s.y);
	if (status == SP_OK)
		status = sp_cuda_zero(ctx, s.x, bytes);
	if (status == SP_OK)
		status = sp_cuda_zero(ctx, s.y, bytes);
	if (status == SP_OK)
		status = median_time(ctx, run_add, &s, seconds, &time);
	if (status == SP_OK)
		*bytes_per_s = 3.0 * (double)bytes / time;
	sp_cuda_free(ctx, s.x);
	sp_cuda_free(ctx, s.y);
	return status;
}
