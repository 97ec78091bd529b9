/* Where the main thread stands, as a message tells it: the step and what is open of compute, also while nothing is traced. */
#include "config.h"

#include "support.h"

#include "base/trace.h"
#include "base/where.h"

#include <string.h>

static const char *where(void)
{
	static char text[128];
	sp_where_text(text, sizeof text);
	return text;
}

static void nothing_is_said_before_the_first_step(void **state)
{
	(void)state;
	assert_string_equal(where(), "");
}

static void open_spans_of_compute_tell_where_it_stands(void **state)
{
	(void)state;
	assert_false(sp_trace_on());
	sp_where_step(12);
	assert_string_equal(where(), "step 12: ");
	sp_trace_begin(SP_TRACE_COMPUTE, "forward layer", 0);
	sp_trace_begin(SP_TRACE_COMM, "wait", -1);
	assert_string_equal(where(), "step 12, forward layer 0: ");
	sp_trace_begin(SP_TRACE_COMPUTE, "heads", -1);
	assert_string_equal(where(), "step 12, forward layer 0, heads: ");
	sp_trace_end(SP_TRACE_COMPUTE);
	sp_trace_end(SP_TRACE_COMM);
	assert_string_equal(where(), "step 12, forward layer 0: ");
	sp_trace_end(SP_TRACE_COMPUTE);
	sp_trace_end(SP_TRACE_COMPUTE);
	assert_string_equal(where(), "step 12: ");
}

static void deep_nesting_and_little_room_do_no_harm(void **state)
{
	char small[8];
	(void)state;
	for (int i = 0; i < 100; i++)
		sp_where_enter("deep", i);
	sp_where_text(small, sizeof small);
	assert_string_equal(small, "step 12");
	assert_non_null(strstr(where(), "deep 0, deep 1"));
	for (int i = 0; i < 100; i++)
		sp_where_leave();
	assert_string_equal(where(), "step 12: ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_said_before_the_first_step),
		cmocka_unit_test(open_spans_of_compute_tell_where_it_stands),
		cmocka_unit_test(deep_nesting_and_little_room_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
