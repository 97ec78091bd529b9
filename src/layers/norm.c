#include "config.h"

#include "layers/norm.h"

int sp_norm_layer_forward(const struct sp_norm_layer *layer, const struct sp_layer_context *ctx, struct sp_matrix residual)
{
	const struct sp_norm_forward op = {
		.x = layer->s,
		.bias = layer->bias.value,
		.residual = residual,
		.gamma = layer->norm.gamma.value,
		.beta = layer->norm.beta.value,
		.y = layer->y,
		.mean = layer->mean,
		.rstd = layer->rstd,
		.eps = ctx->eps,
		.dropout = sp_layer_dropout(ctx, layer->layer, layer->site, layer->dropout),
		.rows = ctx->rows,
	};
	return sp_compute_norm_forward(ctx->compute, &op);
}

int sp_norm_layer_backward(const struct sp_norm_layer *layer, const struct sp_layer_context *ctx, struct sp_matrix dy,
                           struct sp_matrix dsum, struct sp_matrix dx, struct sp_matrix dresidual)
{
	const struct sp_matrix nothing = { 0 };
	const struct sp_norm_backward op = {
		.dy = dy,
		.dsum = dsum,
		.s = dy.data ? layer->s : nothing,
		.gamma = layer->norm.gamma.value,
		.mean = layer->mean,
		.rstd = layer->rstd,
		.dx = dx,
		.dresidual = dresidual,
		.dbias = layer->bias.grad,
		.dgamma = layer->norm.gamma.grad,
		.dbeta = layer->norm.beta.grad,
		.dropout = sp_layer_dropout(ctx, layer->layer, layer->site, layer->dropout),
		.rows = ctx->rows,
	};
	return sp_compute_norm_backward(ctx->compute, &op);
}
