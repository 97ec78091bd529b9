#include "config.h"

#include "unit/data/token_files.h"

#include "base/rng.h"
#include "data/blend.h"
#include "data/split.h"

/* Every prefix of the sequence has each corpus within one of its share, and uses it in order without gaps. */
static void assert_proportions(const char *source)
{
	struct sp_blend b;
	uint64_t used[64] = { 0 };
	assert_int_equal(sp_blend_parse(source, &b), 0);
	assert_true(b.corpora <= 64);
	for (uint64_t i = 0; i < 2 * (uint64_t)b.period + 7; i++) {
		int corpus;
		uint64_t own;
		sp_blend_locate(&b, i, &corpus, &own);
		assert_true(own == used[corpus]);
		used[corpus]++;
		for (int c = 0; c < b.corpora; c++)
			if (fabs((double)used[c] - (double)(i + 1) * (double)b.weight[c] / (double)b.period) >= 1)
				fail_msg("%s: after %llu samples %llu of corpus %d", source, (unsigned long long)i + 1,
					(unsigned long long)used[c], c);
	}
	sp_blend_free(&b);
}

static void every_prefix_has_the_proportions_within_one_sample(void **state)
{
	(void)state;
	assert_proportions("A");
	assert_proportions("0.7:A,0.3:B");
	assert_proportions("1:A,1:B,1:C");
	assert_proportions("949:A,50:B,1:C");
	assert_proportions("0.333:A,0.333:B,0.334:C");
	assert_proportions("1:A,1:B,1:C,1:D,1:E,1:F,1:G,100:H");
	assert_proportions("0.0001:A,0.9999:B");
	struct sp_rng rng;
	sp_rng_start(&rng, 5, SP_RNG_SYNTHETIC, 0, 0);
	for (int t = 0; t < 50; t++) {
		char source[1024] = "";
		for (int c = 0; c < 3 + t % 12; c++)
			snprintf(source + strlen(source), sizeof source - strlen(source), "%s%d.%d:C%d", c ? "," : "",
				(int)sp_rng_below(&rng, 30), 1 + (int)sp_rng_below(&rng, 9), c);
		assert_proportions(source);
	}
}

static void weights_are_exact_decimals_and_prefixes_are_trimmed(void **state)
{
	struct sp_blend b;
	(void)state;
	assert_int_equal(sp_blend_parse(" 0.70: data/a , 1.4:/x/b.c,.7:d", &b), 0);
	assert_int_equal(b.corpora, 3);
	assert_int_equal(b.period, 4);
	assert_int_equal(b.weight[1], 2);
	assert_string_equal(b.prefix[0], "data/a");
	assert_string_equal(b.prefix[1], "/x/b.c");
	assert_string_equal(b.prefix[2], "d");
	sp_blend_free(&b);
	assert_false(sp_blend_is("dir:with/colon,and comma"));
	assert_false(sp_blend_is("synthetic"));
	assert_false(sp_blend_is("0.7"));
	assert_true(sp_blend_is("A,0.3:B"));
}

static void blend_errors_name_the_character(void **state)
{
	static const struct {
		const char *source, *message;
	} wrong[] = {
		{ "A,0.3:B", "character 1: no weight" },
		{ "0.7:A,B", "character 7: no weight" },
		{ "0.7:A,", "character 7: no weight" },
		{ "0.7:A,0.3", "character 10: expected a colon" },
		{ "0.7:,0.3:B", "character 5: no PREFIX" },
		{ "0.7:A,-0.3:B", "character 7: a weight must be above 0" },
		{ "0:A,1:B", "character 1: a weight must be above 0" },
		{ "0.7:A,0.3x:B", "character 10: expected a colon" },
		{ "0.7:A,0.3:synthetic", "character 11: synthetic data cannot be blended" },
		{ "0.123456789:A,0.87654321:B", "six or fewer" },
		{ "0.1234567890123:A,1:B", "too many digits" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct sp_blend b;
		capture_begin();
		int status = sp_blend_parse(wrong[i].source, &b);
		const char *message = capture_end();
		assert_int_equal(status, SP_ERR_SETTING);
		if (!strstr(message, wrong[i].message) || !strstr(message, "data.source"))
			fail_msg("%s: %s", wrong[i].source, message);
	}
}

static void assert_split(const char *text, int64_t documents, int64_t train, int64_t valid, int64_t test)
{
	double weight[SP_SPLITS];
	int64_t bound[SP_SPLITS + 1];
	assert_int_equal(sp_split_parse(text, weight), 0);
	assert_int_equal(sp_split_bounds(weight, documents, "X", bound), 0);
	assert_int_equal(bound[0], 0);
	assert_int_equal(bound[1], train);
	assert_int_equal(bound[2] - bound[1], valid);
	assert_int_equal(bound[3] - bound[2], test);
}

static void documents_are_split_in_proportion_and_no_weighted_split_is_empty(void **state)
{
	(void)state;
	assert_split("949,50,1", 1000, 949, 50, 1);
	assert_split("949,50,1", 1000000, 949000, 50000, 1000);
	assert_split("949,50,1", 100, 94, 5, 1);
	assert_split("949,50,1", 3, 1, 1, 1);
	assert_split("0.5, 0.5", 7, 4, 3, 0);
	assert_split("1", 5, 5, 0, 0);
	assert_split("0,0,1", 5, 0, 0, 5);
	assert_split("1,0,1", 2, 1, 0, 1);
	assert_split("99,1,0", 10, 9, 1, 0);
}

static void split_errors_say_where(void **state)
{
	static const char *const wrong[][2] = {
		{ "", "character 1: no number" },
		{ "a,b", "character 1: no number" },
		{ "949,", "character 5: no number" },
		{ "949,50,1,2", "character 10: more than three" },
		{ "949;50", "character 4: expected a comma" },
		{ "949,-50,1", "character 5: a weight must be 0 or more" },
		{ "nan", "character 1: a weight must be 0 or more" },
		{ "0,0,0", "sum above 0" },
	};
	double weight[SP_SPLITS];
	int64_t bound[SP_SPLITS + 1];
	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		capture_begin();
		int status = sp_split_parse(wrong[i][0], weight);
		const char *message = capture_end();
		assert_int_equal(status, SP_ERR_SETTING);
		if (!strstr(message, wrong[i][1]) || !strstr(message, "data.split"))
			fail_msg("%s: %s", wrong[i][0], message);
	}
	assert_int_equal(sp_split_parse("949,50,1", weight), 0);
	capture_begin();
	assert_int_equal(sp_split_bounds(weight, 2, "corpus", bound), SP_ERR_SETTING);
	assert_non_null(strstr(capture_end(), "corpus has 2 documents"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_prefix_has_the_proportions_within_one_sample),
		cmocka_unit_test(weights_are_exact_decimals_and_prefixes_are_trimmed),
		cmocka_unit_test(blend_errors_name_the_character),
		cmocka_unit_test(documents_are_split_in_proportion_and_no_weighted_split_is_empty),
		cmocka_unit_test(split_errors_say_where),
	};
	return cmocka_run_group_tests_name("blend", tests, directory_make, directory_remove);
}
