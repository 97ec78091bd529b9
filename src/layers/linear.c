#include "config.h"

#include "layers/linear.h"

int sp_linear_layer_forward(const struct sp_dense_weights *w, const struct sp_layer_context *ctx, struct sp_matrix x,
                            struct sp_matrix y, enum sp_activation act, struct sp_matrix pre)
{
	const struct sp_linear_forward op = {
		.x = x, .w = w->weight.value, .bias = w->bias.value, .y = y, .pre = pre, .act = act,
	};
	return sp_compute_linear_forward(ctx->compute, &op);
}

int sp_linear_layer_forward_plain(const struct sp_weight *w, const struct sp_layer_context *ctx, struct sp_matrix x,
                                  struct sp_matrix y)
{
	const struct sp_linear_forward op = { .x = x, .w = w->value, .y = y };
	return sp_compute_linear_forward(ctx->compute, &op);
}

int sp_linear_layer_backward_input(const struct sp_weight *w, const struct sp_layer_context *ctx, struct sp_matrix dy,
                                   struct sp_matrix dx, int accumulate)
{
	const struct sp_linear_backward_input op = { .dy = dy, .w = w->value, .dx = dx, .accumulate = accumulate };
	return sp_compute_linear_backward_input(ctx->compute, &op);
}

int sp_linear_layer_backward_weight(const struct sp_weight *w, const struct sp_weight *bias,
                                    const struct sp_layer_context *ctx, struct sp_matrix dy, struct sp_matrix x)
{
	const struct sp_linear_backward_weight op = {
		.dy = dy, .x = x, .dw = w->grad, .dbias = bias ? bias->grad : (struct sp_matrix){ 0 },
	};
	return sp_compute_linear_backward_weight(ctx->compute, &op);
}
