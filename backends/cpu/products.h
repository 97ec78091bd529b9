/* Matrix products cut into pieces, one single-threaded product of a library each. May include: cpu/cpu.h.
 *
 * The library is the BLAS, which multiplies float32, or oneDNN. For the BLAS activations and weights in bfloat16 are widened into a
 * thread's panels, a part of the inner dimension at a time, so what is widened at once is bounded, and small enough for the caches;
 * oneDNN takes them as they are. With either, results in bfloat16 are made as float32 in another panel. */
#ifndef SP_CPU_PRODUCTS_H
#define SP_CPU_PRODUCTS_H

#include "cpu/cpu.h"

/* The result, cut into `down` x `across` pieces. */
struct sp_cpu_cut {
	int64_t m, n, down, across;
	int64_t panel; /* most elements that a thread widens at once */
	int onednn;    /* who multiplies: 0, the BLAS */
	int even;      /* numbers of rows are multiples of SP_CPU_EVEN */
};

/* oneDNN compiles code for each number of rows, and predicted tokens, for one, are never as many as the step before. So that the numbers
 * are few, the last pieces begin `before` rows earlier than what is their own, which are made and not used, and sums over rows end with
 * zeros. Not in float32, which is made in place. */
enum { SP_CPU_EVEN = 16 };

struct sp_cpu_piece {
	int64_t row, rows, col, cols;
	int64_t before;
};

/* Room of a thread, and how much of the inner dimension is widened at once. */
struct sp_cpu_panels {
	float *room;
	int64_t depth;
};

/* c = op(a) op(b) [+ c], op(x) = x or x^T. */
struct sp_cpu_product {
	struct sp_matrix a, b, c;
	int turn_a, turn_b, add;
};

/* All products of an operation. */
struct sp_cpu_products {
	enum sp_dtype element;
	int64_t m, n, depth;
	int64_t most;  /* elements of a piece that is made in place */
	int64_t step;  /* of depth, in one product */
	int in_place;  /* the result is float32 whatever `element` is, terms are rows */
	int64_t sums, sums_down; /* floats in front of the panels: that many, and that many for each row of pieces */
	/* Piece p, terms [first, first + depth). */
	struct sp_cpu_product (*product)(const void *args, const struct sp_cpu_piece *p, int64_t first, int64_t depth,
	                                 struct sp_cpu_panels *panels);
	const void *args;
};

/* Whether oneDNN is to make a product with (m, n) results of k terms, the BLAS otherwise. */
int sp_cpu_by_onednn(const struct sp_cpu *cpu, enum sp_dtype element, int64_t m, int64_t n, int64_t k);

/* How to cut, who multiplies, and room; all that oneDNN needs is made. SP_ERR_MEMORY, SP_ERR_DEVICE, logged. */
int sp_cpu_products_plan(struct sp_cpu *cpu, const struct sp_cpu_products *products, struct sp_cpu_cut *cut, struct sp_cpu_room *room);

/* How to cut a product that is made in place, whole sums at once. */
struct sp_cpu_cut sp_cpu_cut_plain(const struct sp_cpu *cpu, int64_t m, int64_t n);
struct sp_cpu_piece sp_cpu_piece_at(const struct sp_cpu_cut *cut, int64_t i);
struct sp_matrix sp_cpu_block(struct sp_matrix m, const struct sp_cpu_piece *p);

/* Inside of a parallel region, the calling thread's. */
struct sp_cpu_panels sp_cpu_panels_of_thread(const struct sp_cpu_room *room, const struct sp_cpu_products *products,
                                             const struct sp_cpu_cut *cut);
/* Rows of an operand for a piece, those before its own included. */
struct sp_matrix sp_cpu_rows_of(struct sp_matrix m, const struct sp_cpu_piece *p);
/* Where a piece of m is made, with the rows before its own: there, or in a panel, behind which those of its operands begin. */
struct sp_matrix sp_cpu_made_in(struct sp_matrix m, const struct sp_cpu_piece *p, struct sp_cpu_panels *panels);
/* Of `left` terms that are rows, how many the next product takes that may take `step`; */
int64_t sp_cpu_terms(const struct sp_cpu_cut *cut, int64_t left, int64_t step);
/* and if those are fewer than SP_CPU_EVEN, the operands with zeros behind, in panels. `fill` 0: only where they would be. */
void sp_cpu_even_out(const struct sp_cpu *cpu, const struct sp_cpu_cut *cut, struct sp_cpu_product *p, int fill, struct sp_cpu_panels *panels);
/* m as float32: itself, or widened into a panel, behind which the next begins. */
struct sp_matrix sp_cpu_panel_of(const struct sp_cpu *cpu, struct sp_matrix m, struct sp_cpu_panels *panels);
/* SP_ERR_DEVICE, logged. */
int sp_cpu_multiply(const struct sp_cpu *cpu, const struct sp_cpu_cut *cut, const struct sp_cpu_product *p, struct sp_cpu_panels panels);

#endif
