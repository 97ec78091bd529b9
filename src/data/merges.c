#include "config.h"

#include "data/merges.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* Counts are kept up to date as sequences change, so a join costs what the sequences that hold the pair cost. The heap
 * may hold counts that have fallen since; they are put right when they come to the top. A count that rises is entered
 * anew. */
struct sequence {
	size_t start; /* into symbols */
	int32_t size; /* shrinks in place */
	int64_t count;
};

struct pair {
	uint64_t key; /* a, b */
	int64_t count;
	uint32_t *where; /* sequences that hold it, or have held it; one may be named more than once */
	size_t wheres, room;
	uint32_t stamp;  /* the join that entered it in the heap */
};

struct top {
	int64_t count;
	uint64_t key;
};

struct sp_merges {
	int32_t *symbols;
	size_t symbols_used, symbols_room;
	struct sequence *sequence;
	size_t sequences, sequences_room;
	struct pair *pair;
	size_t pairs, pairs_room;
	uint32_t *slot; /* open addressing: pair number + 1, 0: empty */
	size_t mask;
	struct top *heap;
	size_t tops, heap_room;
	uint32_t joins;
	int counted; /* the counts of the sequences as added have been taken */
};

#define FIRST_SLOTS (1 << 12)

static int no_memory(void)
{
	return sp_fail(SP_ERR_MEMORY,
	               "no memory to count pairs of word pieces: use less text, or a higher --min-frequency");
}

/* Room for `needed` elements; the new array, or NULL (the old one stays). */
static void *grow(void *array, size_t *room, size_t needed, size_t width)
{
	size_t more = *room ? 2 * *room : 8;
	if (needed <= *room)
		return array;
	more = more > needed ? more : needed;
	void *moved = realloc(array, more * width);
	if (moved)
		*room = more;
	return moved;
}

int sp_merges_new(struct sp_merges **merges)
{
	struct sp_merges *m = calloc(1, sizeof *m);
	if (m)
		m->slot = calloc(FIRST_SLOTS, sizeof *m->slot);
	if (!m || !m->slot) {
		free(m);
		return no_memory();
	}
	m->mask = FIRST_SLOTS - 1;
	*merges = m;
	return SP_OK;
}

void sp_merges_free(struct sp_merges *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->pairs; i++)
		free(m->pair[i].where);
	free(m->symbols);
	free(m->sequence);
	free(m->pair);
	free(m->slot);
	free(m->heap);
	free(m);
}

int sp_merges_add(struct sp_merges *m, const int32_t *symbol, size_t size, int64_t count)
{
	int32_t *symbols = grow(m->symbols, &m->symbols_room, m->symbols_used + size, sizeof *symbols);
	if (!symbols)
		return no_memory();
	m->symbols = symbols;
	struct sequence *sequence = grow(m->sequence, &m->sequences_room, m->sequences + 1, sizeof *sequence);
	if (!sequence || m->sequences == UINT32_MAX)
		return no_memory();
	m->sequence = sequence;
	memcpy(symbols + m->symbols_used, symbol, size * sizeof *symbol);
	sequence[m->sequences++] = (struct sequence){ m->symbols_used, (int32_t)size, count };
	m->symbols_used += size;
	return SP_OK;
}

static uint64_t key_of(int32_t a, int32_t b)
{
	return (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
}

static size_t first_slot(uint64_t key, size_t mask)
{
	key *= UINT64_C(0x9E3779B97F4A7C15);
	return (size_t)(key >> 32 ^ key) & mask;
}

static int grow_slots(struct sp_merges *m)
{
	size_t slots = 2 * (m->mask + 1);
	uint32_t *slot = m->pairs < UINT32_MAX / 2 ? calloc(slots, sizeof *slot) : NULL;
	if (!slot)
		return no_memory();
	free(m->slot);
	m->slot = slot;
	m->mask = slots - 1;
	for (size_t n = 0; n < m->pairs; n++) {
		size_t i = first_slot(m->pair[n].key, m->mask);
		while (slot[i])
			i = (i + 1) & m->mask;
		slot[i] = (uint32_t)n + 1;
	}
	return SP_OK;
}

/* The record of a pair, made if there is none; NULL: no memory. Valid until the next call. */
static struct pair *find_pair(struct sp_merges *m, uint64_t key)
{
	if (2 * m->pairs > m->mask && grow_slots(m) != SP_OK)
		return NULL;
	size_t i = first_slot(key, m->mask);
	for (; m->slot[i]; i = (i + 1) & m->mask)
		if (m->pair[m->slot[i] - 1].key == key)
			return &m->pair[m->slot[i] - 1];
	struct pair *pair = grow(m->pair, &m->pairs_room, m->pairs + 1, sizeof *pair);
	if (!pair) {
		no_memory();
		return NULL;
	}
	m->pair = pair;
	pair[m->pairs] = (struct pair){ .key = key };
	m->slot[i] = (uint32_t)++m->pairs;
	return &pair[m->pairs - 1];
}

static int precedes(const struct top *x, const struct top *y)
{
	return x->count != y->count ? x->count > y->count : x->key < y->key;
}

static int push(struct sp_merges *m, struct top new)
{
	struct top *heap = grow(m->heap, &m->heap_room, m->tops + 1, sizeof *heap);
	if (!heap)
		return no_memory();
	m->heap = heap;
	size_t i = m->tops++;
	for (; i > 0 && precedes(&new, &heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = new;
	return SP_OK;
}

static struct top pop(struct sp_merges *m)
{
	struct top *heap = m->heap, best = heap[0], last = heap[--m->tops];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child + 1 < m->tops && precedes(&heap[child + 1], &heap[child]))
			child++;
		if (child >= m->tops || !precedes(&heap[child], &last))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
	return best;
}

/* Notes that a sequence holds the pair; the same one twice in a row is noted once. */
static int note_where(struct pair *p, uint32_t number)
{
	if (p->wheres && p->where[p->wheres - 1] == number)
		return SP_OK;
	uint32_t *where = grow(p->where, &p->room, p->wheres + 1, sizeof *where);
	if (!where)
		return no_memory();
	p->where = where;
	where[p->wheres++] = number;
	return SP_OK;
}

/* Adds the sequence's count, times `sign`, to all its pairs. Pairs that hold `symbol` (any pair if negative) learn
 * where. */
static int count_pairs(struct sp_merges *m, uint32_t number, int sign, int32_t symbol)
{
	const struct sequence *s = &m->sequence[number];
	const int32_t *at = m->symbols + s->start;
	int status = SP_OK;
	for (int32_t i = 0; i + 1 < s->size && status == SP_OK; i++) {
		struct pair *p = find_pair(m, key_of(at[i], at[i + 1]));
		if (!p)
			return SP_ERR_MEMORY;
		p->count += sign * s->count;
		if (sign > 0 && (symbol < 0 || at[i] == symbol || at[i + 1] == symbol))
			status = note_where(p, number);
	}
	return status;
}

static int count_all(struct sp_merges *m)
{
	int status = SP_OK;
	for (size_t i = 0; i < m->sequences && status == SP_OK; i++)
		status = count_pairs(m, (uint32_t)i, 1, -1);
	for (size_t i = 0; i < m->pairs && status == SP_OK; i++)
		status = push(m, (struct top){ m->pair[i].count, m->pair[i].key });
	m->counted = status == SP_OK;
	return status;
}

int sp_merges_best(struct sp_merges *m, int64_t least, struct sp_pair *pair)
{
	int status = m->counted ? SP_OK : count_all(m);
	while (status == SP_OK && m->tops > 0 && m->heap[0].count >= least) {
		struct top best = pop(m);
		struct pair *p = find_pair(m, best.key);
		if (!p)
			return SP_ERR_MEMORY;
		if (p->count == best.count) {
			*pair = (struct sp_pair){ (int32_t)(best.key >> 32), (int32_t)(uint32_t)best.key, best.count };
			return 1;
		}
		if (p->count < best.count && p->count > 0)
			status = push(m, (struct top){ p->count, best.key });
	}
	return status;
}

static void replace(struct sp_merges *m, struct sequence *s, const struct sp_pair *pair, int32_t symbol)
{
	int32_t *at = m->symbols + s->start, kept = 0;
	for (int32_t i = 0; i < s->size; i++) {
		int joined = i + 1 < s->size && at[i] == pair->a && at[i + 1] == pair->b;
		at[kept++] = joined ? symbol : at[i];
		i += joined;
	}
	s->size = kept;
}

static int holds(const struct sp_merges *m, const struct sequence *s, const struct sp_pair *pair)
{
	const int32_t *at = m->symbols + s->start;
	for (int32_t i = 0; i + 1 < s->size; i++)
		if (at[i] == pair->a && at[i + 1] == pair->b)
			return 1;
	return 0;
}

/* Only pairs with the new symbol can have risen. Each is entered in the heap once, when all sequences are done. */
static int enter_risen(struct sp_merges *m, uint32_t number, int32_t symbol)
{
	const struct sequence *s = &m->sequence[number];
	const int32_t *at = m->symbols + s->start;
	int status = SP_OK;
	for (int32_t i = 0; i + 1 < s->size && status == SP_OK; i++) {
		if (at[i] != symbol && at[i + 1] != symbol)
			continue;
		struct pair *p = find_pair(m, key_of(at[i], at[i + 1]));
		if (!p)
			return SP_ERR_MEMORY;
		if (p->stamp != m->joins)
			status = push(m, (struct top){ p->count, p->key });
		p->stamp = m->joins;
	}
	return status;
}

int sp_merges_join(struct sp_merges *m, const struct sp_pair *pair, int32_t symbol)
{
	struct pair *p = find_pair(m, key_of(pair->a, pair->b));
	if (!p)
		return SP_ERR_MEMORY;
	uint32_t *where = p->where;
	size_t wheres = p->wheres;
	int status = SP_OK;
	p->where = NULL; /* no sequence will hold the pair */
	p->wheres = p->room = 0;
	m->joins++;
	for (size_t i = 0; i < wheres && status == SP_OK; i++) {
		struct sequence *s = &m->sequence[where[i]];
		if (!holds(m, s, pair))
			continue;
		status = count_pairs(m, where[i], -1, symbol);
		replace(m, s, pair, symbol);
		if (status == SP_OK)
			status = count_pairs(m, where[i], 1, symbol);
	}
	for (size_t i = 0; i < wheres && status == SP_OK; i++)
		status = enter_risen(m, where[i], symbol);
	free(where);
	return status;
}
