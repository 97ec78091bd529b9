/* The model's own work, counted again product by product. */
#include "config.h"

#include "support.h"
#include "train/flops.h"

static const struct sp_model_config base = {
	.layers = 12, .hidden = 768, .heads = 12, .intermediate = 3072, .vocab_size = 30528, .max_positions = 512,
};

static double product(double m, double n, double k)
{
	return 2 * m * n * k;
}

static double behind_attention(double rows)
{
	return product(rows, 768, 768) + product(rows, 3072, 768) + product(rows, 768, 3072);
}

/* Forward products of four sequences of 512, 76 predictions each; backward is twice that. */
static void bert_base_is_the_sum_of_its_products(void **state)
{
	(void)state;
	const double t = 4 * 512, s = 512, h = 768;
	double qkv = product(t, 3 * h, h), whole = 4 * 12 * (product(s, s, 64) + product(s, 64, s));
	double read = 4 * 12 * (product(76, s, 64) + product(76, 64, s));
	double layers = 12 * qkv + 11 * whole + read + 11 * behind_attention(t) + behind_attention(4 * 76);
	double head = product(4 * 76, h, h) + product(4 * 76, 30528, h);
	const struct sp_work work = { .samples = 4, .tokens = 4 * 512, .pairs = 4 * 512 * 512, .read_pairs = 4 * 76 * 512,
		                        .predicted = 4 * 76 };
	double got = sp_flops_step(&base, &work), expected = 3 * (layers + head);
	assert_true(fabs(got - expected) < 1e-12 * expected);
}

static void sentence_order_adds_pooler_classifier_and_a_row_per_sample(void **state)
{
	(void)state;
	const struct sp_work work = { .samples = 3, .tokens = 300, .pairs = 30000, .predicted = 45 };
	struct sp_model_config with = base;
	with.sentence_order = 1;
	double more = sp_flops_step(&with, &work) - sp_flops_step(&base, &work);
	assert_true(fabs(more - 3 * (product(3, 768, 768) + product(3, 2, 768) + behind_attention(3))) < 1);
}

/* Keys and values are projected, the queries of 2048 tokens, in the last layer of those that are read, meet 100 rows. */
static void a_projected_sequence_counts_its_projections_and_rows(void **state)
{
	(void)state;
	const struct sp_work work = { .samples = 4, .tokens = 2048, .pairs = 4 * 512 * 512, .predicted = 4 * 76 };
	struct sp_model_config with = base;
	with.linformer_k = 100;
	double whole = 12 * (product(2048, 100, 64) + product(2048, 64, 100)), read = whole * (4 * 76) / 2048;
	const struct sp_work no_pairs = { .samples = 4, .tokens = 2048, .predicted = 4 * 76 };
	double more = sp_flops_step(&with, &work) - sp_flops_step(&base, &no_pairs);
	assert_true(fabs(more - 3 * (12 * 2 * product(100, 768, 2048) + 11 * whole + read)) < 1e-9 * more);
}

/* Twelve layers, of which every fifth (0, 5, 10) meets all, and the last does not. */
static void layers_with_a_window_count_the_pairs_in_it(void **state)
{
	(void)state;
	const struct sp_work work = { .samples = 4, .tokens = 2048, .pairs = 1000000, .read_pairs = 100000, .predicted = 300,
		                        .near = 10000, .read_near = 1000 };
	const struct sp_work none = { .samples = 4, .tokens = 2048, .predicted = 300 };
	struct sp_model_config with = base;
	with.window = 3;
	with.global_every = 5;
	double more = sp_flops_step(&with, &work) - sp_flops_step(&with, &none);
	assert_true(fabs(more - 12.0 * 768 * (3 * 1000000 + 8 * 10000 + 1000)) < 1);
	with.global_every = 0;
	more = sp_flops_step(&with, &work) - sp_flops_step(&with, &none);
	assert_true(fabs(more - 12.0 * 768 * (11 * 10000 + 1000)) < 1);
	with.global_every = 11;
	more = sp_flops_step(&with, &work) - sp_flops_step(&with, &none);
	assert_true(fabs(more - 12.0 * 768 * (1000000 + 10 * 10000 + 100000)) < 1);
}

static void padding_counts_for_nothing(void **state)
{
	(void)state;
	const struct sp_work none = { .samples = 0 };
	assert_true(sp_flops_step(&base, &none) == 0);
}

/* Documents of 100 and 28 tokens, 19 of them to be predicted. */
static void costs_of_tokens_add_up_to_a_step(void **state)
{
	(void)state;
	const struct sp_work work = { .samples = 2, .tokens = 128, .pairs = 100 * 100 + 28 * 28, .read_pairs = 15 * 100 + 4 * 28,
		                        .predicted = 19 };
	const struct sp_token_cost each = sp_flops_token(&base, 1, 1), all = sp_flops_token(&base, 0, 1);
	const double units = 6.0 * 768 / SP_TOKEN_COST_UNITS, step = sp_flops_step(&base, &work);
	const double sum = (double)(128 * each.row + 19 * (each.read + each.predicted) + work.pairs * each.pair +
	                            work.read_pairs * each.read_pair);
	assert_true(fabs(units * sum - step) < 1e-12 * step);
	const struct sp_work read = { .samples = 2, .tokens = 128, .pairs = work.pairs, .read_pairs = work.pairs, .predicted = 128 };
	const double whole = (double)(128 * (all.row + all.predicted) + work.pairs * all.pair);
	assert_true(fabs(units * whole - sp_flops_step(&base, &read)) < 1e-12 * sp_flops_step(&base, &read));
	assert_int_equal(all.read, 0);
	assert_int_equal(all.read_pair, 0);
	assert_int_equal(sp_flops_token(&base, 1, 2.5).pair * 2, each.pair * 5);
	assert_int_equal(sp_flops_token(&base, 1, 2.5).read_pair * 2, each.read_pair * 5);
	assert_int_equal(sp_flops_token(&base, 1, 2.5).row, each.row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bert_base_is_the_sum_of_its_products),
		cmocka_unit_test(sentence_order_adds_pooler_classifier_and_a_row_per_sample),
		cmocka_unit_test(a_projected_sequence_counts_its_projections_and_rows),
		cmocka_unit_test(layers_with_a_window_count_the_pairs_in_it),
		cmocka_unit_test(padding_counts_for_nothing),
		cmocka_unit_test(costs_of_tokens_add_up_to_a_step),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
