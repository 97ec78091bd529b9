#include "config.h"

#include "data/word_counts.h"

#include "base/log.h"
#include "data/basic.h"
#include "data/vocab.h"
#include "data/wordpiece.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	size_t start;
	uint32_t size, chars;
	uint64_t hash;
	int64_t count;
};

struct sp_word_counts {
	struct sp_basic basic;
	char *bytes; /* all words, one after the other */
	size_t used, bytes_room;
	struct entry *entry;
	size_t count, room;
	uint32_t *slot; /* open addressing: entry number + 1, 0: empty */
	size_t mask;
};

#define FIRST_SLOTS (1 << 12)

int sp_word_counts_new(int cased, struct sp_word_counts **counts)
{
	struct sp_word_counts *c = calloc(1, sizeof *c);
	if (c)
		c->slot = calloc(FIRST_SLOTS, sizeof *c->slot);
	if (!c || !c->slot) {
		free(c);
		return sp_fail(SP_ERR_MEMORY, "no memory to count words");
	}
	c->basic.cased = cased;
	c->mask = FIRST_SLOTS - 1;
	*counts = c;
	return SP_OK;
}

void sp_word_counts_free(struct sp_word_counts *c)
{
	if (!c)
		return;
	sp_basic_free(&c->basic);
	free(c->bytes);
	free(c->entry);
	free(c->slot);
	free(c);
}

static size_t find_slot(const struct sp_word_counts *c, uint64_t hash, const char *word, size_t size)
{
	size_t i = (size_t)(hash ^ (hash >> 29)) & c->mask;
	for (; c->slot[i]; i = (i + 1) & c->mask) {
		const struct entry *e = &c->entry[c->slot[i] - 1];
		if (e->hash == hash && e->size == size && memcmp(c->bytes + e->start, word, size) == 0)
			break;
	}
	return i;
}

static int grow_slots(struct sp_word_counts *c)
{
	size_t slots = 2 * (c->mask + 1);
	uint32_t *slot = slots < UINT32_MAX ? calloc(slots, sizeof *slot) : NULL;
	if (!slot)
		return sp_fail(SP_ERR_MEMORY, "no memory for more than %zu different words", c->count);
	free(c->slot);
	c->slot = slot;
	c->mask = slots - 1;
	for (size_t n = 0; n < c->count; n++) {
		size_t i = (size_t)(c->entry[n].hash ^ (c->entry[n].hash >> 29)) & c->mask;
		while (slot[i])
			i = (i + 1) & c->mask;
		slot[i] = (uint32_t)n + 1;
	}
	return SP_OK;
}

static int grow(void **array, size_t *room, size_t needed, size_t width)
{
	size_t more = *room ? 2 * *room : 1 << 12;
	if (needed <= *room)
		return SP_OK;
	void *moved = realloc(*array, (more > needed ? more : needed) * width);
	if (!moved)
		return sp_fail(SP_ERR_MEMORY, "no memory to count %zu words", needed);
	*array = moved;
	*room = more > needed ? more : needed;
	return SP_OK;
}

static int add_word(struct sp_word_counts *c, size_t slot, const struct entry *new, const char *word)
{
	void *bytes = c->bytes, *entry = c->entry;
	int status = grow(&bytes, &c->bytes_room, c->used + new->size, 1);
	c->bytes = bytes;
	if (status == SP_OK)
		status = grow(&entry, &c->room, c->count + 1, sizeof *c->entry);
	c->entry = entry;
	if (status != SP_OK)
		return status;
	memcpy(c->bytes + c->used, word, new->size);
	c->entry[c->count++] = *new;
	c->used += new->size;
	c->slot[slot] = (uint32_t)c->count;
	return 2 * c->count > c->mask ? grow_slots(c) : SP_OK;
}

static int take_word(void *context, const char *word, size_t size, size_t chars)
{
	struct sp_word_counts *c = context;
	uint64_t hash = SP_VOCAB_HASH_START;
	if (chars > SP_WORD_CHARS_MAX)
		return SP_OK;
	for (size_t i = 0; i < size; i++)
		hash = sp_vocab_hash_byte(hash, (unsigned char)word[i]);
	size_t slot = find_slot(c, hash, word, size);
	if (c->slot[slot]) {
		c->entry[c->slot[slot] - 1].count++;
		return SP_OK;
	}
	struct entry new = { c->used, (uint32_t)size, (uint32_t)chars, hash, 1 };
	return add_word(c, slot, &new, word);
}

int sp_word_counts_add(struct sp_word_counts *c, const char *text, size_t size)
{
	return sp_basic_split(&c->basic, text, size, take_word, c);
}

size_t sp_word_counts_size(const struct sp_word_counts *c)
{
	return c->count;
}

struct sp_word_count sp_word_counts_get(const struct sp_word_counts *c, size_t i)
{
	const struct entry *e = &c->entry[i];
	return (struct sp_word_count){ c->bytes + e->start, e->size, e->chars, e->count };
}
