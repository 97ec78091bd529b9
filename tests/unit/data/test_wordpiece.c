/* WordPiece as BERT does it: against another implementation, and by hand where that one differs from BERT. */
#include "config.h"

#include "support.h"

#include "data/basic.h"
#include "data/wordpiece.h"

#include <seqpar/status.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *beside(const char *name)
{
	static char path[1024];
	const char *top = getenv("srcdir");
	snprintf(path, sizeof path, "%s/tests/unit/data/%s", top ? top : ".", name);
	return path;
}

/* The words that the basic tokenizer makes, with '|' after each. */
static int collect(void *context, const char *word, size_t size, size_t chars)
{
	char *line = context;
	size_t used = strlen(line);
	(void)chars;
	assert_true(used + size + 2 < 4096);
	memcpy(line + used, word, size);
	memcpy(line + used + size, "|", 2);
	return 0;
}

static const char *words_of(int cased, const char *text, size_t size)
{
	static char line[4096];
	struct sp_basic basic = { .cased = cased };
	line[0] = 0;
	assert_int_equal(sp_basic_split(&basic, text, size, collect, line), 0);
	sp_basic_free(&basic);
	return line;
}

#define assert_words(cased, text, expected) assert_string_equal(words_of(cased, text, sizeof text - 1), expected)

static size_t unhex(const char *hex, char *text)
{
	size_t n = 0;
	unsigned byte;
	for (; sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
		text[n] = (char)byte;
	return n;
}

static void check_line(struct sp_wordpiece *w[2], char *line, int number)
{
	static char text[8192];
	struct sp_ids ids = { 0 };
	char *mode = strtok(line, " \n"), *hex = strtok(NULL, " \n"), *word;
	size_t size = unhex(hex, text), i = 0;
	assert_int_equal(sp_wordpiece_encode(w[strcmp(mode, "cased") == 0], text, size, &ids), SP_OK);
	for (; (word = strtok(NULL, " \n")); i++)
		if (i >= ids.count || ids.id[i] != atoi(word))
			fail_msg("line %d of the golden file: id %zu is not %s", number, i, word);
	assert_int_equal(ids.count, i);
	free(ids.id);
}

static void ids_equal_those_of_another_implementation(void **state)
{
	struct sp_vocab *vocab;
	struct sp_wordpiece *w[2];
	static char line[16384];
	int number = 0, checked = 0;
	(void)state;
	assert_int_equal(sp_vocab_read(beside("wordpiece.vocab"), &vocab), SP_OK);
	assert_int_equal(sp_wordpiece_new(vocab, 0, &w[0]), SP_OK);
	assert_int_equal(sp_wordpiece_new(vocab, 1, &w[1]), SP_OK);
	FILE *file = fopen(beside("wordpiece.golden"), "r");
	assert_non_null(file);
	for (; fgets(line, sizeof line, file); number++) {
		if (line[0] == '#')
			continue;
		check_line(w, line, number + 1);
		checked++;
	}
	assert_true(checked >= 60);
	fclose(file);
	sp_wordpiece_free(w[0]);
	sp_wordpiece_free(w[1]);
	sp_vocab_free(vocab);
}

static void special_tokens_in_text_are_ordinary_text(void **state)
{
	(void)state;
	assert_words(0, "a [MASK] b[CLS]", "a|[|mask|]|b|[|cls|]|");
	assert_words(1, "a [MASK] b", "a|[|MASK|]|b|");
}

static void capital_sigma_at_the_end_of_a_word_becomes_final(void **state)
{
	(void)state;
	assert_words(0, "ΟΔΟΣ ΣΟΦΙΑ Σ ΑΣ, ΑΣ.Β ΑΣ' Α'Σ", "οδος|σοφια|σ|ας|,|ασ|.|β|ας|'|α|'|ς|");
	assert_words(1, "ΟΔΟΣ", "ΟΔΟΣ|");
}

static void private_characters_are_dropped_and_unassigned_ones_kept(void **state)
{
	(void)state;
	assert_words(0, "a\uE000b \u0378", "ab|\u0378|");
}

static void ideographs_of_extension_e_stand_alone_from_its_beginning(void **state)
{
	(void)state;
	assert_words(0, "a\U0002B820b\U0002B91Fc\U0002CEAFd\U0002CEB0e",
	             "a|\U0002B820|b|\U0002B91F|c|\U0002CEAF|d\U0002CEB0e|");
}

static void control_characters_vanish_and_blanks_separate(void **state)
{
	(void)state;
	assert_words(0, "a\0b \x01\x1f\x7f c\xC2\x85" "d\u200be\uFEFFf\tg\u2028h\u3000i", "ab|cdef|g|h|i|");
	assert_words(0, "\uFFFD x\uFFFDy", "xy|");
}

static void invalid_bytes_vanish(void **state)
{
	(void)state;
	assert_words(0, "a\x80" "b\xff\xc0\xaf" "c \xed\xa0\x80" "d \xf4\x90\x80\x80" "e\xe2\x82", "abc|d|e|");
}

static void accents_are_stripped_only_when_uncased(void **state)
{
	(void)state;
	assert_words(0, "\u00C9t\u00E9 E\u0301 \u1EC7 \u01D5", "ete|e|e|u|");
	assert_words(1, "\u00C9t\u00E9 E\u0301", "\u00C9t\u00E9|E\u0301|");
}

static void marks_that_stay_are_put_in_canonical_order(void **state)
{
	(void)state;
	assert_words(0, "a\u302E\U0001D165 a\u302E\u0301\U0001D165 a\u302E\u034F\U0001D165 a\u302F\u302E",
	             "a\U0001D165\u302E|a\U0001D165\u302E|a\u302E\U0001D165|a\u302F\u302E|");
}

static void unknown_words_are_counted(void **state)
{
	struct sp_vocab *vocab;
	struct sp_wordpiece *w;
	struct sp_ids ids = { 0 };
	static const char lines[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\nab\n##ba\n";
	static const int32_t expected[] = { 7, 8, 1, 1, 5 };
	(void)state;
	assert_int_equal(sp_vocab_parse("v", lines, sizeof lines - 1, &vocab), SP_OK);
	assert_int_equal(sp_wordpiece_new(vocab, 0, &w), SP_OK);
	assert_int_equal(sp_wordpiece_encode(w, "abba b abc a", 12, &ids), SP_OK);
	assert_int_equal(ids.count, 5);
	assert_memory_equal(ids.id, expected, sizeof expected);
	assert_int_equal(ids.unknown, 2);
	free(ids.id);
	sp_wordpiece_free(w);
	sp_vocab_free(vocab);
}

/* Whatever the bytes: no crash, no word that is empty or holds a blank. */
static int check_word(void *context, const char *word, size_t size, size_t chars)
{
	(void)context;
	assert_true(size > 0 && chars > 0 && chars <= size);
	assert_null(memchr(word, ' ', size));
	assert_null(memchr(word, 0, size));
	return 0;
}

static void random_bytes_do_no_harm(void **state)
{
	char text[256];
	uint32_t random = 12345;
	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct sp_basic basic = { .cased = round & 1 };
		size_t size = (random >> 8) % sizeof text;
		for (size_t i = 0; i < size; i++) {
			random = random * 1664525u + 1013904223u;
			text[i] = (char)(round % 3 ? random >> 24 : 0xC0 + (random >> 27) * (random >> 31));
		}
		assert_int_equal(sp_basic_split(&basic, text, size, check_word, NULL), 0);
		sp_basic_free(&basic);
		random = random * 1664525u + 1013904223u;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_equal_those_of_another_implementation),
		cmocka_unit_test(special_tokens_in_text_are_ordinary_text),
		cmocka_unit_test(capital_sigma_at_the_end_of_a_word_becomes_final),
		cmocka_unit_test(private_characters_are_dropped_and_unassigned_ones_kept),
		cmocka_unit_test(ideographs_of_extension_e_stand_alone_from_its_beginning),
		cmocka_unit_test(control_characters_vanish_and_blanks_separate),
		cmocka_unit_test(invalid_bytes_vanish),
		cmocka_unit_test(accents_are_stripped_only_when_uncased),
		cmocka_unit_test(marks_that_stay_are_put_in_canonical_order),
		cmocka_unit_test(unknown_words_are_counted),
		cmocka_unit_test(random_bytes_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
