/* Word + position + token-type embeddings, LayerNorm (post-LN models) and dropout. May include: layers/layer.h. */
#ifndef SP_LAYERS_EMBEDDING_H
#define SP_LAYERS_EMBEDDING_H

#include "layers/layer.h"

struct sp_embedding_layer {
	struct sp_weight word, position, type;
	struct sp_norm_weights norm; /* views of nothing in pre-LN models */
	float dropout;
	/* kept: s (T, H) the sum and mean, rstd (1, T) with a norm, nothing without */
	struct sp_matrix s, mean, rstd;
	struct sp_matrix y; /* (T, H) */
};

struct sp_tokens {
	const int32_t *token, *position, *kind; /* [T], device */
};

/* Where several ranks hold the rows of the word table. */
struct sp_embedding_parts {
	int32_t first;           /* id of the first row held */
	const int32_t *identity; /* [T] 0, 1, 2, ..., device */
	struct sp_matrix words;  /* (T, H) scratch */
};

/* words: the own part's share of the lookup, to be summed over the parts; then the rest of the layer, on all of them. */
int sp_embedding_layer_forward_part(const struct sp_embedding_layer *layer, const struct sp_layer_context *ctx,
                                    const struct sp_tokens *tokens, const struct sp_embedding_parts *parts);
int sp_embedding_layer_forward_summed(const struct sp_embedding_layer *layer, const struct sp_layer_context *ctx,
                                      const struct sp_tokens *tokens, const struct sp_embedding_parts *parts);
/* dy (T, H) and words are overwritten. */
int sp_embedding_layer_backward_part(const struct sp_embedding_layer *layer, const struct sp_layer_context *ctx,
                                     const struct sp_tokens *tokens, const struct sp_embedding_parts *parts,
                                     struct sp_matrix dy);

int sp_embedding_layer_forward(const struct sp_embedding_layer *layer, const struct sp_layer_context *ctx,
                               const struct sp_tokens *tokens);
/* dy (T, H) is overwritten. */
int sp_embedding_layer_backward(const struct sp_embedding_layer *layer, const struct sp_layer_context *ctx,
                                const struct sp_tokens *tokens, struct sp_matrix dy);

#endif
