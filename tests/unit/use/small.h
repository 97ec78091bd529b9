/* A small model with a vocabulary of letters and some words, as if read from a directory. May include: use. */
#ifndef SP_TESTS_SMALL_H
#define SP_TESTS_SMALL_H

#include "base/rng.h"
#include "use/use.h"

#include <seqpar/status.h>

#include <string.h>

static const char small_words[] =
	"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\nsat\non\na\nmat\n##s\nb\nc\nd\ne\nf\n.\n,\n!\n[\n]\n";

enum { SMALL_TOKENS = 22, SMALL_ROWS = 24, SMALL_HIDDEN = 12, SMALL_POSITIONS = 150 };

static inline struct sp_model_config small_config(int pre_norm)
{
	return (struct sp_model_config){
		.layers = 3,
		.hidden = SMALL_HIDDEN,
		.heads = 3,
		.intermediate = 20,
		.vocab_size = SMALL_ROWS, /* more than the vocabulary has */
		.max_positions = SMALL_POSITIONS,
		.pre_norm = pre_norm,
		.activation = SP_ACT_GELU,
		.dropout = 0.1F,
		.attention_dropout = 0.1F,
		.layer_norm_eps = 1e-12F,
	};
}

/* Values at which no part is small. 0, or the status. */
static inline int small_open(struct sp_compute *compute, struct sp_comm *world, const struct sp_settings *settings,
                             int pre_norm, struct sp_use *use)
{
	struct sp_use_options options = {
		.compute = compute,
		.world = world,
		.settings = settings,
		.config = small_config(pre_norm),
	};
	struct sp_rng rng;
	int status = sp_vocab_parse("small", small_words, sizeof small_words - 1, &options.vocab);
	if (!status)
		status = sp_use_create(&options, use);
	if (status)
		return status;
	const struct sp_parameters *table = sp_model_parameters(use->model);
	float *values = sp_model_values(use->model); /* the cpu backend's memory is the host's */
	sp_rng_start(&rng, 9, SP_RNG_INIT, 0, 0);
	for (int i = 0; i < table->count; i++)
		for (int64_t j = 0; j < table->entry[i].rows * table->entry[i].cols; j++)
			values[table->entry[i].offset + j] = (float)(table->entry[i].mean + 0.5 * sp_rng_normal(&rng));
	return SP_OK;
}

#endif
