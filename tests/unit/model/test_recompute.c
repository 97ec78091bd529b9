/* A model that computes again what it has not kept: the same losses and gradients to the bit, in less memory. */
#include "config.h"

#include "golden/harness.h"

#include "base/rng.h"
#include "support.h"

#include <seqpar/status.h>

#include <math.h>
#include <string.h>

enum { BATCH = 2, LENGTH = 9, PREDICTIONS = 5, MODES = SP_RECOMPUTE_LAYER + 1, SLOTS = 3 };

/* Sample 0 ends in padding, sample 1 is two documents. */
static const int32_t position[BATCH * LENGTH] = { 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 1, 2, 3, 4, 0, 1, 2, 3 };
static const int32_t token[BATCH * LENGTH] = { 1, 7, 12, 3, 3, 19, 22, 0, 0, 1, 5, 22, 8, 13, 7, 7, 2, 16 };
static const int32_t kind_of[BATCH * LENGTH] = { 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1 };
static const int32_t doc[BATCH * LENGTH] = { 0, 0, 0, 0, 0, 0, 0, -1, -1, 0, 0, 0, 0, 0, 3, 3, 3, 3 };
static const int32_t sample[BATCH] = { 4, 11 }, order_label[BATCH] = { 1, 0 };
static const int32_t predicted[PREDICTIONS] = { 1, 4, 10, 13, 16 }, label[PREDICTIONS] = { 9, 3, 22, 0, 17 };

struct kind {
	int pre_norm;
	int64_t layers, hidden, heads, intermediate;
	float dropout;
};

/* An odd and an even number of layers; the last rows are wider than the parts in which a row's dropout is drawn. */
static const struct kind kinds[] = {
	{ 0, 3, 12, 3, 50, 0.2F }, { 1, 3, 12, 3, 50, 0.2F }, { 0, 4, 12, 3, 21, 0 },           { 1, 4, 12, 3, 21, 0 },
	{ 0, 1, 12, 3, 7, 0.1F },  { 1, 1, 12, 3, 7, 0.1F },  { 0, 2, 1032, 12, 40, 0.1F }, { 1, 2, 1032, 12, 40, 0.1F },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void open_model(struct harness *h, const struct kind *k, enum sp_recompute recompute, const int *slots)
{
	const struct sp_model_config config = {
		.layers = k->layers,
		.hidden = k->hidden,
		.heads = k->heads,
		.intermediate = k->intermediate,
		.vocab_size = 23,
		.max_positions = 11,
		.pre_norm = k->pre_norm,
		.activation = SP_ACT_GELU,
		.dropout = k->dropout,
		.attention_dropout = k->dropout,
		.layer_norm_eps = 1e-12F,
		.sentence_order = 1,
	};
	const struct harness_batch batch = {
		BATCH, LENGTH, PREDICTIONS, token, position, kind_of, doc, sample, predicted, label, order_label,
	};
	struct sp_rng rng;
	h->recompute = recompute;
	h->read_rows_only = k->layers % 2;
	h->slots = slots;
	assert_int_equal(harness_open(h, &config, &batch, "ring"), SP_OK);
	sp_rng_start(&rng, 5, SP_RNG_INIT, 0, 0);
	for (int64_t i = 0; i < h->table->elements; i++)
		h->values[i] = (float)(0.3 * sp_rng_normal(&rng));
	assert_int_equal(harness_put(h), SP_OK);
}

static void assert_same_bits(const struct harness *a, const struct harness *b)
{
	for (int i = 0; i < a->table->count; i++) {
		const struct sp_parameter *p = &a->table->entry[i];
		const size_t n = (size_t)(p->rows * p->cols);
		if (memcmp(a->gradients + p->offset, b->gradients + p->offset, n * sizeof(float)) != 0)
			fail_msg("the gradient of %s differs", p->name);
	}
}

static void losses_and_gradients_have_the_same_bits(void **state)
{
	(void)state;
	for (int k = 0; k < KINDS; k++) {
		struct harness h[MODES];
		double loss[MODES];
		for (int mode = 0; mode < MODES; mode++) {
			h[mode] = (struct harness){ 0 };
			open_model(&h[mode], &kinds[k], (enum sp_recompute)mode, NULL);
			assert_int_equal(harness_run(&h[mode], 1, 1, 1, &loss[mode]), SP_OK);
			assert_true(loss[mode] > 0);
			assert_memory_equal(&loss[mode], &loss[0], sizeof *loss);
			assert_same_bits(&h[mode], &h[0]);
		}
		for (int mode = 0; mode < MODES; mode++)
			harness_close(&h[mode]);
	}
}

/* As the stages of a pipeline do it: micro-batches, each with masks of its own, go forward before the first goes backward. */
static void run_in_turns(struct harness *h)
{
	struct sp_pass pass = { .seed = 1, .training = 1, .mlm_scale = 0.1F, .order_scale = 0.25F };
	assert_int_equal(sp_model_reset(h->model, 1), SP_OK);
	for (int micro = 0; micro < 2 * SLOTS + 1; micro++) {
		pass.step = (uint64_t)micro;
		if (micro < SLOTS + 2)
			assert_int_equal(sp_model_forward(h->model, 0, micro, &h->batch, &pass), SP_OK);
		pass.step = (uint64_t)(micro - SLOTS + 1);
		if (micro >= SLOTS - 1)
			assert_int_equal(sp_model_backward(h->model, 0, micro - SLOTS + 1, 0, &h->batch, &pass), SP_OK);
	}
	assert_int_equal(sp_compute_copy_out(h->compute, h->gradients, sp_model_gradients(h->model),
	                                     (size_t)h->table->elements * sizeof(float)),
	                 SP_OK);
}

static void micro_batches_under_way_do_not_disturb_each_other(void **state)
{
	static const int slots = SLOTS;
	(void)state;
	for (int k = 0; k < 4; k++) {
		struct harness h[MODES];
		for (int mode = 0; mode < MODES; mode++) {
			h[mode] = (struct harness){ 0 };
			open_model(&h[mode], &kinds[k], (enum sp_recompute)mode, &slots);
			run_in_turns(&h[mode]);
			assert_same_bits(&h[mode], &h[0]);
		}
		for (int mode = 0; mode < MODES; mode++)
			harness_close(&h[mode]);
	}
}

/* Some gradients are 0 but for rounding, as that of the bias of keys: they are measured by those of the whole model. */
static void assert_same_but_for_rounding(const struct harness *a, const struct harness *b)
{
	double all = 0;
	for (int64_t j = 0; j < b->table->elements; j++)
		all += pow((double)b->gradients[j], 2);
	for (int i = 0; i < a->table->count; i++) {
		const struct sp_parameter *p = &a->table->entry[i];
		double error = 0, size = 0;
		for (int64_t j = p->offset; j < p->offset + p->rows * p->cols; j++) {
			error += pow((double)a->gradients[j] - (double)b->gradients[j], 2);
			size += pow((double)b->gradients[j], 2);
		}
		if (!(sqrt(error) <= 1e-6 * sqrt(size) + 2e-7 * sqrt(all)))
			fail_msg("tiles of %d rows: the gradient of %s differs: error %g, size %g", (int)a->tile, p->name, sqrt(error), sqrt(size));
	}
}

/* Without the wide kinds, whose weights make too much of rounding. A tile is some tokens of a sample, a sample, or several; rows that are read go through the MLP fewer at a time. */
static void the_mlp_may_be_done_a_few_rows_at_a_time(void **state)
{
	(void)state;
	for (int k = 0; k < KINDS && kinds[k].hidden < 100; k++) {
		struct harness whole = { 0 };
		double loss, expected;
		open_model(&whole, &kinds[k], SP_RECOMPUTE_NONE, NULL);
		assert_int_equal(harness_run(&whole, 1, 1, 1, &expected), SP_OK);
		for (int64_t tile = 1; tile <= BATCH * LENGTH; tile += tile == 5 ? 4 : 1 + tile / 9 * 8) {
			struct harness h = { .tile = tile };
			open_model(&h, &kinds[k], SP_RECOMPUTE_LAYER, NULL);
			assert_int_equal(harness_run(&h, 1, 1, 1, &loss), SP_OK);
			assert_true(fabs(loss - expected) <= 1e-6 * expected);
			assert_same_but_for_rounding(&h, &whole);
			harness_close(&h);
		}
		harness_close(&whole);
	}
}

/* Views are those of the tokens there are, and tiles no larger than there is room for: with 9 tokens in place of 10, two samples would
 * fit a tile of 19 rows, but buffers are laid out for one. */
static void a_batch_may_have_fewer_tokens_than_there_is_room_for(void **state)
{
	static const struct { int64_t room, tile; } cases[] = { { 9, 0 }, { 10, 0 }, { 23, 0 }, { 10, 19 }, { 17, 6 }, { 40, 1 } };
	(void)state;
	for (int k = 0; k < KINDS && kinds[k].hidden < 100; k++) {
		struct harness exact = { 0 };
		double loss, expected;
		open_model(&exact, &kinds[k], SP_RECOMPUTE_NONE, NULL);
		assert_int_equal(harness_run(&exact, 1, 1, 1, &expected), SP_OK);
		for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
			for (int mode = 0; mode < MODES; mode++) {
				struct harness h = { .room = cases[i].room, .tile = cases[i].tile };
				open_model(&h, &kinds[k], (enum sp_recompute)mode, NULL);
				assert_int_equal(harness_run(&h, 1, 1, 1, &loss), SP_OK);
				assert_true(fabs(loss - expected) <= 1e-6 * expected);
				assert_same_but_for_rounding(&h, &exact);
				harness_close(&h);
			}
		harness_close(&exact);
	}
}

static void memory_falls_and_is_as_planned(void **state)
{
	(void)state;
	for (int pre_norm = 0; pre_norm < 2; pre_norm++) {
		const struct kind deep = { pre_norm, 6, 12, 3, 48, 0.1F };
		size_t before = SIZE_MAX;
		for (int mode = 0; mode < MODES; mode++) {
			struct harness h = { 0 };
			open_model(&h, &deep, (enum sp_recompute)mode, NULL);
			const struct sp_arena *arena = sp_model_arena(h.model);
			assert_int_equal(arena->high, arena->size);
			assert_true(arena->size < before);
			before = arena->size;
			harness_close(&h);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(losses_and_gradients_have_the_same_bits),
		cmocka_unit_test(micro_batches_under_way_do_not_disturb_each_other),
		cmocka_unit_test(the_mlp_may_be_done_a_few_rows_at_a_time),
		cmocka_unit_test(a_batch_may_have_fewer_tokens_than_there_is_room_for),
		cmocka_unit_test(memory_falls_and_is_as_planned),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
