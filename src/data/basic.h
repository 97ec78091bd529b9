/* BERT's basic tokenizer: text to words, before WordPiece cuts them. May include: base.
 *
 * The rules are those of tokenization.py of Google's BERT: U+0000, U+FFFD and control characters (Cc, Cf) are dropped, and
 * private ones (Co) with them, as in the tokenizers of Hugging Face, through which a trained model is used;
 * white space is space, tab, newline, carriage return, Zs (and U+2028, U+2029, where Python's split() cuts);
 * ideographs of the CJK ranges stand alone; uncased: lower case, then canonical decomposition without marks (Mn);
 * punctuation (ASCII 33-47, 58-64, 91-96, 123-126 and the P categories) stands alone. [CLS] and the like are ordinary
 * text. */
#ifndef SP_DATA_BASIC_H
#define SP_DATA_BASIC_H

#include <stddef.h>
#include <stdint.h>

/* Scratch space of one thread; all zero to start with. */
struct sp_basic {
	int cased;
	int32_t *code, *spare; /* the code points of one blank-separated stretch, and their decomposition */
	size_t room;
	char *text;            /* the same as UTF-8 */
};

void sp_basic_free(struct sp_basic *b); /* frees the scratch space, not *b */

/* Calls `word` for each word of `text`: `size` bytes of UTF-8, `chars` code points, valid during the call; what is not
 * valid UTF-8 is dropped. A nonzero return of `word` stops the work and is returned. SP_ERR_MEMORY (logged). */
int sp_basic_split(struct sp_basic *b, const char *text, size_t size,
                   int (*word)(void *context, const char *word, size_t size, size_t chars), void *context);

#endif
