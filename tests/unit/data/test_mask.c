#include "config.h"

#include "support.h"

#include "data/mask.h"

#include <string.h>

enum { IDS = 1000, ROOM = 20000 };

static int32_t text[ROOM], token[ROOM], label[ROOM];
static struct sp_mask_word word[ROOM];
static int32_t order[ROOM];
static const struct sp_mask_work work = { word, order };

/* Ids 5 and up; with `pieces` every third of them goes on with a word. */
static struct sp_alphabet alphabet_make(int pieces)
{
	struct sp_alphabet a = { 0 };
	assert_int_equal(sp_alphabet_plain(IDS, &a), 0);
	for (int id = SP_SPECIALS; pieces && id < IDS; id += 3)
		a.kind[id] = SP_ALPHABET_CONTINUES;
	return a;
}

/* [CLS] random words [SEP]; the same for the same seed. */
static void text_make(int64_t n, uint64_t seed)
{
	struct sp_rng rng;
	sp_rng_start(&rng, seed, SP_RNG_SYNTHETIC, 1, 2);
	for (int64_t i = 0; i < n; i++)
		text[i] = SP_SPECIALS + (int32_t)sp_rng_below(&rng, IDS - SP_SPECIALS);
	text[0] = SP_CLS;
	text[n - 1] = SP_SEP;
}

static int64_t mask(const struct sp_alphabet *a, int64_t n, double prob, uint64_t index)
{
	struct sp_rng rng;
	sp_rng_start(&rng, 99, SP_RNG_MASK, index, 0);
	memcpy(token, text, (size_t)n * sizeof *token);
	return sp_mask_apply(a, prob, &rng, n, token, label, work);
}

/* |count - expected| within `sigmas` standard deviations of a binomial. */
static void assert_binomial(int64_t count, int64_t trials, double p, double sigmas)
{
	const double expected = (double)trials * p, sigma = sqrt((double)trials * p * (1 - p));
	if (!(fabs((double)count - expected) <= sigmas * sigma))
		fail_msg("%lld of %lld, expected %.1f +- %.1f", (long long)count, (long long)trials, expected, sigma);
}

static void budget_is_the_rounded_share_and_at_least_one(void **state)
{
	(void)state;
	assert_int_equal(sp_mask_budget(1, 0.15), 1);
	assert_int_equal(sp_mask_budget(7, 0.15), 1);
	assert_int_equal(sp_mask_budget(10, 0.15), 2);
	assert_int_equal(sp_mask_budget(128, 0.15), 19);
	assert_int_equal(sp_mask_budget(100000, 0.15), 15000);
	assert_int_equal(sp_mask_budget(128, 0), 1);
}

static void fifteen_percent_are_chosen_and_replaced_80_10_10(void **state)
{
	enum { N = 200, RUNS = 3000 };
	struct sp_alphabet a = alphabet_make(0);
	int64_t chosen = 0, masked = 0, kept = 0, other = 0, low = 0;
	(void)state;
	for (int r = 0; r < RUNS; r++) {
		text_make(N, (uint64_t)r);
		int64_t count = mask(&a, N, 0.15, (uint64_t)r), seen = 0;
		for (int i = 0; i < N; i++) {
			if (label[i] < 0) {
				assert_int_equal(token[i], text[i]);
				continue;
			}
			seen++;
			assert_int_equal(label[i], text[i]);
			assert_true(text[i] >= SP_SPECIALS);
			if (token[i] == SP_MASK) {
				masked++;
			} else if (token[i] == text[i]) {
				kept++;
			} else {
				assert_true(token[i] >= SP_SPECIALS && token[i] < IDS);
				other++;
				low += token[i] < SP_SPECIALS + (IDS - SP_SPECIALS) / 5;
			}
		}
		assert_int_equal(seen, count);
		assert_int_equal(count, 30);
		chosen += count;
	}
	const double same = 0.1 / (IDS - SP_SPECIALS); /* a random token that is the original */
	assert_binomial(masked, chosen, 0.8, 4);
	assert_binomial(kept, chosen, 0.1 + same, 4);
	assert_binomial(other, chosen, 0.1 - same, 4);
	assert_binomial(low, other, 0.2, 4);
	sp_alphabet_free(&a);
}

static void every_place_is_chosen_alike(void **state)
{
	enum { N = 102, RUNS = 20000, EDGE = 4 };
	struct sp_alphabet a = alphabet_make(0);
	static int64_t at[N];
	int64_t inner = 0;
	double chi = 0;
	(void)state;
	memset(at, 0, sizeof at);
	text_make(N, 5);
	for (int r = 0; r < RUNS; r++) {
		mask(&a, N, 0.15, (uint64_t)r);
		for (int i = 0; i < N; i++)
			at[i] += label[i] >= 0;
	}
	assert_int_equal(at[0], 0);
	assert_int_equal(at[N - 1], 0);
	for (int i = EDGE; i < N - EDGE; i++)
		inner += at[i];
	const int places = N - 2 * EDGE;
	const double expected = (double)inner / places;
	for (int i = EDGE; i < N - EDGE; i++)
		chi += ((double)at[i] - expected) * ((double)at[i] - expected) / expected;
	/* Mean places - 1, standard deviation sqrt(2 (places - 1)) at most: draws without replacement spread less. */
	assert_true(chi < places - 1 + 5 * sqrt(2.0 * (places - 1)));
	sp_alphabet_free(&a);
}

static void runs_of_n_words_have_probability_1_over_n(void **state)
{
	enum { N = 20000, RUNS = 300 };
	struct sp_alphabet a = alphabet_make(0);
	int64_t runs[8] = { 0 }, all = 0;
	(void)state;
	text_make(N, 3);
	for (int r = 0; r < RUNS; r++) {
		/* So few that runs hardly ever touch. */
		assert_int_equal(mask(&a, N, 0.005, (uint64_t)r), 100);
		for (int64_t i = 0, run = 0; i < N; i++) {
			if (label[i] >= 0) {
				run++;
			} else if (run > 0) {
				runs[run < 7 ? run : 7]++;
				all++;
				run = 0;
			}
		}
	}
	for (int n = 1; n <= 3; n++) {
		const double p = (double)runs[n] / (double)all, wanted = 6.0 / 11 / n;
		if (fabs(p - wanted) > 0.02)
			fail_msg("runs of %d: %.3f, expected %.3f", n, p, wanted);
	}
	assert_true((double)(all - runs[1] - runs[2] - runs[3]) < 0.01 * (double)all);
	sp_alphabet_free(&a);
}

static void words_are_chosen_whole_within_the_budget(void **state)
{
	enum { N = 150, RUNS = 2000 };
	struct sp_alphabet a = alphabet_make(1);
	int64_t sum = 0;
	(void)state;
	for (int r = 0; r < RUNS; r++) {
		text_make(N, (uint64_t)r);
		int64_t count = mask(&a, N, 0.15, (uint64_t)r);
		assert_true(count >= 1 && count <= 23);
		sum += count;
		for (int i = 2; i < N - 1; i++)
			if (a.kind[text[i]] & SP_ALPHABET_CONTINUES)
				assert_int_equal(label[i] >= 0, label[i - 1] >= 0);
	}
	assert_true((double)sum > 0.99 * 23 * RUNS);
	sp_alphabet_free(&a);
}

static void special_tokens_end_a_word_and_are_never_chosen(void **state)
{
	struct sp_alphabet a = alphabet_make(1);
	const int32_t piece = SP_SPECIALS, whole = SP_SPECIALS + 1;
	const int32_t mixed[] = { SP_CLS, whole, SP_SEP, piece, SP_UNK, whole, piece, SP_SEP };
	const int64_t n = sizeof mixed / sizeof *mixed;
	(void)state;
	memcpy(text, mixed, sizeof mixed);
	for (uint64_t r = 0; r < 500; r++) {
		assert_int_equal(mask(&a, n, 1.0, r), 4);
		assert_true(label[0] < 0 && label[2] < 0 && label[4] < 0 && label[7] < 0);
		/* Two of them: the piece after [SEP] is a word of its own. */
		assert_true(mask(&a, n, 0.25, r) <= 2);
		assert_int_equal(label[5] >= 0, label[6] >= 0);
	}
	sp_alphabet_free(&a);
}

static void at_least_one_word_is_chosen(void **state)
{
	struct sp_alphabet a = alphabet_make(1);
	const int32_t piece = SP_SPECIALS, whole = SP_SPECIALS + 1;
	const int32_t longer[] = { SP_CLS, whole, piece, piece, piece, whole, piece, piece, SP_SEP };
	const int32_t specials[] = { SP_CLS, SP_UNK, SP_SEP };
	(void)state;
	memcpy(text, longer, sizeof longer);
	for (uint64_t r = 0; r < 100; r++) {
		assert_int_equal(mask(&a, 9, 0.15, r), 3);
		assert_true(label[1] < 0 && label[5] == whole && label[7] == piece);
	}
	memcpy(text, specials, sizeof specials);
	assert_int_equal(mask(&a, 3, 0.15, 1), 0);
	assert_true(label[0] < 0 && label[1] < 0 && label[2] < 0);
	text_make(3, 1);
	text[1] = whole;
	assert_int_equal(mask(&a, 3, 0.15, 1), 1);
	assert_int_equal(label[1], whole);
	sp_alphabet_free(&a);
}

static void a_large_share_is_reached_exactly(void **state)
{
	struct sp_alphabet a = alphabet_make(0);
	(void)state;
	text_make(502, 8);
	for (uint64_t r = 0; r < 50; r++) {
		assert_int_equal(mask(&a, 502, 1.0, r), 500);
		assert_int_equal(mask(&a, 502, 0.75, r), 377);
	}
	sp_alphabet_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(budget_is_the_rounded_share_and_at_least_one),
		cmocka_unit_test(fifteen_percent_are_chosen_and_replaced_80_10_10),
		cmocka_unit_test(every_place_is_chosen_alike),
		cmocka_unit_test(runs_of_n_words_have_probability_1_over_n),
		cmocka_unit_test(words_are_chosen_whole_within_the_budget),
		cmocka_unit_test(special_tokens_end_a_word_and_are_never_chosen),
		cmocka_unit_test(at_least_one_word_is_chosen),
		cmocka_unit_test(a_large_share_is_reached_exactly),
	};
	return cmocka_run_group_tests_name("mask", tests, NULL, NULL);
}
