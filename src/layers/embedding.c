#include "config.h"

#include "layers/embedding.h"

static struct sp_embedding_forward forward_op(const struct sp_embedding_layer *layer, const struct sp_layer_context *ctx,
                                              const struct sp_tokens *tokens)
{
	return (struct sp_embedding_forward){
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
}

int sp_embedding_layer_forward(const struct sp_embedding_layer *layer, const struct sp_layer_context *ctx,
                               const struct sp_tokens *tokens)
{
	const struct sp_embedding_forward op = forward_op(layer, ctx, tokens);
	return sp_compute_embedding_forward(ctx->compute, &op);
}

int sp_embedding_layer_forward_part(const struct sp_embedding_layer *layer, const struct sp_layer_context *ctx,
                                    const struct sp_tokens *tokens, const struct sp_embedding_parts *parts)
{
	const struct sp_words op = { tokens->token, parts->first, layer->word.value, parts->words };
	return sp_compute_words_forward(ctx->compute, &op);
}

/* The looked-up rows are a word table of which row i is the i-th token. */
int sp_embedding_layer_forward_summed(const struct sp_embedding_layer *layer, const struct sp_layer_context *ctx,
                                      const struct sp_tokens *tokens, const struct sp_embedding_parts *parts)
{
	struct sp_embedding_forward op = forward_op(layer, ctx, tokens);
	op.token = parts->identity;
	op.word = parts->words;
	return sp_compute_embedding_forward(ctx->compute, &op);
}

static struct sp_embedding_backward backward_op(const struct sp_embedding_layer *layer, const struct sp_layer_context *ctx,
                                                const struct sp_tokens *tokens, struct sp_matrix dy)
{
	return (struct sp_embedding_backward){
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
}

int sp_embedding_layer_backward(const struct sp_embedding_layer *layer, const struct sp_layer_context *ctx,
                                const struct sp_tokens *tokens, struct sp_matrix dy)
{
	const struct sp_embedding_backward op = backward_op(layer, ctx, tokens, dy);
	return sp_compute_embedding_backward(ctx->compute, &op);
}

/* dy ends as the gradient of the looked-up rows; what is added to the words' place is not needed. */
int sp_embedding_layer_backward_part(const struct sp_embedding_layer *layer, const struct sp_layer_context *ctx,
                                     const struct sp_tokens *tokens, const struct sp_embedding_parts *parts,
                                     struct sp_matrix dy)
{
	struct sp_embedding_backward op = backward_op(layer, ctx, tokens, dy);
	const struct sp_words words = { tokens->token, parts->first, layer->word.grad, dy };
	op.token = parts->identity;
	op.dword = parts->words;
	int rc = sp_compute_embedding_backward(ctx->compute, &op);
	return rc ? rc : sp_compute_words_backward(ctx->compute, &words);
}
