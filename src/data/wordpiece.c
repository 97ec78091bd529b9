#include "config.h"

#include "data/wordpiece.h"

#include "base/log.h"
#include "data/basic.h"

#include <stdlib.h>

struct sp_wordpiece {
	struct sp_basic basic;
	const struct sp_vocab *vocab;
	int32_t unknown;
	uint64_t continued; /* hash of "##" */
	struct sp_ids *ids; /* where the words of the text in work go */
};

int sp_wordpiece_new(const struct sp_vocab *vocab, int cased, struct sp_wordpiece **wordpiece)
{
	struct sp_wordpiece *w = calloc(1, sizeof *w);
	if (!w)
		return sp_fail(SP_ERR_MEMORY, "no memory for a tokenizer");
	w->basic.cased = cased;
	w->vocab = vocab;
	w->unknown = sp_vocab_special(vocab, SP_UNK);
	w->continued = sp_vocab_hash_byte(sp_vocab_hash_byte(SP_VOCAB_HASH_START, '#'), '#');
	*wordpiece = w;
	return SP_OK;
}

void sp_wordpiece_free(struct sp_wordpiece *w)
{
	if (!w)
		return;
	sp_basic_free(&w->basic);
	free(w);
}

int sp_ids_append(struct sp_ids *ids, const int32_t *id, size_t count)
{
	if (ids->count + count > ids->room) {
		size_t room = ids->room ? ids->room * 2 : 1024;
		int32_t *more = realloc(ids->id, room * sizeof *more);
		if (!more)
			return sp_fail(SP_ERR_MEMORY, "no memory for %zu token ids", room);
		ids->id = more;
		ids->room = room;
	}
	for (size_t i = 0; i < count; i++)
		ids->id[ids->count++] = id[i];
	return SP_OK;
}

/* The longest piece that begins at `word`: its id, and its bytes in *taken; -1 if there is none. All beginnings are
 * hashed going up, then tried going down. */
static int32_t longest_piece(const struct sp_wordpiece *w, const char *word, size_t size, int first, size_t *taken)
{
	uint64_t hash = first ? SP_VOCAB_HASH_START : w->continued, ends[SP_WORD_CHARS_MAX];
	size_t end[SP_WORD_CHARS_MAX], count = 0, longest = sp_vocab_longest(w->vocab);
	for (size_t i = 0; i < size && i < longest; i++) {
		hash = sp_vocab_hash_byte(hash, (unsigned char)word[i]);
		if (i + 1 == size || ((unsigned char)word[i + 1] & 0xC0) != 0x80) {
			ends[count] = hash;
			end[count++] = i + 1;
		}
	}
	while (count-- > 0) {
		int32_t id = sp_vocab_find_hashed(w->vocab, ends[count], first ? "" : "##", word, end[count]);
		if (id >= 0) {
			*taken = end[count];
			return id;
		}
	}
	return -1;
}

static int take_word(void *context, const char *word, size_t size, size_t chars)
{
	struct sp_wordpiece *w = context;
	int32_t piece[SP_WORD_CHARS_MAX];
	size_t count = 0, done = 0, taken;
	while (chars <= SP_WORD_CHARS_MAX && done < size) {
		piece[count] = longest_piece(w, word + done, size - done, done == 0, &taken);
		if (piece[count++] < 0)
			break;
		done += taken;
	}
	if (done == size)
		return sp_ids_append(w->ids, piece, count);
	w->ids->unknown++;
	return sp_ids_append(w->ids, &w->unknown, 1);
}

int sp_wordpiece_encode(struct sp_wordpiece *w, const char *text, size_t size, struct sp_ids *ids)
{
	w->ids = ids;
	return sp_basic_split(&w->basic, text, size, take_word, w);
}
