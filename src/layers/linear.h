/* Dense layers: y = act(x w^T + bias). May include: layers/layer.h. */
#ifndef SP_LAYERS_LINEAR_H
#define SP_LAYERS_LINEAR_H

#include "layers/layer.h"

/* pre (T, N) keeps what the activation is applied to; a view of nothing without activation. */
int sp_linear_layer_forward(const struct sp_dense_weights *w, const struct sp_layer_context *ctx, struct sp_matrix x,
                            struct sp_matrix y, enum sp_activation act, struct sp_matrix pre);

/* y = x w^T, the bias left to the norm that follows. */
int sp_linear_layer_forward_plain(const struct sp_weight *w, const struct sp_layer_context *ctx, struct sp_matrix x,
                                  struct sp_matrix y);

/* dx = dy w, or dx += dy w. */
int sp_linear_layer_backward_input(const struct sp_weight *w, const struct sp_layer_context *ctx, struct sp_matrix dy,
                                   struct sp_matrix dx, int accumulate);

/* Adds dy^T x to the weight's gradient, and column sums of dy to the bias's if there is one. */
int sp_linear_layer_backward_weight(const struct sp_weight *w, const struct sp_weight *bias,
                                    const struct sp_layer_context *ctx, struct sp_matrix dy, struct sp_matrix x);

#endif
