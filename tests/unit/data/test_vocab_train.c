/* Vocabularies made from text: known answers on texts that can be followed by hand, and properties on larger ones. */
#include "config.h"

#include "support.h"

#include "data/vocab.h"
#include "data/vocab_train.h"
#include "unit/data/messages.h"
#include "unit/data/scratch.h"

#include <seqpar/status.h>

static int train(const char *text, struct sp_vocab_train_options options, struct sp_vocab_trained *trained)
{
	struct sp_word_counts *words;
	assert_int_equal(sp_word_counts_new(0, &words), SP_OK);
	assert_int_equal(sp_word_counts_add(words, text, strlen(text)), SP_OK);
	int status = sp_vocab_train(words, &options, trained);
	sp_word_counts_free(words);
	return status;
}

static void assert_tokens(const char *text, struct sp_vocab_train_options options, const char *expected)
{
	struct sp_vocab_trained trained;
	char line[1024] = "";
	assert_int_equal(train(text, options, &trained), SP_OK);
	assert_int_equal(trained.count, options.size);
	for (int64_t i = SP_SPECIALS; i < trained.count; i++)
		snprintf(line + strlen(line), sizeof line - strlen(line), " %s", trained.token[i]);
	for (int i = 0; i < SP_SPECIALS; i++)
		assert_string_equal(trained.token[i], sp_vocab_special_name((enum sp_special)i));
	assert_string_equal(line, expected);
	sp_vocab_trained_free(&trained);
}

/* hug 10, pug 5, pun 12, bun 4, hugs 5 times. Pairs at first: (u, n) 16, (u, g) 20, (h, u) 15, (p, u) 17, (b, u) 4,
 * (g, s) 5. Joined in turn: ##ug (20), then ##un (16; p ##un 12, h ##ug 15 are less), h ##ug (15), p ##un (12), and of
 * the fives, which are p ##ug and hug ##s, the one whose parts are older. */
static void merges_follow_the_highest_count(void **state)
{
	char text[1024] = "";
	(void)state;
	for (int i = 0; i < 12; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s%s%spun ", i < 10 ? "hug " : "",
		         i < 5 ? "pug " : "", i < 4 ? "bun " : "", i < 5 ? "hugs " : "");
	assert_tokens(text, (struct sp_vocab_train_options){ .size = 21, .min_frequency = 2, .alphabet = 100 },
	              " b g h n p s u ##g ##n ##s ##u ##ug ##un hug pun pug");
	assert_tokens(text, (struct sp_vocab_train_options){ .size = 23, .min_frequency = 2, .alphabet = 100 },
	              " b g h n p s u ##g ##n ##s ##u ##ug ##un hug pun pug hugs bun");
}

static void a_repeated_letter_is_joined_from_the_left(void **state)
{
	(void)state;
	/* x ##a ##a ##a ##a ##a: (##a, ##a) four times, then ##aa ##aa ##a, (x, ##aa), (##aa, ##aa) and (##aa, ##a) twice:
	 * x is older than ##aa. */
	assert_tokens("xaaaaa xaaaaa", (struct sp_vocab_train_options){ .size = 10, .min_frequency = 2, .alphabet = 100 },
	              " a x ##a ##aa xaa");
}

static void no_token_appears_twice(void **state)
{
	struct sp_vocab_trained trained;
	(void)state;
	assert_int_equal(train("abcabc abc abc bcbc bcbc abab abab cabc ab bc xabc xabc xbc aabbcc aabbcc",
	                       (struct sp_vocab_train_options){ .size = 60, .min_frequency = 1, .alphabet = 100 },
	                       &trained),
	                 SP_OK);
	for (int64_t i = 0; i < trained.count; i++)
		for (int64_t j = 0; j < i; j++)
			assert_string_not_equal(trained.token[i], trained.token[j]);
	sp_vocab_trained_free(&trained);
}

static void rare_pairs_are_not_joined_and_the_rest_is_filled_up(void **state)
{
	(void)state;
	assert_tokens("ab ab ac", (struct sp_vocab_train_options){ .size = 13, .min_frequency = 2, .alphabet = 100 },
	              " a b c ##b ##c ab [unused0] [unused1]");
}

static void the_alphabet_keeps_the_most_frequent_characters(void **state)
{
	struct sp_vocab_trained trained;
	(void)state;
	assert_tokens("aab aab ac ac ac zc",
	              (struct sp_vocab_train_options){ .size = 9, .min_frequency = 2, .alphabet = 2 }, " a c ##a ##c");
	assert_int_equal(train("aab aab ac ac ac zc",
	                       (struct sp_vocab_train_options){ .size = 10, .min_frequency = 2, .alphabet = 2 }, &trained),
	                 SP_OK);
	assert_int_equal(trained.characters, 2);
	assert_int_equal(trained.dropped, 2);
	assert_string_equal(trained.token[9], "ac");
	sp_vocab_trained_free(&trained);
}

static void impossible_wishes_are_errors(void **state)
{
	struct sp_vocab_trained trained;
	(void)state;
	messages_start();
	int few =
		train("abc def", (struct sp_vocab_train_options){ .size = 14, .min_frequency = 2, .alphabet = 100 }, &trained);
	int none =
		train(" \n ", (struct sp_vocab_train_options){ .size = 14, .min_frequency = 2, .alphabet = 100 }, &trained);
	const char *words = messages_end();
	assert_int_equal(few, SP_ERR_SETTING);
	assert_non_null(strstr(words, "--size 15 or more"));
	assert_int_equal(none, SP_ERR_FORMAT);
	assert_non_null(strstr(words, "there are no words"));
}

/* Makes words of a small alphabet; many share pieces. */
static void make_text(char *text, uint32_t random, int words)
{
	for (int i = 0; i < words; i++) {
		random = random * 1664525u + 1013904223u;
		int length = 1 + (int)(random >> 29);
		for (int j = 0; j < length; j++) {
			random = random * 1664525u + 1013904223u;
			*text++ = "aaabbcd"[(random >> 16) % 7];
		}
		*text++ = ' ';
	}
	*text = 0;
}

/* The plain way: all pairs counted anew before each join. */
#define TOKENS 128
struct plain {
	int word[400][16], size[400], words;
	char token[TOKENS][64];
	int tokens;
};

static int plain_token(struct plain *p, const char *text)
{
	for (int i = 0; i < p->tokens; i++)
		if (strcmp(p->token[i], text) == 0)
			return i;
	assert_true(p->tokens < TOKENS);
	snprintf(p->token[p->tokens], sizeof p->token[0], "%s", text);
	return p->tokens++;
}

static void plain_start(struct plain *p, char *text)
{
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
		for (int i = 0; word[i]; i++) {
			char token[8];
			snprintf(token, sizeof token, "%s%c", i ? "##" : "", word[i]);
			p->word[p->words][p->size[p->words]++] = plain_token(p, token);
		}
		p->words++;
	}
}

static void plain_replace(struct plain *p, int a, int b, int joined)
{
	for (int w = 0; w < p->words; w++) {
		int kept = 0;
		for (int i = 0; i < p->size[w]; i++) {
			int here = i + 1 < p->size[w] && p->word[w][i] == a && p->word[w][i + 1] == b;
			p->word[w][kept++] = here ? joined : p->word[w][i];
			i += here;
		}
		p->size[w] = kept;
	}
}

/* Joins the best pair; 0 if none occurs twice. */
static int plain_join(struct plain *p)
{
	static int count[TOKENS][TOKENS];
	int best = 0, at = 0, bt = 0;
	char text[64];
	memset(count, 0, sizeof count);
	for (int w = 0; w < p->words; w++)
		for (int i = 0; i + 1 < p->size[w]; i++)
			count[p->word[w][i]][p->word[w][i + 1]]++;
	for (int a = 0; a < p->tokens; a++)
		for (int b = 0; b < p->tokens; b++)
			if (count[a][b] > best)
				best = count[at = a][bt = b];
	if (best < 2)
		return 0;
	snprintf(text, sizeof text, "%.31s%.31s", p->token[at], p->token[bt] + 2);
	plain_replace(p, at, bt, plain_token(p, text));
	return 1;
}

static void counts_kept_up_to_date_equal_counts_taken_anew(void **state)
{
	static struct plain p;
	char text[8192];
	(void)state;
	for (uint32_t seed = 1; seed <= 20; seed++) {
		struct sp_vocab_trained trained;
		p = (struct plain){ 0 };
		make_text(text, seed, 300);
		assert_int_equal(
			train(text, (struct sp_vocab_train_options){ .size = 110, .min_frequency = 2, .alphabet = 9 }, &trained),
			SP_OK);
		for (int64_t i = SP_SPECIALS; i < SP_SPECIALS + 8; i++) /* a b c d ##a ##b ##c ##d */
			plain_token(&p, trained.token[i]);
		plain_start(&p, text);
		assert_int_equal(p.tokens, 8);
		while (p.tokens < 105 && plain_join(&p))
			;
		assert_true(p.tokens > 60);
		for (int i = 0; i < p.tokens; i++)
			assert_string_equal(trained.token[SP_SPECIALS + i], p.token[i]);
		assert_int_equal(trained.unused, 105 - p.tokens);
		sp_vocab_trained_free(&trained);
	}
}

static void a_written_vocabulary_can_be_read(void **state)
{
	struct sp_vocab_trained trained;
	struct sp_vocab *vocab;
	(void)state;
	scratch_make();
	assert_int_equal(train("ab ab ac",
	                       (struct sp_vocab_train_options){ .size = 13, .min_frequency = 2, .alphabet = 100 },
	                       &trained),
	                 SP_OK);
	assert_int_equal(sp_vocab_write(scratch_path("vocab.txt"), &trained), SP_OK);
	assert_int_equal(sp_vocab_read(scratch_path("vocab.txt"), &vocab), SP_OK);
	assert_int_equal(sp_vocab_size(vocab), 13);
	for (int32_t id = 0; id < 13; id++)
		assert_string_equal(sp_vocab_token(vocab, id), trained.token[id]);
	sp_vocab_free(vocab);
	unlink(scratch_path("vocab.txt"));
	assert_int_equal(rmdir(scratch), 0); /* nothing else was left */
	messages_start();
	int status = sp_vocab_write("/dev/full", &trained);
	assert_non_null(strstr(messages_end(), "/dev/full: is there and not a regular file"));
	assert_int_equal(status, SP_ERR_IO);
	sp_vocab_trained_free(&trained);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(merges_follow_the_highest_count),
		cmocka_unit_test(a_repeated_letter_is_joined_from_the_left),
		cmocka_unit_test(no_token_appears_twice),
		cmocka_unit_test(rare_pairs_are_not_joined_and_the_rest_is_filled_up),
		cmocka_unit_test(the_alphabet_keeps_the_most_frequent_characters),
		cmocka_unit_test(impossible_wishes_are_errors),
		cmocka_unit_test(counts_kept_up_to_date_equal_counts_taken_anew),
		cmocka_unit_test(a_written_vocabulary_can_be_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
