#include "config.h"

#include "data/map.h"

#include "base/log.h"
#include "base/rng.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT = 2 };

/* Where a group begins and what it was to hold; the rest follows from gathering it again. */
struct entry {
	int64_t sentence;
	int32_t offset;
	uint32_t target : 31, spare : 1; /* spare: not the first of its document */
};

struct epoch {
	uint64_t number;
	struct entry *entry; /* NULL: none built */
};

struct sp_map {
	const struct sp_indexed *x;
	struct sp_map_options options;
	int64_t size, unused;
	double fill;
	struct epoch kept[KEPT]; /* the one used last first */
};

static int32_t draw_target(const struct sp_map_options *o, struct sp_rng *rng)
{
	const int32_t most = o->rule.most, least = most < 2 ? most : 2;
	if (sp_rng_uniform(rng) >= o->short_seq_prob)
		return most;
	return least + (int32_t)sp_rng_below(rng, (uint64_t)(most - least + 1));
}

/* A list of entries that grows, or only their number. `held`: the tokens that are left of them as samples. */
struct entry_list {
	struct entry *entry;
	int64_t counted, held, room;
};

static int append(struct entry_list *list, const struct entry *entry)
{
	if (list->counted == list->room) {
		int64_t room = list->room + list->room / 8 + 64;
		size_t bytes;
		struct entry *more = sp_size_mul((size_t)room, sizeof *more, &bytes) ? NULL : realloc(list->entry, bytes);
		if (!more)
			return sp_fail(SP_ERR_MEMORY, "no memory for the order of %lld samples", (long long)room);
		list->entry = more;
		list->room = room;
	}
	list->entry[list->counted++] = *entry;
	return SP_OK;
}

/* Cuts one document into groups, appended to `list`, or only counted if `keep` is 0. */
static int cut_document(const struct sp_map *m, int64_t document, struct sp_rng *rng, int keep, struct entry_list *list)
{
	const int64_t end = sp_indexed_document_first(m->x, document + 1), least = m->options.rule.order ? 2 : 1;
	struct sp_cursor at = { sp_indexed_document_first(m->x, document), 0 };
	for (unsigned spare = 0; at.sentence < end; spare = 1) {
		struct sp_group g = sp_group_gather(m->x, &m->options.rule, end, at, draw_target(&m->options, rng));
		if (g.tokens < least)
			break;
		struct entry entry = { g.begin.sentence, g.begin.offset, (uint32_t)g.target, spare };
		int status = keep ? append(list, &entry) : (list->counted++, SP_OK);
		if (status)
			return status;
		list->held += sp_min(g.tokens, g.target);
		at = g.end;
	}
	return SP_OK;
}

static int cut_documents(const struct sp_map *m, uint64_t epoch, int keep, struct entry_list *list, int64_t *unused)
{
	struct sp_rng rng;
	int status = SP_OK;
	sp_rng_start(&rng, m->options.seed, SP_RNG_SAMPLE, m->options.same_cuts ? 0 : epoch, m->options.stream);
	*unused = 0;
	for (int64_t d = m->options.first; !status && d < m->options.end; d++) {
		int64_t before = list->counted;
		status = cut_document(m, d, &rng, keep, list);
		*unused += list->counted == before;
	}
	return status;
}

/* Leaves out `excess` entries, chosen among the spare ones with equal probability (selection sampling, Knuth 3.4.2
 * S). */
static void leave_out(struct entry_list *list, int64_t excess, struct sp_rng *rng)
{
	int64_t spare = 0, left = 0;
	for (int64_t i = 0; i < list->counted; i++)
		spare += list->entry[i].spare;
	for (int64_t i = 0; i < list->counted; i++) {
		if (list->entry[i].spare && (int64_t)sp_rng_below(rng, (uint64_t)spare--) < excess) {
			excess--;
			continue;
		}
		list->entry[left++] = list->entry[i];
	}
	list->counted = left;
}

static int repeat(struct entry_list *list, int64_t wanted, struct sp_rng *rng)
{
	const int64_t had = list->counted;
	int status = SP_OK;
	while (!status && list->counted < wanted) {
		struct entry again = list->entry[sp_rng_below(rng, (uint64_t)had)];
		status = append(list, &again);
	}
	return status;
}

static void shuffle(struct entry_list *list, struct sp_rng *rng)
{
	for (int64_t i = list->counted - 1; i > 0; i--) {
		int64_t j = (int64_t)sp_rng_below(rng, (uint64_t)i + 1);
		struct entry swapped = list->entry[i];
		list->entry[i] = list->entry[j];
		list->entry[j] = swapped;
	}
}

static int build(const struct sp_map *m, uint64_t epoch, struct entry **entries)
{
	struct entry_list list = { 0 };
	struct sp_rng rng;
	int64_t unused;
	int status = cut_documents(m, epoch, 1, &list, &unused);
	sp_rng_start(&rng, m->options.seed, SP_RNG_SHUFFLE, epoch, m->options.stream);
	if (!status && list.counted > m->size)
		leave_out(&list, list.counted - m->size, &rng);
	if (!status)
		status = repeat(&list, m->size, &rng);
	if (status) {
		free(list.entry);
		return status;
	}
	shuffle(&list, &rng);
	*entries = list.entry;
	return SP_OK;
}

/* Makes the epoch kept[0], building it in the place of the one not used for longest. */
static int select_epoch(struct sp_map *m, uint64_t number)
{
	int at = 0;
	while (at < KEPT && !(m->kept[at].entry && m->kept[at].number == number))
		at++;
	struct epoch found = { number, NULL };
	if (at < KEPT) {
		found = m->kept[at];
	} else {
		at = KEPT - 1;
		int status = build(m, number, &found.entry);
		if (status)
			return status;
		free(m->kept[at].entry);
	}
	memmove(&m->kept[1], &m->kept[0], (size_t)at * sizeof m->kept[0]);
	m->kept[0] = found;
	return SP_OK;
}

int sp_map_open(const struct sp_indexed *x, const struct sp_map_options *options, struct sp_map **map)
{
	struct entry_list list = { 0 };
	struct sp_map *m = calloc(1, sizeof *m);
	if (!m)
		return sp_fail(SP_ERR_MEMORY, "no memory for a sample map");
	m->x = x;
	m->options = *options;
	int status = cut_documents(m, 0, 0, &list, &m->unused);
	if (status) {
		sp_map_close(m);
		return status;
	}
	m->size = list.counted;
	m->fill = m->size ? (double)list.held / ((double)m->size * m->options.rule.most) : 0;
	*map = m;
	return SP_OK;
}

void sp_map_close(struct sp_map *m)
{
	if (!m)
		return;
	for (int i = 0; i < KEPT; i++)
		free(m->kept[i].entry);
	free(m);
}

int64_t sp_map_size(const struct sp_map *m)
{
	return m->size;
}

int64_t sp_map_unused(const struct sp_map *m)
{
	return m->unused;
}

double sp_map_fill(const struct sp_map *m)
{
	return m->fill;
}

/* The document that holds a sentence: the last one that does not begin after it. */
static int64_t document_of(const struct sp_map *m, int64_t sentence)
{
	int64_t low = m->options.first, high = m->options.end;
	while (high - low > 1) {
		int64_t middle = low + (high - low) / 2;
		if (sp_indexed_document_first(m->x, middle) <= sentence)
			low = middle;
		else
			high = middle;
	}
	return low;
}

int sp_map_group(struct sp_map *m, uint64_t index, struct sp_group *group)
{
	int status = select_epoch(m, index / (uint64_t)m->size);
	if (status)
		return status;
	const struct entry *e = &m->kept[0].entry[index % (uint64_t)m->size];
	const int64_t end = sp_indexed_document_first(m->x, document_of(m, e->sentence) + 1);
	const struct sp_cursor at = { e->sentence, e->offset };
	*group = sp_group_gather(m->x, &m->options.rule, end, at, (int32_t)e->target);
	return SP_OK;
}
