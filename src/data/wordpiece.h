/* Text to WordPiece ids, exactly as BERT: the basic tokenizer, then the greedy longest match of each word against the
 * vocabulary. May include: base.
 *
 * A word of more than 100 characters, or one that cannot be put together from the vocabulary, becomes one [UNK]. */
#ifndef SP_DATA_WORDPIECE_H
#define SP_DATA_WORDPIECE_H

#include "data/vocab.h"

#define SP_WORD_CHARS_MAX 100

/* A growing list of ids; all zero to start with, free(id) at the end. */
struct sp_ids {
	int32_t *id;
	size_t count, room;
	int64_t unknown; /* how many [UNK] were appended */
};

/* SP_ERR_MEMORY (logged). */
int sp_ids_append(struct sp_ids *ids, const int32_t *id, size_t count);

/* Scratch space of one thread. The vocabulary is shared and must outlive it. */
struct sp_wordpiece;

int sp_wordpiece_new(const struct sp_vocab *vocab, int cased, struct sp_wordpiece **wordpiece);
void sp_wordpiece_free(struct sp_wordpiece *w); /* NULL accepted */

/* Appends the ids of `size` bytes of UTF-8 to `ids`; no [CLS] or [SEP] is added. SP_ERR_MEMORY (logged). */
int sp_wordpiece_encode(struct sp_wordpiece *w, const char *text, size_t size, struct sp_ids *ids);

#endif
