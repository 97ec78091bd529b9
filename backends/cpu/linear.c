/* Matrix products with what surrounds them. The library's product has no epilogue, so each is cut into pieces, one
 * single-threaded product each; bias, activation and column sums are applied while the cache holds it.
 *
 * The library multiplies float32. Activations and weights in bfloat16 are widened into a thread's panels, a part of the inner
 * dimension at a time, and the piece is made in another, from which it is rounded: what is widened at once is bounded, and small
 * enough for the caches. */
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
	PANEL_MOST = 1 << 20,    /* elements of a piece that is not made in place, and of what is widened of its operands, each; a */
	PANEL_LEAST = 1 << 18,   /* quarter is 5 % slower, as the library packs its operands more often; measured */
	PANELS = 4 << 20,        /* of all threads, unless that leaves them less than the least: 32 MiB of both kinds */
	FEW_ROWS = 4,            /* of a panel rounded, activated, rounded again while the first cache holds them */
};

/* The result of a product, cut into `down` x `across` pieces. panel: most elements that a thread widens at once. */
struct cut {
	int64_t m, n, down, across, panel;
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
	struct cut best = { m, n, 1, 1, 0 };
	int64_t best_cost = INT64_MAX;
	for (int64_t across = 1; across <= MOST_ACROSS && across <= sp_ceil_div(n, GRAIN); across++) {
		/* the fewest pieces down that are small enough, and as many as the threads do in the same number of turns */
		const int64_t fewest = sp_max(1, sp_ceil_div(m, sp_max(most_elements / largest_part(n, across), 1)));
		const int64_t turns = sp_ceil_div(fewest * across, threads);
		const int64_t downs[] = { fewest, sp_max(fewest, turns * threads / across) };
		for (int i = 0; i < 2; i++) {
			const struct cut cut = { m, n, sp_max(1, sp_min(downs[i], sp_ceil_div(m, GRAIN))), across, 0 };
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

/* ---- panels ---- */

/* Room of a thread, and how much of the inner dimension is widened at once. */
struct panels {
	float *room;
	int64_t depth;
};

/* Equal parts of an inner dimension for which the operands of the largest piece are small enough. */
static int64_t depth_at_once(const struct cut *cut, int64_t depth)
{
	const int64_t both = largest_part(cut->m, cut->down) + largest_part(cut->n, cut->across);
	const int64_t most = sp_max(cut->panel / sp_max(both, 1) / GRAIN, 1) * GRAIN;
	const int64_t parts = sp_max(sp_ceil_div(depth, most), 1);
	return sp_max(sp_round_up(sp_ceil_div(depth, parts), GRAIN), GRAIN);
}

/* Floats of a thread for the largest piece of a cut: its operands', and those of the piece itself if it is `made` there. */
static int64_t panel_floats(const struct cut *cut, int64_t depth, int made)
{
	const int64_t rows = largest_part(cut->m, cut->down), cols = largest_part(cut->n, cut->across);
	return (rows + cols) * depth_at_once(cut, depth) + (made ? rows * cols : 0);
}

static struct panels panels_of_thread(const struct sp_cpu_room *room, const struct cut *cut, int64_t depth)
{
	return (struct panels){ sp_cpu_room_of_thread(room), depth_at_once(cut, depth) };
}

/* For a result (m, n) of a dtype; in place, its pieces have `most` elements. */
static struct cut cut_of(const struct sp_cpu *cpu, enum sp_dtype dtype, int64_t m, int64_t n, int64_t most)
{
	const int64_t panel = sp_max(PANEL_LEAST, sp_min(PANELS / cpu->threads, PANEL_MOST));
	struct cut cut = choose_cut(m, n, cpu->threads, dtype == SP_F32 ? most : panel);
	cut.panel = panel;
	return cut;
}

/* Where a piece of m is made: there, or in the room of the thread, behind which that of its operands begins. */
static struct sp_matrix made_in(struct sp_matrix m, struct panels *panels)
{
	if (m.dtype == SP_F32)
		return m;
	const struct sp_matrix panel = sp_matrix(panels->room, m.rows, m.cols);
	panels->room += m.rows * m.cols;
	return panel;
}

/* c = a op(b) [+ c], op(b) = b or b^T. */
static void multiply(const struct sp_cpu *cpu, struct sp_matrix a, struct sp_matrix b, int turned, int add, const struct sp_matrix *c,
                     const struct panels *panels)
{
	const int64_t depth = a.cols, step = a.dtype == SP_F32 ? sp_max(depth, 1) : panels->depth;
	for (int64_t first = 0; first == 0 || first < depth; first += step) {
		const int64_t n = sp_min(step, depth - first);
		const struct sp_matrix x = sp_cpu_widened(cpu, sp_matrix_columns(a, first, n), panels->room);
		const struct sp_matrix w = sp_cpu_widened(cpu, turned ? sp_matrix_columns(b, first, n) : sp_matrix_rows(b, first, n),
		                                          panels->room + c->rows * n);
		sp_blas_gemm(CblasNoTrans, turned ? CblasTrans : CblasNoTrans, c->rows, c->cols, n, x.data, x.stride, w.data, w.stride,
		             add || first > 0 ? 1.0f : 0.0f, c->data, c->stride);
	}
}

/* ---- forward ---- */

/* From a panel to where it belongs. */
static void put_forward(const struct sp_cpu *cpu, enum sp_activation act, const struct sp_matrix *panel, const struct sp_matrix *pre,
                        const struct sp_matrix *y)
{
	for (int64_t i = 0; i < panel->rows; i += FEW_ROWS) {
		const int64_t rows = sp_min(FEW_ROWS, panel->rows - i);
		const struct sp_matrix from = sp_matrix_rows(*panel, i, rows), to = sp_matrix_rows(*y, i, rows);
		if (pre->data) {
			const struct sp_matrix kept = sp_matrix_rows(*pre, i, rows);
			cpu->kernels->convert(&from, &kept);
		}
		if (act != SP_ACT_NONE)
			cpu->kernels->activate(act, &from, &from);
		cpu->kernels->convert(&from, &to);
	}
}

/* The library skips its own pass over the result when told to add to it, so a bias put there first costs nothing. */
static void forward_piece(const struct sp_cpu *cpu, const struct sp_linear_forward *a, const struct piece *p, struct panels panels)
{
	const struct sp_matrix none = { 0 }, y = block(a->y, p), pre = a->pre.data ? block(a->pre, p) : none;
	const struct sp_matrix to = made_in(pre.data ? pre : y, &panels);
	if (a->bias.data)
		cpu->kernels->fill_rows((const float *)a->bias.data + p->col, &to);
	multiply(cpu, sp_matrix_rows(a->x, p->row, p->rows), sp_matrix_rows(a->w, p->col, p->cols), 1, a->bias.data != NULL, &to,
	         &panels);
	if (y.dtype != SP_F32)
		put_forward(cpu, a->act, &to, &pre, &y);
	else if (pre.data)
		cpu->kernels->activate(a->act, &to, &y);
}

int sp_cpu_linear_forward(void *ctx, const struct sp_linear_forward *args)
{
	struct sp_cpu *cpu = ctx;
	const enum sp_dtype element = args->y.dtype;
	const struct cut cut = cut_of(cpu, element, args->y.rows, args->y.cols, args->pre.data ? SWEPT_ELEMENTS : INT64_MAX);
	struct sp_cpu_room room;
	if (sp_cpu_room_open(cpu, element, panel_floats(&cut, args->x.cols, 1), 0, &room))
		return SP_ERR_MEMORY;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < cut.down * cut.across; i++) {
		const struct piece p = piece_at(&cut, i);
		if (p.rows > 0 && p.cols > 0)
			forward_piece(cpu, args, &p, panels_of_thread(&room, &cut, args->x.cols));
	}
	return SP_OK;
}

/* ---- backward ---- */

static void input_piece(const struct sp_cpu *cpu, const struct sp_linear_backward_input *a, const struct piece *p, float *sums,
                        struct panels panels)
{
	const struct sp_matrix dx = block(a->dx, p), to = made_in(dx, &panels), pre = a->pre.data ? block(a->pre, p) : to;
	if (a->accumulate && dx.dtype != SP_F32)
		cpu->kernels->convert(&dx, &to);
	multiply(cpu, sp_matrix_rows(a->dy, p->row, p->rows), sp_matrix_columns(a->w, p->col, p->cols), 0, a->accumulate, &to,
	         &panels);
	if (a->act != SP_ACT_NONE || sums)
		cpu->kernels->activate_backward(a->act, &pre, &to, sums ? sums + p->col : NULL);
	sp_cpu_put_back(cpu, &to, &dx);
}

int sp_cpu_linear_backward_input(void *ctx, const struct sp_linear_backward_input *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t k = args->dx.cols;
	const int swept = args->act != SP_ACT_NONE || args->dbias.data;
	const enum sp_dtype element = args->dx.dtype;
	const struct cut cut = cut_of(cpu, element, args->dx.rows, k, swept ? SWEPT_ELEMENTS : INT64_MAX);
	struct sp_cpu_room room;
	if (sp_cpu_room_open(cpu, element, panel_floats(&cut, args->dy.cols, 1),
	                     args->dbias.data ? (size_t)(cut.down * k) * sizeof(float) : 0, &room))
		return SP_ERR_MEMORY;
	float *sums = args->dbias.data ? room.front : NULL; /* [down][K] */
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < cut.down * cut.across; i++) {
		const struct piece p = piece_at(&cut, i);
		if (p.cols > 0)
			input_piece(cpu, args, &p, sums ? sums + i / cut.across * k : NULL, panels_of_thread(&room, &cut, args->dy.cols));
	}
	if (sums)
		sp_cpu_sum_up(cpu, sums, cut.down, 1, k, (float *const[]){ args->dbias.data });
	return SP_OK;
}

/* dw += dy^T x for some rows and columns of dw; the pieces at the left edge also sum the columns of dy. */
static void weight_piece(const struct sp_cpu *cpu, const struct sp_linear_backward_weight *a, const struct piece *p, float *sums,
                         const struct panels *panels)
{
	const struct sp_matrix dw = block(a->dw, p);
	const int64_t step = a->dy.dtype == SP_F32 ? SUM_ROWS : panels->depth;
	for (int64_t t = 0; t < a->dy.rows; t += step) {
		const int64_t rows = sp_min(step, a->dy.rows - t);
		const struct sp_matrix dy = sp_cpu_widened(cpu, sp_matrix_columns(sp_matrix_rows(a->dy, t, rows), p->row, p->rows),
		                                           panels->room);
		const struct sp_matrix x = sp_cpu_widened(cpu, sp_matrix_columns(sp_matrix_rows(a->x, t, rows), p->col, p->cols),
		                                          panels->room + rows * p->rows);
		if (sums) {
			cpu->kernels->column_sums(&dy, sums + p->row);
			cpu->kernels->add((float *)a->dbias.data + p->row, sums + p->row, p->rows);
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
	const struct cut cut = cut_of(cpu, args->dw.dtype, n, args->dw.cols, INT64_MAX);
	struct sp_cpu_room room;
	if (sp_cpu_room_open(cpu, args->dy.dtype, panel_floats(&cut, args->dy.rows, 0), args->dbias.data ? (size_t)n * sizeof(float) : 0,
	                     &room))
		return SP_ERR_MEMORY;
	float *sums = args->dbias.data ? room.front : NULL; /* [N] */
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < cut.down * cut.across; i++) {
		const struct piece p = piece_at(&cut, i);
		const struct panels panels = panels_of_thread(&room, &cut, args->dy.rows);
		if (p.rows > 0)
			weight_piece(cpu, args, &p, i % cut.across == 0 ? sums : NULL, &panels);
	}
	return SP_OK;
}
