/* The two halves of a layer, attention and the MLP, as they see each other. May include: what encoder.h may. */
#ifndef SP_MODEL_ENCODER_INSIDE_H
#define SP_MODEL_ENCODER_INSIDE_H

#include "model/encoder.h"

/* What a joint leaves to the next block. */
struct sp_stream sp_encoder_stream(const struct sp_norm_layer *joint, int pre_norm);
/* The gradient through a joint: dx to the block's output, and to the residual where the stream keeps its gradient: in dsum
 * (pre-LN), or in dy, which the block's own gradient is then added to (post-LN). */
int sp_encoder_joint_backward(const struct sp_norm_layer *joint, const struct sp_layer_context *ctx,
                              const struct sp_encoder_scratch *s, int pre_norm, int open, int first_sum);
/* Whether a block's gradient is added to what the stream already holds of it (post-LN). Where tensor ranks sum, one of them
 * brings that in. */
int sp_encoder_adds_to_stream(const struct sp_encoder_layer *layer, const struct sp_encoder_attention *attention);

/* y = 0; packed. */
int sp_encoder_zero(const struct sp_layer_context *ctx, struct sp_matrix y);
/* Those of the rows that are read from the `at`-th on that the layer has room for; 0 if there are none. */
int sp_encoder_some_read(const struct sp_encoder_layer *layer, const struct sp_read_rows *read, int64_t at,
                         struct sp_read_rows *some);

/* The MLP and its joint. Backward makes again what forward has not kept: a tile forward and backward, then the next. */
int sp_encoder_mlp_forward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                           const struct sp_encoder_attention *attention, const struct sp_read_rows *read);
int sp_encoder_mlp_backward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                            const struct sp_encoder_attention *attention, const struct sp_read_rows *read,
                            const struct sp_encoder_scratch *s, int first_sum);

#endif
