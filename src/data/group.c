#include "config.h"

#include "data/group.h"

#include "base/size.h"

/* Moves over what is empty to the next token of the document, and says how many its sentence has left. 0: none. */
static int32_t next_part(const struct sp_indexed *x, int64_t document_end, struct sp_cursor *at)
{
	for (; at->sentence < document_end; at->sentence++, at->offset = 0) {
		int32_t rest = sp_indexed_size(x, at->sentence) - at->offset;
		if (rest > 0)
			return rest;
	}
	return 0;
}

/* Whether what is left of the document should not be a group of its own: one whole sentence, or too few tokens for a
 * pair. */
static int rest_is_lone(const struct sp_indexed *x, const struct sp_group_rule *rule, int64_t document_end,
	struct sp_cursor at)
{
	int32_t rest = next_part(x, document_end, &at);
	if (rest == 0 || (rest > 1 && sp_indexed_size(x, at.sentence) > rule->most))
		return 0;
	at.offset += rest;
	return next_part(x, document_end, &at) == 0;
}

static int is_enough(const struct sp_indexed *x, const struct sp_group_rule *rule, int64_t document_end,
	const struct sp_group *g, int was_cut)
{
	if (g->tokens < g->target)
		return 0;
	if (!rule->order)
		return 1;
	return (g->parts > 1 || was_cut) && !rest_is_lone(x, rule, document_end, g->end);
}

/* Tokens to take of a sentence with `rest` left, `size` in all. */
static int32_t portion(const struct sp_group_rule *rule, const struct sp_group *g, int32_t rest, int32_t size)
{
	if (size <= rule->most)
		return rest;
	int64_t wanted = g->tokens < g->target ? g->target - g->tokens : (g->target + 1) / 2;
	return (int32_t)sp_min(rest, wanted);
}

struct sp_group sp_group_gather(const struct sp_indexed *x, const struct sp_group_rule *rule, int64_t document_end,
	struct sp_cursor begin, int32_t target)
{
	next_part(x, document_end, &begin);
	struct sp_group g = { .begin = begin, .end = begin, .target = target };
	int was_cut = 0;
	while (!is_enough(x, rule, document_end, &g, was_cut)) {
		int32_t rest = next_part(x, document_end, &g.end);
		if (rest == 0)
			break;
		int32_t size = sp_indexed_size(x, g.end.sentence), take = portion(rule, &g, rest, size);
		g.parts += g.tokens == 0 || g.end.offset == 0;
		g.end.offset += take;
		g.tokens += take;
		was_cut = size > rule->most;
	}
	return g;
}

/* Walks the parts of a group: *count tokens of sentence *at from at->offset on. 0 after the last. */
static int next_piece(const struct sp_indexed *x, const struct sp_group *g, struct sp_cursor *at, int32_t *count)
{
	for (; at->sentence <= g->end.sentence; at->sentence++, at->offset = 0) {
		int32_t end = at->sentence < g->end.sentence ? sp_indexed_size(x, at->sentence) : g->end.offset;
		if (end > at->offset) {
			*count = end - at->offset;
			return 1;
		}
	}
	return 0;
}

int64_t sp_group_boundary(const struct sp_indexed *x, const struct sp_group *group, int64_t part)
{
	struct sp_cursor at = group->begin;
	int64_t before = 0;
	int32_t count;
	while (part-- > 0 && next_piece(x, group, &at, &count)) {
		before += count;
		at.offset += count;
	}
	return before;
}

void sp_group_read(const struct sp_indexed *x, const struct sp_group *group, int64_t from, int64_t to, int32_t *token)
{
	struct sp_cursor at = group->begin;
	int64_t before = 0;
	int32_t count;
	while (before < to && next_piece(x, group, &at, &count)) {
		int64_t first = sp_max(from, before), end = sp_min(to, before + count);
		if (first < end) {
			sp_indexed_read(x, at.sentence, at.offset + (int32_t)(first - before), (int32_t)(end - first), token);
			token += end - first;
		}
		before += count;
		at.offset += count;
	}
}
