/* A model directory decides the shape of what is trained; a setting that contradicts it is refused by name. */
#include "config.h"

#include "checkpoint/hf_config.h"
#include "train/adopt.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/seqpar-adopt-XXXXXX", file[64];

static const struct sp_model_config model = {
	.layers = 3, .hidden = 48, .heads = 4, .intermediate = 100, .vocab_size = 311, .max_positions = 64, .pre_norm = 1,
	.activation = SP_ACT_GELU_TANH, .dropout = 0.15f, .attention_dropout = 0.05f, .layer_norm_eps = 1e-6f,
	.sentence_order = 1,
};

static int write_config(const struct sp_model_config *config)
{
	char *text;
	if (sp_hf_config_text(config, 0, "float32", &text))
		return -1;
	FILE *f = fopen(file, "w");
	int bad = !f || fputs(text, f) < 0 || fclose(f) != 0;
	free(text);
	return bad;
}

static int write_model(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof file, "%s/config.json", dir);
	return write_config(&model);
}

static int remove_model(void **state)
{
	(void)state;
	return unlink(file) || rmdir(dir);
}

/* Adopts under up to two words; what is logged goes to `logged`. */
static char logged[2048];

static int adopt(struct sp_settings *s, const char *word, const char *second)
{
	char name[] = "/tmp/seqpar-adopted-XXXXXX";
	sp_settings_default(s);
	assert_int_equal(sp_settings_word(s, word), SP_OK);
	assert_int_equal(sp_settings_word(s, second), SP_OK);
	int log = mkstemp(name), kept = dup(STDERR_FILENO);
	assert_true(log >= 0 && kept >= 0);
	dup2(log, STDERR_FILENO);
	int status = sp_adopt_model(s, dir);
	dup2(kept, STDERR_FILENO);
	close(kept);
	lseek(log, 0, SEEK_SET);
	ssize_t n = read(log, logged, sizeof logged - 1);
	logged[n > 0 ? n : 0] = 0;
	close(log);
	unlink(name);
	return status;
}

static void what_was_not_given_comes_from_the_directory(void **state)
{
	(void)state;
	struct sp_settings s;
	assert_int_equal(adopt(&s, "train.iters=1", "train.sequence_length=64"), SP_OK);
	assert_int_equal(s.model.layers, 3);
	assert_int_equal(s.model.hidden, 48);
	assert_int_equal(s.model.heads, 4);
	assert_int_equal(s.model.intermediate, 100);
	assert_int_equal(s.model.vocab_size, 311);
	assert_int_equal(s.model.max_positions, 64);
	assert_int_equal(s.train.sequence_length, 64);
	assert_int_equal(s.model.norm, SP_NORM_PRE);
	assert_int_equal(s.model.activation, SP_ACTIVATION_GELU_TANH);
	assert_int_equal(s.model.sentence_order, 1);
	assert_true(s.model.dropout == 0.15 && s.model.attention_dropout == 0.05 && s.model.layer_norm_eps == 1e-6);
	assert_int_equal(sp_settings_finish(&s), SP_OK);
	assert_int_equal(s.model.layers, 3); /* the preset does not come over it */
}

static void what_contradicts_it_is_refused_by_name(void **state)
{
	(void)state;
	static const struct {
		const char *word, *says;
	} wrong[] = {
		{ "model.layers=4", "model.layers = 4 contradicts the model in" },
		{ "model.hidden=64", "which has 48; leave model.hidden out" },
		{ "model.heads=3", "model.heads = 3" },
		{ "model.intermediate=192", "model.intermediate = 192" },
		{ "model.vocab_size=30522", "model.vocab_size = 30522" },
		{ "model.norm=post", "model.norm = post" },
		{ "model.activation=gelu", "which has gelu_tanh" },
		{ "model.layer_norm_eps=1e-12", "which has 1e-06" },
		{ "model.preset=base", "base (12 layers, hidden 768)" },
		{ "model.max_positions=32", "fewer than the 64" },
		{ "model.max_positions=65", "set model.extend_positions" },
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct sp_settings s;
		assert_int_equal(adopt(&s, wrong[i].word, "train.iters=1"), SP_ERR_SETTING);
		if (!strstr(logged, wrong[i].says))
			fail_msg("not \"%s\" but: %s", wrong[i].says, logged);
	}
}

static void dropout_sentence_order_and_extended_positions_are_free(void **state)
{
	(void)state;
	struct sp_settings s;
	assert_int_equal(adopt(&s, "model.dropout=0", "model.sentence_order=false"), SP_OK);
	assert_true(s.model.dropout == 0 && s.model.sentence_order == 0 && s.model.attention_dropout == 0.05);
	assert_int_equal(adopt(&s, "model.max_positions=4096", "model.extend_positions=tile"), SP_OK);
	assert_int_equal(s.model.max_positions, 4096);
	assert_int_equal(adopt(&s, "model.layers=3", "model.norm=pre"), SP_OK); /* said twice */
}

static void a_window_belongs_to_the_model(void **state)
{
	(void)state;
	static const struct {
		const char *word, *says;
	} wrong[] = {
		{ "parallel.attention=ring", "parallel.attention = ring contradicts" },
		{ "model.window=8", "model.window = 8 contradicts" },
		{ "model.globals=8", "model.globals = 8 contradicts" },
		{ "model.global_every=0", "model.global_every = 0 contradicts" },
		{ "model.global_tokens=first", "model.global_tokens = first contradicts" },
	};
	struct sp_model_config with = model;
	struct sp_settings s;
	assert_int_equal(adopt(&s, "parallel.attention=window", "model.window=7"), SP_OK); /* one without may be given it */
	assert_int_equal(s.model.window, 7);
	with.window = 19;
	with.globals = 3;
	with.global_every = 2;
	with.global_separators = 1;
	assert_int_equal(write_config(&with), 0);
	assert_int_equal(adopt(&s, "train.iters=1", "train.iters=1"), SP_OK);
	assert_string_equal(s.parallel.attention, "window");
	assert_true(s.model.window == 19 && s.model.globals == 3 && s.model.global_every == 2);
	assert_int_equal(s.model.global_tokens, SP_GLOBAL_SEPARATORS);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_int_equal(adopt(&s, wrong[i].word, "train.iters=1"), SP_ERR_SETTING);
		if (!strstr(logged, wrong[i].says))
			fail_msg("not \"%s\" but: %s", wrong[i].says, logged);
	}
	assert_int_equal(write_config(&model), 0);
}

static void what_projects_sequences_belongs_to_the_model(void **state)
{
	(void)state;
	static const struct {
		const char *word, *second, *says;
	} wrong[] = {
		{ "parallel.attention=ring", "train.iters=1", "parallel.attention = ring contradicts" },
		{ "model.linformer_k=8", "train.iters=1", "model.linformer_k = 8 contradicts" },
		{ "model.linformer_share=layer", "train.iters=1", "model.linformer_share = layer contradicts" },
		{ "model.max_positions=65", "model.extend_positions=tile", "what projects its sequences (linformer) cannot be extended" },
	};
	struct sp_model_config with = model;
	struct sp_settings s;
	assert_int_equal(adopt(&s, "parallel.attention=linformer", "train.iters=1"), SP_OK); /* one without may be given it */
	assert_int_equal(s.model.linformer_k, 256);
	with.linformer_k = 19;
	with.linformer_share = SP_LINFORMER_MODEL;
	assert_int_equal(write_config(&with), 0);
	assert_int_equal(adopt(&s, "train.iters=1", "train.iters=1"), SP_OK);
	assert_string_equal(s.parallel.attention, "linformer");
	assert_int_equal(s.model.linformer_k, 19);
	assert_int_equal(s.model.linformer_share, SP_LINFORMED_MODEL);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_int_equal(adopt(&s, wrong[i].word, wrong[i].second), SP_ERR_SETTING);
		if (!strstr(logged, wrong[i].says))
			fail_msg("not \"%s\" but: %s", wrong[i].says, logged);
	}
	assert_int_equal(write_config(&model), 0);
}

static void the_vocabulary_is_the_directorys_unless_given(void **state)
{
	(void)state;
	struct sp_settings s;
	char path[80];
	assert_int_equal(adopt(&s, "data.source=a", "train.iters=1"), SP_OK);
	assert_string_equal(s.data.vocab, ""); /* there is none */
	snprintf(path, sizeof path, "%s/vocab.txt", dir);
	fclose(fopen(path, "w"));
	assert_int_equal(adopt(&s, "data.source=a", "train.iters=1"), SP_OK);
	assert_string_equal(s.data.vocab, path);
	assert_int_equal(adopt(&s, "data.source=a", "data.vocab=mine"), SP_OK);
	assert_string_equal(s.data.vocab, "mine");
	assert_int_equal(adopt(&s, "data.source=synthetic", "train.iters=1"), SP_OK);
	assert_string_equal(s.data.vocab, "");
	unlink(path);
}

static void a_directory_without_a_model_is_refused(void **state)
{
	(void)state;
	struct sp_settings s;
	sp_settings_default(&s);
	assert_int_not_equal(sp_adopt_model(&s, "/nonexistent"), SP_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_not_given_comes_from_the_directory),
		cmocka_unit_test(what_contradicts_it_is_refused_by_name),
		cmocka_unit_test(dropout_sentence_order_and_extended_positions_are_free),
		cmocka_unit_test(what_projects_sequences_belongs_to_the_model),
		cmocka_unit_test(a_window_belongs_to_the_model),
		cmocka_unit_test(the_vocabulary_is_the_directorys_unless_given),
		cmocka_unit_test(a_directory_without_a_model_is_refused),
	};
	return cmocka_run_group_tests(tests, write_model, remove_model);
}
