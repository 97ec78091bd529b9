/* One vector for each document of a text. May include: data/text.h, use.
 *
 * A window of documents is read at a time. Those longer than the budget go through the model one by one, split over all
 * ranks; the others in batches of similar lengths, each batch whole on one rank, all ranks at once. */
#ifndef SP_USE_EMBED_H
#define SP_USE_EMBED_H

#include "data/text.h"
#include "use/use.h"
#include "use/vectors.h"

#include <signal.h>

enum sp_embed_pool {
	SP_POOL_MEAN = 0, /* of the last hidden states of all tokens, [CLS] and [SEP] among them, padding not */
	SP_POOL_CLS,      /* the last hidden state of [CLS] */
};

struct sp_embed_options {
	enum sp_embed_pool pool;
	int64_t budget; /* tokens of a batch on one rank; a longer document is split over all ranks */
	int truncate;   /* cut documents that are longer than the model's positions; else they are an error */
	/* Looked at between windows; nonzero on rank 0: stop with SP_ERR_STOPPED. NULL: never. */
	const volatile sig_atomic_t *stop;
	/* Called on rank 0 for each document, in their order. A nonzero return stops the work and is returned. */
	int (*put)(void *context, const struct sp_vectors_row *vector);
	void *context;
};

struct sp_embed_counts {
	int64_t documents, tokens, truncated;
};

/* Reads all of `text`, which only rank 0 has (NULL elsewhere). A document without a word is [CLS] [SEP]. SP_ERR_ARGUMENT,
 * logged, for a document that is too long; SP_ERR_NUMERIC for a vector that is not finite; what reading and the model say;
 * SP_ERR_STOPPED (not logged). All ranks return the same errors of reading. `counts` is rank 0's. Collective. */
int sp_use_embed(struct sp_use *use, struct sp_text *text, const struct sp_embed_options *options,
                 struct sp_embed_counts *counts);

#endif
