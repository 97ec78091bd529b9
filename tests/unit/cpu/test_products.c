/* Which library makes a product, and what happens where oneDNN refuses one. In oneDNN's place are the loops of
 * tests/conformance/standin, which make products in bfloat16 on any processor and refuse sums of more than 1024 terms. */
#include "config.h"

#include "backend/compute.h"
#include "base/log.h"
#include "cpu/bf16.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

static char text[1024], warning[2048];

static struct sp_compute *opened(enum sp_products products, enum sp_dtype element)
{
	const struct sp_compute_options options = { .threads = 1, .products = products };
	const struct sp_compute_needs needs = { .dtype = element, .head_dim = 64 };
	struct sp_compute *c;
	assert_int_equal(sp_compute_open("cpu", &options, &c), SP_OK);
	assert_int_equal(sp_compute_supports(c, &needs), SP_OK);
	sp_compute_describe(c, text, sizeof text, warning, sizeof warning);
	return c;
}

static const char *of(struct sp_compute *c, enum sp_dtype dtype, int64_t m, int64_t n, int64_t k)
{
	return sp_compute_multiplies(c, dtype, m, n, k);
}

static void auto_takes_onednn_for_large_products_in_bf16(void **state)
{
	(void)state;
	struct sp_compute *c = opened(SP_PRODUCTS_AUTO, SP_BF16);
	assert_string_equal(of(c, SP_BF16, 2048, 768, 768), "onednn");
	assert_string_equal(of(c, SP_BF16, 64, 64, 64), "onednn");
	assert_string_equal(of(c, SP_BF16, 64, 64, 63), "blas");
	assert_string_equal(of(c, SP_BF16, 31, 4096, 4096), "blas");
	assert_string_equal(of(c, SP_BF16, 4096, 31, 4096), "blas");
	assert_string_equal(of(c, SP_BF16, 4096, 4096, 31), "blas");
	assert_string_equal(of(c, SP_F32, 2048, 768, 768), "blas");
	assert_non_null(strstr(text, "stand-in for bf16"));
	assert_null(strstr(warning, "bf16"));
	sp_compute_close(c);
}

static void who_names_a_library_gets_it_for_all(void **state)
{
	(void)state;
	struct sp_compute *c = opened(SP_PRODUCTS_ONEDNN, SP_F32);
	assert_string_equal(of(c, SP_F32, 1, 1, 1), "onednn");
	assert_non_null(strstr(text, "stand-in for all products"));
	sp_compute_close(c);
	c = opened(SP_PRODUCTS_BLAS, SP_BF16);
	assert_string_equal(of(c, SP_BF16, 2048, 768, 768), "blas");
	assert_null(strstr(text, "stand-in"));
	assert_non_null(strstr(warning, "as the BLAS was chosen (backend.products)"));
	sp_compute_close(c);
}

/* ---- a product that is refused ---- */

enum { ROWS = 40, COLS = 33, MOST = 1500 };

static uint16_t x[ROWS * MOST], w[COLS * MOST];

static int multiply(struct sp_compute *c, int64_t terms, uint16_t *y)
{
	const struct sp_linear_forward args = { .x = sp_matrix_of(x, ROWS, terms, SP_BF16), .w = sp_matrix_of(w, COLS, terms, SP_BF16),
		                                .y = sp_matrix_of(y, ROWS, COLS, SP_BF16) };
	return sp_compute_linear_forward(c, &args);
}

static void a_refused_product_is_the_blas_s_to_the_bit(void **state)
{
	(void)state;
	uint16_t got[2][ROWS * COLS];
	for (int i = 0; i < ROWS * MOST; i++)
		x[i] = sp_bf16_round((float)((i * 37) % 101) / 101 - 0.5f);
	for (int i = 0; i < COLS * MOST; i++)
		w[i] = sp_bf16_round((float)((i * 53) % 103) / 103 - 0.5f);
	struct sp_compute *c = opened(SP_PRODUCTS_AUTO, SP_BF16), *blas = opened(SP_PRODUCTS_BLAS, SP_BF16);
	assert_string_equal(of(c, SP_BF16, ROWS, COLS, MOST), "onednn"); /* nobody knows before it is tried */
	assert_int_equal(multiply(c, MOST, got[0]), SP_OK);
	assert_int_equal(multiply(blas, MOST, got[1]), SP_OK);
	assert_memory_equal(got[0], got[1], sizeof got[0]);
	sp_compute_close(c);
	sp_compute_close(blas);
}

static void a_refused_product_is_an_error_where_onednn_was_named(void **state)
{
	(void)state;
	uint16_t got[ROWS * COLS];
	struct sp_compute *c = opened(SP_PRODUCTS_ONEDNN, SP_BF16);
	assert_int_equal(multiply(c, 1024, got), SP_OK);
	sp_log_level(SP_LOG_NONE);
	assert_int_equal(multiply(c, 1025, got), SP_ERR_DEVICE);
	sp_log_level(SP_LOG_WARNING);
	assert_int_equal(multiply(c, 1024, got), SP_OK);
	sp_compute_close(c);
}

/* ---- numbers of rows that change ---- */

enum { SIDE = 48, LEAST = 600, ROWS_MOST = 664 };

static uint16_t in[ROWS_MOST * SIDE], weights[SIDE * SIDE], out[ROWS_MOST * SIDE], kept[ROWS_MOST * SIDE];
static float dw[SIDE * SIDE], dbias[SIDE], bias[SIDE];

static struct sp_matrix of_rows(uint16_t *data, int64_t rows)
{
	return sp_matrix_of(data, rows, SIDE, SP_BF16);
}

/* A layer forward and backward on so many rows. */
static void pass(struct sp_compute *c, int64_t rows)
{
	const struct sp_matrix w_of = sp_matrix_of(weights, SIDE, SIDE, SP_BF16);
	const struct sp_linear_forward forward = { .x = of_rows(in, rows), .w = w_of, .bias = sp_vector(bias, SIDE), .y = of_rows(out, rows),
		                                   .pre = of_rows(kept, rows), .act = SP_ACT_GELU };
	const struct sp_linear_backward_input input = { .dy = of_rows(in, rows), .w = w_of, .dx = of_rows(out, rows) };
	const struct sp_linear_backward_weight weight = { of_rows(in, rows), of_rows(kept, rows), sp_matrix(dw, SIDE, SIDE),
		                                          sp_vector(dbias, SIDE) };
	assert_int_equal(sp_compute_linear_forward(c, &forward), SP_OK);
	assert_int_equal(sp_compute_linear_backward_input(c, &input), SP_OK);
	assert_int_equal(sp_compute_linear_backward_weight(c, &weight), SP_OK);
}

static int kinds_made(struct sp_compute *c)
{
	sp_compute_describe(c, text, sizeof text, warning, sizeof warning);
	const char *at = strstr(text, "oneDNN, ");
	assert_non_null(at);
	return atoi(at + strlen("oneDNN, "));
}

/* Each number of rows would be code of its own, of three products and pieces of two sizes. */
static void many_numbers_of_rows_are_few_kinds_of_products(void **state)
{
	(void)state;
	struct sp_compute *c = opened(SP_PRODUCTS_AUTO, SP_BF16);
	const int before = kinds_made(c);
	for (int64_t rows = LEAST; rows <= ROWS_MOST; rows++)
		pass(c, rows);
	const int kinds = kinds_made(c) - before;
	assert_true(kinds >= 3 && kinds <= 30);
	sp_compute_close(c);
}

/* ---- rates ---- */

/* Kinds of products that a rate has made of oneDNN. */
static int made_by_rate(struct sp_compute *c, enum sp_dtype dtype, int64_t m, int64_t n, int64_t k)
{
	double rate = 0;
	const int before = kinds_made(c);
	assert_int_equal(sp_compute_gemm_rate(c, dtype, m, n, k, 0.001, &rate), SP_OK);
	assert_true(isfinite(rate) && rate > 0);
	return kinds_made(c) - before;
}

/* The second in bf16 finds nothing new to make, as it is the same product as the first, which that in fp32 was not. */
static void a_rate_is_of_the_library_that_multiplies_that_dtype(void **state)
{
	(void)state;
	struct sp_compute *c = opened(SP_PRODUCTS_AUTO, SP_BF16);
	assert_int_equal(made_by_rate(c, SP_F32, 80, 96, 64), 0);
	assert_true(made_by_rate(c, SP_BF16, 80, 96, 64) > 0);
	assert_int_equal(made_by_rate(c, SP_BF16, 80, 96, 64), 0);
	assert_int_equal(made_by_rate(c, SP_BF16, 16, 96, 64), 0); /* too thin, and so the BLAS' */
	sp_compute_close(c);
	c = opened(SP_PRODUCTS_ONEDNN, SP_BF16);
	assert_true(made_by_rate(c, SP_F32, 80, 96, 64) > 0);
	sp_compute_close(c);
}

static void the_rate_of_a_refused_product_is_the_blas_s(void **state)
{
	(void)state;
	struct sp_compute *c = opened(SP_PRODUCTS_AUTO, SP_BF16);
	assert_string_equal(of(c, SP_BF16, 80, 96, MOST), "onednn");
	assert_int_equal(made_by_rate(c, SP_BF16, 80, 96, MOST), 0);
	sp_compute_close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(auto_takes_onednn_for_large_products_in_bf16),
		cmocka_unit_test(who_names_a_library_gets_it_for_all),
		cmocka_unit_test(a_refused_product_is_the_blas_s_to_the_bit),
		cmocka_unit_test(a_refused_product_is_an_error_where_onednn_was_named),
		cmocka_unit_test(many_numbers_of_rows_are_few_kinds_of_products),
		cmocka_unit_test(a_rate_is_of_the_library_that_multiplies_that_dtype),
		cmocka_unit_test(the_rate_of_a_refused_product_is_the_blas_s),
	};
	const struct sp_compute_options options = { .threads = 1, .products = SP_PRODUCTS_ONEDNN };
	struct sp_compute *c = NULL;
	sp_log_level(SP_LOG_NONE);
	setenv("SEQPAR_MODULE_PATH", "tests/conformance/standin/.libs", 1);
	const int status = sp_compute_open("cpu", &options, &c);
	sp_log_level(SP_LOG_WARNING);
	if (status)
		return 77;
	sp_compute_describe(c, text, sizeof text, warning, sizeof warning);
	sp_compute_close(c);
	if (!strstr(text, "stand-in")) /* linked in: this is the real one */
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
