/* Finite differences of the whole model: for each parameter tensor, the loss's slope along a direction against the
 * gradient's component in it. Dropout is on where named: its masks depend on the key only, so the loss is still a
 * function of the parameters.
 *
 * The slope is the five-point formula, error O(h^4); h is a compromise with the loss's rounding (about 1e-7 of it).
 * Two directions a tensor: the gradient's own, whose slope is its norm (catches a wrong factor), and random signs
 * (catches a wrong element in small tensors). */
#include "config.h"

#include "golden/harness.h"

#include "base/rng.h"
#include "support.h"

#include <seqpar/status.h>

#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, LENGTH = 9, PREDICTIONS = 5, SEED = 77 };

struct kind {
	const char *name;
	int pre_norm, order;
	enum sp_activation activation;
	float dropout, attention_dropout;
	double rope_base;
};

static const struct kind kinds[] = {
	{ "post, erf", 0, 0, SP_ACT_GELU, 0, 0, 0 },
	{ "post, tanh, sentence order", 0, 1, SP_ACT_GELU_TANH, 0, 0, 0 },
	{ "pre, tanh", 1, 0, SP_ACT_GELU_TANH, 0, 0, 0 },
	{ "pre, erf, sentence order", 1, 1, SP_ACT_GELU, 0, 0, 0 },
	{ "post, dropout", 0, 1, SP_ACT_GELU, 0.2F, 0.3F, 0 },
	{ "pre, dropout", 1, 1, SP_ACT_GELU_TANH, 0.3F, 0.2F, 0 },
	{ "post, rotary", 0, 1, SP_ACT_GELU, 0, 0, 3 },
	{ "pre, rotary, dropout", 1, 0, SP_ACT_GELU, 0.2F, 0.1F, 10000 },
};
enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

/* Sample 0 ends in padding, sample 1 is two documents. */
static const int32_t position[BATCH * LENGTH] = { 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 1, 2, 3, 4, 0, 1, 2, 3 };
static const int32_t token[BATCH * LENGTH] = { 1, 7, 12, 3, 3, 19, 22, 0, 0, 1, 5, 22, 8, 13, 7, 7, 2, 16 };
static const int32_t kind_of[BATCH * LENGTH] = { 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1 };
static const int32_t doc[BATCH * LENGTH] = { 0, 0, 0, 0, 0, 0, 0, -1, -1, 0, 0, 0, 0, 0, 3, 3, 3, 3 };
static const int32_t sample[BATCH] = { 4, 11 }, order_label[BATCH] = { 1, 0 };
static const int32_t predicted[PREDICTIONS] = { 1, 4, 10, 13, 16 }, label[PREDICTIONS] = { 9, 3, 22, 0, 17 };

/* Values at which no part is small: not those of training, where norms and projections hardly act. */
static void draw_values(struct harness *h)
{
	struct sp_rng rng;
	sp_rng_start(&rng, SEED, SP_RNG_INIT, 0, 0);
	for (int i = 0; i < h->table->count; i++) {
		const struct sp_parameter *p = &h->table->entry[i];
		const double scale = p->rows == 1 ? 0.2 : p->cols > 32 ? 0.15 : 0.3;
		for (int64_t j = 0; j < p->rows * p->cols; j++)
			h->values[p->offset + j] = (float)(p->mean + scale * sp_rng_normal(&rng));
	}
}

static void open_kind(struct harness *h, const struct kind *k)
{
	const struct sp_model_config config = {
		.layers = 2,
		.hidden = 12,
		.heads = 3,
		.intermediate = 21,
		.vocab_size = 23,
		.max_positions = 11,
		.pre_norm = k->pre_norm,
		.activation = k->activation,
		.dropout = k->dropout,
		.attention_dropout = k->attention_dropout,
		.layer_norm_eps = 1e-12F,
		.sentence_order = k->order,
		.rope_base = k->rope_base,
	};
	const struct harness_batch batch = {
		.batch = BATCH,
		.length = LENGTH,
		.predictions = PREDICTIONS,
		.token = token,
		.position = position,
		.kind = kind_of,
		.doc = doc,
		.sample = sample,
		.predicted = predicted,
		.label = label,
		.order_label = k->order ? order_label : NULL,
	};
	h->read_rows_only = 1;
	assert_int_equal(harness_open(h, &config, &batch, "full"), SP_OK);
	draw_values(h);
	assert_int_equal(harness_put(h), SP_OK);
}

/* The loss with `at` + step * direction in place of the tensor's values. */
static double loss_along(struct harness *h, const struct sp_parameter *p, const float *at, const float *direction,
                         double step)
{
	double loss;
	for (int64_t j = 0; j < p->rows * p->cols; j++)
		h->values[p->offset + j] = (float)(at[j] + step * direction[j]);
	assert_int_equal(harness_put(h), SP_OK);
	assert_int_equal(harness_run(h, SEED, 3, 0, &loss), SP_OK);
	return loss;
}

static double slope(struct harness *h, const struct sp_parameter *p, const float *at, const float *direction,
                    double step)
{
	const double one = loss_along(h, p, at, direction, step) - loss_along(h, p, at, direction, -step);
	const double two = loss_along(h, p, at, direction, 2 * step) - loss_along(h, p, at, direction, -2 * step);
	return (8 * one - two) / (12 * step);
}

/* Scales to length 1; 0 if there is nothing to scale. */
static int normalise(float *x, int64_t n)
{
	double sum = 0;
	for (int64_t j = 0; j < n; j++)
		sum += (double)x[j] * x[j];
	for (int64_t j = 0; sum > 0 && j < n; j++)
		x[j] = (float)(x[j] / sqrt(sum));
	return sum > 0;
}

static double dot(const float *a, const float *b, int64_t n)
{
	double sum = 0;
	for (int64_t j = 0; j < n; j++)
		sum += (double)a[j] * b[j];
	return sum;
}

struct work {
	float *at, *direction, *gradient;
};

/* 1 if the slope along work->direction is not the gradient's. */
static int slope_differs(struct harness *h, const struct sp_parameter *p, const struct work *w, const char *which)
{
	const int64_t n = p->rows * p->cols;
	const double step = 0.01 * fmax(1, sqrt((double)n) / 10);
	const double wanted = dot(w->gradient, w->direction, n), found = slope(h, p, w->at, w->direction, step);
	if (fabs(found - wanted) <= 2e-3 * fabs(wanted) + 3e-4)
		return 0;
	print_error("%s, %s direction: slope %.6g, gradient %.6g\n", p->name, which, found, wanted);
	return 1;
}

static int check_tensor(struct harness *h, const struct sp_parameter *p, const struct work *w)
{
	const int64_t n = p->rows * p->cols;
	struct sp_rng rng;
	int wrong = 0;
	memcpy(w->at, h->values + p->offset, (size_t)n * sizeof(float));
	memcpy(w->direction, w->gradient, (size_t)n * sizeof(float));
	if (normalise(w->direction, n))
		wrong += slope_differs(h, p, w, "own");
	sp_rng_start(&rng, SEED, SP_RNG_SAMPLE, (uint64_t)p->offset, 0);
	for (int64_t j = 0; j < n; j++)
		w->direction[j] = sp_rng_u32(&rng) & 1 ? 1 : -1;
	normalise(w->direction, n);
	wrong += slope_differs(h, p, w, "random");
	memcpy(h->values + p->offset, w->at, (size_t)n * sizeof(float));
	return wrong;
}

static void gradients_match_finite_differences(void **state)
{
	struct harness h = { 0 };
	double loss;
	int wrong = 0;
	open_kind(&h, *state);
	const size_t bytes = (size_t)h.table->elements * sizeof(float);
	float *all = test_malloc(bytes);
	struct work w = { test_malloc(bytes), test_malloc(bytes), NULL };
	assert_int_equal(harness_run(&h, SEED, 3, 1, &loss), SP_OK);
	memcpy(all, h.gradients, bytes);
	for (int i = 0; i < h.table->count; i++) {
		w.gradient = all + h.table->entry[i].offset;
		wrong += check_tensor(&h, &h.table->entry[i], &w);
	}
	test_free(w.at);
	test_free(w.direction);
	test_free(all);
	harness_close(&h);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	struct CMUnitTest tests[KINDS];
	for (int i = 0; i < KINDS; i++)
		tests[i] = (struct CMUnitTest){
			.name = kinds[i].name,
			.test_func = gradients_match_finite_differences,
			.initial_state = (void *)&kinds[i],
		};
	return cmocka_run_group_tests_name("gradients_match_finite_differences", tests, NULL, NULL);
}
