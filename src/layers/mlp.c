#include "config.h"

#include "layers/mlp.h"

#include "layers/linear.h"

int sp_mlp_layer_again(const struct sp_mlp_layer *layer, const struct sp_layer_context *ctx, struct sp_matrix x)
{
	return sp_linear_layer_forward(&layer->up, ctx, x, layer->hidden, layer->act, layer->pre);
}

int sp_mlp_layer_forward(const struct sp_mlp_layer *layer, const struct sp_layer_context *ctx, struct sp_matrix x,
                         struct sp_matrix y)
{
	int rc = sp_mlp_layer_again(layer, ctx, x);
	return rc ? rc : sp_linear_layer_forward_plain(&layer->down, ctx, layer->hidden, y);
}

int sp_mlp_layer_backward(const struct sp_mlp_layer *layer, const struct sp_layer_context *ctx, struct sp_matrix x,
                          struct sp_matrix dy, struct sp_matrix dx, int accumulate)
{
	const struct sp_matrix dpre = layer->hidden;
	const struct sp_linear_backward_input through_activation = {
		.dy = dy,
		.w = layer->down.value,
		.dx = dpre,
		.pre = layer->pre,
		.dbias = layer->up.bias.grad,
		.act = layer->act,
	};
	int rc = sp_linear_layer_backward_weight(&layer->down, NULL, ctx, dy, layer->hidden);
	if (rc == SP_OK)
		rc = sp_compute_linear_backward_input(ctx->compute, &through_activation);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_weight(&layer->up.weight, NULL, ctx, dpre, x);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_input(&layer->up.weight, ctx, dpre, dx, accumulate);
	return rc;
}
