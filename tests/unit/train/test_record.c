/* What a checkpoint says about its run is read back as it was written, and each setting that differs is told of as much as
 * it matters. */
#include "config.h"

#include "support.h"

#include "checkpoint/directory.h"
#include "train/record.h"
#include "unit/data/messages.h"
#include "unit/data/scratch.h"

#include <seqpar/status.h>

static struct sp_settings settings_of(const char *const *words)
{
	struct sp_settings s;
	sp_settings_default(&s);
	for (; *words; words++)
		assert_int_equal(sp_settings_word(&s, *words), SP_OK);
	assert_int_equal(sp_settings_finish(&s), SP_OK);
	return s;
}

static const char *const then[] = { "model.preset=tiny", "optimizer.lr=1.2345678901234567e-4", "train.iters=100",
	                                "train.seed=9007199254740992", "model.layer_norm_eps=1e-5", "data.vocab=a\"b", NULL };

static void write_record(void)
{
	const struct sp_settings s = settings_of(then);
	const struct sp_record r = { .step = 1000000000000, .tokens = 1.5e15, .loss_scale = 4096, .loss_scale_steps = 77,
		                         .taken = 999999999990, .vocab_size = 211,
		                         .grid = { { 2, 1, 3, 1 } } };
	char *text;
	assert_int_equal(sp_record_text(&r, &s, &text), SP_OK);
	scratch_make();
	scratch_write(SP_CHECKPOINT_RECORD, text, strlen(text));
	free(text);
}

static int clear(void **state)
{
	(void)state;
	scratch_remove();
	return 0;
}

struct told {
	int count;
	char words[1024];
};

static void tell(void *ctx, enum sp_difference how, const char *name, const char *before, const char *now)
{
	struct told *t = ctx;
	const size_t n = strlen(t->words);
	snprintf(t->words + n, sizeof t->words - n, "%d %s %s %s;", (int)how, name, before, now);
	t->count++;
}

static enum sp_difference compare(const struct sp_settings *now, struct told *told)
{
	struct sp_record r;
	memset(told, 0, sizeof *told);
	assert_int_equal(sp_record_read(scratch, &r), SP_OK);
	const enum sp_difference worst = sp_record_compare(&r, now, tell, told);
	sp_record_release(&r);
	return worst;
}

static void what_was_written_is_read(void **state)
{
	(void)state;
	struct sp_record r;
	write_record();
	assert_int_equal(sp_record_read(scratch, &r), SP_OK);
	assert_int_equal(r.step, 1000000000000);
	assert_true(r.tokens == 1.5e15 && r.loss_scale == 4096);
	assert_true(r.loss_scale_steps == 77 && r.taken == 999999999990);
	assert_int_equal(r.vocab_size, 211);
	assert_int_equal(r.grid.at[SP_AXIS_DATA], 2);
	assert_int_equal(r.grid.at[SP_AXIS_SEQUENCE], 3);
	sp_record_release(&r);
}

static void the_same_settings_differ_in_nothing(void **state)
{
	(void)state;
	const struct sp_settings s = settings_of(then);
	struct told told;
	write_record();
	assert_int_equal(compare(&s, &told), SP_DIFFERENCE_NONE);
	assert_string_equal(told.words, "");
}

static void differences_are_told_as_they_matter(void **state)
{
	(void)state;
	struct sp_settings s = settings_of(then);
	struct told told;
	write_record();
	strcpy(s.log.metrics, "elsewhere");
	s.checkpoint.keep = 99;
	assert_int_equal(compare(&s, &told), SP_DIFFERENCE_NONE);
	s.train.iters = 200;
	s.optimizer.lr = 2e-4;
	assert_int_equal(compare(&s, &told), SP_DIFFERENCE_NOTED);
	assert_string_equal(told.words, "1 train.iters 100 200;1 optimizer.lr 0.000123456789012346 0.0002;");
	s.train.seed = 9007199254740993; /* as doubles these two are one */
	strcpy(s.data.vocab, "c");
	assert_int_equal(compare(&s, &told), SP_DIFFERENCE_LOUD);
	assert_non_null(strstr(told.words, "2 data.vocab a\"b c;"));
	assert_non_null(strstr(told.words, "2 train.seed 9007199254740992 9007199254740993;"));
	s.model.norm = SP_NORM_PRE;
	s.model.hidden = 64;
	s.model.layer_norm_eps = 1e-12;
	assert_int_equal(compare(&s, &told), SP_DIFFERENCE_FATAL);
	assert_non_null(strstr(told.words, "3 model.hidden 128 64;3 model.norm post pre;3 model.layer_norm_eps 1e-05 1e-12;"));
	assert_int_equal(told.count, 7);
}

/* Other kinds of attention may follow one another, they are the same function. */
static void attention_with_weights_of_its_own_is_another_model(void **state)
{
	(void)state;
	struct sp_settings s = settings_of(then);
	struct told told;
	write_record();
	strcpy(s.parallel.attention, "rsa");
	assert_int_equal(compare(&s, &told), SP_DIFFERENCE_NOTED);
	strcpy(s.parallel.attention, "linformer");
	assert_int_equal(compare(&s, &told), SP_DIFFERENCE_FATAL);
	assert_string_equal(told.words, "3 parallel.attention ring linformer;");
	strcpy(s.parallel.attention, "window");
	assert_int_equal(compare(&s, &told), SP_DIFFERENCE_FATAL);
	assert_string_equal(told.words, "3 parallel.attention ring window;");
}

/* Before there were loss scales, every step was taken. */
static void a_record_of_a_former_version_is_read(void **state)
{
	(void)state;
	static const char text[] = "{\"format\": 1, \"step\": 7, \"tokens\": 1.0, \"loss_scale\": 1.0, \"vocab_size\": 1, \"grid\": {}, "
	                           "\"settings\": {}}";
	struct sp_record r;
	scratch_make();
	scratch_write(SP_CHECKPOINT_RECORD, text, strlen(text));
	assert_int_equal(sp_record_read(scratch, &r), SP_OK);
	assert_true(r.taken == 7 && r.loss_scale_steps == 0 && r.loss_scale == 1);
	sp_record_release(&r);
}

static void what_is_no_record_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ "", "trainer.json: line 1" },
		{ "[1, 2]", "format 0" },
		{ "{\"format\": 2, \"version\": \"9.9\"}", "format 2, written by seqpar 9.9" },
		{ "{\"format\": 1, \"version\": \"0.1.0\"}", "step" },
		{ "{\"format\": 1, \"step\": -1, \"tokens\": 1.0, \"loss_scale\": 1.0, \"vocab_size\": 1, \"grid\": {}, "
		  "\"settings\": {}}",
		  "not a record" },
		{ "{\"format\": 1, \"step\": 1, \"tokens\": \"x\", \"loss_scale\": 1.0, \"vocab_size\": 1, \"grid\": {}, "
		  "\"settings\": {}}",
		  "trainer.json" },
	};
	struct sp_record r;
	scratch_make();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		scratch_write(SP_CHECKPOINT_RECORD, cases[i].text, strlen(cases[i].text));
		messages_start();
		const int status = sp_record_read(scratch, &r);
		const char *said = messages_end();
		assert_int_equal(status, SP_ERR_FORMAT);
		if (!strstr(said, cases[i].words))
			fail_msg("\"%s\" lacks \"%s\"", said, cases[i].words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_was_written_is_read, clear),
		cmocka_unit_test_teardown(the_same_settings_differ_in_nothing, clear),
		cmocka_unit_test_teardown(differences_are_told_as_they_matter, clear),
		cmocka_unit_test_teardown(attention_with_weights_of_its_own_is_another_model, clear),
		cmocka_unit_test_teardown(a_record_of_a_former_version_is_read, clear),
		cmocka_unit_test_teardown(what_is_no_record_is_refused, clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
