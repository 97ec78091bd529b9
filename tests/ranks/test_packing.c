/* Training on sequences that hold several samples: as split over ranks as on one, and as if each sample had a sequence of
 * its own. */
#include "config.h"

#include "support.h"

#include "ranks/training.h"

#include "train/planned.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct test_ranks ranks;

enum { LONGEST = 30 };

/* Several samples on every rank, and most of them on two. */
static struct sp_settings settings(void)
{
	struct sp_settings s = test_training_settings();
	s.data.packing = 1;
	s.data.short_seq_prob = 1;
	s.model.max_positions = LONGEST;
	s.model.sentence_order = 1;
	s.parallel.sequence = ranks.size;
	return s;
}

static int differs_from_unsplit(const struct sp_settings *split)
{
	const struct sp_settings whole = test_training_unsplit(split);
	struct test_training a = { .loss = { 0 } }, b = { .loss = { 0 } };
	int bad = test_training_run(&ranks, split, ranks.world, 3, &a);
	bad = bad || test_training_run(&ranks, &whole, ranks.alone, 3, &b);
	bad = bad || test_training_gradients_differ(&ranks, &a, &b, 1e-5);
	bad = bad || test_training_losses_differ(&ranks, &a, &b, 3, 1e-5, 10 * 1e-5);
	bad = bad || test_training_evaluations_differ(&a, &b, 1e-5);
	bad = bad || test_training_values_differ(&ranks, &a, &b, 1e-4);
	test_training_free(&a);
	test_training_free(&b);
	return bad;
}

static void packed_training_is_independent_of_the_layout(void **state)
{
	static const char *const kinds[] = { "ring", "allgather", "ulysses", "hybrid", "rsa" };
	(void)state;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct sp_settings s = settings();
		snprintf(s.parallel.attention, sizeof s.parallel.attention, "%s", kinds[i]);
		s.model.norm = i % 2 ? SP_NORM_PRE : SP_NORM_POST;
		s.train.recompute = (int)i % 3;
		s.model.position = i % 2 ? SP_POSITION_LEARNED : SP_POSITION_ROPE;
		assert_false(test_ranks_agree(&ranks, differs_from_unsplit(&s)));
	}
}

/* Undivided, the order head goes over them in two rounds. */
static void samples_of_a_few_tokens_are_counted_each(void **state)
{
	(void)state;
	struct sp_settings s = settings();
	s.model.max_positions = 4;
	assert_false(test_ranks_agree(&ranks, differs_from_unsplit(&s)));
}

/* Samples of lengths that differ much, so that parts of equal work differ in length. */
static struct sp_settings balanced(double slack)
{
	struct sp_settings s = settings();
	s.model.max_positions = 100;
	s.parallel.balance = SP_BALANCE_COST;
	s.parallel.balance_slack = slack;
	return s;
}

/* The one rank has equal parts, so what is compared with knows nothing of cuts. */
static int balanced_differs_by(struct sp_settings split, double bound)
{
	struct sp_settings whole = test_training_unsplit(&split);
	struct test_training a = { .loss = { 0 } }, b = { .loss = { 0 } };
	whole.parallel.balance = SP_BALANCE_TOKENS;
	int bad = test_training_run(&ranks, &split, ranks.world, 3, &a);
	bad = bad || test_training_run(&ranks, &whole, ranks.alone, 3, &b);
	bad = bad || test_training_gradients_differ(&ranks, &a, &b, 1e-5);
	bad = bad || test_training_losses_differ(&ranks, &a, &b, 3, 1e-5, 10 * 1e-5);
	bad = bad || test_training_evaluations_differ(&a, &b, 1e-5);
	bad = bad || test_training_values_differ(&ranks, &a, &b, bound);
	test_training_free(&a);
	test_training_free(&b);
	return bad;
}

static int balanced_differs(struct sp_settings split)
{
	return balanced_differs_by(split, 1e-4);
}

static void training_is_independent_of_where_sequences_are_cut(void **state)
{
	static const struct {
		const char *kind;
		int ring, overlap;
		int64_t gather_chunk;
		double slack;
	} cases[] = {
		{ "ring", SP_RING_KV, 1, 0, 0.25 }, { "ring", SP_RING_KV, 0, 0, 1 }, { "ring", SP_RING_Q, 1, 0, 0.5 },
		{ "allgather", SP_RING_KV, 1, 0, 0.25 }, { "allgather", SP_RING_KV, 1, 7, 3 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sp_settings s = balanced(cases[i].slack);
		snprintf(s.parallel.attention, sizeof s.parallel.attention, "%s", cases[i].kind);
		s.parallel.ring = cases[i].ring;
		s.parallel.overlap = cases[i].overlap;
		s.parallel.gather_chunk = cases[i].gather_chunk;
		s.model.norm = i % 2 ? SP_NORM_PRE : SP_NORM_POST;
		s.train.recompute = (int)i % 3;
		s.train.last_layer = i == 3 ? SP_LAST_LAYER_ALL : SP_LAST_LAYER_READ;
		s.model.position = i % 2 ? SP_POSITION_LEARNED : SP_POSITION_ROPE;
		assert_false(test_ranks_agree(&ranks, balanced_differs(s)));
	}
}

/* Without packing what is cut away is padding at the end. */
static void padded_training_is_independent_of_where_sequences_are_cut(void **state)
{
	(void)state;
	struct sp_settings s = balanced(0.25);
	s.data.packing = 0;
	s.model.max_positions = 128;
	assert_false(test_ranks_agree(&ranks, balanced_differs(s)));
}

/* A sequence of fewer tokens than ranks, or hardly more: some hold padding alone. Of gradients of so few tokens more is rounding, which
 * Adam scales up. */
static void short_sequences_are_cut_too(void **state)
{
	(void)state;
	struct sp_settings s = balanced(0.25);
	s.train.sequence_length = 7;
	s.model.max_positions = 4;
	assert_false(test_ranks_agree(&ranks, balanced_differs_by(s, 1e-3)));
	s.train.sequence_length = 3;
	assert_false(test_ranks_agree(&ranks, balanced_differs_by(s, 1e-3)));
}

/* Several stages, whose streams have as many rows as the micro-batch: half the ranks share a sequence. */
static void stages_pass_on_what_a_micro_batch_has(void **state)
{
	(void)state;
	struct sp_settings s = balanced(0.5);
	if (ranks.size % 2)
		return;
	s.parallel.sequence = ranks.size / 2;
	s.parallel.pipeline = 2;
	assert_false(test_ranks_agree(&ranks, balanced_differs(s)));
	s.model.norm = SP_NORM_POST;
	s.train.recompute = SP_RECOMPUTED_LAYER;
	s.parallel.overlap = 0;
	assert_false(test_ranks_agree(&ranks, balanced_differs(s)));
}

static void tensor_ranks_cut_alike(void **state)
{
	(void)state;
	struct sp_settings s = balanced(0.5);
	if (ranks.size % 2)
		return;
	s.parallel.sequence = ranks.size / 2;
	s.parallel.tensor = 2;
	assert_false(test_ranks_agree(&ranks, balanced_differs(s)));
}

static void work_is_shared_out_more_evenly_by_cost(void **state)
{
	(void)state;
	double uneven[2] = { 0 };
	for (int cost = 0; cost < 2; cost++) {
		struct sp_settings s = balanced(1);
		struct sp_setup setup;
		struct sp_outcome outcome;
		s.parallel.balance = cost ? SP_BALANCE_COST : SP_BALANCE_TOKENS;
		int bad = sp_setup_open(&s, ranks.compute, ranks.world, &setup) != 0;
		bad = bad || sp_setup_pass(&setup, SP_TRAIN, 0, 0, 1, &outcome) != 0;
		bad = bad || outcome.work.micro_batches != s.train.global_batch / s.train.micro_batch;
		uneven[cost] = (double)outcome.work.uneven;
		sp_setup_close(&setup);
		assert_false(test_ranks_agree(&ranks, bad));
	}
	assert_false(test_ranks_agree(&ranks, ranks.size == 1 ? uneven[1] != 0 : !(uneven[1] < 0.5 * uneven[0])));
}

/* Elements that all ranks together have sent round the ring; and rows of theirs, of all micro-batches. */
static int count_sent(struct sp_setup *setup, int64_t *sent, int64_t *rows)
{
	struct sp_comm *sequence = setup->grid.group[SP_GROUP_SEQUENCE];
	const uint64_t before = sp_comm_counters(sequence).bytes;
	struct sp_outcome outcome;
	int64_t sums[2] = { 0 };
	int bad = sp_setup_pass(setup, SP_TRAIN, 0, 1, 1, &outcome) != 0;
	sums[0] = (int64_t)(sp_comm_counters(sequence).bytes - before) / (int64_t)sizeof(float);
	for (int64_t m = 0; m < sp_batches_count(setup->batches); m++)
		sums[1] += sp_batches_rows(setup->batches, m);
	bad = bad || sp_comm_all_reduce(sequence, sums, 2, SP_I64, SP_SUM) != 0;
	*sent = sums[0];
	*rows = sums[1];
	return bad;
}

static int misplanned(struct sp_settings s)
{
	struct sp_plan_input input;
	struct sp_plan plan;
	struct sp_setup setup;
	int64_t sent = 0, rows = 0;
	int bad = sp_setup_open(&s, ranks.compute, ranks.world, &setup) != 0 || sp_planned_input(&s, ranks.size, 1, &input) != 0 ||
	          sp_plan_make(&input, &plan) != 0;
	bad = bad || sp_model_arena(setup.model)->high != plan.model.arena;
	bad = bad || input.model.chunk != sp_shard_room(s.train.sequence_length, ranks.size, 1, s.parallel.balance_slack);
	bad = bad || count_sent(&setup, &sent, &rows);
	bad = bad || sent != 6 * (ranks.size - 1) * rows * s.model.hidden * s.model.layers;
	bad = bad || sent > (int64_t)(plan.ring_bytes / sizeof(float)) * ranks.size;
	bad = bad || rows > s.train.global_batch * s.train.sequence_length;
	sp_setup_close(&setup);
	return bad;
}

/* Each part goes round as long as it is. */
static void room_is_as_planned_and_no_padding_is_sent(void **state)
{
	(void)state;
	struct sp_settings s = balanced(0.5);
	assert_false(test_ranks_agree(&ranks, misplanned(s)));
	s.parallel.overlap = 0;
	s.train.recompute = SP_RECOMPUTED_ATTENTION;
	assert_false(test_ranks_agree(&ranks, misplanned(s)));
}

static void kinds_that_want_equal_parts_are_refused(void **state)
{
	static const char *const kinds[] = { "ulysses", "hybrid", "rsa", "linformer", "window" };
	(void)state;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct sp_settings s = balanced(0.25);
		struct sp_plan_input input;
		snprintf(s.parallel.attention, sizeof s.parallel.attention, "%s", kinds[i]);
		s.data.packing = 0;
		s.model.max_positions = 128;
		const int refused = sp_planned_input(&s, ranks.size, 1, &input) == SP_ERR_SETTING;
		assert_false(test_ranks_agree(&ranks, !refused));
	}
}

/* ---- each sample alone ---- */

/* All samples of the first step, a row each, on one rank. */
struct alone {
	int64_t samples, predicted, orders;
	int32_t *token, *position, *kind, *doc, *at, *label, *order_row, *order_label; /* at: rows to predict */
	uint32_t *sample;
};

static int32_t *integers(int64_t n)
{
	int32_t *x = calloc((size_t)n, sizeof *x);
	assert_non_null(x);
	return x;
}

static struct sp_sample sequence_make(int64_t length)
{
	return (struct sp_sample){ .length = length, .token = integers(length), .position = integers(length),
		                       .kind = integers(length), .doc = integers(length), .label = integers(length),
		                       .order = integers(length) };
}

static void sequence_free(struct sp_sample *s)
{
	int32_t *const arrays[] = { s->token, s->position, s->kind, s->doc, s->label, s->order };
	for (int i = 0; i < 6; i++)
		free(arrays[i]);
}

static struct alone alone_make(int64_t most)
{
	struct alone a = { 0 };
	int32_t **const wide[] = { &a.token, &a.position, &a.kind, &a.doc, &a.at, &a.label };
	for (int i = 0; i < 6; i++)
		*wide[i] = integers(most * LONGEST);
	a.order_row = integers(most);
	a.order_label = integers(most);
	a.sample = (uint32_t *)integers(most);
	for (int64_t i = 0; i < most * LONGEST; i++)
		a.doc[i] = -1;
	return a;
}

static void alone_free(struct alone *a)
{
	void *const arrays[] = { a->token, a->position, a->kind, a->doc, a->at, a->label, a->order_row, a->order_label,
		                     a->sample };
	for (int i = 0; i < 9; i++)
		free(arrays[i]);
}

/* Takes a sequence apart. A sample's place within a row is its position: those of the sequence are not believed. */
static void take_apart(struct alone *a, const struct sp_sample *s)
{
	int64_t first = 0;
	for (int64_t t = 0; t < s->length && s->doc[t] >= 0; t++) {
		if (t > 0 && s->doc[t] != s->doc[t - 1])
			first = t;
		if (t == first)
			a->samples++;
		const int64_t row = (a->samples - 1) * LONGEST + t - first;
		a->token[row] = s->token[t];
		a->position[row] = (int32_t)(t - first);
		a->kind[row] = s->kind[t];
		a->doc[row] = 0;
		if (s->label[t] >= 0) {
			a->at[a->predicted] = (int32_t)row;
			a->label[a->predicted++] = s->label[t];
		}
		if (t == first) {
			a->order_row[a->orders] = (int32_t)row;
			a->order_label[a->orders++] = s->order[t];
		}
	}
}

static struct alone samples_of(struct sp_setup *setup)
{
	const int64_t length = setup->settings->train.sequence_length, sequences = setup->settings->train.global_batch;
	struct sp_sample s = sequence_make(length);
	struct alone a = alone_make(sequences * length / 2);
	for (int64_t i = 0; i < sequences; i++) {
		assert_int_equal(sp_dataset_sample(setup->dataset, SP_TRAIN, (uint64_t)i, &s), SP_OK);
		take_apart(&a, &s);
	}
	sequence_free(&s);
	return a;
}

/* Loss and gradients of those samples. */
static int run_alone(const struct sp_settings *s, const struct sp_setup *setup, const struct alone *a, double *loss,
                     struct test_training *result)
{
	const struct sp_model_options options = {
		.config = setup->config,
		.batch = a->samples,
		.chunk = LONGEST,
		.attention = sp_attention_find("full"),
		.sequence = ranks.alone,
	};
	const struct sp_batch batch = {
		.batch = a->samples, .chunk = LONGEST, .token = a->token, .position = a->position, .kind = a->kind, .doc = a->doc,
		.sample = a->sample, .predictions = a->predicted, .predicted = a->at, .label = a->label, .orders = a->orders,
		.order_row = a->order_row, .order_label = a->order_label,
	};
	const struct sp_pass pass = { .training = 1, .mlm_scale = 1.0f / (float)a->predicted,
		                          .order_scale = 1.0f / (float)a->samples };
	struct sp_model_sums sums = { 0 };
	struct sp_model *model = NULL;
	if (sp_model_create(ranks.compute, &options, &model) || sp_parameters_create(&setup->config, &result->table))
		return 1;
	sp_parameters_init(sp_model_parameters(model), s->train.seed, sp_model_values(model));
	int bad = sp_model_run(model, &batch, &pass) != 0 || sp_model_sums(model, &sums) != 0;
	const size_t bytes = (size_t)result->table.elements * sizeof(float);
	result->gradients = malloc(bytes);
	assert_non_null(result->gradients);
	memcpy(result->gradients, sp_model_gradients(model), bytes);
	*loss = sums.mlm / (double)a->predicted + sums.order / (double)a->samples;
	sp_model_destroy(model);
	return bad;
}

/* The cpu backend's memory is the host's, so arrays serve as they are. */
static int differs_from_samples_alone(const struct sp_settings *s)
{
	struct test_training packed = { .loss = { 0 } }, apart = { .loss = { 0 } };
	struct sp_setup setup;
	double loss = 0;
	int bad = test_training_run(&ranks, s, ranks.world, 1, &packed);
	bad |= sp_setup_open(s, ranks.compute, ranks.world, &setup) != 0;
	struct alone a = samples_of(&setup);
	bad |= a.samples < 4 * s->train.global_batch || a.orders != a.samples;
	bad |= run_alone(s, &setup, &a, &loss, &apart);
	bad |= !(fabs(packed.loss[0] - loss) <= 1e-6 * loss);
	bad |= test_training_gradients_differ(&ranks, &packed, &apart, 1e-5);
	alone_free(&a);
	sp_setup_close(&setup);
	test_training_free(&packed);
	test_training_free(&apart);
	return bad;
}

static void a_packed_step_is_that_of_its_samples_alone(void **state)
{
	(void)state;
	for (int pre = 0; pre < 2; pre++) {
		struct sp_settings s = settings();
		s.model.norm = pre ? SP_NORM_PRE : SP_NORM_POST;
		s.model.dropout = s.model.attention_dropout = 0;
		assert_false(test_ranks_agree(&ranks, differs_from_samples_alone(&s)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packed_training_is_independent_of_the_layout),
		cmocka_unit_test(samples_of_a_few_tokens_are_counted_each),
		cmocka_unit_test(a_packed_step_is_that_of_its_samples_alone),
		cmocka_unit_test(training_is_independent_of_where_sequences_are_cut),
		cmocka_unit_test(padded_training_is_independent_of_where_sequences_are_cut),
		cmocka_unit_test(short_sequences_are_cut_too),
		cmocka_unit_test(stages_pass_on_what_a_micro_batch_has),
		cmocka_unit_test(tensor_ranks_cut_alike),
		cmocka_unit_test(work_is_shared_out_more_evenly_by_cost),
		cmocka_unit_test(room_is_as_planned_and_no_padding_is_sent),
		cmocka_unit_test(kinds_that_want_equal_parts_are_refused),
	};
	int rc = test_ranks_open(&ranks);
	if (rc)
		return rc;
	int failed = test_ranks_agree(&ranks, cmocka_run_group_tests(tests, NULL, NULL));
	test_ranks_close(&ranks);
	return failed;
}
