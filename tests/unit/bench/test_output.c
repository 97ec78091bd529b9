/* Tables and verdicts: a result that is wrong is counted, said, and makes the benchmark fail. */
#include "config.h"

#include "base/log.h"
#include "bench/output.h"
#include "support.h"

#include <seqpar/status.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sp_bench_column columns[] = {
	{ "name", "", 6, SP_BENCH_WORDS }, { "time", "us", 8, 1 }, { "error", "", 9, SP_BENCH_TINY }, { NULL },
};

/* One row and one verdict; the text is the caller's to free. */
static char *write_one(enum sp_bench_format format, double error, int *status)
{
	struct sp_bench_output *o;
	const struct sp_bench_cell cells[] = { sp_bench_text("a, \"b\""), sp_bench_number(12.25), sp_bench_number(error) };
	char *text;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	assert_non_null(file);
	assert_int_equal(sp_bench_output_open(file, format, "bench test", &o), SP_OK);
	sp_bench_about(o, "runs", "%d", 3);
	sp_bench_table(o, "things", columns);
	sp_bench_row(o, cells);
	sp_bench_verdict(o, "the thing", error, 1e-6);
	sp_log_level(SP_LOG_NONE);
	*status = sp_bench_output_close(o);
	sp_log_level(SP_LOG_WARNING);
	fclose(file);
	return text;
}

static void right_results_pass(void **state)
{
	(void)state;
	int status;
	char *text = write_one(SP_BENCH_TEXT, 1e-7, &status);
	assert_int_equal(status, SP_OK);
	assert_string_equal(text, "# seqpar bench test\n# runs: 3\n#\n# things\n"
	                          "# name       time     error\n"
	                          "#              us          \n"
	                          "  a, \"b\"     12.2   1.0e-07\n"
	                          "#\n# right: all 1 checked results\n");
	free(text);
}

static void one_wrong_result_fails_the_benchmark(void **state)
{
	static const double errors[] = { 1e-5, INFINITY, NAN };
	(void)state;
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
		int status;
		char *text = write_one(SP_BENCH_TEXT, errors[i], &status);
		assert_int_equal(status, SP_ERR_NUMERIC);
		assert_non_null(strstr(text, "# WRONG: the thing is off by"));
		assert_non_null(strstr(text, "# WRONG: 1 of 1 checked results"));
		free(text);
	}
}

static void csv_quotes_what_holds_commas(void **state)
{
	(void)state;
	int status;
	char *text = write_one(SP_BENCH_CSV, 1e-7, &status);
	assert_int_equal(status, SP_OK);
	assert_non_null(strstr(text, "\nname,time,error\n,us,\n\"a, \"\"b\"\"\",12.2,1.0e-07\n"));
	free(text);
}

static void json_holds_rows_and_verdict(void **state)
{
	(void)state;
	int status;
	json_error_t why;
	char *text = write_one(SP_BENCH_JSON, NAN, &status);
	json_t *all = json_loads(text, 0, &why);
	assert_int_equal(status, SP_ERR_NUMERIC);
	assert_non_null(all);
	json_t *row = json_array_get(json_object_get(json_array_get(json_object_get(all, "tables"), 0), "rows"), 0);
	assert_string_equal(json_string_value(json_object_get(row, "name")), "a, \"b\"");
	assert_true(json_real_value(json_object_get(row, "time")) == 12.25);
	assert_true(json_is_null(json_object_get(row, "error")));
	assert_string_equal(json_string_value(json_object_get(all, "verdict")), "wrong");
	assert_int_equal(json_array_size(json_object_get(all, "wrong")), 1);
	json_decref(all);
	free(text);
}

static void without_a_file_wrong_results_still_count(void **state)
{
	(void)state;
	struct sp_bench_output *o;
	const struct sp_bench_cell cells[] = { sp_bench_text("x"), sp_bench_number(1), sp_bench_number(1) };
	assert_int_equal(sp_bench_output_open(NULL, SP_BENCH_TEXT, "bench test", &o), SP_OK);
	sp_bench_table(o, "things", columns);
	sp_bench_row(o, cells);
	assert_int_equal(sp_bench_verdict(o, "it", 0, 0), 1);
	assert_int_equal(sp_bench_verdict(o, "it", 1, 0), 0);
	sp_log_level(SP_LOG_NONE);
	assert_int_equal(sp_bench_output_close(o), SP_ERR_NUMERIC);
	sp_log_level(SP_LOG_WARNING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_results_pass),
		cmocka_unit_test(one_wrong_result_fails_the_benchmark),
		cmocka_unit_test(csv_quotes_what_holds_commas),
		cmocka_unit_test(json_holds_rows_and_verdict),
		cmocka_unit_test(without_a_file_wrong_results_still_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
