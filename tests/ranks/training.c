#include "config.h"

#include "ranks/training.h"

#include "train/schedule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sp_settings test_training_settings(void)
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

struct sp_settings test_training_unsplit(const struct sp_settings *split)
{
	struct sp_settings s = *split;
	s.parallel.sequence = s.parallel.tensor = s.parallel.pipeline = s.parallel.virtual_stages = 1;
	if (strcmp(s.parallel.attention, "linformer") != 0 && strcmp(s.parallel.attention, "window") != 0)
		strcpy(s.parallel.attention, "full");
	s.train.micro_batch = s.train.global_batch;
	return s;
}

int test_training_optimizer(struct sp_setup *setup, struct sp_optimizer **o)
{
	const struct sp_settings *s = setup->settings;
	const struct sp_optimizer_options options = {
		s->optimizer.beta1, s->optimizer.beta2, s->optimizer.eps, s->optimizer.weight_decay, s->optimizer.clip_norm,
		sp_setup_scale(s), 0, sp_setup_summed, setup,
	};
	return sp_optimizer_create(setup->compute, setup->world, setup->reduce, sp_model_parameters(setup->model), &options, o);
}

int test_training_steps(struct sp_setup *setup, struct sp_optimizer *o, int steps, struct test_training *result)
{
	const struct sp_settings *s = setup->settings;
	const struct sp_schedule schedule = sp_schedule_make(s->optimizer.lr, s->optimizer.min_lr, s->optimizer.warmup_fraction,
	                                                     s->optimizer.decay_iters, SP_SCHEDULE_LINEAR);
	int bad = 0;
	for (int i = 0; i < steps && !bad; i++) {
		struct sp_outcome outcome = { .loss = NAN };
		struct sp_optimizer_result step = { .norm = NAN };
		bad = sp_setup_pass(setup, SP_TRAIN, (uint64_t)i, 1, sp_optimizer_scale(o), &outcome) != 0;
		result->loss[i] = outcome.loss;
		bad = bad || sp_optimizer_step(o, sp_model_values(setup->model), sp_model_gradients(setup->model),
		                               sp_schedule_rate(&schedule, i)) || sp_optimizer_result(o, &step);
		result->norm[i] = step.norm;
	}
	return bad;
}

/* ---- the whole from its parts ---- */

/* Puts what is counted of a rank's part of the model into a buffer of the whole, zero elsewhere, and adds up what tensor
 * ranks and stages hold. */
static int gather(struct sp_setup *setup, const struct sp_parameters *whole, const float *own, float *all)
{
	memset(all, 0, (size_t)whole->elements * sizeof *all);
	sp_parameters_spread(sp_model_parameters(setup->model), own, whole, all);
	return sp_comm_all_reduce(setup->grid.group[SP_GROUP_TENSOR], all, whole->elements, SP_F32, SP_SUM) != 0 ||
	       sp_comm_all_reduce(setup->grid.group[SP_GROUP_PIPELINE], all, whole->elements, SP_F32, SP_SUM) != 0;
}

/* Own pieces of the sums over replicas, and of tied words over stages, from all replicas. */
static int sum_gradients(struct sp_setup *setup, float *own)
{
	const struct sp_parameters *part = sp_model_parameters(setup->model);
	float *flat = sp_model_gradients(setup->model);
	int bad = sp_reduce_scatter(setup->reduce, flat) != 0 || sp_setup_summed(setup, flat) != 0;
	memset(own, 0, (size_t)part->elements * sizeof *own);
	for (int i = 0; i < sp_reduce_buckets(setup->reduce) && !bad; i++) {
		const struct sp_reduce_piece piece = sp_reduce_own(setup->reduce, i);
		bad = sp_compute_copy_out(setup->compute, own + piece.offset, flat + piece.offset,
		                          (size_t)piece.count * sizeof *own) != 0;
	}
	return bad || sp_comm_all_reduce(setup->grid.group[SP_GROUP_REPLICAS], own, part->elements, SP_F32, SP_SUM) != 0;
}

static int gather_gradients(struct sp_setup *setup, struct test_training *result)
{
	struct sp_outcome outcome;
	float *own = calloc((size_t)sp_model_parameters(setup->model)->elements, sizeof *own);
	int bad = !own || sp_setup_pass(setup, SP_TRAIN, 0, 1, 1, &outcome) != 0;
	bad = bad || sum_gradients(setup, own) || gather(setup, &result->table, own, result->gradients);
	free(own);
	return bad;
}

/* Also that tensor ranks and stages hold the same bits of what they hold alike. */
static int gather_values(struct sp_setup *setup, struct test_training *result)
{
	const struct sp_parameters *part = sp_model_parameters(setup->model);
	const size_t bytes = (size_t)part->elements * sizeof(float);
	float *own = calloc(1, bytes), *back = calloc(1, bytes);
	int bad = !own || !back || sp_compute_copy_out(setup->compute, own, sp_model_values(setup->model), bytes) != 0;
	bad = bad || gather(setup, &result->table, own, result->values);
	if (!bad) {
		sp_parameters_take(part, back, &result->table, result->values);
		bad = memcmp(own, back, bytes) != 0;
	}
	free(own);
	free(back);
	return bad;
}

static int make_room(struct sp_setup *setup, struct test_training *result)
{
	if (sp_parameters_create(&setup->config, &result->table))
		return 1;
	result->gradients = calloc((size_t)result->table.elements, sizeof(float));
	result->values = calloc((size_t)result->table.elements, sizeof(float));
	return !result->gradients || !result->values;
}

int test_training_run(const struct test_ranks *ranks, const struct sp_settings *s, struct sp_comm *world, int steps,
                      struct test_training *result)
{
	struct sp_setup setup;
	struct sp_optimizer *o = NULL;
	if (sp_setup_open(s, ranks->compute, world, &setup))
		return 1;
	int bad = make_room(&setup, result) || test_training_optimizer(&setup, &o);
	bad = bad || gather_gradients(&setup, result);
	bad = bad || test_training_steps(&setup, o, steps, result) || sp_evaluate(&setup, &result->evaluation) != 0;
	bad = bad || gather_values(&setup, result);
	sp_optimizer_destroy(o);
	sp_setup_close(&setup);
	return bad;
}

void test_training_free(struct test_training *r)
{
	free(r->gradients);
	free(r->values);
	sp_parameters_destroy(&r->table);
}

/* ---- comparing ---- */

int test_training_losses_differ(const struct test_ranks *ranks, const struct test_training *a, const struct test_training *b,
                                int steps, double bound, double norms)
{
	int bad = 0;
	for (int i = 0; i < steps; i++)
		if (!(fabs(a->loss[i] - b->loss[i]) <= bound * fabs(b->loss[i]))) {
			fprintf(stderr, "rank %d, step %d: loss %.9g, unsplit %.9g\n", ranks->rank, i + 1, a->loss[i], b->loss[i]);
			bad = 1;
		}
	for (int i = 0; i < steps; i++)
		if (!(fabs(a->norm[i] - b->norm[i]) <= norms * b->norm[i])) {
			fprintf(stderr, "rank %d, step %d: norm %.9g, unsplit %.9g\n", ranks->rank, i + 1, a->norm[i], b->norm[i]);
			bad = 1;
		}
	return bad;
}

/* The gradient of a key's bias is zero but for rounding, which Adam turns into steps of any direction. */
int test_training_values_differ(const struct test_ranks *ranks, const struct test_training *a, const struct test_training *b,
                                double bound)
{
	int bad = 0;
	for (int i = 0; i < b->table.count; i++) {
		const struct sp_parameter *p = &b->table.entry[i];
		const struct test_norms n = test_ranks_compare(a->values + p->offset, b->values + p->offset, p->rows * p->cols);
		if (strstr(p->name, "key.bias") || n.difference <= bound * n.reference)
			continue;
		fprintf(stderr, "rank %d: %s differs by %g of %g\n", ranks->rank, p->name, n.difference, n.reference);
		bad = 1;
	}
	return bad;
}

int test_training_gradients_differ(const struct test_ranks *ranks, const struct test_training *a,
                                   const struct test_training *b, double bound)
{
	const double all = test_ranks_compare(a->gradients, b->gradients, b->table.elements).reference;
	int bad = !(all > 0);
	for (int i = 0; i < b->table.count; i++) {
		const struct sp_parameter *p = &b->table.entry[i];
		const struct test_norms n =
			test_ranks_compare(a->gradients + p->offset, b->gradients + p->offset, p->rows * p->cols);
		if (n.difference <= fmax(bound * n.reference, 0.1 * bound * all))
			continue;
		fprintf(stderr, "rank %d: gradient of %s differs by %g of %g, and of %g in all\n", ranks->rank, p->name, n.difference,
		        n.reference, all);
		bad = 1;
	}
	return bad;
}

int test_training_evaluations_differ(const struct test_training *a, const struct test_training *b, double bound)
{
	return !(fabs(a->evaluation.loss - b->evaluation.loss) <= bound * b->evaluation.loss) ||
	       a->evaluation.predicted != b->evaluation.predicted;
}
