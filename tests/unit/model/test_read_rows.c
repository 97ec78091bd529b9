/* The last layer made of the rows alone that the heads read: the same losses and gradients. */
#include "config.h"

#include "golden/harness.h"

#include "base/rng.h"
#include "model/rows.h"
#include "support.h"

#include <seqpar/status.h>

#include <math.h>
#include <string.h>

enum { BATCH = 2, LENGTH = 9, PREDICTIONS = 4, HIDDEN = 12 };

/* Sample 0 ends in padding, sample 1 is two documents. */
static const int32_t position[BATCH * LENGTH] = { 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 1, 2, 3, 4, 0, 1, 2, 3 };
static const int32_t token[BATCH * LENGTH] = { 1, 7, 12, 3, 3, 19, 22, 0, 0, 1, 5, 22, 8, 13, 7, 7, 2, 16 };
static const int32_t kind_of[BATCH * LENGTH] = { 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1 };
static const int32_t doc[BATCH * LENGTH] = { 0, 0, 0, 0, 0, 0, 0, -1, -1, 0, 0, 0, 0, 0, 3, 3, 3, 3 };
static const int32_t sample[BATCH] = { 4, 11 }, order_label[BATCH] = { 1, 0 };
static const int32_t predicted[PREDICTIONS] = { 1, 4, 13, 16 }, label[PREDICTIONS] = { 9, 3, 0, 17 };
static const int is_read[2][BATCH * LENGTH] = { { 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0 },
	                                            { 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0 } };

static void open_model(struct harness *h, int pre_norm, int order, int64_t layers, int64_t predictions, int read_rows_only)
{
	const struct sp_model_config config = {
		.layers = layers, .hidden = HIDDEN, .heads = 3, .intermediate = 26, .vocab_size = 23, .max_positions = 11,
		.pre_norm = pre_norm, .activation = SP_ACT_GELU, .dropout = 0.2F, .attention_dropout = 0.1F, .layer_norm_eps = 1e-12F,
		.sentence_order = order,
	};
	const struct harness_batch batch = {
		BATCH, LENGTH, predictions, token, position, kind_of, doc, sample, predicted, label, order ? order_label : NULL,
	};
	struct sp_rng rng;
	*h = (struct harness){ .read_rows_only = read_rows_only };
	assert_int_equal(harness_open(h, &config, &batch, "ring"), SP_OK);
	sp_rng_start(&rng, 5, SP_RNG_INIT, 0, 0);
	for (int64_t i = 0; i < h->table->elements; i++)
		h->values[i] = (float)(0.3 * sp_rng_normal(&rng));
	assert_int_equal(harness_put(h), SP_OK);
}

static void assert_same_gradients(const struct harness *a, const struct harness *b)
{
	for (int i = 0; i < a->table->count; i++) {
		const struct sp_parameter *p = &a->table->entry[i];
		double error = 0, size = 0;
		for (int64_t j = p->offset; j < p->offset + p->rows * p->cols; j++) {
			error += pow((double)a->gradients[j] - (double)b->gradients[j], 2);
			size += pow((double)b->gradients[j], 2);
		}
		if (!(sqrt(error) <= 2e-6 * sqrt(size) + 1e-8))
			fail_msg("the gradient of %s differs: error %g, size %g", p->name, sqrt(error), sqrt(size));
	}
}

/* Rows that are read are what they are when all are made, but for rounding; of the others many show that they were not. */
static void assert_only_read_rows(const struct harness *some, const struct harness *all, int order)
{
	const struct sp_matrix x = sp_model_exit(some->model, 0, 0), y = sp_model_exit(all->model, 0, 0);
	int others = 0;
	for (int64_t i = 0; i < BATCH * LENGTH; i++) {
		const float *a = (const float *)x.data + i * x.stride, *b = (const float *)y.data + i * y.stride;
		double error = 0;
		for (int64_t j = 0; j < HIDDEN; j++)
			error += fabs((double)a[j] - (double)b[j]);
		assert_true(isfinite(error));
		if (is_read[order][i])
			assert_true(error < 1e-5 * HIDDEN);
		else
			others += error > 1e-2;
	}
	assert_true(others > BATCH * LENGTH / 3);
}

static void losses_and_gradients_are_those_of_all_rows(void **state)
{
	(void)state;
	for (int kind = 0; kind < 8; kind++) {
		struct harness h[2];
		double loss[2];
		const int order = kind / 2 % 2;
		for (int only = 0; only < 2; only++) {
			open_model(&h[only], kind % 2, order, 1 + kind / 4, PREDICTIONS, only);
			assert_int_equal(harness_run(&h[only], 1, 1, 1, &loss[only]), SP_OK);
		}
		assert_true(fabs(loss[1] - loss[0]) <= 1e-6 * loss[0]);
		assert_same_gradients(&h[1], &h[0]);
		assert_only_read_rows(&h[1], &h[0], order);
		for (int only = 0; only < 2; only++)
			harness_close(&h[only]);
	}
}

static void nothing_predicted_leaves_gradients_that_are_zero(void **state)
{
	(void)state;
	for (int pre_norm = 0; pre_norm < 2; pre_norm++) {
		struct harness h;
		double loss;
		open_model(&h, pre_norm, 0, 2, 0, 1);
		assert_int_equal(harness_run(&h, 1, 1, 1, &loss), SP_OK);
		assert_true(loss == 0);
		for (int64_t i = 0; i < h.table->elements; i++)
			assert_true(h.gradients[i] == 0);
		harness_close(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(losses_and_gradients_are_those_of_all_rows),
		cmocka_unit_test(nothing_predicted_leaves_gradients_that_are_zero),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
