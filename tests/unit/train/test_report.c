/* Lines for a person: when, and that their numbers are means since the line before. */
#include "config.h"

#include "support.h"
#include "train/report.h"

#include <seqpar/status.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void means_are_printed_every_interval_and_after_the_last_step(void **state)
{
	(void)state;
	struct sp_report r;
	char *text;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	assert_non_null(file);
	sp_report_open(&r, file, 5, 2);
	for (int i = 1; i <= 5; i++) {
		struct sp_report_step step = {
			.step = i, .loss = i, .lr = 0.5, .grad_norm = 2, .seconds = i, .gemm_fraction = 0.1 * i, .tokens = 12,
			.places = 12 + i
		};
		assert_int_equal(sp_report_step(&r, &step), SP_OK);
	}
	fclose(file);
	assert_string_equal(
		text, "step 2/5  loss 1.500000  lr 5.000e-01  grad_norm 2.0000  8 tokens/s  fill 88.9 %  1500.0 ms  gemm 16.7 %\n"
			  "step 4/5  loss 3.500000  lr 5.000e-01  grad_norm 2.0000  3 tokens/s  fill 77.4 %  3500.0 ms  gemm 35.7 %\n"
			  "step 5/5  loss 5.000000  lr 5.000e-01  grad_norm 2.0000  2 tokens/s  fill 70.6 %  5000.0 ms  gemm 50.0 %\n");
	free(text);
}

static void a_loss_scale_is_shown_with_the_steps_that_it_cost(void **state)
{
	(void)state;
	struct sp_report r;
	char *text;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	assert_non_null(file);
	sp_report_open(&r, file, 4, 2);
	for (int i = 1; i <= 4; i++) {
		struct sp_report_step step = { .step = i, .loss = 1, .lr = 0.5, .grad_norm = i < 3 ? INFINITY : 2, .seconds = 1, .tokens = 12,
			                           .places = 12, .loss_scale = 65536 >> i, .skipped = i < 3 };
		assert_int_equal(sp_report_step(&r, &step), SP_OK);
	}
	fclose(file);
	assert_non_null(strstr(text, "grad_norm inf  12 tokens/s  fill 100.0 %  1000.0 ms  gemm 0.0 %  loss scale 16384, 2 skipped\n"));
	assert_non_null(strstr(text, "gemm 0.0 %  loss scale 4096\n"));
	free(text);
}

static void no_file_no_words(void **state)
{
	(void)state;
	struct sp_report r;
	struct sp_report_step step = { .step = 1, .seconds = 1 };
	sp_report_open(&r, NULL, 1, 1);
	assert_int_equal(sp_report_step(&r, &step), SP_OK);
	assert_int_equal(sp_report_line(&r, "words"), SP_OK);
}

static void a_full_device_is_an_error(void **state)
{
	(void)state;
	struct sp_report r;
	FILE *file = access("/dev/full", W_OK) == 0 ? fopen("/dev/full", "w") : NULL;
	if (!file)
		skip();
	sp_report_open(&r, file, 1, 1);
	assert_int_equal(sp_report_line(&r, "words"), SP_ERR_IO);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(means_are_printed_every_interval_and_after_the_last_step),
		cmocka_unit_test(a_loss_scale_is_shown_with_the_steps_that_it_cost),
		cmocka_unit_test(no_file_no_words),
		cmocka_unit_test(a_full_device_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
