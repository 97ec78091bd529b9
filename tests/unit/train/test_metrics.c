/* The metrics file: every line is JSON, or there is no such line. */
#include "config.h"

#include "support.h"
#include "train/metrics.h"

#include <seqpar/status.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static char name[64];

static void fresh_name(void)
{
	strcpy(name, "/tmp/seqpar-metrics-XXXXXX");
	int file = mkstemp(name);
	assert_true(file >= 0);
	close(file);
}

static size_t read_lines(json_t **lines, size_t most)
{
	char line[1 << 16];
	size_t n = 0;
	FILE *file = fopen(name, "r");
	assert_non_null(file);
	while (n < most && fgets(line, sizeof line, file)) {
		assert_int_equal(line[strlen(line) - 1], '\n');
		lines[n] = json_loads(line, 0, NULL);
		assert_non_null(lines[n++]);
	}
	fclose(file);
	return n;
}

static void every_line_is_an_object_with_its_event(void **state)
{
	(void)state;
	struct sp_metrics m;
	json_t *line[4];
	fresh_name();
	assert_int_equal(sp_metrics_open(name, &m), SP_OK);
	assert_int_equal(sp_metrics_write(&m, "step", json_pack("{s:i, s:f}", "step", 1, "loss", 0.1)), SP_OK);
	assert_int_equal(read_lines(line, 4), 1); /* before it is closed */
	json_decref(line[0]);
	assert_int_equal(sp_metrics_write(&m, "eval", json_pack("{s:s}", "split", "a\"b\n")), SP_OK);
	assert_int_equal(sp_metrics_close(&m), SP_OK);
	assert_int_equal(read_lines(line, 4), 2);
	assert_string_equal(json_string_value(json_object_get(line[0], "event")), "step");
	assert_true(json_real_value(json_object_get(line[0], "loss")) == 0.1);
	assert_string_equal(json_string_value(json_object_get(line[1], "split")), "a\"b\n");
	json_decref(line[0]);
	json_decref(line[1]);
	unlink(name);
}

static void settings_are_recorded_with_their_types(void **state)
{
	(void)state;
	struct sp_settings s;
	sp_settings_default(&s);
	json_t *all = sp_metrics_settings(&s);
	assert_non_null(all);
	struct sp_setting_row row;
	for (size_t i = 0; !sp_settings_row(i, &row); i++) {
		char section[64];
		snprintf(section, sizeof section, "%.*s", (int)strcspn(row.name, "."), row.name);
		const json_t *value = json_object_get(json_object_get(all, section), strchr(row.name, '.') + 1);
		assert_non_null(value);
		assert_int_equal(json_is_number(value), strcmp(row.type, "integer") == 0 || strcmp(row.type, "number") == 0);
	}
	assert_true(json_number_value(json_object_get(json_object_get(all, "optimizer"), "lr")) == 1e-4);
	assert_true(json_is_true(json_object_get(json_object_get(all, "parallel"), "overlap")));
	json_decref(all);
}

static void numbers_that_are_not_finite_are_refused(void **state)
{
	(void)state;
	struct sp_metrics m;
	fresh_name();
	assert_int_equal(sp_metrics_open(name, &m), SP_OK);
	assert_int_equal(sp_metrics_write(&m, "step", json_pack("{s:f}", "loss", NAN)), SP_ERR_MEMORY);
	sp_metrics_close(&m);
	unlink(name);
}

static void no_space_is_an_error(void **state)
{
	(void)state;
	struct sp_metrics m;
	if (access("/dev/full", W_OK) != 0)
		skip();
	assert_int_equal(sp_metrics_open("/dev/full", &m), SP_OK);
	assert_int_equal(sp_metrics_write(&m, "step", json_pack("{s:i}", "step", 1)), SP_ERR_IO);
	assert_int_equal(sp_metrics_close(&m), SP_OK);
}

static void half_a_line_is_taken_back(void **state)
{
	(void)state;
	struct sp_metrics m;
	struct rlimit before, small = { 100, RLIM_INFINITY };
	char words[200];
	json_t *line[4];
	memset(words, 'x', sizeof words - 1);
	words[sizeof words - 1] = 0;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	small.rlim_max = before.rlim_max;
	fresh_name();
	assert_int_equal(sp_metrics_open(name, &m), SP_OK);
	assert_int_equal(sp_metrics_write(&m, "step", json_pack("{s:i}", "step", 1)), SP_OK);
	setrlimit(RLIMIT_FSIZE, &small);
	int status = sp_metrics_write(&m, "step", json_pack("{s:s}", "words", words));
	setrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(status, SP_ERR_IO);
	assert_int_equal(read_lines(line, 4), 1);
	json_decref(line[0]);
	sp_metrics_close(&m);
	unlink(name);
}

static void an_earlier_runs_file_stays_until_the_first_event(void **state)
{
	(void)state;
	struct sp_metrics m;
	json_t *line[4];
	fresh_name();
	for (int run = 0; run < 2; run++) {
		assert_int_equal(sp_metrics_open(name, &m), SP_OK);
		assert_int_equal(sp_metrics_write(&m, "step", json_pack("{s:i}", "run", run)), SP_OK);
		assert_int_equal(sp_metrics_close(&m), SP_OK);
		assert_int_equal(sp_metrics_open(name, &m), SP_OK); /* a run that ends before its first event */
		assert_int_equal(sp_metrics_close(&m), SP_OK);
		assert_int_equal(read_lines(line, 4), 1);
		assert_int_equal(json_integer_value(json_object_get(line[0], "run")), run);
		json_decref(line[0]);
	}
	unlink(name);
}

/* Whatever a kill has left of the last line, also if it is longer than what is read at a time. */
static void going_on_keeps_whole_lines_and_drops_half_a_one(void **state)
{
	(void)state;
	static const int halves[] = { 0, 1, 5000, 20000 };
	for (size_t i = 0; i < sizeof halves / sizeof *halves; i++)
		for (int whole = 0; whole < 2; whole++) {
			struct sp_metrics m;
			json_t *line[4];
			fresh_name();
			FILE *file = fopen(name, "w");
			fputs(whole ? "{\"event\":\"step\"}\n" : "", file);
			for (int n = 0; n < halves[i]; n++)
				fputc('{', file);
			fclose(file);
			assert_int_equal(sp_metrics_open(name, &m), SP_OK);
			sp_metrics_go_on(&m);
			assert_int_equal(sp_metrics_write(&m, "config", json_pack("{s:i}", "n", 7)), SP_OK);
			assert_int_equal(sp_metrics_close(&m), SP_OK);
			assert_int_equal(read_lines(line, 4), 1 + whole);
			assert_int_equal(json_integer_value(json_object_get(line[whole], "n")), 7);
			for (int n = 0; n <= whole; n++)
				json_decref(line[n]);
			unlink(name);
		}
}

static void a_file_that_cannot_be_made_is_an_error(void **state)
{
	(void)state;
	struct sp_metrics m;
	assert_int_equal(sp_metrics_open("/nonexistent/metrics.jsonl", &m), SP_ERR_IO);
	assert_int_equal(sp_metrics_open("", &m), SP_OK);
	assert_int_equal(sp_metrics_write(&m, "step", json_pack("{s:i}", "step", 1)), SP_OK);
	assert_int_equal(sp_metrics_close(&m), SP_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_is_an_object_with_its_event),
		cmocka_unit_test(settings_are_recorded_with_their_types),
		cmocka_unit_test(numbers_that_are_not_finite_are_refused),
		cmocka_unit_test(no_space_is_an_error),
		cmocka_unit_test(half_a_line_is_taken_back),
		cmocka_unit_test(an_earlier_runs_file_stays_until_the_first_event),
		cmocka_unit_test(going_on_keeps_whole_lines_and_drops_half_a_one),
		cmocka_unit_test(a_file_that_cannot_be_made_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
