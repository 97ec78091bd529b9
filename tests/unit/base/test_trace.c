/* What a trace writes is JSON, with the spans that were closed, nested as they were. */
#include "config.h"

#include "support.h"

#include "base/clock.h"
#include "base/trace.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The events of a trace of one or more processes, as a JSON array; the caller's to release. */
static json_t *events(int processes, const char *process)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	assert_non_null(file);
	fputc('[', file);
	for (int pid = 0; pid < processes; pid++)
		assert_int_equal(sp_trace_write(file, pid, process, pid > 0), 0);
	fputc(']', file);
	assert_int_equal(fclose(file), 0);
	json_error_t error;
	json_t *array = json_loads(text, 0, &error);
	if (!array)
		fail_msg("line %d: %s in: %s", error.line, error.text, text);
	free(text);
	return array;
}

static const char *text_of(json_t *event, const char *key)
{
	const char *text = json_string_value(json_object_get(event, key));
	return text ? text : "";
}

static double number_of(json_t *event, const char *key)
{
	json_t *value = json_object_get(event, key);
	assert_true(json_is_number(value));
	return json_number_value(value);
}

/* The only span of this name, NULL if there is none. */
static json_t *span(json_t *array, const char *name)
{
	json_t *found = NULL, *event;
	size_t i;
	json_array_foreach(array, i, event) {
		if (strcmp(text_of(event, "ph"), "X") != 0 || strcmp(text_of(event, "name"), name) != 0)
			continue;
		assert_null(found);
		found = event;
	}
	return found;
}

static size_t spans(json_t *array)
{
	size_t i, n = 0;
	json_t *event;
	json_array_foreach(array, i, event)
		n += strcmp(text_of(event, "ph"), "X") == 0;
	return n;
}

static int stop(void **state)
{
	(void)state;
	sp_trace_stop();
	return 0;
}

static void spans_nest_in_time_and_rows(void **state)
{
	(void)state;
	sp_trace_start();
	assert_true(sp_trace_on());
	const double before = sp_clock();
	sp_trace_begin(SP_TRACE_COMPUTE, "step", -1);
	sp_trace_begin(SP_TRACE_COMPUTE, "layer", 3);
	sp_trace_begin(SP_TRACE_COMM, "hop", 0);
	sp_trace_end(SP_TRACE_COMPUTE);
	sp_trace_end(SP_TRACE_COMM);
	sp_trace_end(SP_TRACE_COMPUTE);
	const double after = sp_clock();
	json_t *array = events(1, "rank 0");
	json_t *step = span(array, "step"), *layer = span(array, "layer 3"), *hop = span(array, "hop 0");
	assert_true(step && layer && hop);
	assert_int_equal(spans(array), 3);
	const double begin = number_of(step, "ts"), inner = number_of(layer, "ts");
	/* Microseconds, written to a thousandth. */
	assert_true(begin >= before * 1e6 - 0.01 && begin + number_of(step, "dur") <= after * 1e6 + 0.01);
	assert_true(inner >= begin - 0.01 && inner + number_of(layer, "dur") <= begin + number_of(step, "dur") + 0.01);
	assert_true(number_of(step, "dur") >= 0);
	assert_int_equal(number_of(step, "tid"), SP_TRACE_COMPUTE);
	assert_int_equal(number_of(hop, "tid"), SP_TRACE_COMM);
	json_decref(array);
}

/* The only event of this phase and name. */
static json_t *event_of(json_t *array, const char *phase, const char *name)
{
	json_t *found = NULL, *event;
	size_t i;
	json_array_foreach(array, i, event) {
		if (strcmp(text_of(event, "ph"), phase) != 0 || strcmp(text_of(event, "name"), name) != 0)
			continue;
		assert_null(found);
		found = event;
	}
	return found;
}

static const char *number_text(json_t *event)
{
	return text_of(json_object_get(event, "id2"), "local");
}

static void transfers_overlap_each_other_and_what_nests(void **state)
{
	(void)state;
	sp_trace_start();
	const int64_t first = sp_trace_open(SP_TRACE_COMM, "sum", 0);
	sp_trace_begin(SP_TRACE_COMM, "wait", -1);
	const int64_t second = sp_trace_open(SP_TRACE_COMM, "sum", 1), never = sp_trace_open(SP_TRACE_COMM, "lost", -1);
	assert_true(first >= 0 && second >= 0 && never >= 0);
	sp_trace_close(first);
	sp_trace_end(SP_TRACE_COMM);
	sp_trace_close(second);
	sp_trace_close(-1);
	json_t *array = events(1, "rank 0"), *wait = span(array, "wait");
	json_t *from0 = event_of(array, "b", "sum 0"), *to0 = event_of(array, "e", "sum 0");
	json_t *from1 = event_of(array, "b", "sum 1"), *to1 = event_of(array, "e", "sum 1");
	assert_true(wait && from0 && to0 && from1 && to1);
	assert_null(event_of(array, "b", "lost"));
	assert_string_equal(number_text(from0), number_text(to0));
	assert_string_equal(number_text(from1), number_text(to1));
	assert_string_not_equal(number_text(from0), number_text(from1));
	assert_true(number_of(from0, "ts") <= number_of(from1, "ts") && number_of(from1, "ts") <= number_of(to0, "ts"));
	assert_true(number_of(to0, "ts") <= number_of(wait, "ts") + number_of(wait, "dur") + 0.01);
	assert_true(number_of(to0, "ts") <= number_of(to1, "ts") + 0.01);
	json_decref(array);
	sp_trace_stop();
	assert_int_equal(sp_trace_open(SP_TRACE_COMM, "off", -1), -1);
}

static void processes_and_rows_are_named(void **state)
{
	size_t i, processes = 0, rows = 0;
	json_t *event;
	(void)state;
	sp_trace_start();
	json_t *array = events(2, "rank \"x\" of C:\\a\tb");
	json_array_foreach(array, i, event) {
		assert_string_equal(text_of(event, "ph"), "M");
		const char *name = text_of(json_object_get(event, "args"), "name");
		if (strcmp(text_of(event, "name"), "process_name") == 0) {
			assert_string_equal(name, "rank \"x\" of C:\\a\tb");
			assert_int_equal(number_of(event, "pid"), processes);
			processes++;
		} else {
			assert_string_equal(text_of(event, "name"), "thread_name");
			assert_true(strlen(name) > 0);
			rows++;
		}
	}
	assert_int_equal(processes, 2);
	assert_int_equal(rows, 2 * SP_TRACE_ROWS);
	json_decref(array);
}

static void names_are_copied_and_cut(void **state)
{
	char name[64] = "a name that is longer than thirty-one bytes";
	(void)state;
	sp_trace_start();
	sp_trace_begin(SP_TRACE_DATA, name, -1);
	memset(name, 'q', sizeof name - 1);
	sp_trace_end(SP_TRACE_DATA);
	json_t *array = events(1, "p");
	assert_non_null(span(array, "a name that is longer than thir"));
	json_decref(array);
}

static void open_spans_and_surplus_ends_leave_no_mark(void **state)
{
	(void)state;
	sp_trace_start();
	sp_trace_end(SP_TRACE_COMPUTE);
	sp_trace_begin(SP_TRACE_COMPUTE, "open", -1);
	sp_trace_begin(SP_TRACE_COMPUTE, "closed", -1);
	sp_trace_end(SP_TRACE_COMPUTE);
	json_t *array = events(1, "p");
	assert_null(span(array, "open"));
	assert_non_null(span(array, "closed"));
	json_decref(array);
}

static void deep_nesting_keeps_what_is_inside_and_outside(void **state)
{
	(void)state;
	sp_trace_start();
	for (int i = 0; i < 40; i++)
		sp_trace_begin(SP_TRACE_COMPUTE, "deep", i);
	for (int i = 0; i < 40; i++)
		sp_trace_end(SP_TRACE_COMPUTE);
	sp_trace_begin(SP_TRACE_COMPUTE, "after", -1);
	sp_trace_end(SP_TRACE_COMPUTE);
	json_t *array = events(1, "p");
	assert_non_null(span(array, "deep 0"));
	assert_non_null(span(array, "after"));
	json_decref(array);
}

static void nothing_is_recorded_while_off(void **state)
{
	(void)state;
	assert_false(sp_trace_on());
	sp_trace_begin(SP_TRACE_COMPUTE, "before", -1);
	sp_trace_start();
	sp_trace_begin(SP_TRACE_COMPUTE, "during", -1);
	sp_trace_end(SP_TRACE_COMPUTE);
	sp_trace_stop();
	assert_false(sp_trace_on());
	sp_trace_begin(SP_TRACE_COMPUTE, "later", -1);
	sp_trace_end(SP_TRACE_COMPUTE);
	json_t *array = events(1, "p");
	assert_int_equal(spans(array), 0);
	json_decref(array);
}

static void many_spans_are_kept(void **state)
{
	enum { MANY = 20000 };
	(void)state;
	sp_trace_start();
	for (int i = 0; i < MANY; i++) {
		sp_trace_begin(SP_TRACE_COMPUTE, "s", i);
		sp_trace_end(SP_TRACE_COMPUTE);
	}
	json_t *array = events(1, "p");
	assert_int_equal(spans(array), MANY);
	assert_non_null(span(array, "s 19999"));
	json_decref(array);
}

static void a_full_disk_is_reported(void **state)
{
	(void)state;
	FILE *full = fopen("/dev/full", "w");
	if (!full)
		skip();
	setvbuf(full, NULL, _IONBF, 0);
	sp_trace_start();
	assert_int_equal(sp_trace_write(full, 0, "p", 0), -1);
	fclose(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(nothing_is_recorded_while_off, stop),
		cmocka_unit_test_teardown(spans_nest_in_time_and_rows, stop),
		cmocka_unit_test_teardown(transfers_overlap_each_other_and_what_nests, stop),
		cmocka_unit_test_teardown(processes_and_rows_are_named, stop),
		cmocka_unit_test_teardown(names_are_copied_and_cut, stop),
		cmocka_unit_test_teardown(open_spans_and_surplus_ends_leave_no_mark, stop),
		cmocka_unit_test_teardown(deep_nesting_keeps_what_is_inside_and_outside, stop),
		cmocka_unit_test_teardown(many_spans_are_kept, stop),
		cmocka_unit_test_teardown(a_full_disk_is_reported, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
