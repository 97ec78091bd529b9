/* Training with sequences split over all ranks against the same training unsplit on one rank, dropout on: losses of ten
 * steps, parameters after three, and what happens at the edges: ranks of nothing but padding, ranks without predictions.
 * Other grids are those of test_grid. */
#include "config.h"

#include "support.h"

#include "ranks/training.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct test_ranks ranks;

static int differs_from_unsplit(const struct sp_settings *split, int steps, double loss_bound, double parameter_bound)
{
	const struct sp_settings whole = test_training_unsplit(split);
	struct test_training a = { .loss = { 0 } }, b = { .loss = { 0 } };
	int bad = test_training_run(&ranks, split, ranks.world, steps, &a);
	bad = bad || test_training_run(&ranks, &whole, ranks.alone, steps, &b);
	bad = bad || test_training_losses_differ(&ranks, &a, &b, steps, loss_bound, 10 * loss_bound);
	bad = bad || test_training_evaluations_differ(&a, &b, loss_bound);
	bad = bad || (parameter_bound > 0 && test_training_values_differ(&ranks, &a, &b, parameter_bound));
	test_training_free(&a);
	test_training_free(&b);
	return bad;
}

static void ten_losses_of_the_tutorial_equal_the_unsplit_ones(void **state)
{
	(void)state;
	struct sp_settings s = test_training_settings();
	s.parallel.sequence = ranks.size;
	assert_false(test_ranks_agree(&ranks, differs_from_unsplit(&s, 10, 1e-5, 0)));
}

static void parameters_after_three_steps_equal_the_unsplit_ones(void **state)
{
	(void)state;
	for (int pre = 0; pre < 2; pre++) {
		struct sp_settings s = test_training_settings();
		s.parallel.sequence = ranks.size;
		s.model.norm = pre ? SP_NORM_PRE : SP_NORM_POST;
		s.model.sentence_order = 1;
		assert_false(test_ranks_agree(&ranks, differs_from_unsplit(&s, 3, 1e-5, 1e-4)));
	}
}

/* S = 3 on five ranks leaves two with nothing; one predicted token a sample leaves most ranks without any. */
static void ranks_without_tokens_or_predictions_are_normal(void **state)
{
	(void)state;
	static const struct {
		int64_t length;
		double mask;
	} cases[] = { { 3, 0.15 }, { 5, 0.5 }, { 17, 0.01 } };
	for (int i = 0; i < 3; i++) {
		struct sp_settings s = test_training_settings();
		s.parallel.sequence = ranks.size;
		s.train.sequence_length = cases[i].length;
		s.data.mask_prob = cases[i].mask;
		assert_false(test_ranks_agree(&ranks, differs_from_unsplit(&s, 3, 1e-5, 1e-4)));
	}
}

static void short_sequences_and_padding_do_not_count(void **state)
{
	(void)state;
	struct sp_settings s = test_training_settings();
	s.parallel.sequence = ranks.size;
	s.data.short_seq_prob = 1;
	assert_false(test_ranks_agree(&ranks, differs_from_unsplit(&s, 3, 1e-5, 1e-4)));
}

static void two_runs_give_the_same_bits(void **state)
{
	(void)state;
	struct sp_settings s = test_training_settings();
	struct test_training a = { .loss = { 0 } }, b = { .loss = { 0 } };
	s.parallel.sequence = ranks.size;
	int bad = test_training_run(&ranks, &s, ranks.world, 5, &a);
	bad = bad || test_training_run(&ranks, &s, ranks.world, 5, &b);
	bad = bad || memcmp(a.values, b.values, (size_t)a.table.elements * sizeof(float)) != 0;
	bad = bad || memcmp(a.loss, b.loss, sizeof a.loss) != 0 || memcmp(a.norm, b.norm, sizeof a.norm) != 0;
	test_training_free(&a);
	test_training_free(&b);
	assert_false(test_ranks_agree(&ranks, bad));
}

/* Steps with an evaluation after every second of them, as the trainer takes them; with `ahead` the next one is drawn before one is
 * waited for. */
static int train_and_evaluate(const struct sp_settings *s, int ahead, int steps, struct test_training *r)
{
	struct sp_setup setup;
	struct sp_optimizer *o = NULL;
	if (sp_setup_open(s, ranks.compute, ranks.world, &setup))
		return 1;
	int bad = test_training_optimizer(&setup, &o);
	for (int i = 0; i < steps && !bad; i++) {
		struct sp_outcome outcome = { .loss = NAN };
		struct sp_optimizer_result result = { .norm = NAN };
		struct sp_work work;
		bad = sp_setup_run(&setup, SP_TRAIN, (uint64_t)i, 1, sp_optimizer_scale(o), &work) ||
		      sp_optimizer_step(o, sp_model_values(setup.model), sp_model_gradients(setup.model), 1e-3);
		if (!bad && ahead)
			sp_batches_draw_ahead(setup.batches, SP_TRAIN, (uint64_t)i + 1);
		bad = bad || sp_setup_outcome(&setup, &work, &outcome) || sp_optimizer_result(o, &result);
		bad = bad || (i % 2 && sp_evaluate(&setup, &r->evaluation));
		r->loss[i] = outcome.loss;
		r->norm[i] = result.norm;
	}
	sp_optimizer_destroy(o);
	sp_setup_close(&setup);
	return bad;
}

static int drawing_ahead_differs(const struct sp_settings *s)
{
	enum { AHEAD_STEPS = 5 };
	struct test_training a = { .loss = { 0 } }, b = { .loss = { 0 } };
	int bad = train_and_evaluate(s, 1, AHEAD_STEPS, &a);
	bad |= train_and_evaluate(s, 0, AHEAD_STEPS, &b);
	return bad || memcmp(a.loss, b.loss, sizeof a.loss) != 0 || memcmp(a.norm, b.norm, sizeof a.norm) != 0 ||
	       memcmp(&a.evaluation, &b.evaluation, sizeof a.evaluation) != 0 || !(a.loss[AHEAD_STEPS - 1] > 0);
}

/* Each rank draws for itself: all of a sequence, all replicas, stages; and with cuts that are made for each micro-batch. */
static void drawing_the_next_step_ahead_changes_no_bit(void **state)
{
	(void)state;
	for (int layout = 0; layout < 4; layout++) {
		struct sp_settings s = test_training_settings();
		s.train.sequence_length = 37;
		s.model.sentence_order = 1;
		s.parallel.sequence = layout % 2 ? ranks.size : 1;
		s.parallel.pipeline = layout == 2 ? ranks.size : 1;
		s.model.layers = layout == 2 ? ranks.size : 2;
		s.train.global_batch = layout == 0 ? 4 * ranks.size : 8;
		if (layout == 3) {
			s.data.packing = 1;
			s.data.short_seq_prob = 1;
			s.parallel.balance = SP_BALANCE_COST;
		}
		assert_false(test_ranks_agree(&ranks, drawing_ahead_differs(&s)));
	}
}

/* Several buckets, and as many replicas as there are ranks, or half of them on two stages. */
static struct sp_settings replicated(int pre, int stages)
{
	struct sp_settings s = test_training_settings();
	s.model.norm = pre ? SP_NORM_PRE : SP_NORM_POST;
	s.model.layers = 4;
	s.model.hidden = 256;
	s.model.intermediate = 1024;
	s.train.sequence_length = 15;
	s.train.micro_batch = 1;
	s.train.global_batch = 2 * (ranks.size / stages);
	s.parallel.pipeline = stages;
	return s;
}

static void sums_behind_the_backward_pass_change_no_bit(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		const int stages = 1 + i / 2;
		struct sp_settings s = replicated(i % 2, stages);
		struct test_training a = { .loss = { 0 } }, b = { .loss = { 0 } };
		if (ranks.size % stages != 0)
			continue;
		int bad = test_training_run(&ranks, &s, ranks.world, 2, &a);
		s.parallel.overlap = 0;
		bad |= test_training_run(&ranks, &s, ranks.world, 2, &b);
		bad = bad || memcmp(a.values, b.values, (size_t)a.table.elements * sizeof(float)) != 0;
		bad = bad || memcmp(a.loss, b.loss, sizeof a.loss) != 0 || memcmp(a.norm, b.norm, sizeof a.norm) != 0;
		test_training_free(&a);
		test_training_free(&b);
		assert_false(test_ranks_agree(&ranks, bad));
	}
}

static void sums_begin_in_the_backward_pass_unless_told_not_to(void **state)
{
	(void)state;
	for (int overlap = 0; overlap < 2; overlap++) {
		struct sp_settings s = replicated(0, 1);
		struct sp_setup setup;
		struct sp_outcome outcome;
		s.parallel.overlap = overlap;
		int bad = sp_setup_open(&s, ranks.compute, ranks.world, &setup) ||
		          sp_setup_pass(&setup, SP_TRAIN, 0, 1, 1, &outcome);
		const uint64_t sums = sp_comm_counters(setup.grid.group[SP_GROUP_REPLICAS]).messages;
		bad = bad || (sums > 0) != overlap || sp_reduce_scatter(setup.reduce, sp_model_gradients(setup.model));
		sp_setup_close(&setup);
		assert_false(test_ranks_agree(&ranks, bad));
	}
}

static int evaluate(const struct sp_settings *s, struct sp_comm *world, int forward_only, int64_t samples,
                    struct sp_evaluation *e)
{
	struct sp_setup setup;
	if (forward_only ? sp_setup_open_forward(s, ranks.compute, world, SP_TEST, &setup) :
	                   sp_setup_open(s, ranks.compute, world, &setup))
		return 1;
	int bad = sp_evaluate_split(&setup, SP_TEST, samples, e) != 0;
	sp_setup_close(&setup);
	return bad;
}

static int evaluations_differ(const struct sp_evaluation *a, const struct sp_evaluation *b)
{
	return fabs(a->mlm - b->mlm) > 1e-6 * b->mlm || fabs(a->order_loss - b->order_loss) > 1e-6 * b->order_loss ||
	       a->accuracy != b->accuracy || a->order_accuracy != b->order_accuracy || a->predicted != b->predicted ||
	       a->samples != b->samples;
}

/* 13 samples divide by no batch: the last one is partly, and on some ranks wholly, without samples. */
static void an_evaluation_depends_on_neither_ranks_nor_batches(void **state)
{
	(void)state;
	struct sp_settings s = test_training_settings(), one;
	struct sp_evaluation whole, split;
	s.model.sentence_order = 1;
	one = test_training_unsplit(&s);
	one.train.global_batch = one.train.micro_batch = 1;
	int bad = evaluate(&one, ranks.alone, 0, 13, &whole) || whole.samples != 13 || whole.order_loss <= 0;
	for (int sequence = 1; sequence <= ranks.size; sequence++)
		for (int64_t micro = 1; micro <= 8; micro *= 2) {
			if (ranks.size % sequence != 0)
				continue;
			s.parallel.sequence = sequence;
			s.train.micro_batch = micro;
			s.train.global_batch = ranks.size / sequence * micro;
			bad |= evaluate(&s, ranks.world, 1, 13, &split) || evaluations_differ(&split, &whole);
		}
	assert_false(test_ranks_agree(&ranks, bad));
}

/* Forward-only stages have one exit for all micro-batches; a stage of a model that can be trained has one for each slot. */
static void stages_evaluate_like_one_rank(void **state)
{
	(void)state;
	const int stages = ranks.size % 2 == 0 ? 2 : ranks.size;
	struct sp_evaluation whole, split;
	int bad = 0;
	for (int variant = 0; variant < 8; variant++) {
		struct sp_settings s = test_training_settings(), one;
		const int pieces = variant & 1 && stages > 1 ? 2 : 1, forward_only = variant >> 1 & 1;
		s.model.norm = variant & 4 ? SP_NORM_PRE : SP_NORM_POST;
		s.model.layers = 2 * stages * pieces;
		one = test_training_unsplit(&s);
		one.train.global_batch = one.train.micro_batch = 2;
		s.parallel.pipeline = stages;
		s.parallel.virtual_stages = pieces;
		s.train.micro_batch = 1;
		s.train.global_batch = ranks.size / stages * 3 * stages;
		bad |= evaluate(&one, ranks.alone, 0, 13, &whole);
		bad |= evaluate(&s, ranks.world, forward_only, 13, &split) || evaluations_differ(&split, &whole);
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

static void a_batch_the_ranks_do_not_divide_is_refused(void **state)
{
	(void)state;
	struct sp_settings s = test_training_settings();
	struct sp_setup setup;
	s.train.global_batch = 8 * ranks.size + 2;
	s.train.micro_batch = 4;
	int status = sp_setup_open(&s, ranks.compute, ranks.world, &setup);
	sp_setup_close(&setup);
	assert_false(test_ranks_agree(&ranks, status != SP_ERR_SETTING));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_losses_of_the_tutorial_equal_the_unsplit_ones),
		cmocka_unit_test(parameters_after_three_steps_equal_the_unsplit_ones),
		cmocka_unit_test(ranks_without_tokens_or_predictions_are_normal),
		cmocka_unit_test(short_sequences_and_padding_do_not_count),
		cmocka_unit_test(two_runs_give_the_same_bits),
		cmocka_unit_test(drawing_the_next_step_ahead_changes_no_bit),
		cmocka_unit_test(sums_behind_the_backward_pass_change_no_bit),
		cmocka_unit_test(sums_begin_in_the_backward_pass_unless_told_not_to),
		cmocka_unit_test(an_evaluation_depends_on_neither_ranks_nor_batches),
		cmocka_unit_test(stages_evaluate_like_one_rank),
		cmocka_unit_test(a_batch_the_ranks_do_not_divide_is_refused),
	};
	int rc = test_ranks_open(&ranks);
	if (rc)
		return rc;
	int failed = test_ranks_agree(&ranks, cmocka_run_group_tests(tests, NULL, NULL));
	test_ranks_close(&ranks);
	return failed;
}
