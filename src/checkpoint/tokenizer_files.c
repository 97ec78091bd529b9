#include "config.h"

#include "checkpoint/tokenizer_files.h"

#include "base/log.h"
#include "checkpoint/json_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONFIG "tokenizer_config.json"

enum { CONFIG_MOST = 16 << 20 }; /* bytes; others list added tokens there */

static const struct {
	const char *key;
	enum sp_special which;
} specials[] = {
	{ "unk_token", SP_UNK }, { "sep_token", SP_SEP }, { "pad_token", SP_PAD }, { "cls_token", SP_CLS },
	{ "mask_token", SP_MASK },
};

static int add_specials(json_t *root)
{
	int failed = 0;
	for (size_t i = 0; i < sizeof specials / sizeof *specials; i++)
		failed |= json_object_set_new(root, specials[i].key, json_string(sp_vocab_special_name(specials[i].which)));
	return failed;
}

/* strip_accents null: accents go exactly if text is lower-cased, as here. */
int sp_tokenizer_config_text(int cased, int64_t max_positions, char **text)
{
	json_t *root = json_pack("{s:s, s:b, s:b, s:n, s:I}", "tokenizer_class", "BertTokenizer", "do_lower_case", !cased,
	                         "tokenize_chinese_chars", 1, "strip_accents", "model_max_length", (json_int_t)max_positions);
	const int failed = add_specials(root);
	const int status = sp_json_text(failed ? NULL : root, text);
	json_decref(root);
	return status;
}

int sp_tokenizer_special_text(char **text)
{
	json_t *root = json_object();
	const int failed = add_specials(root);
	const int status = sp_json_text(failed ? NULL : root, text);
	json_decref(root);
	return status;
}

/* A tokenizer that is not told otherwise makes lower case of everything. */
static int take(const char *path, const json_t *root, int *cased)
{
	const json_t *lower = json_object_get(root, "do_lower_case");
	if (lower && !json_is_boolean(lower))
		return sp_fail(SP_ERR_FORMAT, "%s: do_lower_case is neither true nor false", path);
	*cased = json_is_false(lower);
	return SP_OK;
}

static int has_config(const char *dir)
{
	char *path;
	if (asprintf(&path, "%s/" CONFIG, dir) < 0)
		return 0;
	const int found = access(path, F_OK) == 0;
	free(path);
	return found;
}

int sp_tokenizer_cased(const char *dir, const struct sp_vocab *vocab, int *cased)
{
	char *path;
	json_t *root = NULL;
	if (!dir || !has_config(dir)) {
		*cased = sp_vocab_has_capitals(vocab);
		return SP_OK;
	}
	int status = sp_json_file_read(dir, CONFIG, CONFIG_MOST, &path, &root);
	if (status == SP_OK)
		status = take(path, root, cased);
	json_decref(root);
	free(path);
	return status;
}
