/* Tables 1 and 2 of Li et al. 2021 counted buffer by buffer: their formulas, their crossovers, and where this program's own
 * layout crosses over instead. */
#include "config.h"

#include "plan/paper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
	int64_t hidden, heads, head_dim;
} models[] = { { 768, 12, 64 }, { 1024, 16, 64 }, { 96, 4, 16 }, { 512, 8, 64 } };

enum { MODELS = sizeof models / sizeof *models };

static void for_every_model(void (*check)(struct sp_paper_shape s))
{
	for (int i = 0; i < MODELS; i++)
		for (int ranks = 2; ranks <= 64; ranks *= 2)
			for (int64_t batch = 1; batch <= 64; batch *= 4)
				check((struct sp_paper_shape){ batch, 512, models[i].hidden, models[i].heads, models[i].head_dim, ranks });
}

/* The formulas as the paper has them; every division is exact here. */
static void check_formulas(struct sp_paper_shape s)
{
	const int64_t b = s.batch, l = s.length, h = s.hidden, z = s.heads, a = s.head_dim, n = s.ranks;
	assert_int_equal(sp_paper_elements(&s, SP_PAPER_MLP, SP_PAPER_TENSOR), 32 * h * h / n + 4 * b * l * h / n + b * l * h);
	assert_int_equal(sp_paper_elements(&s, SP_PAPER_MLP, SP_PAPER_SEQUENCE), 32 * h * h + 5 * b * l * h / n);
	assert_int_equal(sp_paper_elements(&s, SP_PAPER_ATTENTION, SP_PAPER_TENSOR),
	                 16 * a * z * h / n + 4 * b * l * z * a / n + b * z * l * l / n + b * l * h);
	assert_int_equal(sp_paper_elements(&s, SP_PAPER_ATTENTION, SP_PAPER_SEQUENCE),
	                 16 * a * z * h + 4 * b * z * l * a / n + b * z * l * l / n + b * l * h / n);
	assert_int_equal(sp_paper_scores(&s), b * z * l * l / n);
}

static void buffers_add_up_to_the_tables(void **state)
{
	(void)state;
	for_every_model(check_formulas);
}

/* At B L = `tokens` both schemes need the same, with the next length that ranks can share sequences need less. */
static void check_crossover(struct sp_paper_shape s, enum sp_paper_block block, int64_t tokens)
{
	const int64_t step = s.batch * s.ranks;
	if (tokens % step != 0)
		return;
	assert_int_equal(sp_paper_crossover(&s, block), tokens + step);
	s.length = tokens / s.batch;
	assert_int_equal(sp_paper_elements(&s, block, SP_PAPER_SEQUENCE), sp_paper_elements(&s, block, SP_PAPER_TENSOR));
}

static void check_mlp(struct sp_paper_shape s)
{
	check_crossover(s, SP_PAPER_MLP, 32 * s.hidden);
}

static void the_mlp_crosses_over_at_32_h_tokens(void **state)
{
	(void)state;
	for_every_model(check_mlp);
}

static void check_attention(struct sp_paper_shape s)
{
	check_crossover(s, SP_PAPER_ATTENTION, 16 * s.head_dim * s.heads);
}

static void attention_crosses_over_at_16_a_z_tokens(void **state)
{
	(void)state;
	for_every_model(check_attention);
}

static size_t need(struct sp_paper_shape s, int64_t layers, enum sp_paper_scheme scheme)
{
	return (size_t)(4 * layers * (sp_paper_elements(&s, SP_PAPER_MLP, scheme) + sp_paper_elements(&s, SP_PAPER_ATTENTION, scheme)));
}

static void check_most(struct sp_paper_shape s)
{
	for (int scheme = 0; scheme < SP_PAPER_SCHEMES; scheme++) {
		const enum sp_paper_scheme kind = (enum sp_paper_scheme)scheme;
		const size_t memory = (size_t)4 << 30;
		const int64_t step = kind == SP_PAPER_SEQUENCE ? s.ranks : 1;
		struct sp_paper_shape at = s;
		at.batch = sp_paper_largest_batch(&s, 12, memory, kind);
		assert_true(at.batch > 0 && need(at, 12, kind) <= memory);
		at.batch++;
		assert_true(need(at, 12, kind) > memory);
		at = s;
		at.length = sp_paper_longest(&s, 12, memory, kind);
		assert_true(at.length % step == 0 && need(at, 12, kind) <= memory);
		at.length += step;
		assert_true(need(at, 12, kind) > memory);
	}
}

static void what_fits_by_the_tables_is_the_most(void **state)
{
	(void)state;
	for_every_model(check_most);
	const struct sp_paper_shape base = { 1, 512, 768, 12, 64, 64 };
	assert_int_equal(sp_paper_largest_batch(&base, 12, 1 << 30, SP_PAPER_SEQUENCE), 0); /* weights alone are more */
}

static struct sp_plan_input input_of(int model, int64_t batch, int64_t length)
{
	const struct sp_plan_input in = {
		.model = {
			.config = { .layers = 12, .hidden = models[model].hidden, .heads = models[model].heads,
			            .intermediate = 4 * models[model].hidden, .vocab_size = 30522, .max_positions = 512 },
			.batch = batch,
			.attention = sp_attention_find("ring"),
		},
		.data_ranks = 1,
		.sequence_ranks = 1,
		.multiple = 1,
		.global_batch = batch,
	};
	return sp_plan_with_length(&in, length);
}

/* A layer of 12 H^2 + 13 H parameters: values and gradients on every sequence rank, moments shared, and of each of its
 * tokens 7 H + 2 x 4 H activations, means and deviations of two norms, and a log-sum-exp a head. Aligned by 64 bytes. */
static void a_layer_of_this_program_is_what_its_layout_says(void **state)
{
	(void)state;
	const int64_t h = 768, z = 12, weights = 12 * h * h + 13 * h, tokens = 4 * 512, n = 4;
	const struct sp_plan_input in = input_of(0, 4, 512);
	int64_t own;
	assert_int_equal(sp_paper_own_layer(&in, (int)n, SP_PAPER_SEQUENCE, &own), SP_OK);
	assert_in_range(own, 2 * weights + 2 * weights / n + tokens / n * (4 * h + 4 * h + 2 * 4 * h + 4 + z),
	                2 * weights + 2 * weights / n + tokens / n * (4 * h + 4 * h + 2 * 4 * h + 4 + z) + 2048);
}

/* No scores: with four times the tokens four times the activations, where the paper's method keeps sixteen times the
 * scores. */
static void memory_of_this_program_is_linear_in_the_tokens(void **state)
{
	(void)state;
	int64_t own[3];
	for (int i = 0; i < 3; i++) {
		const struct sp_plan_input in = input_of(0, 1, 4096 << i);
		assert_int_equal(sp_paper_own_layer(&in, 4, SP_PAPER_SEQUENCE, &own[i]), SP_OK);
	}
	assert_int_equal(own[2] - own[1], 2 * (own[1] - own[0]));
	const struct sp_paper_shape paper = { 1, 16384, 768, 12, 64, 4 };
	assert_true(own[2] < sp_paper_elements(&paper, SP_PAPER_MLP, SP_PAPER_SEQUENCE) +
	                         sp_paper_elements(&paper, SP_PAPER_ATTENTION, SP_PAPER_SEQUENCE) - sp_paper_scores(&paper) / 2);
}

/* Weights and gradients, 24 H^2, are replicated; moments are not. Of each token tensor ranks keep the sums and normed
 * values of two joints whole, 4 H. So 24 H^2 = 4 H B L: half of the paper's 16 A Z is beyond it already. */
static void this_program_crosses_over_at_6_h_tokens(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		for (int ranks = 2; ranks <= 4; ranks += 2)
			for (int64_t batch = 1; batch <= 8; batch *= 8) {
				const struct sp_plan_input in = input_of(i, batch, 512);
				int64_t tokens;
				assert_int_equal(sp_paper_own_crossover(&in, ranks, &tokens), SP_OK);
				assert_int_equal(tokens % (ranks * batch), 0);
				assert_in_range(tokens, 6 * models[i].hidden - 32, 6 * models[i].hidden + 32);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_add_up_to_the_tables),
		cmocka_unit_test(the_mlp_crosses_over_at_32_h_tokens),
		cmocka_unit_test(attention_crosses_over_at_16_a_z_tokens),
		cmocka_unit_test(what_fits_by_the_tables_is_the_most),
		cmocka_unit_test(a_layer_of_this_program_is_what_its_layout_says),
		cmocka_unit_test(memory_of_this_program_is_linear_in_the_tokens),
		cmocka_unit_test(this_program_crosses_over_at_6_h_tokens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
