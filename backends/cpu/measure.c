/* What this machine can do at best, for the ratios in reports. */
#include "config.h"

#include "cpu/cpu.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/size.h"
#include "cpu/blas.h"

#include <math.h>
#include <seqpar/status.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { MOST_RUNS = 256, FEWEST_RUNS = 3 };

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Median time of `run`, repeated for about `seconds` after one warm-up. */
static double median_time(void (*run)(struct sp_cpu *, void *), struct sp_cpu *cpu, void *work, double seconds)
{
	double times[MOST_RUNS];
	int runs = 0;
	run(cpu, work);
	const double start = sp_clock();
	while (runs < FEWEST_RUNS || (runs < MOST_RUNS && sp_clock() - start < seconds)) {
		const double begin = sp_clock();
		run(cpu, work);
		times[runs++] = sp_clock() - begin;
	}
	qsort(times, (size_t)runs, sizeof *times, compare);
	return times[runs / 2];
}

struct gemm {
	int64_t m, n, k;
	float *x, *w, *y;
};

/* The library's own threads, all of them. */
static void gemm_whole(struct sp_cpu *cpu, void *work)
{
	const struct gemm *g = work;
	sp_blas_set_threads(cpu->threads);
	sp_blas_gemm(CblasNoTrans, CblasTrans, g->m, g->n, g->k, g->x, g->k, g->w, g->k, 0.0f, g->y, g->n);
	sp_blas_set_threads(1);
}

/* One product a thread, on rows or columns, whichever is more. */
static void gemm_sliced(struct sp_cpu *cpu, void *work)
{
	const struct gemm *g = work;
	const int64_t parts = cpu->threads;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t p = 0; p < parts; p++) {
		int64_t first, end;
		sp_cpu_part(g->m >= g->n ? g->m : g->n, 16, parts, p, &first, &end);
		if (g->m >= g->n)
			sp_blas_gemm(CblasNoTrans, CblasTrans, end - first, g->n, g->k, g->x + first * g->k, g->k, g->w, g->k, 0.0f,
			             g->y + first * g->n, g->n);
		else
			sp_blas_gemm(CblasNoTrans, CblasTrans, g->m, end - first, g->k, g->x, g->k, g->w + first * g->k, g->k, 0.0f,
			             g->y + first, g->n);
	}
}

static float *ones(struct sp_cpu *cpu, int64_t n)
{
	void *memory;
	if (sp_cpu_alloc(cpu, (size_t)n * sizeof(float), &memory))
		return NULL;
	float *x = memory;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < n; i++)
		x[i] = 1.0f;
	return x;
}

/* What has been freed is kept for later by the C library, in the resident size of a run that has no use for it. */
static void give_back(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

int sp_cpu_gemm_rate(void *ctx, int64_t m, int64_t n, int64_t k, double seconds, double *flops_per_s)
{
	struct sp_cpu *cpu = ctx;
	struct gemm g = { m, n, k, ones(cpu, m * k), ones(cpu, n * k), ones(cpu, m * n) };
	int status = SP_ERR_MEMORY;
	if (g.x && g.w && g.y) {
		const double whole = median_time(gemm_whole, cpu, &g, seconds / 2);
		const double sliced = median_time(gemm_sliced, cpu, &g, seconds / 2);
		*flops_per_s = 2.0 * (double)m * (double)n * (double)k / fmin(whole, sliced);
		status = SP_OK;
	}
	free(g.x);
	free(g.w);
	free(g.y);
	give_back();
	return status;
}

struct stream {
	float *x, *y;
};

enum { STREAM = 32 << 20 }; /* elements: two arrays of 128 MiB */

static void stream_add(struct sp_cpu *cpu, void *work)
{
	const struct stream *s = work;
	sp_cpu_add(cpu, s->y, s->x, STREAM);
}

int sp_cpu_memory_rate(void *ctx, double seconds, double *bytes_per_s)
{
	struct sp_cpu *cpu = ctx;
	struct stream s = { ones(cpu, STREAM), ones(cpu, STREAM) };
	int status = SP_ERR_MEMORY;
	if (s.x && s.y) {
		*bytes_per_s = 3.0 * STREAM * sizeof(float) / median_time(stream_add, cpu, &s, seconds);
		status = SP_OK;
	}
	free(s.x);
	free(s.y);
	give_back();
	return status;
}
