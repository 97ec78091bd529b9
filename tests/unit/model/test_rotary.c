/* Rotary positions: what a model sees of them is how far apart two tokens of a document are. */
#include "config.h"

#include "golden/harness.h"

#include "base/rng.h"
#include "support.h"

#include <seqpar/status.h>

#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, LENGTH = 24, SIZE = BATCH * LENGTH, SEED = 5 };

static const struct sp_model_config learned = {
	.layers = 2, .hidden = 16, .heads = 2, .intermediate = 20, .vocab_size = 31, .max_positions = 7, .layer_norm_eps = 1e-12f,
};

static struct sp_model_config rotary(double base)
{
	struct sp_model_config config = learned;
	config.rope_base = base;
	return config;
}

/* Loss and gradients with given positions; documents of a third and of two thirds of each sample. */
static double run(const struct sp_model_config *config, const int32_t *position, enum sp_recompute recompute, float **gradients)
{
	int32_t token[SIZE], kind[SIZE] = { 0 }, doc[SIZE], sample[BATCH] = { 0, 1 }, predicted[SIZE], label[SIZE];
	struct sp_rng rng;
	sp_rng_start(&rng, SEED, SP_RNG_SYNTHETIC, 0, 0);
	for (int i = 0; i < SIZE; i++) {
		token[i] = (int32_t)sp_rng_below(&rng, 31);
		doc[i] = i % LENGTH >= LENGTH / 3;
		predicted[i] = i;
		label[i] = (int32_t)sp_rng_below(&rng, 31);
	}
	const struct harness_batch batch = {
		.batch = BATCH, .length = LENGTH, .predictions = SIZE, .token = token, .position = position, .kind = kind, .doc = doc,
		.sample = sample, .predicted = predicted, .label = label,
	};
	struct harness h = { .recompute = recompute };
	double loss;
	assert_int_equal(harness_open(&h, config, &batch, "full"), SP_OK);
	sp_parameters_init(h.table, SEED, h.values);
	for (int64_t i = 0; i < h.table->elements; i++)
		h.values[i] *= 10; /* so that attention looks somewhere */
	assert_int_equal(harness_put(&h), SP_OK);
	assert_int_equal(harness_run(&h, SEED, 0, 1, &loss), SP_OK);
	*gradients = test_malloc((size_t)h.table->elements * sizeof(float));
	memcpy(*gradients, h.gradients, (size_t)h.table->elements * sizeof(float));
	harness_close(&h);
	return loss;
}

/* Position t of a document is at begin[document] + t * step. */
static void place(const int32_t begin[2], int32_t step, int32_t *position)
{
	for (int i = 0; i < SIZE; i++) {
		const int second = i % LENGTH >= LENGTH / 3;
		position[i] = begin[second] + step * (i % LENGTH - (second ? LENGTH / 3 : 0));
	}
}

static double distance(const float *a, const float *b, int64_t n)
{
	double difference = 0, norm = 0;
	for (int64_t i = 0; i < n; i++) {
		difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		norm += (double)b[i] * b[i];
	}
	return sqrt(difference / norm);
}

static int64_t elements(const struct sp_model_config *config)
{
	struct sp_parameters table;
	assert_int_equal(sp_parameters_create(config, &table), SP_OK);
	const int64_t n = table.elements;
	sp_parameters_destroy(&table);
	return n;
}

static void only_distances_within_a_document_matter(void **state)
{
	(void)state;
	static const int32_t begins[][2] = { { 0, 0 }, { 0, LENGTH / 3 }, { 1000, 3 } };
	const struct sp_model_config config = rotary(100);
	int32_t position[SIZE];
	float *g[4];
	double loss[4];
	for (int i = 0; i < 3; i++) {
		place(begins[i], 1, position);
		loss[i] = run(&config, position, SP_RECOMPUTE_NONE, &g[i]);
	}
	place(begins[0], 2, position); /* twice as far apart */
	loss[3] = run(&config, position, SP_RECOMPUTE_NONE, &g[3]);
	for (int i = 1; i < 3; i++) {
		assert_true(fabs(loss[i] - loss[0]) < 1e-6 * loss[0]);
		assert_true(distance(g[i], g[0], elements(&config)) < 1e-4);
	}
	assert_true(fabs(loss[3] - loss[0]) > 1e-4 * loss[0]);
	assert_true(distance(g[3], g[0], elements(&config)) > 1e-2);
	for (int i = 0; i < 4; i++)
		test_free(g[i]);
}

static void what_is_computed_again_has_the_same_bits(void **state)
{
	(void)state;
	static const int32_t begin[2] = { 0, 0 };
	for (int pre = 0; pre < 2; pre++) {
		struct sp_model_config config = rotary(10000);
		int32_t position[SIZE];
		float *g[3];
		double loss[3];
		config.pre_norm = pre;
		place(begin, 1, position);
		for (int i = 0; i < 3; i++)
			loss[i] = run(&config, position, (enum sp_recompute)i, &g[i]);
		for (int i = 1; i < 3; i++) {
			assert_memory_equal(&loss[i], &loss[0], sizeof *loss);
			assert_memory_equal(g[i], g[0], (size_t)elements(&config) * sizeof(float));
		}
		for (int i = 0; i < 3; i++)
			test_free(g[i]);
	}
}

static void there_is_no_table_of_positions(void **state)
{
	(void)state;
	const struct sp_model_config config = rotary(10000);
	struct sp_parameters with, without;
	assert_int_equal(sp_parameters_create(&learned, &with), SP_OK);
	assert_int_equal(sp_parameters_create(&config, &without), SP_OK);
	assert_int_equal(without.count, with.count - 1);
	assert_int_equal(without.values, with.values - learned.max_positions * learned.hidden);
	assert_null(sp_parameters_find(&without, "bert.embeddings.position_embeddings.weight"));
	assert_int_equal(sp_parameters_values(&config), without.values);
	sp_parameters_destroy(&with);
	sp_parameters_destroy(&without);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_distances_within_a_document_matter),
		cmocka_unit_test(what_is_computed_again_has_the_same_bits),
		cmocka_unit_test(there_is_no_table_of_positions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
