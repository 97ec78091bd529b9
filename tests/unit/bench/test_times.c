/* Medians and spreads, and what is counted when something is timed. */
#include "config.h"

#include "bench/times.h"
#include "support.h"

#include <seqpar/status.h>

static void median_is_the_middle_whatever_the_order(void **state)
{
	(void)state;
	double odd[] = { 9, 1, 5 }, even[] = { 4, 1, 2, 100 }, one[] = { 7 };
	assert_true(sp_bench_median(odd, 3) == 5);
	assert_true(sp_bench_median(even, 4) == 3);
	assert_true(sp_bench_median(one, 1) == 7);
	assert_true(sp_bench_median(one, 0) == 0);
}

static void spread_is_the_middle_half_over_the_median(void **state)
{
	(void)state;
	const double x[] = { 1, 2, 4, 6, 100 }, same[] = { 3, 3 };
	assert_true(sp_bench_spread(x, 5) == 1);
	assert_true(sp_bench_spread(same, 2) == 0);
	assert_true(sp_bench_spread(x, 1) == 0);
}

static int count(void *runs)
{
	return ++*(int *)runs == 6 ? SP_ERR_DEVICE : SP_OK;
}

static void warm_up_and_repeats_are_run_and_errors_passed_on(void **state)
{
	(void)state;
	struct sp_bench_timing timing = { .warm_up = 2, .repeats = 3 };
	struct sp_bench_times times;
	int runs = 0;
	assert_int_equal(sp_comm_open("self", 1, &timing.world), SP_OK);
	assert_int_equal(sp_bench_time(&timing, count, &runs, &times), SP_OK);
	assert_int_equal(runs, 5);
	assert_true(times.least == times.most && times.own == times.mean && times.own >= 0);
	assert_int_equal(sp_bench_time(&timing, count, &runs, &times), SP_ERR_DEVICE);
	assert_int_equal(runs, 6);
	sp_comm_close(timing.world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(median_is_the_middle_whatever_the_order),
		cmocka_unit_test(spread_is_the_middle_half_over_the_median),
		cmocka_unit_test(warm_up_and_repeats_are_run_and_errors_passed_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
