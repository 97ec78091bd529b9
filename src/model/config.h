/* What kind of BERT. May include: libc, seqpar/compute.h. */
#ifndef SP_MODEL_CONFIG_H
#define SP_MODEL_CONFIG_H

#include <seqpar/compute.h>

/* Which projections of keys and values along the sequence are the same (attention = linformer). */
enum sp_linformer_share {
	SP_LINFORMER_HEAD = 0, /* each head has a pair of its own */
	SP_LINFORMER_LAYER,    /* the heads of a layer share a pair */
	SP_LINFORMER_MODEL,    /* one for keys and values of all layers */
};

struct sp_model_config {
	int64_t layers, hidden, heads, intermediate;
	int64_t vocab_size, max_positions;
	int pre_norm;                  /* 0: post-LN (Devlin et al. 2018), 1: pre-LN with a final norm, none after embedding */
	enum sp_activation activation; /* SP_ACT_GELU or SP_ACT_GELU_TANH */
	float dropout, attention_dropout, layer_norm_eps;
	int sentence_order; /* pooler and two-way sentence-order head */
	int64_t linformer_k; /* rows that keys and values are projected to along the sequence; 0: they are not */
	enum sp_linformer_share linformer_share;
	int64_t window;       /* neighbours on each side that a token attends to, beside global tokens; 0: it attends to all */
	int64_t globals;      /* with a window: the most global tokens of a sequence */
	int global_separators; /* they are not only the first of each sample, but all [SEP] too */
	int64_t global_every; /* with a window: layers 0, n, 2 n, ... have none; 0: all have it */
	double rope_base;   /* 0: a table of positions that are learned; else rotary positions, with this base, and no table */
};

/* Tokens of the longest sample: a table of positions has an end. */
static inline int64_t sp_model_longest(const struct sp_model_config *config)
{
	return config->rope_base > 0 ? INT64_C(1) << 30 : config->max_positions;
}

/* Whether the tokens of a layer attend to all tokens. */
static inline int sp_model_layer_meets_all(const struct sp_model_config *config, int64_t layer)
{
	return config->window == 0 || (config->global_every > 0 && layer % config->global_every == 0);
}

/* What a layer keeps of its forward for its backward. The rest is computed again, to the same bits. */
enum sp_recompute {
	SP_RECOMPUTE_NONE = 0,  /* everything */
	SP_RECOMPUTE_ATTENTION, /* not queries, keys and values; but what attention gives, which is dear */
	SP_RECOMPUTE_LAYER,     /* the stream that enters it, and nothing else */
};

#endif
