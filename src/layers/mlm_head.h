/* The masked-language-model head: dense, GELU, LayerNorm, decoder tied to the word table, cross-entropy.
 * May include: layers/layer.h, backend/arena.h.
 *
 * Only predicted rows are computed, a fixed number of them at a time, loss and gradient of a chunk together: logits
 * (tokens x vocabulary) never exist whole, and memory does not depend on how many positions a rank happens to predict. */
#ifndef SP_LAYERS_MLM_HEAD_H
#define SP_LAYERS_MLM_HEAD_H

#include "backend/arena.h"
#include "layers/layer.h"

enum { SP_HEAD_ROWS = 512 }; /* predicted rows at a time, at most */

/* Where several ranks hold the columns of the logits, part by part: who this is, and how it meets the others. */
struct sp_head_parts {
	int part, parts; /* parts 0 or 1: this rank holds all columns, and the rest is not looked at */
	int32_t first;   /* id of the first column held */
	/* stats (parts * n, 4), packed: each part's n rows, of which the own ones are there, to all. */
	int (*gather)(void *context, struct sp_matrix stats);
	/* y becomes its sum over the parts. */
	int (*sum)(void *context, struct sp_matrix y);
	void *context;
};

struct sp_mlm_head {
	struct sp_dense_weights dense; /* (H, H) */
	struct sp_norm_weights norm;
	struct sp_dense_weights decoder; /* weight: the word table (V, H); bias (1, V); of the part held */
	enum sp_activation act;
	struct sp_head_parts parts;
	int64_t rows; /* of the scratch below */
	/* scratch of one chunk */
	struct sp_matrix x, pre, s, y, dy; /* (rows, H) */
	struct sp_matrix mean, rstd;       /* (1, rows) */
	struct sp_matrix logits;           /* (rows, V) */
	struct sp_matrix stats;            /* (parts * rows, 4); nothing with one part */
};

/* Carves the scratch for micro-batches of `tokens` rows and `vocab` columns held, activations of dtype
 * `element`; weights and parts must be set. */
int sp_mlm_head_layout(struct sp_mlm_head *head, struct sp_arena *arena, int64_t tokens, int64_t hidden, int64_t vocab,
                       enum sp_dtype element);

struct sp_mlm_targets {
	int64_t n;            /* may be 0 */
	const int32_t *row;   /* [n] device, distinct rows of x */
	const int32_t *label; /* [n] device */
	float scale;          /* of the gradient: 1 / predicted tokens of the global batch */
	double *loss;         /* device, accumulates the unscaled sum */
	int64_t *correct;     /* device, accumulates */
};

/* Logits of rows row[0 .. n - 1] (device) of x, n <= head->rows: (n, V), a view of the head's scratch; of
 * the columns held. */
int sp_mlm_head_logits(const struct sp_mlm_head *head, const struct sp_layer_context *ctx, const int32_t *row, int64_t n,
                       struct sp_matrix x, struct sp_matrix *logits);

/* x (T, H). If ctx->training, adds the gradient to dx (T, H) and to the weights. */
int sp_mlm_head_run(const struct sp_mlm_head *head, const struct sp_layer_context *ctx, const struct sp_mlm_targets *targets,
                    struct sp_matrix x, struct sp_matrix dx);

#endif
