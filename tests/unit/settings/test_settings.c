/* Settings: the table against itself, precedence, presets, every error message, and a great deal of nonsense. */
#include "config.h"

#include "base/rng.h"
#include "settings/nearest.h"
#include "settings/settings.h"
#include "settings/table.h"

#include <seqpar/status.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- helpers: a file of settings, and what was logged meanwhile ---- */

static char logged[8192];
static char path[64];

static int quietly(int (*act)(struct sp_settings *s, const char *text), struct sp_settings *s, const char *text)
{
	char log[] = "/tmp/seqpar-log-XXXXXX";
	int file = mkstemp(log), kept = dup(STDERR_FILENO);
	assert_true(file >= 0 && kept >= 0);
	dup2(file, STDERR_FILENO);
	int status = act(s, text);
	dup2(kept, STDERR_FILENO);
	close(kept);
	lseek(file, 0, SEEK_SET);
	ssize_t n = read(file, logged, sizeof logged - 1);
	logged[n < 0 ? 0 : n] = 0;
	close(file);
	unlink(log);
	return status;
}

static int read_bytes(struct sp_settings *s, const char *text, size_t n)
{
	strcpy(path, "/tmp/seqpar-ini-XXXXXX");
	int file = mkstemp(path);
	assert_true(file >= 0);
	assert_int_equal(write(file, text, n), n);
	close(file);
	int status = quietly(sp_settings_read, s, path);
	unlink(path);
	return status;
}

static int read_text(struct sp_settings *s, const char *text)
{
	return read_bytes(s, text, strlen(text));
}

static int finish(struct sp_settings *s, const char *unused)
{
	(void)unused;
	return sp_settings_finish(s);
}

/* The one line that was logged says all these things. */
static void assert_logged(const char *first, ...)
{
	va_list args;
	va_start(args, first);
	for (const char *word = first; word; word = va_arg(args, const char *))
		if (!strstr(logged, word))
			fail_msg("\"%s\" is missing in: %s", word, logged);
	va_end(args);
	assert_ptr_equal(strchr(logged, '\n'), logged + strlen(logged) - 1);
}

/* ---- the table ---- */

static void names_are_unique_and_have_one_dot(void **state)
{
	(void)state;
	for (const struct sp_setting_entry *e = sp_settings_table; e->name; e++) {
		const char *dot = strchr(e->name, '.');
		assert_non_null(dot);
		assert_null(strchr(dot + 1, '.'));
		/* inih keeps 49 bytes of a section or key */
		assert_true(strlen(e->name) < 48);
		for (const struct sp_setting_entry *f = e + 1; f->name; f++)
			assert_string_not_equal(e->name, f->name);
	}
}

static void every_member_has_a_row_of_its_own(void **state)
{
	(void)state;
	char *owner = calloc(1, sizeof(struct sp_settings));
	assert_non_null(owner);
	size_t covered = 0;
	for (const struct sp_setting_entry *e = sp_settings_table; e->name; e++)
		for (size_t i = 0; i < e->size; i++, covered++) {
			assert_int_equal(owner[e->offset + i], 0);
			owner[e->offset + i] = 1;
		}
	/* only padding after ints may be left: three bytes short of a word at most for each of the choices */
	size_t choices = 0;
	for (const struct sp_setting_entry *e = sp_settings_table; e->name; e++)
		choices += e->kind == SP_SETTING_CHOICE;
	assert_true(sizeof(struct sp_settings) - covered <= 4 * choices + 7);
	free(owner);
}

static void every_default_is_inside_its_range(void **state)
{
	(void)state;
	struct sp_settings s;
	sp_settings_default(&s);
	for (const struct sp_setting_entry *e = sp_settings_table; e->name; e++) {
		char word[2048];
		snprintf(word, sizeof word, "%s=%s", e->name, e->initial);
		assert_int_equal(quietly(sp_settings_word, &s, word), SP_OK);
	}
}

static void ranges_are_intervals_that_exclude_something(void **state)
{
	(void)state;
	struct sp_settings s;
	sp_settings_default(&s);
	for (const struct sp_setting_entry *e = sp_settings_table; e->name; e++) {
		char open, close, word[256];
		double low, high;
		if (e->kind == SP_SETTING_TEXT || e->kind == SP_SETTING_CHOICE) {
			assert_string_equal(e->range, "");
			continue;
		}
		assert_int_equal(sscanf(e->range, "%c%lf,%lf%c", &open, &low, &high, &close), 4);
		assert_true((open == '[' || open == '(') && (close == ']' || close == ')') && low < high);
		snprintf(word, sizeof word, "%s=%.17g", e->name, e->kind == SP_SETTING_NUMBER ? low - 0.5 : low - 1);
		assert_int_equal(quietly(sp_settings_word, &s, word), SP_ERR_SETTING);
		assert_logged(e->name, e->range, NULL);
		if (open == '(') {
			snprintf(word, sizeof word, "%s=%.17g", e->name, low);
			assert_int_equal(quietly(sp_settings_word, &s, word), SP_ERR_SETTING);
		}
		if (close == ')') {
			snprintf(word, sizeof word, "%s=%.17g", e->name, high);
			assert_int_equal(quietly(sp_settings_word, &s, word), SP_ERR_SETTING);
		}
		snprintf(word, sizeof word, "%s=%s", e->name, e->kind == SP_SETTING_NUMBER ? "1e31" : "99999999999999999999");
		assert_int_equal(quietly(sp_settings_word, &s, word), SP_ERR_SETTING);
		assert_logged("out of range", NULL);
	}
}

static void values_print_as_they_are_read(void **state)
{
	(void)state;
	struct sp_settings s, again;
	sp_settings_default(&s);
	assert_int_equal(sp_settings_word(&s, "optimizer.lr=0.00012345678901234567"), SP_OK);
	assert_int_equal(sp_settings_word(&s, "train.seed=18446744073709551615"), SP_OK);
	assert_int_equal(sp_settings_word(&s, "model.norm=pre"), SP_OK);
	sp_settings_default(&again);
	struct sp_setting_row row;
	for (size_t i = 0; !sp_settings_row(i, &row); i++) {
		char word[2 * SP_TEXT], value[SP_TEXT];
		sp_settings_value(&s, i, value, sizeof value);
		snprintf(word, sizeof word, "%s=%s", row.name, value);
		assert_int_equal(sp_settings_word(&again, word), SP_OK);
	}
	assert_memory_equal(&s, &again, offsetof(struct sp_settings, given));
	assert_true(s.train.seed == UINT64_MAX);
}

/* ---- reading ---- */

static void a_file_sets_what_it_names_and_nothing_else(void **state)
{
	(void)state;
	struct sp_settings s, expected;
	sp_settings_default(&s);
	sp_settings_default(&expected);
	expected.model.layers = 7;
	expected.model.norm = SP_NORM_PRE;
	expected.model.dropout = 0.25;
	expected.model.sentence_order = 1;
	strcpy(expected.data.source, "0.7:a b,0.3:c");
	expected.train.seed = 12345678901234567890u;
	expected.optimizer.decay_style = SP_DECAY_COSINE;
	assert_int_equal(
		read_text(&s,
	              "\xEF\xBB\xBF; a comment\n# another\n\n[model]\nlayers = 7\n  norm=pre ; inline\n\tdropout: 0.25\r\n"
	              "sentence_order = true\n[data] ; section\nsource = 0.7:a b,0.3:c\n[train]\n"
	              "seed=12345678901234567890\n[optimizer]\ndecay_style = cosine"),
		SP_OK);
	assert_memory_equal(&s, &expected, offsetof(struct sp_settings, given));
}

static int parse_text(struct sp_settings *s, const char *text)
{
	return sp_settings_parse(s, "memory", text, strlen(text));
}

static void memory_is_read_as_a_file_is(void **state)
{
	static const char text[] = "[model]\nlayers = 3\n[optimizer]\nlr = 0.5";
	struct sp_settings a, b;
	(void)state;
	sp_settings_default(&a);
	sp_settings_default(&b);
	assert_int_equal(read_text(&a, text), SP_OK);
	assert_int_equal(quietly(parse_text, &b, text), SP_OK);
	assert_memory_equal(&a, &b, sizeof a);
	assert_int_equal(b.model.layers, 3);
	assert_int_equal(quietly(parse_text, &b, ""), SP_OK);
	assert_int_equal(quietly(parse_text, &b, "[model]\nlayers = x\n"), SP_ERR_SETTING);
	assert_non_null(strstr(logged, "memory:2: model.layers"));
	assert_int_equal(sp_settings_parse(&b, "m", "[model]\nlay\0ers = 4\n", 20), SP_ERR_SETTING);
}

static void words_come_after_files_and_the_last_one_wins(void **state)
{
	(void)state;
	struct sp_settings s;
	sp_settings_default(&s);
	assert_int_equal(read_text(&s, "[train]\niters = 5\niters = 6\n"), SP_OK);
	assert_int_equal(s.train.iters, 6);
	assert_int_equal(read_text(&s, "[train]\niters = 7\n"), SP_OK);
	assert_int_equal(sp_settings_word(&s, " train.iters = 8 " + 1), SP_OK);
	assert_int_equal(s.train.iters, 8);
}

static void only_what_was_set_counts_as_given(void **state)
{
	(void)state;
	struct sp_settings s;
	struct sp_setting_row row;
	size_t rows = 0, given = 0;
	sp_settings_default(&s);
	assert_int_equal(read_text(&s, "[model]\nhidden = 0\n"), SP_OK);
	assert_int_equal(sp_settings_word(&s, "log.trace="), SP_OK);
	assert_int_equal(quietly(sp_settings_word, &s, "train.iters=many"), SP_ERR_SETTING);
	for (; !sp_settings_row(rows, &row); rows++)
		given += (size_t)sp_settings_given(&s, row.name);
	assert_true(sp_settings_given(&s, "model.hidden") && sp_settings_given(&s, "log.trace"));
	assert_int_equal(given, 2);
	assert_true(rows <= 8 * sizeof s.given);
	assert_false(sp_settings_given(&s, "no.such"));
}

static void checkpoint_settings_that_lack_their_other_half_are_refused(void **state)
{
	(void)state;
	struct sp_settings s;
	sp_settings_default(&s);
	assert_int_equal(sp_settings_word(&s, "checkpoint.interval=5"), SP_OK);
	assert_int_equal(quietly(finish, &s, ""), SP_ERR_SETTING);
	assert_logged("checkpoint.interval = 5 needs checkpoint.dir", NULL);
	sp_settings_default(&s);
	assert_int_equal(sp_settings_word(&s, "model.extend_positions=tile"), SP_OK);
	assert_int_equal(quietly(finish, &s, ""), SP_ERR_SETTING);
	assert_logged("needs checkpoint.init", NULL);
}

static void the_tutorial_file_has_the_tutorials_values(void **state)
{
	(void)state;
	struct sp_settings s;
	char file[1024];
	const char *top = getenv("top_srcdir");
	snprintf(file, sizeof file, "%s/configs/tutorial.ini", top ? top : ".");
	sp_settings_default(&s);
	assert_int_equal(sp_settings_read(&s, file), SP_OK);
	assert_int_equal(sp_settings_finish(&s), SP_OK);
	assert_int_equal(s.model.layers, 4);
	assert_int_equal(s.model.heads, 4);
	assert_int_equal(s.model.hidden, 128);
	assert_int_equal(s.model.intermediate, 512);
	assert_int_equal(s.model.vocab_size, 30528);
	assert_int_equal(s.model.norm, SP_NORM_PRE);
	assert_int_equal(s.train.sequence_length, 128);
	assert_int_equal(s.train.global_batch, 32);
	assert_int_equal(s.train.iters, 10);
	assert_int_equal(s.train.eval_iters, 10);
	assert_int_equal(s.train.eval_interval, 10);
	assert_int_equal(s.train.seed, 1234);
	assert_int_equal(s.optimizer.decay_iters, 4);
	assert_true(s.optimizer.lr == 1e-4 && s.optimizer.min_lr == 1e-5 && s.optimizer.weight_decay == 0.01);
	assert_true(s.optimizer.warmup_fraction == 0.01);
	assert_int_equal(s.parallel.sequence, 2);
	assert_string_equal(s.data.source, "synthetic");
}

static void the_quickstarts_file_is_complete_with_data(void **state)
{
	(void)state;
	struct sp_settings s;
	char file[1024];
	const char *top = getenv("top_srcdir");
	snprintf(file, sizeof file, "%s/configs/quickstart.ini", top ? top : ".");
	sp_settings_default(&s);
	assert_int_equal(sp_settings_read(&s, file), SP_OK);
	assert_int_equal(sp_settings_word(&s, "data.source=tokens"), SP_OK);
	assert_int_equal(sp_settings_word(&s, "data.vocab=vocab.txt"), SP_OK);
	assert_int_equal(sp_settings_finish(&s), SP_OK);
	assert_int_equal(s.parallel.sequence, 2);
}

static void presets_fill_in_only_what_was_not_given(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		int64_t layers, hidden, heads, intermediate;
	} sizes[] = {
		{ "tiny", 2, 128, 2, 512 },      { "mini", 4, 256, 4, 1024 },   { "small", 4, 512, 8, 2048 },
		{ "medium", 8, 512, 8, 2048 },   { "base", 12, 768, 12, 3072 }, { "large", 24, 1024, 16, 4096 },
	};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int order = 0; order < 2; order++) {
			struct sp_settings s;
			char preset[64];
			snprintf(preset, sizeof preset, "model.preset=%s", sizes[i].name);
			sp_settings_default(&s);
			assert_int_equal(sp_settings_word(&s, order ? preset : "model.layers=3"), SP_OK);
			assert_int_equal(sp_settings_word(&s, order ? "model.layers=3" : preset), SP_OK);
			assert_int_equal(sp_settings_finish(&s), SP_OK);
			assert_int_equal(s.model.layers, 3);
			assert_int_equal(s.model.hidden, sizes[i].hidden);
			assert_int_equal(s.model.heads, sizes[i].heads);
			assert_int_equal(s.model.intermediate, sizes[i].intermediate);
			sp_settings_default(&s);
			assert_int_equal(sp_settings_word(&s, preset), SP_OK);
			assert_int_equal(sp_settings_finish(&s), SP_OK);
			assert_int_equal(s.model.layers, sizes[i].layers);
		}
}

/* ---- errors ---- */

static void errors_in_files_name_file_line_key_and_remedy(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int line;
		const char *says[3];
	} cases[] = {
		{ "[model]\nhiden = 3\n", 2, { "unknown setting model.hiden", "model.hidden" } },
		{ "\n[model]\nseed = 3\n", 3, { "unknown setting model.seed", "train.seed" } },
		{ "[modle]\nhidden = 3\n", 2, { "unknown setting modle.hidden", "model.hidden" } },
		{ "hidden = 3\n", 1, { "unknown setting hidden", "model.hidden" } },
		{ "[model]\nlayers = many\n", 2, { "model.layers", "\"many\" is not an integer", "[0,10000]" } },
		{ "[model]\nlayers = 12x\n", 2, { "\"12x\" is not an integer" } },
		{ "[model]\nlayers = 1.5\n", 2, { "\"1.5\" is not an integer" } },
		{ "[model]\nlayers = -1\n", 2, { "-1 is out of range", "[0,10000]" } },
		{ "[model]\nlayers = 99999999999999999999999\n", 2, { "out of range" } },
		{ "[model]\nlayers =\n", 2, { "\"\" is not an integer" } },
		{ "[train]\nseed = -1\n", 2, { "-1 is out of range" } },
		{ "[train]\nseed = 18446744073709551616\n", 2, { "out of range" } },
		{ "[model]\ndropout = nan\n", 2, { "model.dropout", "\"nan\" is not a number", "[0,1)" } },
		{ "[model]\ndropout = inf\n", 2, { "\"inf\" is not a number" } },
		{ "[model]\ndropout = 0x1p-2\n", 2, { "is not a number" } },
		{ "[model]\ndropout = 1\n", 2, { "1 is out of range", "[0,1)" } },
		{ "[model]\ndropout = 0.1 0.2\n", 2, { "is not a number" } },
		{ "[optimizer]\nlr = 1e999\n", 2, { "out of range" } },
		{ "[model]\nnorm = both\n", 2, { "\"both\" is not one of post|pre" } },
		{ "[model]\nsentence_order = 1\n", 2, { "\"1\" is not one of false|true" } },
		{ "[model]\npreset = bas\n", 2, { "\"bas\" is not one of tiny|mini" } },
		{ "[data]\nsplit = 1111111111111111111111111111111111111111111111111111111111111111111\n",
		  2,
		  { "too long", "63" } },
		{ "[model]\nlayers = 1\nlayers\n", 3, { "neither a [section]" } },
		{ "[model\nlayers = 1\n", 1, { "without its closing bracket" } },
		{ "[model] layers = 1\n", 1, { "text after a [section]" } },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sp_settings s;
		char place[80];
		sp_settings_default(&s);
		int status = read_text(&s, cases[i].text);
		snprintf(place, sizeof place, "%s:%d: ", path, cases[i].line);
		assert_int_equal(status, SP_ERR_SETTING);
		assert_logged(place, cases[i].says[0], cases[i].says[1], cases[i].says[2], NULL);
	}
}

static void an_overlong_line_is_an_error_and_never_two_lines(void **state)
{
	(void)state;
	struct sp_settings s;
	char text[600];
	sp_settings_default(&s);
	snprintf(text, sizeof text, "[data]\nvocab = %0300d\n", 0);
	assert_int_equal(read_text(&s, text), SP_ERR_SETTING);
	assert_logged(":2: line of 309 bytes is too long", NULL);
	snprintf(text, sizeof text, "# %0300d\n", 0);
	assert_int_equal(read_text(&s, text), SP_ERR_SETTING);
	assert_int_equal(read_bytes(&s, "[model]\nlay\0ers=1\n", 18), SP_ERR_SETTING);
	assert_logged(":2: a NUL byte", NULL);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
	(void)state;
	struct sp_settings s;
	sp_settings_default(&s);
	assert_int_equal(quietly(sp_settings_read, &s, "/nonexistent/a.ini"), SP_ERR_IO);
	assert_logged("/nonexistent/a.ini", "No such file", NULL);
	assert_int_equal(quietly(sp_settings_read, &s, "/tmp"), SP_ERR_IO);
	assert_logged("/tmp", "Is a directory", NULL);
}

static void errors_in_words_say_command_line(void **state)
{
	(void)state;
	struct sp_settings s;
	sp_settings_default(&s);
	assert_int_equal(quietly(sp_settings_word, &s, "train.itres=3"), SP_ERR_SETTING);
	assert_logged("command line: unknown setting train.itres", "train.iters", NULL);
	assert_int_equal(quietly(sp_settings_word, &s, "train.iters"), SP_ERR_SETTING);
	assert_logged("\"train.iters\" is not section.key=value", NULL);
	assert_int_equal(quietly(sp_settings_word, &s, "=3"), SP_ERR_SETTING);
	assert_int_equal(quietly(sp_settings_word, &s, "train.iters="), SP_ERR_SETTING);
	char word[2 * SP_TEXT];
	snprintf(word, sizeof word, "data.vocab=%01100d", 0);
	assert_int_equal(quietly(sp_settings_word, &s, word), SP_ERR_SETTING);
	assert_logged("data.vocab", "too long", NULL);
}

static void contradictions_are_found_with_both_values(void **state)
{
	(void)state;
	static const struct {
		const char *words[3];
		const char *says[3];
	} cases[] = {
		{ { "model.hidden=100", "model.heads=3" }, { "model.heads = 3", "model.hidden = 100" } },
		{ { "train.sequence_length=600" }, { "train.sequence_length = 600", "model.max_positions = 512" } },
		{ { "train.global_batch=30", "train.micro_batch=4" }, { "train.micro_batch = 4", "train.global_batch = 30" } },
		{ { "optimizer.min_lr=0.1" }, { "optimizer.min_lr = 0.1", "optimizer.lr" } },
		{ { "data.source=prefix" }, { "data.source = prefix", "data.vocab" } },
		{ { "data.source=" }, { "data.source is empty" } },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sp_settings s;
		sp_settings_default(&s);
		for (int j = 0; j < 3 && cases[i].words[j]; j++)
			assert_int_equal(sp_settings_word(&s, cases[i].words[j]), SP_OK);
		assert_int_equal(quietly(finish, &s, NULL), SP_ERR_SETTING);
		assert_logged(cases[i].says[0], cases[i].says[1], cases[i].says[2], NULL);
	}
}

static void the_nearest_name_is_the_one_meant(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "model.layer", "model.layers" },       { "layers", "model.layers" },
		{ "train.lr", "optimizer.lr" },          { "train.global_bacth", "train.global_batch" },
		{ "optim.weight_decay", "optimizer.weight_decay" }, { "log.metric", "log.metrics" },
		{ "parallel.seqence", "parallel.sequence" }, { "", "optimizer.lr" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_string_equal(sp_settings_nearest(cases[i][0]), cases[i][1]);
}

/* Whatever is in a file or word, reading it gives a status, one line for an error, and values inside their ranges. */
static void nonsense_never_gets_in(void **state)
{
	(void)state;
	static const char *const pieces[] = {
		"[model]\n",   "[data]", "[",      "]",  "=",  "layers",     "dropout = ", "0.5",  "1e308",
		"-",           "\n",     "\r\n",   ";",  "#",  " ",          "\t",         "\xff", "seed=",
		"99999999999", "%s%n",   "model.", "\\", "\"", "norm=pre\n", "source=x",   ":",    "vocab",
	};
	struct sp_rng rng;
	sp_rng_start(&rng, 7, SP_RNG_SYNTHETIC, 0, 0);
	for (int round = 0; round < 2000; round++) {
		char text[512] = "";
		int n = (int)sp_rng_below(&rng, 16);
		for (int i = 0; i < n; i++) {
			strcat(text, pieces[sp_rng_below(&rng, sizeof pieces / sizeof *pieces)]);
			if (sp_rng_below(&rng, 8) == 0 && text[0])
				text[sp_rng_below(&rng, strlen(text))] = (char)(1 + sp_rng_below(&rng, 255));
		}
		struct sp_settings s;
		sp_settings_default(&s);
		int status = round % 2 ? read_text(&s, text) : quietly(sp_settings_word, &s, text);
		assert_true(status == SP_OK || status == SP_ERR_SETTING);
		assert_true((status == SP_OK) == (logged[0] == 0));
		assert_true(s.model.dropout >= 0 && s.model.dropout < 1);
		assert_true(s.model.layers >= 0 && s.model.layers <= 10000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_unique_and_have_one_dot),
		cmocka_unit_test(every_member_has_a_row_of_its_own),
		cmocka_unit_test(every_default_is_inside_its_range),
		cmocka_unit_test(ranges_are_intervals_that_exclude_something),
		cmocka_unit_test(values_print_as_they_are_read),
		cmocka_unit_test(a_file_sets_what_it_names_and_nothing_else),
		cmocka_unit_test(memory_is_read_as_a_file_is),
		cmocka_unit_test(words_come_after_files_and_the_last_one_wins),
		cmocka_unit_test(only_what_was_set_counts_as_given),
		cmocka_unit_test(checkpoint_settings_that_lack_their_other_half_are_refused),
		cmocka_unit_test(the_tutorial_file_has_the_tutorials_values),
		cmocka_unit_test(the_quickstarts_file_is_complete_with_data),
		cmocka_unit_test(presets_fill_in_only_what_was_not_given),
		cmocka_unit_test(errors_in_files_name_file_line_key_and_remedy),
		cmocka_unit_test(an_overlong_line_is_an_error_and_never_two_lines),
		cmocka_unit_test(a_file_that_cannot_be_read_is_named),
		cmocka_unit_test(errors_in_words_say_command_line),
		cmocka_unit_test(contradictions_are_found_with_both_values),
		cmocka_unit_test(the_nearest_name_is_the_one_meant),
		cmocka_unit_test(nonsense_never_gets_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
