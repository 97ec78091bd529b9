/* vocab.txt: what is read, and what is refused with which words. */
#include "config.h"

#include "support.h"

#include "data/vocab.h"
#include "unit/data/messages.h"

#include <seqpar/status.h>
#include <string.h>

#define SPECIALS "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"

static void ids_are_line_numbers(void **state)
{
	static const char text[] = "a\n[MASK]\n[SEP]\n[CLS]\n[UNK]\n[PAD]\n##b\n##\n\xC3\xA9\n";
	struct sp_vocab *v;
	(void)state;
	assert_int_equal(sp_vocab_parse("v", text, sizeof text - 1, &v), SP_OK);
	assert_int_equal(sp_vocab_size(v), 9);
	assert_int_equal(sp_vocab_special(v, SP_PAD), 5);
	assert_int_equal(sp_vocab_special(v, SP_MASK), 1);
	assert_int_equal(sp_vocab_find(v, "a", 1), 0);
	assert_int_equal(sp_vocab_find(v, "\xC3\xA9", 2), 8);
	assert_int_equal(sp_vocab_find(v, "##b", 3), 6);
	assert_int_equal(sp_vocab_find(v, "##", 3), -1);
	assert_int_equal(sp_vocab_find(v, "b", 1), -1);
	assert_int_equal(sp_vocab_find(v, "", 0), -1);
	assert_string_equal(sp_vocab_token(v, 6), "##b");
	assert_int_equal(sp_vocab_longest(v), 6);
	sp_vocab_free(v);
}

static void continuation_is_known_for_each_id(void **state)
{
	static const char text[] = SPECIALS "a\n##a\n#\n##\n#a\n";
	static const int expected[] = { 0, 0, 0, 0, 0, 0, 1, 0, 0, 0 };
	struct sp_vocab *v;
	(void)state;
	assert_int_equal(sp_vocab_parse("v", text, sizeof text - 1, &v), SP_OK);
	for (int32_t id = 0; id < sp_vocab_size(v); id++)
		assert_int_equal(sp_vocab_continues(v, id), expected[id]);
	sp_vocab_free(v);
}

static void capitals_outside_of_markers_are_found(void **state)
{
	static const struct {
		const char *token;
		int capitals;
	} cases[] = {
		{ "a", 0 }, { "[unused1]", 0 }, { "A", 1 }, { "##xY", 1 }, { "[", 0 }, { "[X", 1 }, { "\xC3\xA9", 0 },
		{ "\xC3\x89", 1 }, { "\xD0\x96", 1 }, { "\xD0\xB6", 0 }, { "\xE4\xB8\xAD", 0 }, { "\xFF", 0 }, { "\xFFQ", 1 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[128];
		struct sp_vocab *v;
		snprintf(text, sizeof text, SPECIALS "%s\n", cases[i].token);
		assert_int_equal(sp_vocab_parse("v", text, strlen(text), &v), SP_OK);
		assert_int_equal(sp_vocab_has_capitals(v), cases[i].capitals);
		sp_vocab_free(v);
	}
}

static void line_ends_of_dos_are_accepted(void **state)
{
	static const char text[] = "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\na\r\n";
	struct sp_vocab *v;
	(void)state;
	assert_int_equal(sp_vocab_parse("v", text, sizeof text - 1, &v), SP_OK);
	assert_int_equal(sp_vocab_find(v, "a", 1), 5);
	sp_vocab_free(v);
}

static void faults_are_named_with_file_and_line(void **state)
{
	static const struct {
		const char *text, *words;
	} faults[] = {
		{ "", "v.txt: the file is empty" },
		{ SPECIALS "a\n\nb\n", "v.txt:7: empty line" },
		{ SPECIALS "a\n  \t\nb\n", "v.txt:7: empty line" },
		{ SPECIALS "a\nb\na\n", "v.txt:8: token 'a' is already on line 6" },
		{ SPECIALS "a\nb", "v.txt:7: the last line does not end with a newline" },
		{ "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", "v.txt: no line of its 5 holds [MASK]" },
		{ "a\n", "v.txt: no line of its 1 holds [PAD]" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		struct sp_vocab *v = NULL;
		messages_start();
		int status = sp_vocab_parse("v.txt", faults[i].text, strlen(faults[i].text), &v);
		const char *words = messages_end();
		assert_int_equal(status, SP_ERR_FORMAT);
		assert_null(v);
		assert_non_null(strstr(words, faults[i].words));
	}
}

static void zero_bytes_are_refused(void **state)
{
	static const char text[] = SPECIALS "a\0b\n";
	struct sp_vocab *v = NULL;
	(void)state;
	messages_start();
	int status = sp_vocab_parse("v.txt", text, sizeof text - 1, &v);
	assert_non_null(strstr(messages_end(), "v.txt:6: zero byte"));
	assert_int_equal(status, SP_ERR_FORMAT);
}

static void a_missing_file_is_named(void **state)
{
	struct sp_vocab *v = NULL;
	(void)state;
	messages_start();
	int status = sp_vocab_read("/nowhere/vocab.txt", &v);
	assert_non_null(strstr(messages_end(), "/nowhere/vocab.txt: cannot open the vocabulary: No such file"));
	assert_int_equal(status, SP_ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_line_numbers),
		cmocka_unit_test(continuation_is_known_for_each_id),
		cmocka_unit_test(capitals_outside_of_markers_are_found),
		cmocka_unit_test(line_ends_of_dos_are_accepted),
		cmocka_unit_test(faults_are_named_with_file_and_line),
		cmocka_unit_test(zero_bytes_are_refused),
		cmocka_unit_test(a_missing_file_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
