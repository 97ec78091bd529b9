/* The rate that steps are held against is that of the run's own dtype. The device is one whose rate of each dtype is another. */
#include "config.h"

#include "support.h"

#include "train/rate.h"

#include <stdlib.h>

static struct sp_compute *spy;
static struct sp_comm *self;

static void the_rate_is_that_of_the_element(void **state)
{
	static const enum sp_dtype elements[] = { SP_F32, SP_BF16, SP_F16 };
	const struct sp_model_config config = { .hidden = 8, .intermediate = 32 };
	(void)state;
	for (int i = 0; i < 3; i++) {
		double rate = 0;
		assert_int_equal(sp_rate_measure(spy, self, &config, elements[i], 16, &rate), SP_OK);
		assert_true(fabs(rate / (1 + (double)elements[i]) - 1) < 1e-12);
	}
}

int main(void)
{
	const struct sp_compute_options options = { 0 };
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_rate_is_that_of_the_element) };
	char text[8], warning[8];
	setenv("SEQPAR_MODULE_PATH", "tests/unit/backend/spy/.libs", 1);
	if (sp_compute_open("cpu", &options, &spy))
		return 77;
	unsetenv("SEQPAR_MODULE_PATH");
	sp_compute_describe(spy, text, sizeof text, warning, sizeof warning);
	if (text[0] || sp_comm_open("self", 1, &self)) /* linked in: this is the real one */
		return 77;
	const int failed = cmocka_run_group_tests(tests, NULL, NULL);
	sp_comm_close(self);
	sp_compute_close(spy);
	return failed;
}
