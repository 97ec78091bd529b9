/* What every layer needs to know besides its own weights. May include: backend, base.
 *
 * Layers are rank-local: a forward and a backward function over this rank's T = batch * chunk rows, each a short sequence
 * of operations of the compute table. They own nothing; weights, kept activations and scratch are views that the model laid
 * out. Backward functions add to the gradients of weights and overwrite the gradients of activations unless they say
 * otherwise. All return SP_OK or what the operation returned. */
#ifndef SP_LAYERS_LAYER_H
#define SP_LAYERS_LAYER_H

#include "backend/compute.h"

/* A parameter and its gradient, views of the flat buffers. */
struct sp_weight {
	struct sp_matrix value, grad;
};

/* LayerNorm's two, and a dense layer's two. */
struct sp_norm_weights {
	struct sp_weight gamma, beta;
};
struct sp_dense_weights {
	struct sp_weight weight, bias;
};

/* The places where dropout happens. Part of the key of its masks: never renumber. */
enum sp_dropout_site {
	SP_SITE_EMBEDDING = 0,
	SP_SITE_ATTENTION,        /* probabilities */
	SP_SITE_ATTENTION_OUTPUT, /* after the output projection */
	SP_SITE_MLP_OUTPUT,       /* after the second MLP matrix */
	SP_SITES
};

struct sp_layer_context {
	struct sp_compute *compute;
	struct sp_rows rows;
	uint64_t seed, step;
	/* Optional: [(layers + 1) * SP_SITES][2], device memory that will hold the keys of the step when what is queued runs. */
	const uint32_t *keys;
	int training;
	float eps; /* of all LayerNorms */
};

/* The key of one site's masks: sp_rng_key(seed, SP_RNG_DROPOUT, step, layer * SP_SITES + site). */
void sp_layer_dropout_key(uint64_t seed, uint64_t step, int64_t layer, enum sp_dropout_site site, uint32_t key[2]);
/* Masks of one site of layer `layer` in this step: that key, or where it will be; keep = 65536 (1 - p) rounded. Off when not training or
 * p is 0. */
struct sp_dropout sp_layer_dropout(const struct sp_layer_context *ctx, int64_t layer, enum sp_dropout_site site, float p);

#endif
