/* What kind of BERT. May include: libc, seqpar/compute.h. */
#ifndef SP_MODEL_CONFIG_H
#define SP_MODEL_CONFIG_H

#include <seqpar/compute.h>

struct sp_model_config {
	int64_t layers, hidden, heads, intermediate;
	int64_t vocab_size, max_positions;
	int pre_norm;                  /* 0: post-LN (Devlin et al. 2018), 1: pre-LN with a final norm, none after embedding */
	enum sp_activation activation; /* SP_ACT_GELU or SP_ACT_GELU_TANH */
	float dropout, attention_dropout, layer_norm_eps;
	int sentence_order; /* pooler and two-way sentence-order head */
};

#endif
