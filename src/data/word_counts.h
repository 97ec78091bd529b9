/* How often each word of a text occurs. May include: base. */
#ifndef SP_DATA_WORD_COUNTS_H
#define SP_DATA_WORD_COUNTS_H

#include <stddef.h>
#include <stdint.h>

struct sp_word_count {
	const char *word; /* UTF-8, not ended by a zero byte; owned by the counter, moves when text is added */
	size_t size, chars;
	int64_t count;
};

struct sp_word_counts;

int sp_word_counts_new(int cased, struct sp_word_counts **counts);
void sp_word_counts_free(struct sp_word_counts *c); /* NULL accepted */

/* Counts the words of `text` as BERT's basic tokenizer cuts them, but for those that are too long for WordPiece.
 * SP_ERR_MEMORY (logged). */
int sp_word_counts_add(struct sp_word_counts *c, const char *text, size_t size);

/* Words in the order of their first occurrence. */
size_t sp_word_counts_size(const struct sp_word_counts *c);
struct sp_word_count sp_word_counts_get(const struct sp_word_counts *c, size_t i);

#endif
