/* What this machine can do at best, for the ratios in reports. */
#include "config.h"

#include "cpu/cpu.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/size.h"
#include "cpu/bf16.h"
#include "cpu/blas.h"
#include "cpu/onednn.h"
#include "cpu/products.h"

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

/* Ones of a dtype, float32 or bfloat16. */
static int ones(struct sp_cpu *cpu, int64_t rows, int64_t cols, enum sp_dtype dtype, struct sp_matrix *m)
{
	const int64_t n = rows * cols;
	const uint16_t half = sp_bf16_round(1);
	*m = sp_matrix_of(NULL, rows, cols, dtype);
	if (sp_cpu_alloc(cpu, (size_t)n * sp_dtype_size(dtype), &m->data))
		return SP_ERR_MEMORY;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < n; i++) {
		if (dtype == SP_F32)
			((float *)m->data)[i] = 1;
		else
			((uint16_t *)m->data)[i] = half;
	}
	return SP_OK;
}

/* What has been freed is kept for later by the C library, in the resident size of a run that has no use for it. */
static void give_back(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

/* ---- products ---- */

/* y = x w^T. */
struct gemm {
	struct sp_matrix x, w, y;
	struct sp_cpu_cut cut; /* of oneDNN's */
	int status;            /* the first thing that went wrong */
};

static void multiply(struct sp_matrix x, struct sp_matrix w, struct sp_matrix y)
{
	sp_blas_gemm(CblasNoTrans, CblasTrans, y.rows, y.cols, x.cols, x.data, x.stride, w.data, w.stride, 0.0f, y.data, y.stride);
}

/* The BLAS' own threads, all of them. */
static void gemm_whole(struct sp_cpu *cpu, void *work)
{
	const struct gemm *g = work;
	sp_blas_set_threads(cpu->threads);
	multiply(g->x, g->w, g->y);
	sp_blas_set_threads(1);
}

/* One product of the BLAS a thread, on rows or columns, whichever is more. */
static void gemm_sliced(struct sp_cpu *cpu, void *work)
{
	const struct gemm *g = work;
	const int64_t parts = cpu->threads, m = g->y.rows, n = g->y.cols;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t p = 0; p < parts; p++) {
		int64_t first, end;
		sp_cpu_part(m >= n ? m : n, 16, parts, p, &first, &end);
		if (m >= n)
			multiply(sp_matrix_rows(g->x, first, end - first), g->w, sp_matrix_rows(g->y, first, end - first));
		else
			multiply(g->x, sp_matrix_rows(g->w, first, end - first), sp_matrix_columns(g->y, first, end - first));
	}
}

static struct sp_onednn_product product_of(const struct gemm *g, const struct sp_cpu_piece *p)
{
	return (struct sp_onednn_product){ p->rows, p->cols, g->x.cols, g->x.stride, g->w.stride, g->y.stride, .turn_b = 1,
		                               .dtype = g->x.dtype, .result = g->y.dtype };
}

/* One product of oneDNN for each piece: it has no threads of its own here. */
static void gemm_pieces(struct sp_cpu *cpu, void *work)
{
	struct gemm *g = work;
	int status = SP_OK;
#pragma omp parallel for schedule(static) num_threads(cpu->threads) reduction(min : status)
	for (int64_t i = 0; i < g->cut.down * g->cut.across; i++) {
		const struct sp_cpu_piece p = sp_cpu_piece_at(&g->cut, i);
		const struct sp_onednn_product product = product_of(g, &p);
		const struct sp_matrix y = sp_cpu_block(g->y, &p);
		status = (int)sp_min(status, sp_onednn_multiply(cpu->onednn, &product, sp_cpu_thread(), sp_cpu_rows_of(g->x, &p).data,
		                                                sp_matrix_rows(g->w, p.col, p.cols).data, y.data));
	}
	if (status)
		g->status = status;
}

/* SP_ERR_UNUSABLE: oneDNN does not do these. */
static int make_ready(struct sp_cpu *cpu, struct gemm *g)
{
	int status = SP_OK;
	g->cut = sp_cpu_cut_plain(cpu, g->y.rows, g->y.cols);
	sp_onednn_tidy(cpu->onednn);
	for (int64_t i = 0; i < g->cut.down * g->cut.across && !status; i++) {
		const struct sp_cpu_piece p = sp_cpu_piece_at(&g->cut, i);
		const struct sp_onednn_product product = product_of(g, &p);
		status = sp_onednn_ready(cpu->onednn, &product);
	}
	return status;
}

/* Seconds of the fastest way there is. */
static int time_gemm(struct sp_cpu *cpu, struct gemm *g, int onednn, double seconds, double *time)
{
	if (onednn && (g->status = make_ready(cpu, g)))
		return g->status;
	if (onednn)
		*time = median_time(gemm_pieces, cpu, g, seconds);
	else
		*time = fmin(median_time(gemm_whole, cpu, g, seconds / 2), median_time(gemm_sliced, cpu, g, seconds / 2));
	return g->status;
}

static int gemm_rate(struct sp_cpu *cpu, enum sp_dtype dtype, int64_t m, int64_t n, int64_t k, int onednn, double seconds, double *flops_per_s)
{
	struct gemm g = { .status = SP_OK };
	double time = 0;
	int status = ones(cpu, m, k, dtype, &g.x);
	if (!status)
		status = ones(cpu, n, k, dtype, &g.w);
	if (!status)
		status = ones(cpu, m, n, dtype, &g.y);
	if (!status)
		status = time_gemm(cpu, &g, onednn, seconds, &time);
	if (!status)
		*flops_per_s = 2.0 * (double)m * (double)n * (double)k / time;
	free(g.x.data);
	free(g.w.data);
	free(g.y.data);
	give_back();
	return status;
}

/* What oneDNN does not do, the BLAS does, in float32. */
int sp_cpu_gemm_rate(void *ctx, enum sp_dtype dtype, int64_t m, int64_t n, int64_t k, double seconds, double *flops_per_s)
{
	struct sp_cpu *cpu = ctx;
	int status = SP_ERR_UNUSABLE;
	if (sp_cpu_by_onednn(cpu, dtype, m, n, k))
		status = gemm_rate(cpu, dtype, m, n, k, 1, seconds, flops_per_s);
	return status == SP_ERR_UNUSABLE ? gemm_rate(cpu, SP_F32, m, n, k, 0, seconds, flops_per_s) : status;
}

/* ---- memory ---- */

struct stream {
	struct sp_matrix x, y;
};

enum { STREAM = 32 << 20 }; /* elements: two arrays of 128 MiB */

static void stream_add(struct sp_cpu *cpu, void *work)
{
	const struct stream *s = work;
	sp_cpu_add(cpu, s->y.data, s->x.data, STREAM);
}

int sp_cpu_memory_rate(void *ctx, double seconds, double *bytes_per_s)
{
	struct sp_cpu *cpu = ctx;
	struct stream s = { 0 };
	int status = ones(cpu, 1, STREAM, SP_F32, &s.x);
	if (!status)
		status = ones(cpu, 1, STREAM, SP_F32, &s.y);
	if (!status)
		*bytes_per_s = 3.0 * STREAM * sizeof(float) / median_time(stream_add, cpu, &s, seconds);
	free(s.x.data);
	free(s.y.data);
	give_back();
	return status;
}
