#include "config.h"

#include "data/alphabet.h"

#include "base/log.h"

#include <stdlib.h>

static int allocate(int32_t size, struct sp_alphabet *alphabet)
{
	alphabet->kind = calloc((size_t)size, 1);
	if (!alphabet->kind)
		return sp_fail(SP_ERR_MEMORY, "no memory for a vocabulary of %d tokens", (int)size);
	alphabet->size = size;
	return SP_OK;
}

int sp_alphabet_from_vocab(const struct sp_vocab *vocab, struct sp_alphabet *alphabet)
{
	int status = allocate(sp_vocab_size(vocab), alphabet);
	if (status)
		return status;
	for (int32_t id = 0; id < alphabet->size; id++)
		alphabet->kind[id] = sp_vocab_continues(vocab, id) ? SP_ALPHABET_CONTINUES : 0;
	for (int s = 0; s < SP_SPECIALS; s++) {
		alphabet->special[s] = sp_vocab_special(vocab, (enum sp_special)s);
		alphabet->kind[alphabet->special[s]] = SP_ALPHABET_SPECIAL;
	}
	return SP_OK;
}

int sp_alphabet_plain(int32_t size, struct sp_alphabet *alphabet)
{
	int status = allocate(size, alphabet);
	if (status)
		return status;
	for (int s = 0; s < SP_SPECIALS; s++) {
		alphabet->special[s] = s;
		alphabet->kind[s] = SP_ALPHABET_SPECIAL;
	}
	return SP_OK;
}

void sp_alphabet_free(struct sp_alphabet *alphabet)
{
	free(alphabet->kind);
	alphabet->kind = NULL;
}
