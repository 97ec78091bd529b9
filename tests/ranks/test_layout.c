/* Loss and every gradient of the whole model, split over data x sequence x tensor ranks, against one rank: dropout on, odd lengths,
 * padding, ranks without predicted tokens. The bound is that of the design: loss 1e-6 relative, gradients 1e-5 of their own
 * norm or 1e-6 of all gradients' norm. */
#include "config.h"

#include "base/rng.h"
#include "base/size.h"
#include "model/model.h"
#include "parallel/grid.h"
#include "parallel/shard.h"
#include "ranks/ranks.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct test_ranks ranks;

enum { SAMPLES = 4, VOCAB = 97, POSITIONS = 160 };

static struct sp_model_config config_of(int pre_norm, enum sp_activation activation, int sentence_order)
{
	const struct sp_model_config c = {
		.layers = 2, .hidden = 24, .heads = 12, .intermediate = 41, .vocab_size = VOCAB, .max_positions = POSITIONS,
		.pre_norm = pre_norm, .activation = activation, .dropout = 0.1f, .attention_dropout = 0.2f, .layer_norm_eps = 1e-5f,
		.sentence_order = sentence_order,
	};
	return c;
}

/* SAMPLES sequences of `length`; sample 1 has a padded tail, sample 2 two documents, only the first tokens are predicted. */
struct global {
	int64_t length;
	int32_t *token, *kind, *doc, *label; /* (SAMPLES, length) */
	int32_t order[SAMPLES];
	int64_t predicted;
};

static struct global make_global(int64_t length)
{
	struct global g = { .length = length };
	struct sp_rng rng;
	sp_rng_start(&rng, 3, SP_RNG_SYNTHETIC, (uint64_t)length, 0);
	int32_t **const arrays[] = { &g.token, &g.kind, &g.doc, &g.label };
	for (int i = 0; i < 4; i++) {
		*arrays[i] = calloc((size_t)(SAMPLES * length), sizeof(int32_t));
		assert_non_null(*arrays[i]);
	}
	for (int64_t s = 0; s < SAMPLES; s++) {
		g.order[s] = (int32_t)sp_rng_below(&rng, 2);
		for (int64_t i = 0; i < length; i++) {
			const int64_t at = s * length + i;
			const int padded = s == 1 && i > length / 2;
			g.token[at] = padded ? 0 : (int32_t)sp_rng_below(&rng, VOCAB);
			g.kind[at] = !padded && i > length / 3;
			g.doc[at] = padded ? -1 : s == 2 && i > length / 2;
			/* Later ranks get nothing to predict. */
			const int predicted = i == 1 || (i > 1 && i < length / 2 && sp_rng_below(&rng, 4) == 0);
			g.label[at] = predicted ? (int32_t)sp_rng_below(&rng, VOCAB) : -1;
			g.predicted += predicted;
		}
	}
	g.predicted = sp_max(g.predicted, 1); /* to be divided by: a [CLS] alone is not predicted */
	return g;
}

static void free_global(struct global *g)
{
	free(g->token);
	free(g->kind);
	free(g->doc);
	free(g->label);
}

/* A rank's slice; the cpu backend's memory is the host's, so the arrays serve as they are. */
struct slice {
	struct sp_batch batch;
	int32_t *token, *position, *kind, *doc, *predicted, *label, order_row[SAMPLES];
	uint32_t sample[SAMPLES], head_sample[SAMPLES];
};

static int32_t *integers(int64_t n)
{
	int32_t *x = calloc((size_t)n + 1, sizeof *x);
	assert_non_null(x);
	return x;
}

static void fill_token(struct slice *s, const struct global *g, int64_t sample, int64_t row, int64_t at)
{
	s->token[row] = g->token[sample * g->length + at];
	s->position[row] = (int32_t)at;
	s->kind[row] = g->kind[sample * g->length + at];
	if (g->label[sample * g->length + at] >= 0) {
		s->predicted[s->batch.predictions] = (int32_t)row;
		s->label[s->batch.predictions++] = g->label[sample * g->length + at];
	}
}

static void make_slice(struct slice *s, const struct global *g, int64_t first_sample, int64_t samples, int parts, int part)
{
	const struct sp_shard shard = sp_shard_of(g->length, parts, part, 1);
	const int64_t rows = samples * shard.chunk;
	memset(s, 0, sizeof *s);
	s->token = integers(rows);
	s->position = integers(rows);
	s->kind = integers(rows);
	s->predicted = integers(rows);
	s->label = integers(rows);
	s->doc = integers(parts * rows);
	for (int64_t b = 0; b < samples; b++) {
		s->sample[b] = s->head_sample[b] = (uint32_t)(first_sample + b);
		s->order_row[b] = (int32_t)(b * shard.chunk);
		for (int64_t i = 0; i < shard.real; i++)
			fill_token(s, g, first_sample + b, b * shard.chunk + i, shard.first + i);
		for (int64_t p = 0; p < parts; p++)
			for (int64_t i = 0; i < shard.chunk; i++) {
				const int64_t at = p * shard.chunk + i;
				s->doc[(p * samples + b) * shard.chunk + i] =
					at < g->length ? g->doc[(first_sample + b) * g->length + at] : -1;
			}
	}
	s->batch.batch = samples;
	s->batch.chunk = shard.chunk;
	s->batch.token = s->token;
	s->batch.position = s->position;
	s->batch.kind = s->kind;
	s->batch.doc = s->doc;
	s->batch.sample = s->sample;
	s->batch.head_sample = s->head_sample;
	s->batch.first = (uint32_t)shard.first;
	s->batch.predicted = s->predicted;
	s->batch.label = s->label;
	s->batch.orders = part == 0 ? samples : 0;
	s->batch.order_row = s->order_row;
	s->batch.order_label = g->order + first_sample;
}

static void free_slice(struct slice *s)
{
	free(s->token);
	free(s->position);
	free(s->kind);
	free(s->predicted);
	free(s->label);
	free(s->doc);
}

struct outcome {
	double loss;
	float *gradients;
	struct sp_parameters table;
};

/* Collective over `world`. Gradients and losses summed over it. */
static int run(const struct sp_model_config *config, const struct global *g, struct sp_comm *world, int64_t sequence,
               int64_t tensor, const char *attention, enum sp_recompute recompute, struct outcome *out)
{
	struct sp_grid grid;
	struct slice slice;
	struct sp_model *model = NULL;
	struct sp_model_sums sums = { 0 };
	if (sp_grid_open(world, 1, sequence, tensor, &grid))
		return 1;
	const int64_t samples = SAMPLES / grid.shape.at[SP_AXIS_DATA];
	make_slice(&slice, g, grid.place.at[SP_AXIS_DATA] * samples, samples, grid.shape.at[SP_AXIS_SEQUENCE], grid.place.at[SP_AXIS_SEQUENCE]);
	const struct sp_model_options options = {
		.config = *config,
		.batch = samples,
		.chunk = slice.batch.chunk,
		.attention = sp_attention_find(attention),
		.sequence = grid.group[SP_GROUP_SEQUENCE],
		.overlap = 1,
		.part = { grid.place.at[SP_AXIS_TENSOR], (int)tensor },
		.tensor = grid.group[SP_GROUP_TENSOR],
		.recompute = recompute,
		.read_rows_only = sp_comm_size(world) > 1,
	};
	const int first = options.part.tensor == 0; /* speaks for what tensor ranks hold alike */
	for (int64_t b = 0; b < samples; b++)
		slice.head_sample[b] = slice.sample[b] * (uint32_t)tensor + (uint32_t)options.part.tensor;
	const struct sp_pass pass = { 17, 3, 1, 1.0f / (float)g->predicted, 1.0f / SAMPLES };
	int rc = sp_model_create(ranks.compute, &options, &model);
	if (rc == SP_OK) {
		sp_parameters_init(sp_model_parameters(model), 5, sp_model_values(model));
		rc = sp_model_run(model, &slice.batch, &pass);
	}
	if (rc == SP_OK)
		rc = sp_model_sums(model, &sums);
	sp_parameters_create(config, &out->table);
	out->gradients = calloc((size_t)out->table.elements, sizeof(float));
	assert_non_null(out->gradients);
	if (rc == SP_OK)
		sp_parameters_spread(sp_model_parameters(model), sp_model_gradients(model), &out->table, out->gradients);
	out->loss = first ? sums.mlm / (double)g->predicted + sums.order / SAMPLES : 0;
	rc |= sp_comm_all_reduce(world, out->gradients, out->table.elements, SP_F32, SP_SUM);
	rc |= sp_comm_all_reduce(world, &out->loss, 1, SP_F64, SP_SUM);
	rc |= rc == SP_OK && sp_model_arena(model)->high != sp_model_arena(model)->size;
	sp_model_destroy(model);
	free_slice(&slice);
	sp_grid_close(&grid);
	return rc;
}

static void free_outcome(struct outcome *o)
{
	sp_parameters_destroy(&o->table);
	free(o->gradients);
}

static int compare(const struct outcome *split, const struct outcome *one, int64_t length, int64_t sequence, int64_t tensor)
{
	const double all = test_ranks_compare(one->gradients, one->gradients, one->table.elements).reference;
	int bad = !(fabs(split->loss - one->loss) <= 1e-6 * fabs(one->loss));
	if (bad)
		fprintf(stderr, "S %lld, sequence %lld, tensor %lld: loss %.9g instead of %.9g\n", (long long)length,
		        (long long)sequence, (long long)tensor, split->loss, one->loss);
	for (int i = 0; i < one->table.count; i++) {
		const struct sp_parameter *p = &one->table.entry[i];
		const struct test_norms n =
			test_ranks_compare(split->gradients + p->offset, one->gradients + p->offset, p->rows * p->cols);
		if (n.difference <= fmax(1e-5 * n.reference, 1e-6 * all))
			continue;
		fprintf(stderr, "S %lld, sequence %lld, tensor %lld: gradient of %s differs by %g of %g (all %g)\n",
		        (long long)length, (long long)sequence, (long long)tensor, p->name, n.difference, n.reference, all);
		bad = 1;
	}
	return bad;
}

/* Every way to cut the ranks into data x sequence x tensor that SAMPLES and heads allow. */
static int all_grids(const struct sp_model_config *config, int64_t length)
{
	struct global g = make_global(length);
	struct outcome one = { 0 };
	int bad = run(config, &g, ranks.alone, 1, 1, "full", SP_RECOMPUTE_NONE, &one);
	for (int tensor = 1; tensor <= ranks.size; tensor++)
		for (int sequence = 1; sequence * tensor <= ranks.size; sequence++) {
			const int model = sequence * tensor;
			if (ranks.size % model != 0 || SAMPLES % (ranks.size / model) != 0 || config->heads % tensor != 0)
				continue;
			struct outcome split = { 0 };
			bad |= run(config, &g, ranks.world, sequence, tensor, "ring", SP_RECOMPUTE_NONE, &split);
			if (ranks.rank == 0)
				bad |= compare(&split, &one, length, sequence, tensor);
			free_outcome(&split);
		}
	free_outcome(&one);
	free_global(&g);
	return bad;
}

static void post_norm_model_is_independent_of_the_layout_for_every_length(void **state)
{
	(void)state;
	static const int64_t lengths[] = { 1, 2, 7, 63, 64, 65, 127 };
	const struct sp_model_config config = config_of(0, SP_ACT_GELU, 1);
	int bad = 0;
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
		bad |= all_grids(&config, lengths[i]);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void pre_norm_model_is_independent_of_the_layout(void **state)
{
	(void)state;
	const struct sp_model_config config = config_of(1, SP_ACT_GELU_TANH, 0);
	int bad = all_grids(&config, 7);
	bad |= all_grids(&config, 65);
	assert_false(test_ranks_agree(&ranks, bad));
}

static int same_bits(const struct outcome *a, const struct outcome *b)
{
	return memcmp(&a->loss, &b->loss, sizeof a->loss) == 0 &&
	       memcmp(a->gradients, b->gradients, (size_t)a->table.elements * sizeof *a->gradients) == 0;
}

/* All ranks on one sequence, and half of them on one half of the weights each. */
static void what_is_computed_again_has_the_same_bits(void **state)
{
	(void)state;
	int bad = 0;
	for (int pre_norm = 0; pre_norm < 2; pre_norm++)
		for (int tensor = 1; tensor <= 2 && ranks.size % tensor == 0; tensor++) {
			const struct sp_model_config config = config_of(pre_norm, SP_ACT_GELU, 1);
			struct global g = make_global(33);
			struct outcome o[3] = { { 0 } };
			for (int mode = SP_RECOMPUTE_NONE; mode <= SP_RECOMPUTE_LAYER; mode++) {
				bad |= run(&config, &g, ranks.world, ranks.size / tensor, tensor, "ring", (enum sp_recompute)mode, &o[mode]);
				if (ranks.rank == 0 && !same_bits(&o[mode], &o[0]))
					bad |= fprintf(stderr, "pre-norm %d, tensor %d: recomputation %d differs\n", pre_norm, tensor, mode);
			}
			for (int mode = 0; mode < 3; mode++)
				free_outcome(&o[mode]);
			free_global(&g);
		}
	assert_false(test_ranks_agree(&ranks, bad != 0));
}

/* What a pass without dropout gives on this rank: last hidden states (kept by the caller) and sums. */
static int pass_forward(const struct sp_model_config *config, const struct slice *slice, int forward_only, float *hidden,
                        struct sp_model_sums *sums)
{
	const struct sp_model_options options = {
		.config = *config,
		.batch = slice->batch.batch,
		.chunk = slice->batch.chunk,
		.attention = sp_attention_find("ring"),
		.sequence = ranks.world,
		.overlap = 1,
		.forward_only = forward_only,
	};
	const struct sp_pass pass = { .mlm_scale = 1, .order_scale = 1 };
	struct sp_model *model = NULL;
	struct sp_matrix view;
	if (sp_model_create(ranks.compute, &options, &model))
		return 1;
	sp_parameters_init(sp_model_parameters(model), 5, sp_model_values(model));
	int bad = sp_model_run(model, &slice->batch, &pass) != 0;
	bad |= sp_model_sums(model, sums) != 0;
	bad |= sp_model_encode(model, &slice->batch, &view) != 0;
	memcpy(hidden, view.data, (size_t)(view.rows * view.cols) * sizeof *hidden);
	bad |= sp_model_arena(model)->high != sp_model_arena(model)->size;
	sp_model_destroy(model);
	return bad;
}

static void forward_only_gives_the_bits_of_the_model_that_trains(void **state)
{
	(void)state;
	static const int64_t lengths[] = { 1, 7, 65 };
	int bad = 0;
	for (int i = 0; i < 6; i++) {
		const struct sp_model_config config = config_of(i % 2, SP_ACT_GELU, 1);
		struct global g = make_global(lengths[i / 2]);
		struct slice slice;
		struct sp_model_sums sums[2];
		make_slice(&slice, &g, 0, SAMPLES, ranks.size, ranks.rank);
		const size_t n = (size_t)(SAMPLES * slice.batch.chunk * config.hidden);
		float *a = calloc(2 * n, sizeof *a), *b = a + n;
		bad |= pass_forward(&config, &slice, 0, a, &sums[0]);
		bad |= pass_forward(&config, &slice, 1, b, &sums[1]);
		bad |= memcmp(a, b, n * sizeof *a) != 0 || memcmp(&sums[0], &sums[1], sizeof sums[0]) != 0;
		free(a);
		free_slice(&slice);
		free_global(&g);
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

static void arena_high_water_equals_the_plan(void **state)
{
	(void)state;
	int bad = 0;
	for (int kind = 0; kind < 8; kind++) {
		const struct sp_model_options options = {
			.config = config_of(kind % 2, SP_ACT_GELU, 1),
			.batch = 2,
			.chunk = 33,
			.attention = sp_attention_find("ring"),
			.sequence = ranks.world,
			.overlap = 1,
			.forward_only = kind / 2 == 3,
			.recompute = (enum sp_recompute)(kind / 2 % 3),
		};
		struct sp_model_memory plan;
		struct sp_model *model = NULL;
		bad |= sp_model_memory(&options, ranks.size, &plan) != 0;
		bad |= sp_model_create(ranks.compute, &options, &model) != 0;
		bad |= !model || sp_model_arena(model)->high != plan.arena;
		sp_model_destroy(model);
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(post_norm_model_is_independent_of_the_layout_for_every_length),
		cmocka_unit_test(pre_norm_model_is_independent_of_the_layout),
		cmocka_unit_test(what_is_computed_again_has_the_same_bits),
		cmocka_unit_test(forward_only_gives_the_bits_of_the_model_that_trains),
		cmocka_unit_test(arena_high_water_equals_the_plan),
	};
	int rc = test_ranks_open(&ranks);
	if (rc)
		return rc;
	int failed = test_ranks_agree(&ranks, cmocka_run_group_tests(tests, NULL, NULL));
	test_ranks_close(&ranks);
	return failed;
}
