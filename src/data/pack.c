#include "config.h"

#include "data/pack.h"

#include "base/log.h"
#include "base/rng.h"
#include "base/size.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT = 2 };

struct epoch {
	uint64_t number;
	int64_t *first;  /* [size + 1] of each sequence in `sample`; NULL: none packed */
	int64_t *sample; /* [samples] */
};

struct sp_pack {
	struct sp_map *map;
	struct sp_pack_options options;
	int64_t size;
	double fill;
	struct epoch kept[KEPT]; /* the one used last first */
};

/* ---- best fit ---- */

/* Sequences that are being filled, found by how much room they have left. */
struct shelf {
	int64_t length;
	int64_t *head;  /* [length + 1] a sequence with that much room, or -1 */
	int64_t *next;  /* [samples] another one of the same room, or -1 */
	uint64_t *some; /* bit r: there is one with room r */
	int64_t count;
};

static int64_t words(int64_t length)
{
	return length / 64 + 1;
}

static void put_back(struct shelf *s, int64_t sequence, int64_t room)
{
	s->next[sequence] = s->head[room];
	s->head[room] = sequence;
	s->some[room / 64] |= UINT64_C(1) << (room % 64);
}

static int64_t take_out(struct shelf *s, int64_t room)
{
	const int64_t sequence = s->head[room];
	s->head[room] = s->next[sequence];
	if (s->head[room] < 0)
		s->some[room / 64] &= ~(UINT64_C(1) << (room % 64));
	return sequence;
}

/* The least room of at least `wanted` tokens that a sequence has, or -1. */
static int64_t least_room(const struct shelf *s, int64_t wanted)
{
	int64_t word = wanted / 64;
	uint64_t bits = s->some[word] & ~UINT64_C(0) << (wanted % 64);
	while (!bits && ++word < words(s->length))
		bits = s->some[word];
	return bits ? 64 * word + __builtin_ctzll(bits) : -1;
}

static int64_t fit(struct shelf *s, int64_t tokens)
{
	int64_t room = least_room(s, tokens), sequence;
	if (room >= 0) {
		sequence = take_out(s, room);
	} else {
		sequence = s->count++;
		room = s->length;
	}
	put_back(s, sequence, room - tokens);
	return sequence;
}

static void shelf_free(struct shelf *s)
{
	free(s->head);
	free(s->next);
	free(s->some);
}

static int shelf_make(int64_t length, int64_t samples, struct shelf *s)
{
	*s = (struct shelf){ .length = length };
	s->head = malloc((size_t)(length + 1) * sizeof *s->head);
	s->next = malloc((size_t)samples * sizeof *s->next);
	s->some = calloc((size_t)words(length), sizeof *s->some);
	if (!s->head || !s->next || !s->some) {
		shelf_free(s);
		return sp_fail(SP_ERR_MEMORY, "no memory to pack %lld samples", (long long)samples);
	}
	for (int64_t room = 0; room <= length; room++)
		s->head[room] = -1;
	return SP_OK;
}

/* ---- an epoch ---- */

/* What packing an epoch needs while it lasts, n samples each. */
struct work {
	int32_t *tokens; /* of a sample, special ones counted */
	int64_t *order;  /* samples, the longest first */
	int64_t *home;   /* the sequence that a sample is in */
	int64_t total;   /* tokens */
};

static void work_free(struct work *w)
{
	free(w->tokens);
	free(w->order);
	free(w->home);
}

static int work_make(int64_t n, struct work *w)
{
	w->tokens = malloc((size_t)n * sizeof *w->tokens);
	w->order = malloc((size_t)n * sizeof *w->order);
	w->home = malloc((size_t)n * sizeof *w->home);
	if (w->tokens && w->order && w->home)
		return SP_OK;
	return sp_fail(SP_ERR_MEMORY, "no memory to pack %lld samples", (long long)n);
}

static int measure(struct sp_pack *p, uint64_t epoch, int64_t n, struct work *w)
{
	int status = SP_OK;
	for (int64_t i = 0; !status && i < n; i++) {
		struct sp_group group = { 0 };
		status = sp_map_group(p->map, epoch * (uint64_t)n + (uint64_t)i, &group);
		w->tokens[i] = (int32_t)(sp_min(group.tokens, group.target) + p->options.specials);
		w->total += w->tokens[i];
		assert(status || w->tokens[i] <= p->options.length);
	}
	return status;
}

/* Sorts by counting. Samples of one length stay in the order of the map, which is that of chance. `at`: [length + 2]. */
static void sort(const struct work *w, int64_t n, int64_t length, int64_t *at)
{
	for (int64_t i = 0; i < n; i++)
		at[length - w->tokens[i] + 1]++;
	for (int64_t i = 0; i < length; i++)
		at[i + 1] += at[i];
	for (int64_t i = 0; i < n; i++)
		w->order[at[length - w->tokens[i]]++] = i;
}

/* Finds every sample a home and returns, in *sequences, how many there are. */
static int settle(const struct work *w, int64_t n, int64_t length, int64_t *sequences)
{
	struct shelf shelf = { 0 };
	int64_t *at = calloc((size_t)length + 2, sizeof *at);
	int status = at ? shelf_make(length, n, &shelf) : sp_fail(SP_ERR_MEMORY, "no memory to pack %lld samples", (long long)n);
	if (!status) {
		sort(w, n, length, at);
		for (int64_t i = 0; i < n; i++)
			w->home[w->order[i]] = fit(&shelf, w->tokens[w->order[i]]);
		*sequences = shelf.count;
		shelf_free(&shelf);
	}
	free(at);
	return status;
}

/* place[s]: where sequence s comes in the epoch. */
static void shuffle(const struct sp_pack *p, uint64_t epoch, int64_t count, int64_t *place)
{
	struct sp_rng rng;
	sp_rng_start(&rng, p->options.seed, SP_RNG_SHUFFLE, epoch, p->options.stream);
	for (int64_t i = 0; i < count; i++) {
		const int64_t j = (int64_t)sp_rng_below(&rng, (uint64_t)i + 1);
		place[i] = place[j];
		place[j] = i;
	}
}

/* Lists the samples sequence by sequence. */
static void list(const struct work *w, int64_t n, int64_t count, const int64_t *place, struct epoch *e)
{
	for (int64_t i = 0; i < n; i++)
		e->first[place[w->home[i]] + 1]++;
	for (int64_t s = 0; s < count; s++)
		e->first[s + 1] += e->first[s];
	for (int64_t i = 0; i < n; i++)
		e->sample[e->first[place[w->home[i]]]++] = i;
	memmove(e->first + 1, e->first, (size_t)count * sizeof *e->first);
	e->first[0] = 0;
}

static void epoch_free(struct epoch *e)
{
	free(e->first);
	free(e->sample);
	*e = (struct epoch){ 0 };
}

static int make_lists(const struct sp_pack *p, const struct work *w, int64_t n, int64_t count, struct epoch *e)
{
	int64_t *place = malloc((size_t)count * sizeof *place);
	e->first = calloc((size_t)count + 1, sizeof *e->first);
	e->sample = malloc((size_t)n * sizeof *e->sample);
	const int good = place && e->first && e->sample;
	if (good) {
		shuffle(p, e->number, count, place);
		list(w, n, count, place, e);
	} else {
		epoch_free(e);
	}
	free(place);
	return good ? SP_OK : sp_fail(SP_ERR_MEMORY, "no memory to pack %lld samples", (long long)n);
}

static int pack(struct sp_pack *p, uint64_t number, struct epoch *e, int64_t *sequences, int64_t *tokens)
{
	const int64_t n = sp_map_size(p->map);
	struct work work = { 0 };
	*e = (struct epoch){ .number = number };
	int status = work_make(n, &work);
	if (!status)
		status = measure(p, number, n, &work);
	if (!status)
		status = settle(&work, n, p->options.length, sequences);
	if (!status)
		status = make_lists(p, &work, n, *sequences, e);
	*tokens = work.total;
	work_free(&work);
	return status;
}

/* Makes the epoch kept[0], packing it in the place of the one not used for longest. */
static int select_epoch(struct sp_pack *p, uint64_t number)
{
	int at = 0;
	while (at < KEPT && !(p->kept[at].first && p->kept[at].number == number))
		at++;
	struct epoch found;
	if (at < KEPT) {
		found = p->kept[at];
	} else {
		int64_t sequences, tokens;
		int status = pack(p, number, &found, &sequences, &tokens);
		if (status)
			return status;
		assert(sequences == p->size && "lengths, and so their number, are the same in every epoch");
		at = KEPT - 1;
		epoch_free(&p->kept[at]);
	}
	memmove(&p->kept[1], &p->kept[0], (size_t)at * sizeof p->kept[0]);
	p->kept[0] = found;
	return SP_OK;
}

int sp_pack_open(struct sp_map *map, const struct sp_pack_options *options, struct sp_pack **result)
{
	int64_t tokens;
	struct sp_pack *p = calloc(1, sizeof *p);
	if (!p)
		return sp_fail(SP_ERR_MEMORY, "no memory for packed sequences");
	p->map = map;
	p->options = *options;
	int status = pack(p, 0, &p->kept[0], &p->size, &tokens);
	if (status) {
		sp_pack_close(p);
		return status;
	}
	p->fill = (double)tokens / ((double)p->size * (double)options->length);
	*result = p;
	return SP_OK;
}

void sp_pack_close(struct sp_pack *p)
{
	if (!p)
		return;
	for (int i = 0; i < KEPT; i++)
		epoch_free(&p->kept[i]);
	free(p);
}

int64_t sp_pack_size(const struct sp_pack *p)
{
	return p->size;
}

double sp_pack_fill(const struct sp_pack *p)
{
	return p->fill;
}

int sp_pack_members(struct sp_pack *p, uint64_t index, struct sp_pack_members *members)
{
	const uint64_t epoch = index / (uint64_t)p->size;
	int status = select_epoch(p, epoch);
	if (status)
		return status;
	const struct epoch *e = &p->kept[0];
	const int64_t i = (int64_t)(index % (uint64_t)p->size);
	*members = (struct sp_pack_members){ epoch * (uint64_t)sp_map_size(p->map), e->sample + e->first[i],
		                                     e->first[i + 1] - e->first[i] };
	return SP_OK;
}
