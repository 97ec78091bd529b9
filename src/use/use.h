/* A trained model opened to be used: its weights, vocabulary and tokenizer, forward only. May include: base, settings,
 * backend, attention, data, parallel, plan, model.
 *
 * Documents are lists of ids, [CLS] and [SEP] among them. A few long ones go through the model split over all ranks, or
 * many short ones whole on single ranks: the same model serves both, laid out anew for each batch. */
#ifndef SP_USE_USE_H
#define SP_USE_USE_H

#include "attention/attention.h"
#include "backend/comm.h"
#include "backend/compute.h"
#include "data/vocab.h"
#include "data/wordpiece.h"
#include "model/model.h"
#include "settings/settings.h"

struct sp_use_options {
	struct sp_compute *compute; /* borrowed, like the next two */
	struct sp_comm *world;
	const struct sp_settings *settings; /* parallel.attention and what it looks at, parallel.overlap */
	struct sp_model_config config;
	struct sp_vocab *vocab; /* becomes the opened model's, whatever happens */
	int cased;
};

struct sp_use {
	struct sp_compute *compute;
	struct sp_comm *world;
	struct sp_model_config config;
	struct sp_vocab *vocab;
	struct sp_wordpiece *wordpiece;
	struct sp_model *model;
	const struct sp_attention_variant *together; /* for documents split over all ranks */
	int64_t batch, chunk;                        /* what the model is laid out for */
	int split;                                   /* over all ranks, or not */
	int32_t *host, *device;                      /* arrays of a batch */
	int64_t room;                                /* of each, in elements */
};

/* A model without values: those of sp_model_values(use->model) are the caller's to fill. Not collective. SP_ERR_SETTING if
 * the attention cannot serve these ranks, SP_ERR_FORMAT if the vocabulary has more tokens than the model, SP_ERR_MEMORY,
 * SP_ERR_UNUSABLE; on failure there is nothing to close. */
int sp_use_create(const struct sp_use_options *options, struct sp_use *use);

void sp_use_close(struct sp_use *use); /* a zeroed one accepted */

struct sp_use_document {
	const int32_t *id;
	int64_t length;
};

/* Last hidden states: token t of document d, if this rank holds it (first <= t < first + chunk), is row
 * d * chunk + t - first of `hidden`, in device memory. */
struct sp_use_states {
	struct sp_matrix hidden;
	int64_t chunk, first;
};

/* Runs documents through the encoder; `states` are valid until the next call. `split`: each document over all ranks,
 * which must all give the same documents (collective); else on this rank alone. No document may be longer than
 * config.max_positions. SP_ERR_MEMORY and what model and backend say. */
int sp_use_encode(struct sp_use *use, const struct sp_use_document *document, int64_t count, int split,
                  struct sp_use_states *states);

/* As sp_model_predict, for n rows of the states; `row` is in host memory. Not collective. */
int sp_use_predict(struct sp_use *use, const int32_t *row, int64_t n,
                   int (*take)(void *context, int64_t i, const float *logits), void *context);

/* All ranks return what rank 0 came with. Collective. */
int sp_use_agree(const struct sp_use *use, int status);

#endif
