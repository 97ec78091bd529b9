/* Matrix products with what surrounds them. The library's product has no epilogue, so each is cut into pieces, one
 * single-threaded product each; bias, activation and column sums are applied while the cache holds it. */
#include "config.h"

#include "cpu/cpu.h"

#include "base/size.h"
#include "cpu/blas.h"

#include <seqpar/status.h>

enum {
	GRAIN = 16,              /* pieces end at multiples of the library's register tiles */
	PACK_COST = 70,          /* of copying one operand element into the library's layout, in flops; measured */
	SWEPT_ELEMENTS = 3 << 20, /* most in a piece that is swept after its product: 12 MiB, the caches' share of a core */
	MOST_ACROSS = 64,
	SUM_ROWS = 1024,         /* rows of dy summed, then multiplied, while the cache holds them */
};

/* The result of a product, cut into `down` x `across` pieces. */
struct cut {
	int64_t m, n, down, across;
};

struct piece {
	int64_t row, rows, col, cols;
};

static int64_t largest_part(int64_t n, int64_t parts)
{
	return sp_ceil_div(sp_ceil_div(n, GRAIN), parts) * GRAIN;
}

static int64_t cost_of(const struct cut *cut, int64_t threads)
{
	const int64_t rows = largest_part(cut->m, cut->down), cols = largest_part(cut->n, cut->across);
	return sp_ceil_div(cut->down * cut->across, threads) * (2 * rows * cols + PACK_COST * (rows + cols));
}

/* The cut whose slowest thread has least to do: few pieces repeat less packing, many balance better. */
static struct cut choose_cut(int64_t m, int64_t n, int64_t threads, int64_t most_elements)
{
	struct cut best = { m, n, 1, 1 };
	int64_t best_cost = INT64_MAX;
	for (int64_t across = 1; across <= MOST_ACROSS && across <= sp_ceil_div(n, GRAIN); across++) {
		/* the fewest pieces down that are small enough, and as many as the threads do in the same number of turns */
		const int64_t fewest = sp_max(1, sp_ceil_div(m, sp_max(most_elements / largest_part(n, across), 1)));
		const int64_t turns = sp_ceil_div(fewest * across, threads);
		const int64_t downs[] = { fewest, sp_max(fewest, turns * threads / across) };
		for (int i = 0; i < 2; i++) {
			const struct cut cut = { m, n, sp_max(1, sp_min(downs[i], sp_ceil_div(m, GRAIN))), across };
			if (cost_of(&cut, threads) < best_cost) {
				best = cut;
				best_cost = cost_of(&cut, threads);
			}
		}
	}
	return best;
}

static struct piece piece_at(const struct cut *cut, int64_t i)
{
	struct piece p;
	int64_t end;
	sp_cpu_part(cut->m, GRAIN, cut->down, i / cut->across, &p.row, &end);
	p.rows = end - p.row;
	sp_cpu_part(cut->n, GRAIN, cut->across, i % cut->across, &p.col, &end);
	p.cols = end - p.col;
	return p;
}

static struct sp_matrix block(struct sp_matrix m, const struct piece *p)
{
	return sp_matrix_columns(sp_matrix_rows(m, p->row, p->rows), p->col, p->cols);
}

/* The library skips its own pass over the result when told to add to it, so a bias put there first costs nothing. */
static void forward_piece(const struct sp_cpu_kernels *k, const struct sp_linear_forward *a, const struct piece *p)
{
	const struct sp_matrix x = sp_matrix_rows(a->x, p->row, p->rows), w = sp_matrix_rows(a->w, p->col, p->cols);
	const struct sp_matrix y = block(a->y, p), to = a->pre.data ? block(a->pre, p) : y;
	if (a->bias.data)
		k->fill_rows((const float *)a->bias.data + p->col, &to);
	sp_blas_gemm(CblasNoTrans, CblasTrans, p->rows, p->cols, x.cols, x.data, x.stride, w.data, w.stride,
	             a->bias.data ? 1.0f : 0.0f, to.data, to.stride);
	if (a->pre.data)
		k->activate(a->act, &to, &y);
}

int sp_cpu_linear_forward(void *ctx, const struct sp_linear_forward *args)
{
	struct sp_cpu *cpu = ctx;
	const struct cut cut = choose_cut(args->y.rows, args->y.cols, cpu->threads,
	                                  args->pre.data ? SWEPT_ELEMENTS : INT64_MAX);
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < cut.down * cut.across; i++) {
		const struct piece p = piece_at(&cut, i);
		if (p.rows > 0 && p.cols > 0)
			forward_piece(cpu->kernels, args, &p);
	}
	return SP_OK;
}

static void input_piece(const struct sp_cpu_kernels *k, const struct sp_linear_backward_input *a, const struct piece *p,
                        float *sums)
{
	const struct sp_matrix dy = sp_matrix_rows(a->dy, p->row, p->rows), w = sp_matrix_columns(a->w, p->col, p->cols);
	const struct sp_matrix dx = block(a->dx, p), pre = a->pre.data ? block(a->pre, p) : dx;
	sp_blas_gemm(CblasNoTrans, CblasNoTrans, p->rows, p->cols, dy.cols, dy.data, dy.stride, w.data, w.stride,
	             a->accumulate ? 1.0f : 0.0f, dx.data, dx.stride);
	if (a->act != SP_ACT_NONE || sums)
		k->activate_backward(a->act, &pre, &dx, sums ? sums + p->col : NULL);
}

int sp_cpu_linear_backward_input(void *ctx, const struct sp_linear_backward_input *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t k = args->dx.cols;
	const int swept = args->act != SP_ACT_NONE || args->dbias.data;
	const struct cut cut = choose_cut(args->dx.rows, k, cpu->threads, swept ? SWEPT_ELEMENTS : INT64_MAX);
	float *sums = NULL; /* [down][K] */
	if (args->dbias.data && !(sums = sp_cpu_scratch(cpu, (size_t)(cut.down * k) * sizeof *sums)))
		return SP_ERR_MEMORY;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < cut.down * cut.across; i++) {
		const struct piece p = piece_at(&cut, i);
		if (p.cols > 0)
			input_piece(cpu->kernels, args, &p, sums ? sums + i / cut.across * k : NULL);
	}
	if (sums)
		sp_cpu_sum_up(cpu, sums, cut.down, 1, k, (float *const[]){ args->dbias.data });
	return SP_OK;
}

/* dw += dy^T x for some rows and columns of dw; the pieces at the left edge also sum the columns of dy. */
static void weight_piece(const struct sp_cpu_kernels *k, const struct sp_linear_backward_weight *a,
                         const struct piece *p, float *sums)
{
	const struct sp_matrix dw = block(a->dw, p);
	for (int64_t t = 0; t < a->dy.rows; t += SUM_ROWS) {
		const int64_t rows = sp_min(SUM_ROWS, a->dy.rows - t);
		const struct sp_matrix dy = sp_matrix_columns(sp_matrix_rows(a->dy, t, rows), p->row, p->rows);
		const struct sp_matrix x = sp_matrix_columns(sp_matrix_rows(a->x, t, rows), p->col, p->cols);
		if (sums) {
			k->column_sums(&dy, sums + p->row);
			k->add((float *)a->dbias.data + p->row, sums + p->row, p->rows);
		}
		if (p->cols > 0)
			sp_blas_gemm(CblasTrans, CblasNoTrans, p->rows, p->cols, rows, dy.data, dy.stride, x.data, x.stride, 1.0f,
			             dw.data, dw.stride);
	}
}

int sp_cpu_linear_backward_weight(void *ctx, const struct sp_linear_backward_weight *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t n = args->dw.rows;
	const struct cut cut = choose_cut(n, args->dw.cols, cpu->threads, INT64_MAX);
	float *sums = NULL; /* [N] */
	if (args->dbias.data && !(sums = sp_cpu_scratch(cpu, (size_t)n * sizeof *sums)))
		return SP_ERR_MEMORY;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < cut.down * cut.across; i++) {
		const struct piece p = piece_at(&cut, i);
		if (p.rows > 0)
			weight_piece(cpu->kernels, args, &p, i % cut.across == 0 ? sums : NULL);
	}
	return SP_OK;
}
