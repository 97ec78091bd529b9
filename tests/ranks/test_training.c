/* Training on any grid of ranks against the same training unsplit on one rank, dropout on: losses of ten steps,
 * parameters after three, and what happens at the edges: ranks of nothing but padding, ranks without predictions. */
#include "config.h"

#include "support.h"

#include "base/log.h"
#include "ranks/ranks.h"
#include "train/evaluate.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct test_ranks ranks;

enum { MOST_STEPS = 10 };

struct result {
	double loss[MOST_STEPS], norm[MOST_STEPS];
	struct sp_evaluation evaluation;
	float *values; /* host */
	struct sp_parameters table;
};

/* The tutorial's configuration with narrower layers and a smaller vocabulary. */
static struct sp_settings tutorial(void)
{
	static const char *const words[] = {
		"model.layers=2",
		"model.hidden=32",
		"model.heads=4",
		"model.vocab_size=211",
		"model.max_positions=128",
		"model.norm=pre",
		"model.activation=gelu_tanh",
		"model.dropout=0.1",
		"model.attention_dropout=0.1",
		"train.iters=10",
		"train.global_batch=8",
		"train.micro_batch=2",
		"train.sequence_length=127",
		"train.eval_iters=2",
		"train.eval_interval=10",
		"train.seed=1234",
		"optimizer.lr=1e-3",
		"optimizer.decay_iters=4",
		"optimizer.clip_norm=1",
	};
	struct sp_settings s;
	sp_settings_default(&s);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (sp_settings_word(&s, words[i]))
			exit(1);
	if (sp_settings_finish(&s))
		exit(1);
	return s;
}

static int train(const struct sp_settings *s, struct sp_setup *setup, struct sp_optimizer *o, int steps,
                 struct result *result)
{
	struct sp_schedule schedule = sp_schedule_make(s->optimizer.lr, s->optimizer.min_lr, s->optimizer.warmup_fraction,
	                                               s->optimizer.decay_iters, SP_SCHEDULE_LINEAR);
	int bad = 0;
	for (int i = 0; i < steps && !bad; i++) {
		struct sp_outcome outcome = { .loss = NAN };
		bad |= sp_setup_pass(setup, SP_TRAIN, (uint64_t)i, 1, &outcome) != 0;
		result->loss[i] = outcome.loss;
		bad = bad || sp_optimizer_step(o, sp_model_values(setup->model), sp_model_gradients(setup->model), i + 1,
		                               sp_schedule_rate(&schedule, i), &result->norm[i]) != 0;
	}
	return bad || sp_evaluate(setup, &result->evaluation) != 0;
}

/* The whole model's values from its tensor ranks, and that these hold the same bits of what they hold alike. */
static int gather_values(struct sp_setup *setup, struct result *result)
{
	const struct sp_parameters *part = sp_model_parameters(setup->model);
	const size_t bytes = (size_t)part->elements * sizeof(float);
	float *own = calloc(1, bytes), *back = calloc(1, bytes);
	int bad = !own || !back || sp_parameters_create(&setup->config, &result->table) != 0;
	result->values = calloc((size_t)result->table.elements + 1, sizeof(float));
	bad = bad || !result->values || sp_compute_copy_out(ranks.compute, own, sp_model_values(setup->model), bytes) != 0;
	if (!bad) {
		sp_parameters_spread(part, own, &result->table, result->values);
		bad = sp_comm_all_reduce(setup->grid.group[SP_GROUP_TENSOR], result->values, result->table.elements, SP_F32,
		                         SP_SUM) != 0;
		sp_parameters_take(part, back, &result->table, result->values);
		bad = bad || memcmp(own, back, bytes) != 0;
	}
	free(own);
	free(back);
	return bad;
}

static int run(const struct sp_settings *s, struct sp_comm *world, int steps, struct result *result)
{
	struct sp_setup setup;
	struct sp_optimizer *o = NULL;
	struct sp_optimizer_options options = { s->optimizer.beta1, s->optimizer.beta2, s->optimizer.eps,
		                                      s->optimizer.weight_decay, s->optimizer.clip_norm, sp_setup_summed, &setup };
	if (sp_setup_open(s, ranks.compute, world, &setup))
		return 1;
	int bad =
		sp_optimizer_create(ranks.compute, world, setup.reduce, sp_model_parameters(setup.model), &options, &o) != 0;
	bad = bad || train(s, &setup, o, steps, result);
	bad = bad || gather_values(&setup, result);
	sp_optimizer_destroy(o);
	sp_setup_close(&setup);
	return bad;
}

static void free_result(struct result *r)
{
	free(r->values);
	sp_parameters_destroy(&r->table);
}

static struct sp_settings unsplit(const struct sp_settings *split)
{
	struct sp_settings s = *split;
	s.parallel.sequence = s.parallel.tensor = 1;
	strcpy(s.parallel.attention, "full");
	s.train.micro_batch = s.train.global_batch;
	return s;
}

static int losses_differ(const struct result *a, const struct result *b, int steps, double bound)
{
	int bad = 0;
	for (int i = 0; i < steps; i++)
		if (!(fabs(a->loss[i] - b->loss[i]) <= bound * fabs(b->loss[i]))) {
			fprintf(stderr, "rank %d, step %d: loss %.9g, unsplit %.9g\n", ranks.rank, i + 1, a->loss[i], b->loss[i]);
			bad = 1;
		}
	for (int i = 0; i < steps; i++)
		if (!(fabs(a->norm[i] - b->norm[i]) <= 10 * bound * b->norm[i])) {
			fprintf(stderr, "rank %d, step %d: norm %.9g, unsplit %.9g\n", ranks.rank, i + 1, a->norm[i], b->norm[i]);
			bad = 1;
		}
	return bad;
}

/* The gradient of a key's bias is zero but for rounding, which Adam turns into steps of any direction. */
static int parameters_differ(const struct result *a, const struct result *b, double bound)
{
	int bad = 0;
	for (int i = 0; i < b->table.count; i++) {
		const struct sp_parameter *p = &b->table.entry[i];
		struct test_norms n = test_ranks_compare(a->values + p->offset, b->values + p->offset, p->rows * p->cols);
		if (strstr(p->name, "key.bias") || n.difference <= bound * n.reference)
			continue;
		fprintf(stderr, "rank %d: %s differs by %g of %g\n", ranks.rank, p->name, n.difference, n.reference);
		bad = 1;
	}
	return bad;
}

static int differs_from_unsplit(const struct sp_settings *split, int steps, double loss_bound, double parameter_bound)
{
	const struct sp_settings whole = unsplit(split);
	struct result a = { .loss = { 0 } }, b = { .loss = { 0 } };
	int bad = run(split, ranks.world, steps, &a);
	bad = bad || run(&whole, ranks.alone, steps, &b);
	bad = bad || losses_differ(&a, &b, steps, loss_bound);
	bad = bad || fabs(a.evaluation.loss - b.evaluation.loss) > loss_bound * b.evaluation.loss;
	bad = bad || a.evaluation.predicted != b.evaluation.predicted;
	bad = bad || (parameter_bound > 0 && parameters_differ(&a, &b, parameter_bound));
	free_result(&a);
	free_result(&b);
	return bad;
}

static void ten_losses_of_the_tutorial_equal_the_unsplit_ones(void **state)
{
	(void)state;
	struct sp_settings s = tutorial();
	s.parallel.sequence = ranks.size;
	assert_false(test_ranks_agree(&ranks, differs_from_unsplit(&s, 10, 1e-5, 0)));
}

static void parameters_after_three_steps_equal_the_unsplit_ones(void **state)
{
	(void)state;
	for (int pre = 0; pre < 2; pre++) {
		struct sp_settings s = tutorial();
		s.parallel.sequence = ranks.size;
		s.model.norm = pre ? SP_NORM_PRE : SP_NORM_POST;
		s.model.sentence_order = 1;
		assert_false(test_ranks_agree(&ranks, differs_from_unsplit(&s, 3, 1e-5, 1e-4)));
	}
}

static void every_grid_of_data_sequence_and_tensor_ranks_trains_the_same(void **state)
{
	(void)state;
	for (int tensor = 1; tensor <= ranks.size && tensor <= 4; tensor++)
		for (int sequence = 1; sequence * tensor <= ranks.size; sequence++) {
			struct sp_settings s = tutorial();
			if (ranks.size % (sequence * tensor) != 0 || s.model.heads % tensor != 0)
				continue;
			s.parallel.sequence = sequence;
			s.parallel.tensor = tensor;
			s.train.global_batch = 2 * (ranks.size / (sequence * tensor));
			s.train.micro_batch = 1;
			s.model.norm = tensor % 2 ? SP_NORM_PRE : SP_NORM_POST;
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
		struct sp_settings s = tutorial();
		s.parallel.sequence = ranks.size;
		s.train.sequence_length = cases[i].length;
		s.data.mask_prob = cases[i].mask;
		assert_false(test_ranks_agree(&ranks, differs_from_unsplit(&s, 3, 1e-5, 1e-4)));
	}
}

static void short_sequences_and_padding_do_not_count(void **state)
{
	(void)state;
	struct sp_settings s = tutorial();
	s.parallel.sequence = ranks.size;
	s.data.short_seq_prob = 1;
	assert_false(test_ranks_agree(&ranks, differs_from_unsplit(&s, 3, 1e-5, 1e-4)));
}

static void two_runs_give_the_same_bits(void **state)
{
	(void)state;
	struct sp_settings s = tutorial();
	struct result a = { .loss = { 0 } }, b = { .loss = { 0 } };
	s.parallel.sequence = ranks.size;
	int bad = run(&s, ranks.world, 5, &a);
	bad = bad || run(&s, ranks.world, 5, &b);
	bad = bad || memcmp(a.values, b.values, (size_t)a.table.elements * sizeof(float)) != 0;
	bad = bad || memcmp(a.loss, b.loss, sizeof a.loss) != 0 || memcmp(a.norm, b.norm, sizeof a.norm) != 0;
	free_result(&a);
	free_result(&b);
	assert_false(test_ranks_agree(&ranks, bad));
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
	struct sp_settings s = tutorial(), one;
	struct sp_evaluation whole, split;
	s.model.sentence_order = 1;
	one = unsplit(&s);
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

static void a_batch_the_ranks_do_not_divide_is_refused(void **state)
{
	(void)state;
	struct sp_settings s = tutorial();
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
		cmocka_unit_test(every_grid_of_data_sequence_and_tensor_ranks_trains_the_same),
		cmocka_unit_test(ranks_without_tokens_or_predictions_are_normal),
		cmocka_unit_test(short_sequences_and_padding_do_not_count),
		cmocka_unit_test(two_runs_give_the_same_bits),
		cmocka_unit_test(an_evaluation_depends_on_neither_ranks_nor_batches),
		cmocka_unit_test(a_batch_the_ranks_do_not_divide_is_refused),
	};
	int rc = test_ranks_open(&ranks);
	if (rc)
		return rc;
	int failed = test_ranks_agree(&ranks, cmocka_run_group_tests(tests, NULL, NULL));
	test_ranks_close(&ranks);
	return failed;
}
