/* The feed-forward block: x -> act(x w1^T + b1) w2^T. The second bias belongs to the norm that follows.
 * May include: layers/layer.h. */
#ifndef SP_LAYERS_MLP_H
#define SP_LAYERS_MLP_H

#include "layers/layer.h"

struct sp_mlp_layer {
	struct sp_dense_weights up; /* (I, H) */
	struct sp_weight down;      /* (H, I) */
	enum sp_activation act;
	struct sp_matrix pre, hidden; /* kept, (T, I) */
};

int sp_mlp_layer_forward(const struct sp_mlp_layer *layer, const struct sp_layer_context *ctx, struct sp_matrix x,
                         struct sp_matrix y);
/* What was kept, once more. */
int sp_mlp_layer_again(const struct sp_mlp_layer *layer, const struct sp_layer_context *ctx, struct sp_matrix x);
/* From dy (T, H): dx = or += (T, H). What was kept is not needed any more then: hidden ends as the gradient of pre. */
int sp_mlp_layer_backward(const struct sp_mlp_layer *layer, const struct sp_layer_context *ctx, struct sp_matrix x,
                          struct sp_matrix dy, struct sp_matrix dx, int accumulate);

#endif
