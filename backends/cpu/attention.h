/* What attention_tiles.h (threads, tiles, packing) asks of attention_kernels.c (arithmetic, one variant per
 * instruction set). May include: libc, seqpar/compute.h.
 *
 * A kernel keeps a block of `rows` x `columns` of a product in registers. Everything works on packed copies of one
 * thread, padded with zeros so that no kernel meets an edge. A block of n tokens x depth, width = depth rounded up to a
 * multiple of `columns`, has two layouts:
 *   panels   [width / columns][n][columns]
 *   turned   [n / columns][depth][columns]: its transpose, in panels; the right side of a product summed over depth
 *
 * Variants whose processor multiplies pairs of bfloat16 work on words of 32 bits where all that a step is given is of that type:
 * two neighbours along the dimension that a product sums over, the first in the lower half, 0 beside the last of an odd number.
 * Nothing that was given is rounded again, so factors are left to the float32 in between:
 *   rows     [n][depth]: of features, depth = head_dim / 2, rounded up
 *   turned   [n / columns][depth][columns]: its transpose
 *   panels   [width / columns][n / 2][columns]: of rows 2 i and 2 i + 1 */
#ifndef SP_CPU_ATTENTION_H
#define SP_CPU_ATTENTION_H

#include <seqpar/compute.h>
#include <stddef.h>
#include <stdint.h>

/* n rows of depth elements: one after the other, or those that `row` lists. */
struct sp_cpu_attention_rows {
	void *data;
	int64_t stride, n, depth;
	const int32_t *row; /* [n], or NULL */
	enum sp_dtype dtype; /* SP_F32, SP_BF16 */
};

/* A block of queries meets a block of keys. */
struct sp_cpu_attention_tile {
	int64_t rows, keys;   /* padded: multiples of the kernels' rows and columns */
	int64_t depth, width; /* head_dim, or its pairs; and head_dim padded to a multiple of `columns` */
	int pairs;            /* operands are pairs, multiplied by no factor; else `factor` and `kept` are not read */
	float factor;         /* of scores: the scale and log2(e) */
	float kept;           /* the dropout factor */
	/* [rows], [keys]; a pair meets if they are equal, and nobody equals a padded one. NULL, both: every pair meets. */
	const int32_t *query_doc, *key_doc;
	/* With documents: row i meets column j only if |row[i] + ahead - j| <= window. 0: it need not be looked at. */
	int64_t window, ahead;
	/* keep == 65536: none. Row i, column j draws with counter ((first_column + j) / 8, first_row + row[i], head, 0). */
	struct sp_dropout dropout;
	uint32_t first_row, first_column, head;
	const int32_t *row; /* [rows], ascending, behind them 0 */
	uint16_t *half; /* [keys + SP_CPU_ATTENTION_HALVES], scratch */
};

/* Scores are exponents of two, whose powers are cheaper than those of e. */
#define SP_CPU_LOG2_E 1.44269504f
#define SP_CPU_LN_2 0.693147181f

#define SP_CPU_ATTENTION_HALVES 144 /* numbers are drawn in blocks, from a multiple of 8 columns on */

/* Pointers to float are to words if the operands are pairs, but for m, l, acc, lse, dots, dq, dk and dv. */
struct sp_cpu_attention_forward_tile {
	struct sp_cpu_attention_tile tile;
	const float *q; /* panels, times the scale and log2(e); of pairs: rows */
	const float *k; /* turned */
	const float *v; /* panels, times the dropout factor */
	float *m, *l;   /* [rows] updated */
	float *acc;     /* panels, updated */
	float *p;       /* [kernels' rows][stride] scratch */
	int64_t stride;
};

struct sp_cpu_attention_backward_tile {
	struct sp_cpu_attention_tile tile;
	const float *q;          /* panels, times the scale and log2(e); of pairs: rows */
	const float *dout;       /* panels, times the dropout factor; of pairs: rows */
	const float *q_panels, *dout_panels; /* the same, of pairs: panels */
	const float *k, *v;      /* turned */
	const float *k_panels;
	const float *lse, *dots; /* [rows]; lse times log2(e), +inf where the row contributes nothing */
	float *dq;               /* panels, added to, to be scaled */
	float *dk, *dv;          /* panels of n = keys rounded up to a multiple of the kernels' `rows`, added to; dk times log2(e), or
	                          * of pairs to be scaled */
	float *p, *ds;           /* [rows][stride] scratch, stride >= keys + the kernels' `rows` */
	int64_t stride;
};

#endif
