/* Products with what surrounds them. The libraries' have no epilogue that serves, so each is cut into pieces; bias, activation
 * and column sums are applied while the cache holds one. */
#include "config.h"

#include "cpu/cpu.h"

#include "base/size.h"
#include "cpu/products.h"

#include <seqpar/status.h>

enum {
	SWEPT_ELEMENTS = 3 << 20, /* most in a piece that is swept after its product: 12 MiB, the caches' share of a core */
	SUM_ROWS = 1024,         /* rows of dy summed, then multiplied, while the cache holds them */
	FEW_ROWS = 4,            /* of a panel rounded, activated, rounded again while the first cache holds them */
};

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

/* A library skips its own pass over the result when told to add to it, so a bias put there first costs nothing. */
static struct sp_cpu_product forward_product(const void *args, const struct sp_cpu_piece *p, int64_t first, int64_t depth,
                                             struct sp_cpu_panels *panels)
{
	const struct sp_linear_forward *a = args;
	(void)first, (void)depth;
	return (struct sp_cpu_product){ sp_cpu_rows_of(a->x, p), sp_matrix_rows(a->w, p->col, p->cols),
		                        sp_cpu_made_in(a->pre.data ? a->pre : a->y, p, panels), 0, 1, a->bias.data != NULL };
}

static int forward_piece(const struct sp_cpu *cpu, const struct sp_linear_forward *a, const struct sp_cpu_cut *cut,
                         const struct sp_cpu_piece *p, struct sp_cpu_panels panels)
{
	const struct sp_matrix none = { 0 }, y = sp_cpu_block(a->y, p), pre = a->pre.data ? sp_cpu_block(a->pre, p) : none;
	const struct sp_cpu_product product = forward_product(a, p, 0, a->x.cols, &panels);
	const struct sp_matrix own = sp_matrix_rows(product.c, p->before, p->rows);
	if (a->bias.data)
		cpu->kernels->fill_rows((const float *)a->bias.data + p->col, &own);
	const int status = sp_cpu_multiply(cpu, cut, &product, panels);
	if (y.dtype != SP_F32)
		put_forward(cpu, a->act, &own, &pre, &y);
	else if (pre.data)
		cpu->kernels->activate(a->act, &own, &y);
	return status;
}

int sp_cpu_linear_forward(void *ctx, const struct sp_linear_forward *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t depth = args->x.cols;
	const struct sp_cpu_products products = { args->y.dtype, args->y.rows, args->y.cols, depth,
		                                  args->pre.data ? SWEPT_ELEMENTS : INT64_MAX, sp_max(depth, 1), 0, 0, 0, forward_product, args };
	struct sp_cpu_cut cut;
	struct sp_cpu_room room;
	int status = sp_cpu_products_plan(cpu, &products, &cut, &room);
	if (status)
		return status;
#pragma omp parallel for schedule(static) num_threads(cpu->threads) reduction(min : status)
	for (int64_t i = 0; i < cut.down * cut.across; i++) {
		const struct sp_cpu_piece p = sp_cpu_piece_at(&cut, i);
		if (p.rows > 0 && p.cols > 0)
			status = (int)sp_min(status, forward_piece(cpu, args, &cut, &p, sp_cpu_panels_of_thread(&room, &products, &cut)));
	}
	return status;
}

/* ---- backward ---- */

static struct sp_cpu_product input_product(const void *args, const struct sp_cpu_piece *p, int64_t first, int64_t depth,
                                           struct sp_cpu_panels *panels)
{
	const struct sp_linear_backward_input *a = args;
	(void)first, (void)depth;
	return (struct sp_cpu_product){ sp_cpu_rows_of(a->dy, p), sp_matrix_columns(a->w, p->col, p->cols),
		                        sp_cpu_made_in(a->dx, p, panels), 0, 0, a->accumulate };
}

static int input_piece(const struct sp_cpu *cpu, const struct sp_linear_backward_input *a, const struct sp_cpu_cut *cut,
                       const struct sp_cpu_piece *p, float *sums, struct sp_cpu_panels panels)
{
	const struct sp_cpu_product product = input_product(a, p, 0, a->dy.cols, &panels);
	const struct sp_matrix dx = sp_cpu_block(a->dx, p), to = sp_matrix_rows(product.c, p->before, p->rows), pre = a->pre.data ? sp_cpu_block(a->pre, p) : to;
	if (a->accumulate && dx.dtype != SP_F32)
		cpu->kernels->convert(&dx, &to);
	const int status = sp_cpu_multiply(cpu, cut, &product, panels);
	if (a->act != SP_ACT_NONE || sums)
		cpu->kernels->activate_backward(a->act, &pre, &to, sums ? sums + p->col : NULL);
	sp_cpu_put_back(cpu, &to, &dx);
	return status;
}

int sp_cpu_linear_backward_input(void *ctx, const struct sp_linear_backward_input *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t k = args->dx.cols, depth = args->dy.cols;
	const int swept = args->act != SP_ACT_NONE || args->dbias.data;
	const struct sp_cpu_products products = { args->dx.dtype, args->dx.rows, k, depth, swept ? SWEPT_ELEMENTS : INT64_MAX,
		                                  sp_max(depth, 1), 0, 0, args->dbias.data ? k : 0, input_product, args };
	struct sp_cpu_cut cut;
	struct sp_cpu_room room;
	int status = sp_cpu_products_plan(cpu, &products, &cut, &room);
	if (status)
		return status;
	float *sums = args->dbias.data ? room.front : NULL; /* [down][K] */
#pragma omp parallel for schedule(static) num_threads(cpu->threads) reduction(min : status)
	for (int64_t i = 0; i < cut.down * cut.across; i++) {
		const struct sp_cpu_piece p = sp_cpu_piece_at(&cut, i);
		if (p.cols > 0)
			status = (int)sp_min(status, input_piece(cpu, args, &cut, &p, sums ? sums + i / cut.across * k : NULL,
			                                         sp_cpu_panels_of_thread(&room, &products, &cut)));
	}
	if (sums)
		sp_cpu_sum_up(cpu, sums, cut.down, 1, k, (float *const[]){ args->dbias.data });
	return status;
}

static struct sp_cpu_product weight_product(const void *args, const struct sp_cpu_piece *p, int64_t first, int64_t depth,
                                            struct sp_cpu_panels *panels)
{
	const struct sp_linear_backward_weight *a = args;
	(void)panels;
	return (struct sp_cpu_product){ sp_matrix_columns(sp_matrix_rows(a->dy, first, depth), p->row, p->rows),
		                        sp_matrix_columns(sp_matrix_rows(a->x, first, depth), p->col, p->cols), sp_cpu_block(a->dw, p), 1, 0, 1 };
}

/* Of bfloat16 as many rows at a time as a panel holds. */
static void add_column_sums(const struct sp_cpu *cpu, const struct sp_matrix *dy, float *sums, float *dbias, struct sp_cpu_panels panels)
{
	const int64_t step = dy->dtype == SP_F32 ? sp_max(dy->rows, 1) : panels.depth;
	for (int64_t i = 0; i < dy->rows; i += step) {
		struct sp_cpu_panels rest = panels;
		const struct sp_matrix part = sp_cpu_panel_of(cpu, sp_matrix_rows(*dy, i, sp_min(step, dy->rows - i)), &rest);
		cpu->kernels->column_sums(&part, sums);
		cpu->kernels->add(dbias, sums, dy->cols);
	}
}

/* dw += dy^T x for some rows and columns of dw; the pieces at the left edge also sum the columns of dy. */
static int weight_piece(const struct sp_cpu *cpu, const struct sp_linear_backward_weight *a, const struct sp_cpu_cut *cut,
                        const struct sp_cpu_piece *p, float *sums, struct sp_cpu_panels panels)
{
	const int64_t step = a->dy.dtype == SP_F32 || cut->onednn ? SUM_ROWS : sp_min(panels.depth, SUM_ROWS);
	int status = SP_OK;
	for (int64_t t = 0, n; t < a->dy.rows && !status; t += n) {
		struct sp_cpu_panels rest = panels;
		n = sp_cpu_terms(cut, a->dy.rows - t, step);
		struct sp_cpu_product product = weight_product(a, p, t, n, &rest);
		if (!cut->onednn)
			product.a = sp_cpu_panel_of(cpu, product.a, &rest);
		if (sums)
			add_column_sums(cpu, &product.a, sums + p->row, (float *)a->dbias.data + p->row, rest);
		sp_cpu_even_out(cpu, cut, &product, 1, &rest);
		if (p->cols > 0)
			status = sp_cpu_multiply(cpu, cut, &product, rest);
	}
	return status;
}

int sp_cpu_linear_backward_weight(void *ctx, const struct sp_linear_backward_weight *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t n = args->dw.rows;
	const struct sp_cpu_products products = { args->dy.dtype, n, args->dw.cols, args->dy.rows, INT64_MAX, SUM_ROWS, 1,
		                                  args->dbias.data ? n : 0, 0, weight_product, args };
	struct sp_cpu_cut cut;
	struct sp_cpu_room room;
	int status = sp_cpu_products_plan(cpu, &products, &cut, &room);
	if (status)
		return status;
	float *sums = args->dbias.data ? room.front : NULL; /* [N] */
#pragma omp parallel for schedule(static) num_threads(cpu->threads) reduction(min : status)
	for (int64_t i = 0; i < cut.down * cut.across; i++) {
		const struct sp_cpu_piece p = sp_cpu_piece_at(&cut, i);
		if (p.rows > 0)
			status = (int)sp_min(status, weight_piece(cpu, args, &cut, &p, i % cut.across == 0 ? sums : NULL,
			                                          sp_cpu_panels_of_thread(&room, &products, &cut)));
	}
	return status;
}
