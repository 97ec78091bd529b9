/* The files beside vocab.txt: what they say, and how case is found out. */
#include "config.h"

#include "support.h"

#include "base/log.h"
#include "checkpoint/tokenizer_files.h"
#include "unit/data/messages.h"
#include "unit/data/scratch.h"

#include <string.h>

#define SPECIALS "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"

static void holds(char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strstr(text, *words))
			fail_msg("%s is not in: %s", *words, text);
	free(text);
}

static void texts_are_those_of_a_bert_tokenizer(void **state)
{
	static const char *const uncased[] = {
		"\"tokenizer_class\": \"BertTokenizer\"", "\"do_lower_case\": true", "\"model_max_length\": 4096",
		"\"strip_accents\": null", "\"tokenize_chinese_chars\": true", "\"mask_token\": \"[MASK]\"", NULL,
	};
	static const char *const cased[] = { "\"do_lower_case\": false", "\"model_max_length\": 1073741824", NULL };
	static const char *const special[] = {
		"\"unk_token\": \"[UNK]\"", "\"sep_token\": \"[SEP]\"", "\"pad_token\": \"[PAD]\"", "\"cls_token\": \"[CLS]\"",
		"\"mask_token\": \"[MASK]\"", NULL,
	};
	char *text;
	(void)state;
	assert_int_equal(sp_tokenizer_config_text(0, 4096, &text), SP_OK);
	holds(text, uncased);
	assert_int_equal(sp_tokenizer_config_text(1, 1073741824, &text), SP_OK);
	holds(text, cased);
	assert_int_equal(sp_tokenizer_special_text(&text), SP_OK);
	holds(text, special);
}

static int cased_with(const char *dir, const char *vocab_text)
{
	struct sp_vocab *v;
	int cased = -1;
	assert_int_equal(sp_vocab_parse("v", vocab_text, strlen(vocab_text), &v), SP_OK);
	assert_int_equal(sp_tokenizer_cased(dir, v, &cased), SP_OK);
	sp_vocab_free(v);
	return cased;
}

static void the_file_decides_and_else_the_vocabulary(void **state)
{
	char *text;
	(void)state;
	scratch_make();
	assert_int_equal(cased_with(NULL, SPECIALS "a\n"), 0);
	assert_int_equal(cased_with(NULL, SPECIALS "A\n"), 1);
	assert_int_equal(cased_with(scratch, SPECIALS "a\n"), 0);
	assert_int_equal(cased_with(scratch, SPECIALS "A\n"), 1);
	for (int cased = 0; cased < 2; cased++) {
		assert_int_equal(sp_tokenizer_config_text(cased, 512, &text), SP_OK);
		scratch_write("tokenizer_config.json", text, strlen(text));
		free(text);
		assert_int_equal(cased_with(scratch, SPECIALS "a\n"), cased);
		assert_int_equal(cased_with(scratch, SPECIALS "A\n"), cased);
	}
	scratch_write("tokenizer_config.json", "{}", 2);
	assert_int_equal(cased_with(scratch, SPECIALS "A\n"), 0);
	scratch_remove();
}

static void a_damaged_file_is_named(void **state)
{
	static const struct {
		const char *text, *words;
	} faults[] = {
		{ "", "tokenizer_config.json:" },
		{ "[]", "tokenizer_config.json: not a JSON object" },
		{ "{\"do_lower_case\": 1}", "tokenizer_config.json: do_lower_case is neither true nor false" },
	};
	struct sp_vocab *v;
	(void)state;
	scratch_make();
	assert_int_equal(sp_vocab_parse("v", SPECIALS, strlen(SPECIALS), &v), SP_OK);
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		int cased = -1;
		scratch_write("tokenizer_config.json", faults[i].text, strlen(faults[i].text));
		messages_start();
		assert_int_equal(sp_tokenizer_cased(scratch, v, &cased), SP_ERR_FORMAT);
		assert_non_null(strstr(messages_end(), faults[i].words));
		assert_int_equal(cased, -1);
	}
	sp_vocab_free(v);
	scratch_remove();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_those_of_a_bert_tokenizer),
		cmocka_unit_test(the_file_decides_and_else_the_vocabulary),
		cmocka_unit_test(a_damaged_file_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
