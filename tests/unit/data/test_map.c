#include "config.h"

#include "unit/data/token_files.h"

#include "base/rng.h"
#include "data/map.h"

enum { DOCUMENTS = 400 };

/* Documents of 0 .. 29 sentences of 0 .. 40 tokens, some very long sentences, one-token documents. */
static int mixed_sentence(int document, int sentence, uint16_t *ids, int room)
{
	struct sp_rng rng;
	sp_rng_start(&rng, 1, SP_RNG_SYNTHETIC, (uint64_t)document, 0);
	const int sentences = document % 50 == 7 ? 1 : (int)sp_rng_below(&rng, 30);
	if (sentence >= sentences)
		return -1;
	sp_rng_start(&rng, 1, SP_RNG_SYNTHETIC, (uint64_t)document, 1 + (uint64_t)sentence);
	int n = (int)sp_rng_below(&rng, 41);
	if (sp_rng_below(&rng, 40) == 0)
		n = 100 + (int)sp_rng_below(&rng, 2000);
	if (document % 50 == 7)
		n = 1;
	assert_true(n <= room);
	for (int i = 0; i < n; i++)
		ids[i] = (uint16_t)(5 + i % 100);
	return n;
}

static int64_t document_tokens(const struct sp_indexed *x, int64_t d)
{
	int64_t n = 0;
	for (int64_t s = sp_indexed_document_first(x, d); s < sp_indexed_document_first(x, d + 1); s++)
		n += sp_indexed_size(x, s);
	return n;
}

static int64_t document_of(const struct sp_indexed *x, int64_t sentence)
{
	int64_t d = 0;
	while (sp_indexed_document_first(x, d + 1) <= sentence)
		d++;
	return d;
}

static struct sp_map_options options_make(int32_t most, int order, double short_seq_prob)
{
	return (struct sp_map_options){ .rule = { most, order }, .short_seq_prob = short_seq_prob, .seed = 7, .stream = 3,
		.first = 0, .end = DOCUMENTS };
}

static struct sp_indexed *open_mixed(void)
{
	struct sp_indexed *x;
	assert_int_equal(sp_indexed_open(path_of("mixed"), &x), 0);
	assert_int_equal(sp_indexed_documents(x), DOCUMENTS);
	return x;
}

static int make_mixed(void **state)
{
	if (directory_make(state))
		return -1;
	token_file_make("mixed", DOCUMENTS, mixed_sentence);
	return 0;
}

static const int32_t lengths[] = { 2, 3, 5, 17, 125, 509, 4000 };
enum { LENGTHS = sizeof lengths / sizeof *lengths };

/* Epoch 0 leaves nothing out: its groups hold each token of each document exactly once. */
static void first_epoch_has_every_token_once(void **state)
{
	struct sp_indexed *x = open_mixed();
	(void)state;
	for (int i = 0; i < LENGTHS * 2; i++) {
		const int order = i % 2;
		struct sp_map_options o = options_make(lengths[i / 2], order, 0.1);
		struct sp_map *m;
		int64_t tokens[DOCUMENTS] = { 0 }, unused = 0;
		assert_int_equal(sp_map_open(x, &o, &m), 0);
		for (int64_t k = 0; k < sp_map_size(m); k++) {
			struct sp_group g;
			assert_int_equal(sp_map_group(m, (uint64_t)k, &g), 0);
			assert_true(g.tokens >= (order ? 2 : 1) && g.target >= 2 && g.target <= o.rule.most);
			assert_true(g.tokens < g.target + 2 * (int64_t)o.rule.most);
			assert_true(g.parts >= 1 && sp_group_boundary(x, &g, g.parts) == g.tokens);
			tokens[document_of(x, g.begin.sentence)] += g.tokens;
		}
		for (int64_t d = 0; d < DOCUMENTS; d++) {
			const int64_t n = document_tokens(x, d);
			const int usable = n >= (order ? 2 : 1);
			assert_int_equal(tokens[d], usable ? n : 0);
			unused += !usable;
		}
		assert_int_equal(sp_map_unused(m), unused);
		sp_map_close(m);
	}
	sp_indexed_close(x);
}

static void every_epoch_has_the_same_size_and_every_usable_document(void **state)
{
	struct sp_indexed *x = open_mixed();
	(void)state;
	for (int i = 0; i < LENGTHS; i++) {
		struct sp_map_options o = options_make(lengths[i], 1, 0.3);
		struct sp_map *m;
		assert_int_equal(sp_map_open(x, &o, &m), 0);
		for (uint64_t epoch = 0; epoch < 6; epoch++) {
			int used[DOCUMENTS] = { 0 };
			for (int64_t k = 0; k < sp_map_size(m); k++) {
				struct sp_group g;
				assert_int_equal(sp_map_group(m, epoch * (uint64_t)sp_map_size(m) + (uint64_t)k, &g), 0);
				used[document_of(x, g.begin.sentence)] = 1;
			}
			for (int64_t d = 0; d < DOCUMENTS; d++)
				assert_int_equal(used[d], document_tokens(x, d) >= 2);
		}
		sp_map_close(m);
	}
	sp_indexed_close(x);
}

static void epochs_are_cut_and_ordered_anew_in_any_order_of_calls(void **state)
{
	struct sp_indexed *x = open_mixed();
	struct sp_map_options o = options_make(61, 0, 0.1);
	struct sp_map *forward, *backward;
	int64_t same_place = 0, first_places = 0;
	(void)state;
	assert_int_equal(sp_map_open(x, &o, &forward), 0);
	assert_int_equal(sp_map_open(x, &o, &backward), 0);
	const uint64_t size = (uint64_t)sp_map_size(forward), all = 4 * size;
	struct sp_group *seen = calloc(all, sizeof *seen);
	assert_non_null(seen);
	for (uint64_t k = 0; k < all; k++)
		assert_int_equal(sp_map_group(forward, k, &seen[k]), 0);
	for (uint64_t k = all; k-- > 0;) {
		struct sp_group g;
		assert_int_equal(sp_map_group(backward, k, &g), 0);
		assert_true(g.begin.sentence == seen[k].begin.sentence && g.begin.offset == seen[k].begin.offset &&
			g.tokens == seen[k].tokens && g.target == seen[k].target);
	}
	for (uint64_t k = 0; k < size; k++) {
		same_place += seen[k].begin.sentence == seen[k + size].begin.sentence;
		for (uint64_t j = 0; j < size; j++)
			if (seen[k].begin.sentence == seen[j + size].begin.sentence &&
				seen[k].begin.offset == seen[j + size].begin.offset) {
				first_places++;
				break;
			}
	}
	assert_true(same_place < 20);
	/* Documents begin where they began; inside, the cuts differ. */
	assert_true(first_places < (int64_t)size * 9 / 10);
	free(seen);
	sp_map_close(forward);
	sp_map_close(backward);
	sp_indexed_close(x);
}

/* Without short sequences every epoch is cut alike, and still comes in another order. */
static void each_epoch_has_an_order_of_its_own(void **state)
{
	struct sp_indexed *x = open_mixed();
	struct sp_map_options o = options_make(61, 0, 0);
	struct sp_map *m;
	(void)state;
	assert_int_equal(sp_map_open(x, &o, &m), 0);
	const uint64_t size = (uint64_t)sp_map_size(m);
	for (uint64_t epoch = 1; epoch < 4; epoch++) {
		int same_place = 0;
		for (uint64_t k = 0; k < size; k++) {
			struct sp_group g, h;
			assert_int_equal(sp_map_group(m, k, &g), 0);
			assert_int_equal(sp_map_group(m, epoch * size + k, &h), 0);
			same_place += g.begin.sentence == h.begin.sentence;
		}
		assert_true(same_place < 20);
	}
	sp_map_close(m);
	sp_indexed_close(x);
}

static void short_sequences_have_their_share(void **state)
{
	struct sp_indexed *x = open_mixed();
	(void)state;
	for (int percent = 0; percent <= 100; percent += 25) {
		struct sp_map_options o = options_make(61, 0, percent / 100.0);
		struct sp_map *m;
		int64_t all = 0, shorter = 0;
		double sum = 0;
		assert_int_equal(sp_map_open(x, &o, &m), 0);
		for (int64_t k = 0; k < 20 * sp_map_size(m); k++) {
			struct sp_group g;
			assert_int_equal(sp_map_group(m, (uint64_t)k, &g), 0);
			all++;
			if (g.target < 61) {
				shorter++;
				sum += g.target;
			}
		}
		const double p = percent / 100.0 * 59 / 60, sigma = sqrt(p * (1 - p) / (double)all);
		if (fabs((double)shorter / (double)all - p) > 5 * sigma)
			fail_msg("%d %%: %.4f", percent, (double)shorter / (double)all);
		if (shorter > 0) /* uniform in 2 .. 60 */
			assert_true(fabs(sum / (double)shorter - 31) < 5 * 17.03 / sqrt((double)shorter));
		sp_map_close(m);
	}
	sp_indexed_close(x);
}

static void groups_of_order_have_two_sentences_where_the_document_does(void **state)
{
	struct sp_indexed *x = open_mixed();
	struct sp_map_options o = options_make(2500, 1, 0.9);
	struct sp_map *m;
	(void)state;
	assert_int_equal(sp_map_open(x, &o, &m), 0);
	for (int64_t k = 0; k < sp_map_size(m); k++) {
		struct sp_group g;
		int64_t filled = 0;
		assert_int_equal(sp_map_group(m, (uint64_t)k, &g), 0);
		int64_t d = document_of(x, g.begin.sentence);
		for (int64_t s = sp_indexed_document_first(x, d); s < sp_indexed_document_first(x, d + 1); s++)
			filled += sp_indexed_size(x, s) > 0;
		/* No sentence is as long as 2500: none is cut. */
		assert_int_equal(g.begin.offset, 0);
		assert_true(g.parts >= 2 || filled == 1);
	}
	sp_map_close(m);
	sp_indexed_close(x);
}

static void maps_of_other_seeds_streams_and_documents_differ(void **state)
{
	struct sp_indexed *x = open_mixed();
	struct sp_map_options o = options_make(61, 0, 0.1);
	struct sp_map *a, *b, *c, *d;
	int same_b = 0, same_c = 0;
	(void)state;
	assert_int_equal(sp_map_open(x, &o, &a), 0);
	o.seed++;
	assert_int_equal(sp_map_open(x, &o, &b), 0);
	o.seed--;
	o.stream++;
	assert_int_equal(sp_map_open(x, &o, &c), 0);
	o.first = 100;
	o.end = 101;
	assert_int_equal(sp_map_open(x, &o, &d), 0);
	struct sp_group g, h;
	for (uint64_t k = 0; k < 100; k++) {
		assert_int_equal(sp_map_group(a, k, &g), 0);
		assert_int_equal(sp_map_group(b, k, &h), 0);
		same_b += g.begin.sentence == h.begin.sentence;
		assert_int_equal(sp_map_group(c, k, &h), 0);
		same_c += g.begin.sentence == h.begin.sentence;
		assert_int_equal(sp_map_group(d, k, &h), 0);
		assert_int_equal(document_of(x, h.begin.sentence), 100);
	}
	assert_true(same_b < 5 && same_c < 5);
	sp_map_close(a);
	sp_map_close(b);
	sp_map_close(c);
	sp_map_close(d);
	sp_indexed_close(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_epoch_has_every_token_once),
		cmocka_unit_test(every_epoch_has_the_same_size_and_every_usable_document),
		cmocka_unit_test(epochs_are_cut_and_ordered_anew_in_any_order_of_calls),
		cmocka_unit_test(each_epoch_has_an_order_of_its_own),
		cmocka_unit_test(short_sequences_have_their_share),
		cmocka_unit_test(groups_of_order_have_two_sentences_where_the_document_does),
		cmocka_unit_test(maps_of_other_seeds_streams_and_documents_differ),
	};
	return cmocka_run_group_tests_name("map", tests, make_mixed, directory_remove);
}
