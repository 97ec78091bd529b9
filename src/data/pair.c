#include "config.h"

#include "data/pair.h"

#include "base/log.h"

struct range {
	int64_t from, to;
};

static int64_t range_size(struct range r)
{
	return r.to - r.from;
}

static int check_ids(const int32_t *token, int64_t n, const char *name, int64_t sentence,
	const struct sp_alphabet *alphabet)
{
	for (int64_t i = 0; i < n; i++)
		if (token[i] < 0 || token[i] >= alphabet->size)
			return sp_fail(SP_ERR_FORMAT,
				"%s.bin: id %d at or after sentence %lld, but the vocabulary has %d tokens: it was made with another "
				"vocabulary; give that one as data.vocab, or make the file again with seqpar tokenize",
				name, (int)token[i], (long long)sentence, (int)alphabet->size);
	return SP_OK;
}

static int continues_word(const struct sp_indexed *x, const struct sp_group *g, const struct sp_alphabet *alphabet,
	int64_t at)
{
	int32_t id;
	sp_group_read(x, g, at, at + 1, &id);
	return id >= 0 && id < alphabet->size && (alphabet->kind[id] & SP_ALPHABET_CONTINUES);
}

/* Where A ends. A single sentence of two tokens or more is divided where a word begins: the drawn place, or else the next
 * such place, or else the one before; inside the word if it is the only one. */
static int64_t divide(const struct sp_indexed *x, const struct sp_group *g, const struct sp_alphabet *alphabet,
	struct sp_rng *rng)
{
	if (g->parts > 1)
		return sp_group_boundary(x, g, 1 + (int64_t)sp_rng_below(rng, (uint64_t)g->parts - 1));
	int64_t drawn = 1 + (int64_t)sp_rng_below(rng, (uint64_t)g->tokens - 1), at = drawn;
	while (at < g->tokens && continues_word(x, g, alphabet, at))
		at++;
	if (at < g->tokens)
		return at;
	for (at = drawn - 1; at > 0 && continues_word(x, g, alphabet, at);)
		at--;
	return at > 0 ? at : drawn;
}

static void truncate_pair(struct range *a, struct range *b, int64_t target, struct sp_rng *rng)
{
	while (range_size(*a) + range_size(*b) > target) {
		struct range *longer = range_size(*a) > range_size(*b) ? a : b;
		if (sp_rng_u32(rng) & 1)
			longer->from++;
		else
			longer->to--;
	}
}

/* Text and [SEP] of one segment; `at` is where it begins, and then where it ends. */
static int write_segment(const struct sp_indexed *x, const char *name, const struct sp_group *g,
	const struct sp_alphabet *alphabet, struct range text, int32_t kind, struct sp_sample *sample, int64_t *at)
{
	int32_t *token = sample->token + *at;
	const int64_t n = range_size(text);
	sp_group_read(x, g, text.from, text.to, token);
	token[n] = alphabet->special[SP_SEP];
	for (int64_t i = 0; i <= n; i++)
		sample->kind[*at + i] = kind;
	*at += n + 1;
	return check_ids(token, n, name, g->begin.sentence, alphabet);
}

int sp_pair_build(const struct sp_indexed *x, const char *name, const struct sp_group *group,
	const struct sp_alphabet *alphabet, int order, struct sp_rng *rng, struct sp_sample *sample, int64_t *used)
{
	const int64_t cut = order ? divide(x, group, alphabet, rng) : group->tokens;
	struct range a = { 0, cut }, b = { cut, group->tokens };
	int64_t at = 1;

	sample->swapped = -1;
	if (order) {
		sample->swapped = (int32_t)(sp_rng_u32(rng) & 1);
		if (sample->swapped) {
			a = (struct range){ cut, group->tokens };
			b = (struct range){ 0, cut };
		}
	}
	truncate_pair(&a, &b, group->target, rng);
	sample->token[0] = alphabet->special[SP_CLS];
	sample->kind[0] = 0;
	int status = write_segment(x, name, group, alphabet, a, 0, sample, &at);
	if (!status && order)
		status = write_segment(x, name, group, alphabet, b, 1, sample, &at);
	if (!status)
		*used = at;
	return status;
}
