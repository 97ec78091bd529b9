/* A WordPiece vocabulary from word counts. May include: base.
 *
 * Words begin as single characters, all but the first with "##" before them. Then the neighbouring pair of highest
 * count over all words becomes one token (byte pair encoding, Sennrich et al. 2016), again and again, until there are
 * enough. Of pairs with equal counts the one whose parts came earlier is taken, so the outcome depends on the counts
 * only. Characters beyond the `alphabet` most frequent ones get no token, and words that hold them are left out, as
 * WordPiece would call them unknown. */
#ifndef SP_DATA_VOCAB_TRAIN_H
#define SP_DATA_VOCAB_TRAIN_H

#include "data/word_counts.h"

struct sp_vocab_train_options {
	int64_t size;          /* tokens wanted, special ones included */
	int64_t min_frequency; /* a pair seen less often is not joined */
	int64_t alphabet;      /* different characters at most */
};

/* The tokens in the order of their ids: special ones, characters, characters that continue a word, joined pairs, and
 * [unused0] ... up to the wanted size. */
struct sp_vocab_trained {
	char **token;
	int64_t count;
	int64_t characters; /* different characters in the alphabet */
	int64_t dropped;    /* characters left out of it */
	int64_t unused;     /* tokens that only fill up */
};

/* SP_ERR_FORMAT: there are no words. SP_ERR_SETTING: the size does not even hold the characters. SP_ERR_MEMORY.
 * Logged. */
int sp_vocab_train(const struct sp_word_counts *words, const struct sp_vocab_train_options *options,
                   struct sp_vocab_trained *trained);
void sp_vocab_trained_free(struct sp_vocab_trained *t); /* frees what it holds, not *t */

/* Writes vocab.txt: to a temporary name beside it, then renamed. SP_ERR_IO (logged): nothing is left behind. */
int sp_vocab_write(const char *path, const struct sp_vocab_trained *trained);

#endif
