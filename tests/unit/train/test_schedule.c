/* Learning rates, against values worked out by hand. */
#include "config.h"

#include "support.h"
#include "train/schedule.h"

static void assert_rates(const struct sp_schedule *s, const double *expected, int n)
{
	for (int i = 0; i < n; i++) {
		double got = sp_schedule_rate(s, i);
		if (fabs(got - expected[i]) > 1e-12 * fabs(expected[i]))
			fail_msg("after %d steps: %.17g, expected %.17g", i, got, expected[i]);
	}
}

static void the_tutorials_ten_steps_decay_over_four(void **state)
{
	(void)state;
	const double expected[10] = { 1e-4, 7.75e-5, 5.5e-5, 3.25e-5, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5 };
	struct sp_schedule s = sp_schedule_make(1e-4, 1e-5, 0.01, 4, SP_SCHEDULE_LINEAR);
	assert_int_equal(s.warmup, 0);
	assert_rates(&s, expected, 10);
}

static void warmup_is_linear_and_ends_at_the_full_rate(void **state)
{
	(void)state;
	const double expected[10] = { 0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25, 0, 0 };
	struct sp_schedule s = sp_schedule_make(1, 0, 0.5, 8, SP_SCHEDULE_LINEAR);
	assert_int_equal(s.warmup, 4);
	assert_rates(&s, expected, 10);
}

static void cosine_is_halfway_in_the_middle(void **state)
{
	(void)state;
	const double expected[6] = { 1, 0.1 + 0.9 * 0.8535533905932737, 0.55, 0.1 + 0.9 * 0.14644660940672624, 0.1, 0.1 };
	struct sp_schedule s = sp_schedule_make(1, 0.1, 0, 4, SP_SCHEDULE_COSINE);
	assert_rates(&s, expected, 6);
}

static void constant_stays_after_warmup(void **state)
{
	(void)state;
	const double expected[6] = { 1.0 / 2, 1, 1, 1, 1, 1 };
	struct sp_schedule s = sp_schedule_make(1, 0.1, 0.5, 4, SP_SCHEDULE_CONSTANT);
	assert_rates(&s, expected, 6);
}

static void warmup_of_the_whole_decay_then_drops_to_the_minimum(void **state)
{
	(void)state;
	const double expected[4] = { 0.5, 1, 0.1, 0.1 };
	struct sp_schedule s = sp_schedule_make(1, 0.1, 1, 2, SP_SCHEDULE_COSINE);
	assert_rates(&s, expected, 4);
}

static void warmup_steps_are_rounded(void **state)
{
	(void)state;
	assert_int_equal(sp_schedule_make(1, 0, 0.01, 149, SP_SCHEDULE_LINEAR).warmup, 1);
	assert_int_equal(sp_schedule_make(1, 0, 0.01, 151, SP_SCHEDULE_LINEAR).warmup, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tutorials_ten_steps_decay_over_four),
		cmocka_unit_test(warmup_is_linear_and_ends_at_the_full_rate),
		cmocka_unit_test(cosine_is_halfway_in_the_middle),
		cmocka_unit_test(constant_stays_after_warmup),
		cmocka_unit_test(warmup_of_the_whole_decay_then_drops_to_the_minimum),
		cmocka_unit_test(warmup_steps_are_rounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
