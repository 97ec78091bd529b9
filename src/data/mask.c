#include "config.h"

#include "data/mask.h"

#include "base/size.h"

#include <math.h>

enum { LONGEST_RUN = 3 };

int64_t sp_mask_budget(int64_t n, double mask_prob)
{
	return sp_max(1, llround(mask_prob * (double)n));
}

/* A "##" piece with no word before it (a sentence cut inside a word) begins a word of its own. */
static int64_t find_words(const struct sp_alphabet *alphabet, int64_t n, const int32_t *token,
	struct sp_mask_word *word)
{
	int64_t words = 0;
	int inside = 0;
	for (int64_t i = 0; i < n; i++) {
		uint8_t kind = alphabet->kind[token[i]];
		if (kind & SP_ALPHABET_SPECIAL) {
			inside = 0;
		} else if (inside && (kind & SP_ALPHABET_CONTINUES)) {
			word[words - 1].count++;
		} else {
			word[words++] = (struct sp_mask_word){ (int32_t)i, 1 };
			inside = 1;
		}
	}
	return words;
}

/* Words from w on that follow each other without a special token between, at most `most`. */
static int run_available(const struct sp_mask_word *word, int64_t words, int64_t w, int most)
{
	int run = 1;
	while (run < most && w + run < words && word[w + run].first == word[w + run - 1].first + word[w + run - 1].count)
		run++;
	return run;
}

/* 1 .. available, proportional to 1 / run: weights 6, 3, 2. */
static int draw_run(struct sp_rng *rng, int available)
{
	static const uint64_t below[LONGEST_RUN] = { 6, 9, 11 };
	uint64_t x = sp_rng_below(rng, below[available - 1]);
	int run = 1;
	while (x >= below[run - 1])
		run++;
	return run;
}

static int32_t replacement(const struct sp_alphabet *alphabet, struct sp_rng *rng, int32_t id)
{
	uint64_t choice = sp_rng_below(rng, 10);
	if (choice < 8)
		return alphabet->special[SP_MASK];
	if (choice == 8)
		return id;
	do
		id = (int32_t)sp_rng_below(rng, (uint64_t)alphabet->size);
	while (alphabet->kind[id] & SP_ALPHABET_SPECIAL);
	return id;
}

struct masking {
	const struct sp_alphabet *alphabet;
	struct sp_rng *rng;
	int32_t *token, *label;
	const struct sp_mask_word *word;
	int64_t words, chosen;
};

static int64_t run_tokens(const struct masking *m, int64_t w, int run)
{
	const struct sp_mask_word *last = &m->word[w + run - 1];
	return last->first + last->count - m->word[w].first;
}

static int run_is_free(const struct masking *m, int64_t w, int run)
{
	for (int i = 0; i < run; i++)
		if (m->label[m->word[w + i].first] >= 0)
			return 0;
	return 1;
}

static void choose(struct masking *m, int64_t w, int run)
{
	int64_t first = m->word[w].first, count = run_tokens(m, w, run);
	for (int64_t i = first; i < first + count; i++) {
		m->label[i] = m->token[i];
		m->token[i] = replacement(m->alphabet, m->rng, m->token[i]);
	}
	m->chosen += count;
}

/* Tries the w-th word as the beginning of a run; a run that would exceed the budget is shortened. */
static void try_word(struct masking *m, int64_t w, int longest, int64_t budget)
{
	int run = draw_run(m->rng, run_available(m->word, m->words, w, longest));
	while (run > 0 && m->chosen + run_tokens(m, w, run) > budget)
		run--;
	if (run > 0 && run_is_free(m, w, run))
		choose(m, w, run);
}

static int64_t shortest_word(const struct masking *m, const int32_t *order)
{
	int64_t best = order[0];
	for (int64_t i = 1; i < m->words; i++)
		if (m->word[order[i]].count < m->word[best].count)
			best = order[i];
	return best;
}

int64_t sp_mask_apply(const struct sp_alphabet *alphabet, double mask_prob, struct sp_rng *rng, int64_t n,
	int32_t *token, int32_t *label, struct sp_mask_work work)
{
	struct masking m = { alphabet, rng, token, label, work.word, find_words(alphabet, n, token, work.word), 0 };
	const int64_t budget = sp_mask_budget(n, mask_prob);

	for (int64_t i = 0; i < n; i++)
		label[i] = -1;
	for (int64_t i = 0; i < m.words; i++)
		work.order[i] = (int32_t)i;
	/* Words in random order, shuffled as far as needed. */
	for (int64_t i = 0; i < m.words && m.chosen < budget; i++) {
		int64_t j = i + (int64_t)sp_rng_below(rng, (uint64_t)(m.words - i));
		int32_t w = work.order[j];
		work.order[j] = work.order[i];
		work.order[i] = w;
		try_word(&m, w, LONGEST_RUN, budget);
	}
	/* With a large mask_prob runs that met others leave single words behind. */
	for (int64_t i = 0; i < m.words && m.chosen < budget; i++)
		try_word(&m, work.order[i], 1, budget);
	if (m.chosen == 0 && m.words > 0)
		choose(&m, shortest_word(&m, work.order), 1);
	return m.chosen;
}
