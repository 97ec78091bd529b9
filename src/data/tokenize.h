/* Text to a token file: one sequence a sentence, documents as runs of sentences, on several threads. May include:
 * base. */
#ifndef SP_DATA_TOKENIZE_H
#define SP_DATA_TOKENIZE_H

#include "data/text.h"
#include "data/vocab.h"

#include <signal.h>

struct sp_tokenize_counts {
	int64_t documents, sentences, tokens;
	int64_t unknown; /* tokens that are [UNK] */
	int64_t bytes;   /* of text, read so far */
	int64_t invalid; /* bytes that were not UTF-8, read so far */
	double share;    /* of the input, 0 .. 1; negative if not known */
};

struct sp_tokenize_options {
	const struct sp_vocab *vocab;
	int cased;
	int workers; /* threads, >= 1; the output does not depend on it */
	/* Looked at now and then; nonzero: stop with SP_ERR_STOPPED. NULL: never. */
	const volatile sig_atomic_t *stop;
	/* Called on the caller's thread after each batch (some 256 KiB of text). NULL: not called. */
	void (*progress)(void *context, const struct sp_tokenize_counts *counts);
	void *context;
};

#define SP_TOKENIZE_WORKERS_MAX 256

/* Reads all of `text` and writes PREFIX.bin and PREFIX.idx; ids are uint16 if the vocabulary has fewer than 65500
 * tokens, else int32. Sentences without a token, and documents without a sentence, are left out. On any error, and
 * when stopped, nothing is left behind. SP_ERR_FORMAT if there is no text at all; SP_ERR_IO, SP_ERR_MEMORY (logged),
 * SP_ERR_STOPPED (not logged). `counts` is set in any case. */
int sp_tokenize(struct sp_text *text, const char *prefix, const struct sp_tokenize_options *options,
                struct sp_tokenize_counts *counts);

#endif
