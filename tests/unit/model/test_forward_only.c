/* A model that only runs forward: the same bits as the one that trains, without gradients, in memory that does not grow
 * with its layers. */
#include "config.h"

#include "golden/harness.h"

#include "base/rng.h"
#include "support.h"

#include <seqpar/status.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, LENGTH = 9, PREDICTIONS = 5, VOCAB = 23, HIDDEN = 12 };

/* Sample 0 ends in padding, sample 1 is two documents. */
static const int32_t position[BATCH * LENGTH] = { 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 1, 2, 3, 4, 0, 1, 2, 3 };
static const int32_t token[BATCH * LENGTH] = { 1, 7, 12, 3, 3, 19, 22, 0, 0, 1, 5, 22, 8, 13, 7, 7, 2, 16 };
static const int32_t kind_of[BATCH * LENGTH] = { 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1 };
static const int32_t doc[BATCH * LENGTH] = { 0, 0, 0, 0, 0, 0, 0, -1, -1, 0, 0, 0, 0, 0, 3, 3, 3, 3 };
static const int32_t sample[BATCH] = { 4, 11 }, order_label[BATCH] = { 1, 0 };
static const int32_t predicted[PREDICTIONS] = { 1, 4, 10, 13, 16 }, label[PREDICTIONS] = { 9, 3, 22, 0, 17 };

static struct sp_model_config config_of(int pre_norm, int64_t layers, int64_t intermediate)
{
	return (struct sp_model_config){
		.layers = layers,
		.hidden = HIDDEN,
		.heads = 3,
		.intermediate = intermediate,
		.vocab_size = VOCAB,
		.max_positions = 11,
		.pre_norm = pre_norm,
		.activation = SP_ACT_GELU,
		.dropout = 0.2F,
		.attention_dropout = 0.3F,
		.layer_norm_eps = 1e-12F,
		.sentence_order = 1,
	};
}

static void open_model(struct harness *h, const struct sp_model_config *config, int forward_only, const char *attention)
{
	const struct harness_batch batch = {
		BATCH, LENGTH, PREDICTIONS, token, position, kind_of, doc, sample, predicted, label, order_label,
	};
	struct sp_rng rng;
	h->forward_only = forward_only;
	assert_int_equal(harness_open(h, config, &batch, attention), SP_OK);
	sp_rng_start(&rng, 5, SP_RNG_INIT, 0, 0);
	for (int i = 0; i < h->table->count; i++) {
		const struct sp_parameter *p = &h->table->entry[i];
		for (int64_t j = 0; j < p->rows * p->cols; j++)
			h->values[p->offset + j] = (float)(p->mean + 0.3 * sp_rng_normal(&rng));
	}
	assert_int_equal(harness_put(h), SP_OK);
}

static int64_t real_rows(const struct harness *h, const float *hidden, float *packed)
{
	int64_t n = 0;
	for (int64_t i = 0; i < BATCH * LENGTH; i++)
		if (doc[i] >= 0)
			memcpy(packed + n++ * HIDDEN, hidden + (i / LENGTH * h->batch.chunk + i % LENGTH) * HIDDEN,
			       HIDDEN * sizeof(float));
	return n * HIDDEN;
}

/* The last hidden states of all real tokens. */
static int64_t encode(struct harness *h, float *packed)
{
	struct sp_matrix view;
	assert_int_equal(sp_model_encode(h->model, &h->batch, &view), SP_OK);
	assert_int_equal(view.rows, h->batch.batch * h->batch.chunk);
	assert_int_equal(view.cols, HIDDEN);
	float *all = test_malloc((size_t)(view.rows * view.cols) * sizeof(*all));
	assert_int_equal(sp_compute_copy_out(h->compute, all, view.data, (size_t)(view.rows * view.cols) * sizeof(*all)),
	                 SP_OK);
	const int64_t n = real_rows(h, all, packed);
	test_free(all);
	return n;
}

static struct sp_model_sums run(struct harness *h)
{
	const struct sp_pass pass = { .seed = 1, .step = 1, .mlm_scale = 1, .order_scale = 1 };
	struct sp_model_sums sums;
	assert_int_equal(sp_model_reset(h->model, 1), SP_OK);
	assert_int_equal(sp_model_run(h->model, &h->batch, &pass), SP_OK);
	assert_int_equal(sp_model_sums(h->model, &sums), SP_OK);
	return sums;
}

struct kind {
	int pre_norm;
	int64_t layers, intermediate;
};

/* More layers than one, and an MLP narrower and wider than attention's buffers. */
static const struct kind kinds[] = { { 0, 3, 50 }, { 1, 3, 50 }, { 0, 2, 7 }, { 1, 2, 7 }, { 0, 1, 48 }, { 1, 1, 48 } };

static void hidden_states_and_losses_are_those_of_the_model_that_trains(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		const struct sp_model_config config = config_of(kinds[k].pre_norm, kinds[k].layers, kinds[k].intermediate);
		float a[BATCH * LENGTH * HIDDEN], b[BATCH * LENGTH * HIDDEN];
		struct harness whole = { 0 }, lean = { 0 };
		open_model(&whole, &config, 0, "full");
		open_model(&lean, &config, 1, k % 2 ? "ring" : "full");
		const int64_t n = encode(&whole, a);
		assert_int_equal(encode(&lean, b), n);
		assert_memory_equal(a, b, (size_t)n * sizeof *a);
		const struct sp_model_sums x = run(&whole), y = run(&lean);
		assert_true(x.mlm > 0 && x.order > 0);
		assert_memory_equal(&x, &y, sizeof x);
		harness_close(&whole);
		harness_close(&lean);
	}
}

static void the_mlp_may_be_done_a_few_rows_at_a_time(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		const struct sp_model_config config = config_of(kinds[k].pre_norm, kinds[k].layers, kinds[k].intermediate);
		float a[BATCH * LENGTH * HIDDEN], b[BATCH * LENGTH * HIDDEN];
		struct harness whole = { 0 }, tiles = { .tile = 4 };
		open_model(&whole, &config, 1, "full");
		open_model(&tiles, &config, 1, "full");
		const int64_t n = encode(&whole, a);
		assert_int_equal(encode(&tiles, b), n);
		for (int64_t i = 0; i < n; i++)
			assert_true(fabs((double)a[i] - (double)b[i]) < 1e-5);
		harness_close(&whole);
		harness_close(&tiles);
	}
}

struct rows {
	float logits[PREDICTIONS][VOCAB];
	int64_t taken;
};

static int take(void *context, int64_t i, const float *logits)
{
	struct rows *r = context;
	assert_int_equal(i, r->taken++);
	memcpy(r->logits[i], logits, sizeof r->logits[i]);
	return SP_OK;
}

static int refuse(void *context, int64_t i, const float *logits)
{
	(void)logits;
	*(int64_t *)context = i;
	return i == 2 ? SP_ERR_STOPPED : SP_OK;
}

static double cross_entropy(const float *logits, int32_t at)
{
	double sum = 0;
	for (int j = 0; j < VOCAB; j++)
		sum += exp((double)logits[j]);
	return log(sum) - (double)logits[at];
}

static void predicted_logits_give_the_loss_of_a_run(void **state)
{
	(void)state;
	const struct sp_model_config config = config_of(0, 2, 50);
	float hidden[BATCH * LENGTH * HIDDEN];
	struct rows rows = { .taken = 0 };
	struct harness h = { 0 };
	double loss = 0;
	int64_t last = -1;
	open_model(&h, &config, 1, "full");
	const struct sp_model_sums sums = run(&h);
	encode(&h, hidden);
	assert_int_equal(sp_model_predict(h.model, h.batch.predicted, PREDICTIONS, take, &rows), SP_OK);
	assert_int_equal(rows.taken, PREDICTIONS);
	for (int i = 0; i < PREDICTIONS; i++)
		loss += cross_entropy(rows.logits[i], label[i]);
	assert_true(fabs(loss - sums.mlm) < 1e-5 * loss);
	assert_int_equal(sp_model_predict(h.model, h.batch.predicted, PREDICTIONS, refuse, &last), SP_ERR_STOPPED);
	assert_int_equal(last, 2);
	assert_int_equal(sp_model_predict(h.model, h.batch.predicted, 0, refuse, &last), SP_OK);
	harness_close(&h);
}

static void forward_only_has_no_gradients_and_refuses_training(void **state)
{
	(void)state;
	const struct sp_model_config config = config_of(0, 2, 50);
	const struct sp_pass pass = { .training = 1 };
	struct harness h = { 0 };
	open_model(&h, &config, 1, "full");
	assert_null(sp_model_gradients(h.model));
	assert_int_equal(sp_model_run(h.model, &h.batch, &pass), SP_ERR_ARGUMENT);
	harness_close(&h);
}

static struct sp_model_memory memory_of(int64_t layers, int forward_only, int ranks)
{
	const struct sp_model_options options = {
		.config = config_of(0, layers, 48),
		.batch = 4,
		.chunk = 640,
		.attention = sp_attention_find("ring"),
		.forward_only = forward_only,
	};
	struct sp_model_memory memory;
	assert_int_equal(sp_model_memory(&options, ranks, &memory), SP_OK);
	return memory;
}

static void memory_does_not_grow_with_layers(void **state)
{
	(void)state;
	for (int ranks = 1; ranks <= 3; ranks++) {
		const struct sp_model_memory one = memory_of(1, 1, ranks), many = memory_of(24, 1, ranks);
		assert_true(one.arena > 0);
		assert_int_equal(one.arena, many.arena);
		assert_int_equal(many.gradients, 0);
		assert_true(many.parameters > one.parameters);
		assert_true(memory_of(24, 0, ranks).arena > 5 * many.arena);
		const size_t message = 4 * 640 * 2 * HIDDEN * sizeof(float), of_backward = ranks > 1 ? 3 * message : 0;
		assert_int_equal(memory_of(1, 0, ranks).attention, many.attention + of_backward);
	}
}

/* What a rank holds of a text that is split over P ranks falls nearly as 1 / P; the ring's two messages come on top. */
static void memory_falls_with_the_ranks_that_share_a_text(void **state)
{
	(void)state;
	size_t arena[2];
	for (int i = 0; i < 2; i++) {
		const int ranks = i ? 8 : 1;
		const struct sp_model_options options = {
			.config = config_of(0, 24, 48),
			.batch = 1,
			.chunk = 65536 / ranks,
			.attention = sp_attention_find("ring"),
			.forward_only = 1,
		};
		struct sp_model_memory memory;
		assert_int_equal(sp_model_memory(&options, ranks, &memory), SP_OK);
		arena[i] = memory.arena;
	}
	assert_true(arena[1] < arena[0] / 5);
}

static void a_reshaped_model_computes_what_a_new_one_does(void **state)
{
	(void)state;
	static const int64_t shapes[][2] = { { 1, 3 }, { 7, 20 }, { 2, 5 }, { BATCH, 0 } };
	const struct sp_model_config config = config_of(1, 2, 50);
	const struct sp_attention_variant *full = sp_attention_find("full");
	float a[BATCH * LENGTH * HIDDEN], b[BATCH * LENGTH * HIDDEN];
	struct harness h = { 0 };
	open_model(&h, &config, 1, "ring");
	const int64_t n = encode(&h, a);
	size_t high = sp_model_arena(h.model)->size;
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		const int64_t chunk = shapes[i][1] ? shapes[i][1] : h.batch.chunk;
		assert_int_equal(sp_model_reshape(h.model, shapes[i][0], chunk, full, h.comm), SP_OK);
		assert_true(sp_model_arena(h.model)->size >= high);
		high = sp_model_arena(h.model)->size;
	}
	assert_int_equal(encode(&h, b), n);
	assert_memory_equal(a, b, (size_t)n * sizeof *a);
	harness_close(&h);
	open_model(&h, &config, 0, "full");
	assert_int_equal(sp_model_reshape(h.model, 1, 1, full, h.comm), SP_ERR_ARGUMENT);
	harness_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hidden_states_and_losses_are_those_of_the_model_that_trains),
		cmocka_unit_test(the_mlp_may_be_done_a_few_rows_at_a_time),
		cmocka_unit_test(predicted_logits_give_the_loss_of_a_run),
		cmocka_unit_test(forward_only_has_no_gradients_and_refuses_training),
		cmocka_unit_test(memory_does_not_grow_with_layers),
		cmocka_unit_test(memory_falls_with_the_ranks_that_share_a_text),
		cmocka_unit_test(a_reshaped_model_computes_what_a_new_one_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
