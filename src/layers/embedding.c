#include "config.h"

#include "layers/embedding.h"

int sp_embedding_layer_forward(const struct sp_embedding_layer *layer, const struct sp_layer_context *ctx,
                               const struct sp_tokens *tokens)
{
	const struct sp_embedding_forward op = {
		.token = tokens->token,
		.pos = tokens->position,
		.kind = tokens->kind,
		.word = layer->word.value,
		.position = layer->position.value,
		.type = layer->type.value,
		.gamma = layer->norm.gamma.value,
		.beta = layer->norm.beta.value,
		.s = layer->s.data ? layer->s : layer->y,
		.y = layer->y,
		.mean = layer->mean,
		.rstd = layer->rstd,
		.eps = ctx->eps,
		.dropout = sp_layer_dropout(ctx, 0, SP_SITE_EMBEDDING, layer->dropout),
		.rows = ctx->rows,
	};
	return sp_compute_embedding_forward(ctx->compute, &op);
}

int sp_embedding_layer_backward(const struct sp_embedding_layer *layer, const struct sp_layer_context *ctx,
                                const struct sp_tokens *tokens, struct sp_matrix dy)
{
	const struct sp_embedding_backward op = {
		.token = tokens->token,
		.pos = tokens->position,
		.kind = tokens->kind,
		.dy = dy,
		.s = layer->s,
		.gamma = layer->norm.gamma.value,
		.mean = layer->mean,
		.rstd = layer->rstd,
		.dword = layer->word.grad,
		.dposition = layer->position.grad,
		.dtype = layer->type.grad,
		.dgamma = layer->norm.gamma.grad,
		.dbeta = layer->norm.beta.grad,
		.dropout = sp_layer_dropout(ctx, 0, SP_SITE_EMBEDDING, layer->dropout),
		.rows = ctx->rows,
	};
	return sp_compute_embedding_backward(ctx->compute, &op);
}
