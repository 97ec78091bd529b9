/* Every operation of a compute backend against the float64 reference.
 *
 *   test_conformance BACKEND[-WORD...]-THREADS     for example cpu-avx2-2, cpu-generic-bf16-1, cudasim-f16-1
 *
 * A word is "tf32", which has products in that precision; "bf16" or "f16", which has activations in that dtype and leaves out
 * the operations that know none; "cudnn", which leaves attention to that library and tests nothing else; "onednn", which has products
 * by that library and tests nothing else; "standin", the same by the loops of standin/onednn.c; or a variant of the backend. "auto",
 * and none, leave the variant to the backend.
 *
 * A path may stand before the name and an extension after it, so that a row of make check is the name of a file. A
 * backend or variant that is not built or cannot run here is a skipped row (exit 77). */
#include "config.h"

#include "conformance/bench.h"
#include "conformance/bounds.h"
#include "conformance/cases.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SKIP = 77 };

struct row {
	char backend[16], variant[16];
	enum sp_precision precision;
	enum sp_products products;
	int standin;
	enum sp_dtype element;
	enum sp_attention_kernel kernel;
	int threads;
};

static struct sp_compute *compute;

static void read_word(const char *word, struct row *row)
{
	if (strcmp(word, "tf32") == 0)
		row->precision = SP_PRECISION_TF32;
	else if (strcmp(word, "bf16") == 0)
		row->element = SP_BF16;
	else if (strcmp(word, "f16") == 0)
		row->element = SP_F16;
	else if (strcmp(word, "cudnn") == 0)
		row->kernel = SP_ATTENTION_CUDNN;
	else if (strcmp(word, "onednn") == 0)
		row->products = SP_PRODUCTS_ONEDNN;
	else if (strcmp(word, "standin") == 0)
		row->standin = 1;
	else if (strcmp(word, "auto") != 0)
		snprintf(row->variant, sizeof row->variant, "%s", word);
}

static int read_row(const char *path, struct row *row)
{
	const char *slash = strrchr(path, '/'), *at = slash ? slash + 1 : path;
	char word[16];
	int length = 0;
	memset(row, 0, sizeof *row);
	if (sscanf(at, "%15[^-]-%n", row->backend, &length) != 1 || !length)
		return -1;
	for (at += length; sscanf(at, "%15[^-]-%n", word, &length) == 1 && at[strlen(word)] == '-'; at += length)
		read_word(word, row);
	return sscanf(at, "%d", &row->threads) == 1 ? 0 : -1;
}

static int open_row(const struct row *row)
{
	const struct sp_compute_options options = { .threads = row->threads, .precision = row->precision,
		                                        .attention_kernel = row->kernel, .products = row->products };
	const struct sp_compute_needs needs = { .dtype = row->element, .head_dim = 64, .attention_dtype = row->element };
	const char *variable = strcmp(row->backend, "cudasim") == 0 ? "SEQPAR_CUDASIM" : "SEQPAR_CPU_ISA";
	bound_precision(row->precision);
	bench_set_element(row->element);
	bench_set_library(row->kernel == SP_ATTENTION_CUDNN);
	if (row->variant[0])
		setenv(variable, row->variant, 1);
	else
		unsetenv(variable);
	if (row->standin)
		setenv("SEQPAR_MODULE_PATH", "tests/conformance/standin/.libs", 1);
	const int status = sp_compute_open(row->backend, &options, &compute);
	return status == SP_OK && row->element != SP_F32 ? sp_compute_supports(compute, &needs) : status;
}

static int by_onednn(const struct row *row)
{
	return row->products == SP_PRODUCTS_ONEDNN || row->standin;
}

/* A variant or thread count that was not honoured would make this row a repetition of another. */
static int check_row(const struct row *row)
{
	char text[512], warning[512];
	sp_compute_describe(compute, text, sizeof text, warning, sizeof warning);
	if (row->threads > 0 && sp_compute_threads(compute) != row->threads) {
		fprintf(stderr, "%d threads instead of %d\n", sp_compute_threads(compute), row->threads);
		return -1;
	}
	if (row->precision == SP_PRECISION_TF32 && !strstr(text, "tf32")) {
		fprintf(stderr, "asked for tf32, got %s\n", text);
		return -1;
	}
	if (row->kernel == SP_ATTENTION_CUDNN && !strstr(text, "cuDNN")) {
		fprintf(stderr, "asked for cudnn, got %s\n", text);
		return -1;
	}
	if (by_onednn(row) && !strstr(text, "oneDNN")) {
		fprintf(stderr, "asked for products by oneDNN, got %s\n", text);
		return -1;
	}
	if (!strstr(text, row->variant)) {
		fprintf(stderr, "asked for %s, got %s\n", row->variant, text);
		return -1;
	}
	return 0;
}

static int give_compute(void **state)
{
	*state = compute;
	return 0;
}

/* What knows float32 alone. */
static const struct CMUnitTest of_floats[] = {
	cmocka_unit_test(context_tells_what_it_is),
	cmocka_unit_test(memory_is_aligned_even_when_empty),
	cmocka_unit_test(copies_arrive_and_stay_inside),
	cmocka_unit_test(graphs_take_nothing_of_the_host),
	cmocka_unit_test(attention_merge_equals_reference),
	cmocka_unit_test(scores_equal_reference),
	cmocka_unit_test(sum_squares_equals_reference),
	cmocka_unit_test(sum_squares_finds_what_is_not_finite),
	cmocka_unit_test(decide_equals_reference),
	cmocka_unit_test(adamw_equals_reference_over_steps),
	cmocka_unit_test(add_equals_reference),
	cmocka_unit_test(time_is_told_by_class),
};

/* Matrix products. */
static const struct CMUnitTest of_products[] = {
	cmocka_unit_test(linear_forward_equals_reference),
	cmocka_unit_test(linear_backward_input_equals_reference),
	cmocka_unit_test(linear_backward_weight_equals_reference),
	cmocka_unit_test(rates_are_measured),
};

/* What works on activations. */
static const struct CMUnitTest of_elements[] = {
	cmocka_unit_test(graphs_give_the_bits_of_their_operations), /* first: it wants an operation that needs more room than all before */
	cmocka_unit_test(copy_rows_moves_every_dtype),
	cmocka_unit_test(convert_rounds_to_nearest_between_all_dtypes),
	cmocka_unit_test(linear_forward_equals_reference),
	cmocka_unit_test(linear_backward_input_equals_reference),
	cmocka_unit_test(linear_backward_weight_equals_reference),
	cmocka_unit_test(linear_of_16_bits_equals_reference_at_length),
	cmocka_unit_test(activation_backward_equals_reference),
	cmocka_unit_test(gelu_is_right_at_every_size_of_input),
	cmocka_unit_test(norm_forward_equals_reference),
	cmocka_unit_test(norm_forward_survives_an_offset),
	cmocka_unit_test(norm_of_equal_values_is_beta),
	cmocka_unit_test(norm_backward_equals_reference),
	cmocka_unit_test(norm_backward_may_alias),
	cmocka_unit_test(norm_dropout_keeps_almost_nothing),
	cmocka_unit_test(attention_forward_equals_reference),
	cmocka_unit_test(attention_blocks_equal_one_block),
	cmocka_unit_test(attention_with_huge_scores_stays_finite),
	cmocka_unit_test(attention_in_a_window_equals_reference),
	cmocka_unit_test(attention_finish_and_dots_equal_reference),
	cmocka_unit_test(attention_backward_equals_reference),
	cmocka_unit_test(attention_backward_adds_or_overwrites),
	cmocka_unit_test(attention_ignores_rows_that_attended_to_nothing),
	cmocka_unit_test(attention_of_whole_steps_equals_reference),
	cmocka_unit_test(attention_polls_on_the_calling_thread),
	cmocka_unit_test(rotate_equals_reference),
	cmocka_unit_test(rotate_back_gives_what_was_rotated),
	cmocka_unit_test(embedding_forward_equals_reference),
	cmocka_unit_test(embedding_backward_equals_reference),
	cmocka_unit_test(gather_rows_copies),
	cmocka_unit_test(scatter_add_rows_equals_reference),
	cmocka_unit_test(cross_entropy_equals_reference),
	cmocka_unit_test(cross_entropy_with_huge_logits_stays_finite),
	cmocka_unit_test(cross_entropy_takes_the_first_of_equals),
	cmocka_unit_test(words_of_parts_equal_reference),
	cmocka_unit_test(cross_entropy_of_parts_equals_reference),
	cmocka_unit_test(cross_entropy_of_parts_takes_the_first_of_equals),
	cmocka_unit_test(tanh_equals_reference),
	cmocka_unit_test(tanh_backward_equals_reference),
	cmocka_unit_test(rates_are_measured),
};

static const struct CMUnitTest of_libraries[] = {
	cmocka_unit_test(attention_of_whole_steps_equals_reference),
};

int main(int argc, char **argv)
{
	struct row row;
	if (argc != 2 || read_row(argv[1], &row) != 0) {
		fprintf(stderr, "usage: test_conformance BACKEND[-WORD...]-THREADS, for example cpu-avx2-2\n");
		return 2;
	}
	const int status = open_row(&row);
	if (status == SP_ERR_ABSENT || status == SP_ERR_UNUSABLE) {
		printf("skipped: %s cannot run here\n", argv[1]);
		sp_compute_close(compute);
		return SKIP;
	}
	int failed = status != SP_OK || check_row(&row) != 0;
	if (!failed) {
		const int one_library = row.kernel == SP_ATTENTION_CUDNN || by_onednn(&row);
		if (row.kernel == SP_ATTENTION_CUDNN)
			failed = cmocka_run_group_tests(of_libraries, give_compute, NULL) != 0;
		else if (by_onednn(&row))
			failed = cmocka_run_group_tests(of_products, give_compute, NULL) != 0;
		else if (row.element == SP_F32)
			failed = cmocka_run_group_tests(of_floats, give_compute, NULL) != 0;
		if (!one_library)
			failed |= cmocka_run_group_tests(of_elements, give_compute, NULL) != 0;
		bound_report();
	}
	sp_compute_close(compute);
	return failed;
}
