/* The sentence-order head: pooler (dense + tanh on [CLS]) and a two-way classifier. May include: layers/layer.h. */
#ifndef SP_LAYERS_ORDER_HEAD_H
#define SP_LAYERS_ORDER_HEAD_H

#include "backend/arena.h"
#include "layers/layer.h"

struct sp_order_head {
	struct sp_dense_weights pooler;     /* (H, H) */
	struct sp_dense_weights classifier; /* (2, H) */
	struct sp_matrix x, pooled, dpooled; /* scratch, (rows, H): as many samples at a time */
	struct sp_matrix logits;             /* scratch, (rows, 2) */
};

/* For up to `most` samples, activations of dtype `element`. */
int sp_order_head_layout(struct sp_order_head *head, struct sp_arena *arena, int64_t most, int64_t hidden,
                         enum sp_dtype element);

struct sp_order_targets {
	int64_t n;            /* samples whose [CLS] this rank holds; may be 0 */
	const int32_t *row;   /* [n] device, rows of x */
	const int32_t *label; /* [n] device, 0 or 1 */
	float scale;
	double *loss;
	int64_t *correct;
};

/* As sp_mlm_head_run. */
int sp_order_head_run(const struct sp_order_head *head, const struct sp_layer_context *ctx,
                      const struct sp_order_targets *targets, struct sp_matrix x, struct sp_matrix dx);

#endif
