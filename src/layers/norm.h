/* The joint between two blocks of a transformer: bias, dropout, residual and LayerNorm in one pass.
 * May include: layers/layer.h.
 *
 * s = residual + dropout(x + bias), y = LayerNorm(s). In a post-LN model y is both the next block's input and its residual;
 * in a pre-LN model the residual is s, and gamma, beta belong to the next block. */
#ifndef SP_LAYERS_NORM_H
#define SP_LAYERS_NORM_H

#include "layers/layer.h"

struct sp_norm_layer {
	struct sp_weight bias; /* of the dense layer before; may be a view of nothing */
	struct sp_norm_weights norm;
	int64_t layer; /* for the dropout key */
	enum sp_dropout_site site;
	float dropout;
	/* kept: s (T, H), which holds x on entry, and mean, rstd (1, T) */
	struct sp_matrix s, mean, rstd;
	struct sp_matrix y; /* (T, H) */
};

/* residual (T, H), or a view of nothing. */
int sp_norm_layer_forward(const struct sp_norm_layer *layer, const struct sp_layer_context *ctx, struct sp_matrix residual);

/* From dy (a view of nothing where the layer has no norm) and dsum (a view of nothing if none), both (T, H): dx to x,
 * dresidual to the residual (a view of nothing: not wanted). Aliasing as for struct sp_norm_backward. */
int sp_norm_layer_backward(const struct sp_norm_layer *layer, const struct sp_layer_context *ctx, struct sp_matrix dy,
                           struct sp_matrix dsum, struct sp_matrix dx, struct sp_matrix dresidual);

#endif
