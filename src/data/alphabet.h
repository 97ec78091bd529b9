/* What samples need to know of a vocabulary, in one byte per id. May include: base, data/vocab.h. */
#ifndef SP_DATA_ALPHABET_H
#define SP_DATA_ALPHABET_H

#include "data/vocab.h"

#include <stdint.h>

enum { SP_ALPHABET_SPECIAL = 1, SP_ALPHABET_CONTINUES = 2 };

struct sp_alphabet {
	int32_t size;                 /* ids are 0 .. size - 1 */
	int32_t special[SP_SPECIALS]; /* ids of [PAD] [UNK] [CLS] [SEP] [MASK] */
	uint8_t *kind;                /* by id: SPECIAL, CONTINUES (a "##" piece), or 0 for what begins a word */
};

/* SP_ERR_MEMORY. */
int sp_alphabet_from_vocab(const struct sp_vocab *vocab, struct sp_alphabet *alphabet);
/* Without a vocabulary: ids 0 .. 4 are the special ones, in the order of enum sp_special; the others are words. size
 * > 5. */
int sp_alphabet_plain(int32_t size, struct sp_alphabet *alphabet);
void sp_alphabet_free(struct sp_alphabet *alphabet); /* a zeroed one accepted */

#endif
