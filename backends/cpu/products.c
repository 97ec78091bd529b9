#include "config.h"

#include "cpu/products.h"

#include "base/log.h"
#include "base/size.h"
#include "cpu/blas.h"
#include "cpu/onednn.h"

#include <inttypes.h>
#include <seqpar/status.h>
#include <string.h>

enum {
	GRAIN = 16,              /* pieces end at multiples of the library's register tiles */
	PACK_COST = 70,          /* of copying one operand element into the library's layout, in flops; measured */
	MOST_ACROSS = 64,
	PANEL_MOST = 1 << 20,    /* elements of a piece that is not made in place, and of what is widened of its operands, each; a */
	PANEL_LEAST = 1 << 18,   /* quarter is 5 % slower, as the library packs its operands more often; measured */
	PANELS = 4 << 20,        /* of all threads, unless that leaves them less than the least: 32 MiB of both kinds */
	/* What oneDNN is given if nobody says: products with enough to do for a call that takes a microsecond or two, and none so thin
	 * that tiles of 16 or 32 rows are mostly empty. */
	ONEDNN_SIDE = 32,
	ONEDNN_TERMS = 1 << 18,
};

/* ---- who multiplies ---- */

/* By sizes and processor alone, never by a clock: runs would not repeat. */
int sp_cpu_by_onednn(const struct sp_cpu *cpu, enum sp_dtype element, int64_t m, int64_t n, int64_t k)
{
	if (!cpu->onednn || cpu->products == SP_PRODUCTS_BLAS)
		return 0;
	if (cpu->products == SP_PRODUCTS_ONEDNN)
		return 1;
	return element == SP_BF16 && sp_min(m, sp_min(n, k)) >= ONEDNN_SIDE && (double)m * (double)n * (double)k >= ONEDNN_TERMS;
}

const char *sp_cpu_multiplies(void *ctx, enum sp_dtype element, int64_t m, int64_t n, int64_t k)
{
	return sp_cpu_by_onednn(ctx, element, m, n, k) ? "onednn" : "blas";
}

/* ---- cutting ---- */

static int64_t largest_part(int64_t n, int64_t parts)
{
	return sp_ceil_div(sp_ceil_div(n, GRAIN), parts) * GRAIN;
}

static int64_t cost_of(const struct sp_cpu_cut *cut, int64_t threads)
{
	const int64_t rows = largest_part(cut->m, cut->down), cols = largest_part(cut->n, cut->across);
	return sp_ceil_div(cut->down * cut->across, threads) * (2 * rows * cols + PACK_COST * (rows + cols));
}

/* The cut whose slowest thread has least to do: few pieces repeat less packing, many balance better. */
static struct sp_cpu_cut choose_cut(int64_t m, int64_t n, int64_t threads, int64_t most_elements)
{
	struct sp_cpu_cut best = { .m = m, .n = n, .down = 1, .across = 1 };
	int64_t best_cost = INT64_MAX;
	for (int64_t across = 1; across <= MOST_ACROSS && across <= sp_ceil_div(n, GRAIN); across++) {
		/* the fewest pieces down that are small enough, and as many as the threads do in the same number of turns */
		const int64_t fewest = sp_max(1, sp_ceil_div(m, sp_max(most_elements / largest_part(n, across), 1)));
		const int64_t turns = sp_ceil_div(fewest * across, threads);
		const int64_t downs[] = { fewest, sp_max(fewest, turns * threads / across) };
		for (int i = 0; i < 2; i++) {
			const struct sp_cpu_cut cut = { .m = m, .n = n, .down = sp_max(1, sp_min(downs[i], sp_ceil_div(m, GRAIN))), .across = across };
			if (cost_of(&cut, threads) < best_cost) {
				best = cut;
				best_cost = cost_of(&cut, threads);
			}
		}
	}
	return best;
}

static struct sp_cpu_cut cut_of(const struct sp_cpu *cpu, const struct sp_cpu_products *p, int onednn)
{
	const int64_t panel = sp_max(PANEL_LEAST, sp_min(PANELS / cpu->threads, PANEL_MOST));
	struct sp_cpu_cut cut = choose_cut(p->m, p->n, cpu->threads, p->element == SP_F32 || p->in_place ? p->most : panel);
	cut.panel = panel;
	cut.onednn = onednn;
	cut.even = onednn && p->element != SP_F32;
	if (cut.even && !p->in_place && cut.m % SP_CPU_EVEN)
		cut.down = sp_max(cut.down, 2); /* the last piece needs one before it */
	return cut;
}

struct sp_cpu_cut sp_cpu_cut_plain(const struct sp_cpu *cpu, int64_t m, int64_t n)
{
	return choose_cut(m, n, cpu->threads, INT64_MAX);
}

struct sp_cpu_piece sp_cpu_piece_at(const struct sp_cpu_cut *cut, int64_t i)
{
	struct sp_cpu_piece p = { 0 };
	int64_t end;
	sp_cpu_part(cut->m, GRAIN, cut->down, i / cut->across, &p.row, &end);
	p.rows = end - p.row;
	sp_cpu_part(cut->n, GRAIN, cut->across, i % cut->across, &p.col, &end);
	p.cols = end - p.col;
	const int64_t missing = sp_round_up(p.rows, SP_CPU_EVEN) - p.rows;
	if (cut->even && missing <= p.row)
		p.before = missing;
	return p;
}

struct sp_matrix sp_cpu_rows_of(struct sp_matrix m, const struct sp_cpu_piece *p)
{
	return sp_matrix_rows(m, p->row - p->before, p->before + p->rows);
}

struct sp_matrix sp_cpu_block(struct sp_matrix m, const struct sp_cpu_piece *p)
{
	return sp_matrix_columns(sp_matrix_rows(m, p->row, p->rows), p->col, p->cols);
}

/* ---- panels ---- */

/* Equal parts of the inner dimension for which the operands of the largest piece are small enough; oneDNN has no panels of them. */
static int64_t depth_at_once(const struct sp_cpu_products *p, const struct sp_cpu_cut *cut)
{
	const int64_t both = largest_part(cut->m, cut->down) + largest_part(cut->n, cut->across);
	const int64_t most = sp_max(cut->panel / sp_max(both, 1) / GRAIN, 1) * GRAIN;
	const int64_t parts = sp_max(sp_ceil_div(p->depth, most), 1);
	return sp_max(sp_round_up(sp_ceil_div(p->depth, parts), GRAIN), GRAIN);
}

/* Floats of a thread for the largest piece: its operands', and those of the piece itself if it is made there. */
static int64_t panel_floats(const struct sp_cpu_products *p, const struct sp_cpu_cut *cut)
{
	const int64_t rows = largest_part(cut->m, cut->down), cols = largest_part(cut->n, cut->across);
	return (rows + cols) * depth_at_once(p, cut) + (p->in_place ? 0 : rows * cols);
}

struct sp_cpu_panels sp_cpu_panels_of_thread(const struct sp_cpu_room *room, const struct sp_cpu_products *products,
                                             const struct sp_cpu_cut *cut)
{
	return (struct sp_cpu_panels){ sp_cpu_room_of_thread(room), depth_at_once(products, cut) };
}

static struct sp_matrix take_panel(int64_t rows, int64_t cols, struct sp_cpu_panels *panels)
{
	const struct sp_matrix panel = sp_matrix(panels->room, rows, cols);
	panels->room += rows * cols;
	return panel;
}

struct sp_matrix sp_cpu_made_in(struct sp_matrix m, const struct sp_cpu_piece *p, struct sp_cpu_panels *panels)
{
	return m.dtype == SP_F32 ? sp_cpu_block(m, p) : take_panel(p->before + p->rows, p->cols, panels);
}

struct sp_matrix sp_cpu_panel_of(const struct sp_cpu *cpu, struct sp_matrix m, struct sp_cpu_panels *panels)
{
	if (m.dtype == SP_F32)
		return m;
	const struct sp_matrix panel = take_panel(m.rows, m.cols, panels);
	cpu->kernels->convert(&m, &panel);
	return panel;
}

/* ---- even numbers of terms ---- */

int64_t sp_cpu_terms(const struct sp_cpu_cut *cut, int64_t left, int64_t step)
{
	const int64_t n = sp_min(left, step);
	return cut->even && n > SP_CPU_EVEN ? n / SP_CPU_EVEN * SP_CPU_EVEN : n;
}

/* A panel of floats has room for twice as many halves. */
static struct sp_matrix evened(const struct sp_cpu *cpu, struct sp_matrix m, int fill, struct sp_cpu_panels *panels)
{
	struct sp_matrix panel = take_panel(SP_CPU_EVEN, m.cols, panels);
	panel.dtype = m.dtype;
	if (!fill)
		return panel;
	const struct sp_matrix top = sp_matrix_rows(panel, 0, m.rows), rest = sp_matrix_rows(panel, m.rows, SP_CPU_EVEN - m.rows);
	cpu->kernels->convert(&m, &top);
	memset(rest.data, 0, (size_t)(rest.rows * rest.cols) * sp_dtype_size(rest.dtype));
	return panel;
}

void sp_cpu_even_out(const struct sp_cpu *cpu, const struct sp_cpu_cut *cut, struct sp_cpu_product *p, int fill, struct sp_cpu_panels *panels)
{
	if (!cut->even || !p->turn_a || p->a.rows >= SP_CPU_EVEN || p->a.rows == 0)
		return;
	p->a = evened(cpu, p->a, fill, panels);
	p->b = evened(cpu, p->b, fill, panels);
}

/* ---- products ---- */

static int64_t depth_of(const struct sp_cpu_product *p)
{
	return p->turn_a ? p->a.rows : p->a.cols;
}

static struct sp_onednn_product as_onednn(const struct sp_cpu_product *p)
{
	return (struct sp_onednn_product){ p->c.rows, p->c.cols, depth_of(p), p->a.stride, p->b.stride, p->c.stride, p->turn_a, p->turn_b,
		                           p->add, p->a.dtype, p->c.dtype };
}

/* Terms [first, first + n) of an operand that has them as rows, or as columns. */
static struct sp_matrix terms(struct sp_matrix m, int as_rows, int64_t first, int64_t n)
{
	return as_rows ? sp_matrix_rows(m, first, n) : sp_matrix_columns(m, first, n);
}

static void multiply_by_blas(const struct sp_cpu *cpu, const struct sp_cpu_product *p, struct sp_cpu_panels panels)
{
	const int64_t depth = depth_of(p), step = p->a.dtype == SP_F32 && p->b.dtype == SP_F32 ? sp_max(depth, 1) : panels.depth;
	for (int64_t first = 0; first == 0 || first < depth; first += step) {
		const int64_t n = sp_min(step, depth - first);
		struct sp_cpu_panels rest = panels;
		const struct sp_matrix a = sp_cpu_panel_of(cpu, terms(p->a, p->turn_a, first, n), &rest);
		const struct sp_matrix b = sp_cpu_panel_of(cpu, terms(p->b, !p->turn_b, first, n), &rest);
		sp_blas_gemm(p->turn_a ? CblasTrans : CblasNoTrans, p->turn_b ? CblasTrans : CblasNoTrans, p->c.rows, p->c.cols, n, a.data,
		             a.stride, b.data, b.stride, p->add || first > 0 ? 1.0f : 0.0f, p->c.data, p->c.stride);
	}
}

int sp_cpu_multiply(const struct sp_cpu *cpu, const struct sp_cpu_cut *cut, const struct sp_cpu_product *p, struct sp_cpu_panels panels)
{
	const struct sp_onednn_product same = as_onednn(p);
	if (cut->onednn)
		return sp_onednn_multiply(cpu->onednn, &same, sp_cpu_thread(), p->a.data, p->b.data, p->c.data);
	multiply_by_blas(cpu, p, panels);
	return SP_OK;
}

/* ---- planning ---- */

/* Terms [first, first + n) of all pieces, which have a few different sizes; what is ready already costs a look. */
static int make_terms_ready(const struct sp_cpu *cpu, const struct sp_cpu_products *p, const struct sp_cpu_cut *cut,
                            const struct sp_cpu_room *room, int64_t first, int64_t n)
{
	int status = SP_OK;
	for (int64_t i = 0; i < cut->down * cut->across && !status; i++) {
		const struct sp_cpu_piece piece = sp_cpu_piece_at(cut, i);
		struct sp_cpu_panels panels = sp_cpu_panels_of_thread(room, p, cut);
		struct sp_cpu_product product = p->product(p->args, &piece, first, n, &panels);
		sp_cpu_even_out(cpu, cut, &product, 0, &panels);
		const struct sp_onednn_product same = as_onednn(&product);
		status = sp_onednn_ready(cpu->onednn, &same);
	}
	return status;
}

static int make_ready(const struct sp_cpu *cpu, const struct sp_cpu_products *p, const struct sp_cpu_cut *cut, const struct sp_cpu_room *room)
{
	int status = SP_OK;
	sp_onednn_tidy(cpu->onednn);
	for (int64_t first = 0, n; first < p->depth && !status; first += n) {
		n = p->in_place ? sp_cpu_terms(cut, p->depth - first, p->step) : p->depth;
		if (first == 0 || n < p->step) /* all but the last ones are like the first */
			status = make_terms_ready(cpu, p, cut, room, first, n);
	}
	return status;
}

static int take_room(struct sp_cpu *cpu, const struct sp_cpu_products *p, const struct sp_cpu_cut *cut, struct sp_cpu_room *room)
{
	const size_t front = (size_t)(p->sums + cut->down * p->sums_down) * sizeof(float);
	return sp_cpu_room_open(cpu, p->element, panel_floats(p, cut), front, room);
}

int sp_cpu_products_plan(struct sp_cpu *cpu, const struct sp_cpu_products *p, struct sp_cpu_cut *cut, struct sp_cpu_room *room)
{
	*cut = cut_of(cpu, p, sp_cpu_by_onednn(cpu, p->element, p->m, p->n, p->depth));
	int status = take_room(cpu, p, cut, room);
	if (status || !cut->onednn)
		return status;
	status = make_ready(cpu, p, cut, room);
	if (status != SP_ERR_UNUSABLE)
		return status;
	if (cpu->products == SP_PRODUCTS_ONEDNN)
		return sp_fail(SP_ERR_DEVICE, "cpu: backend.products=onednn, but oneDNN refuses a product of %" PRId64 " x %" PRId64 " x %" PRId64
		               " in %s: set backend.products = auto", p->m, p->n, p->depth, sp_dtype_name(p->element));
	*cut = cut_of(cpu, p, 0);
	return take_room(cpu, p, cut, room);
}
