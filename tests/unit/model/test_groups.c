/* Who holds which parameter, and over whom its gradient is summed: for every grid of up to 16 ranks each element of each
 * parameter is held once in each stage that has it (by each tensor rank, if it is not cut), and summed there over one group. */
#include "config.h"

#include "model/parameters.h"
#include "parallel/grid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 16 };

struct job {
	struct sp_grid_point shape;
	int ranks, pieces;
	struct sp_model_config config;
	struct sp_parameters whole;
	struct sp_parameters own[MOST]; /* of each rank */
};

static int at(const struct job *j, int rank, enum sp_axis axis)
{
	return sp_grid_place(&j->shape, rank).at[axis];
}

static int colour(const struct job *j, int rank)
{
	return sp_group_colour(&j->shape, SP_GROUP_REPLICAS, rank);
}

/* One rank speaks for each group: the first in it. */
static int is_first(const struct job *j, int rank)
{
	for (int other = 0; other < rank; other++)
		if (colour(j, other) == colour(j, rank))
			return 0;
	return 1;
}

static void open_tables(struct job *j)
{
	assert_int_equal(sp_parameters_create(&j->config, &j->whole), SP_OK);
	for (int rank = 0; rank < j->ranks; rank++) {
		const struct sp_model_part part = {
			.tensor = at(j, rank, SP_AXIS_TENSOR), .tensors = j->shape.at[SP_AXIS_TENSOR],
			.stage = at(j, rank, SP_AXIS_PIPELINE), .stages = j->shape.at[SP_AXIS_PIPELINE],
			.pieces = j->pieces,
		};
		assert_int_equal(sp_part_check(&part, &j->config), SP_OK);
		assert_int_equal(sp_parameters_create_part(&j->config, &part, &j->own[rank]), SP_OK);
	}
}

static void close_tables(struct job *j)
{
	for (int rank = 0; rank < j->ranks; rank++)
		sp_parameters_destroy(&j->own[rank]);
	sp_parameters_destroy(&j->whole);
}

/* ---- what is summed is alike ---- */

static void check_same_table(const struct sp_parameters *a, const struct sp_parameters *b)
{
	assert_int_equal(a->elements, b->elements);
	assert_int_equal(a->tied, b->tied);
	assert_int_equal(a->count, b->count);
	for (int i = 0; i < a->count; i++) {
		const struct sp_parameter *p = &a->entry[i], *q = &b->entry[i];
		assert_string_equal(p->name, q->name);
		assert_int_equal(p->offset, q->offset);
		assert_true(p->rows == q->rows && p->cols == q->cols && p->first_row == q->first_row && p->first_col == q->first_col);
	}
}

/* A group is all ranks of one stage and tensor cut, and no others; all of them have the same at the same place. */
static void check_groups(const struct job *j)
{
	int groups = 0;
	for (int a = 0; a < j->ranks; a++) {
		groups += is_first(j, a);
		for (int b = 0; b < a; b++) {
			const int alike = at(j, a, SP_AXIS_PIPELINE) == at(j, b, SP_AXIS_PIPELINE) &&
			                  at(j, a, SP_AXIS_TENSOR) == at(j, b, SP_AXIS_TENSOR);
			assert_int_equal(colour(j, a) == colour(j, b), alike);
			if (colour(j, a) == colour(j, b))
				check_same_table(&j->own[a], &j->own[b]);
		}
	}
	assert_int_equal(groups, j->shape.at[SP_AXIS_PIPELINE] * j->shape.at[SP_AXIS_TENSOR]);
}

/* ---- everything is held, once ---- */

/* Adds 1 to each element of the whole parameter that a rank holds. */
static void cover(const struct sp_parameter *p, int *times)
{
	for (int64_t own = 0; own < p->rows * p->cols;) {
		const struct sp_parameter_run run = sp_parameter_run(p, own);
		for (int64_t i = 0; i < run.count; i++)
			times[run.whole + i]++;
		own += run.count;
	}
}

static void check_all(const int *times, int64_t count, int expected)
{
	for (int64_t i = 0; i < count; i++)
		assert_int_equal(times[i], expected);
}

/* How many groups of a stage hold each element; returns whether the stage has it at all. */
static int check_stage(const struct job *j, const struct sp_parameter *w, int stage, int *counted)
{
	const int64_t count = w->rows * w->cols;
	const int tensors = j->shape.at[SP_AXIS_TENSOR];
	int *times = calloc((size_t)count, sizeof *times), holders = 0, cut = 0;
	assert_non_null(times);
	for (int rank = 0; rank < j->ranks; rank++) {
		const struct sp_parameter *p = sp_parameters_find(&j->own[rank], w->name);
		if (!p || at(j, rank, SP_AXIS_PIPELINE) != stage || !is_first(j, rank))
			continue;
		assert_true(p->whole_rows == w->rows && p->whole_cols == w->cols && p->decay == w->decay);
		holders++;
		cut = sp_parameter_is_cut(p);
		cover(p, times);
		if (p->counted)
			cover(p, counted);
	}
	if (holders > 0) {
		assert_int_equal(holders, tensors);
		check_all(times, count, cut ? 1 : tensors);
	}
	free(times);
	return holders > 0;
}

/* The word table is on the first and the last stage, at the same place; all else on one. */
static void check_parameter(const struct job *j, const struct sp_parameter *w)
{
	const int last = j->shape.at[SP_AXIS_PIPELINE] - 1, tied = strstr(w->name, "word_embeddings") != NULL;
	int *counted = calloc((size_t)(w->rows * w->cols), sizeof *counted), stages = 0;
	assert_non_null(counted);
	for (int stage = 0; stage <= last; stage++) {
		const int holds = check_stage(j, w, stage, counted);
		if (tied)
			assert_int_equal(holds, stage == 0 || stage == last);
		stages += holds;
	}
	assert_int_equal(stages, tied && last > 0 ? 2 : 1);
	check_all(counted, w->rows * w->cols, 1);
	free(counted);
}

static void check_tied(const struct job *j)
{
	for (int a = 0; a < j->ranks && j->shape.at[SP_AXIS_PIPELINE] > 1; a++)
		for (int b = 0; b < a; b++) {
			const struct sp_parameter *p = &j->own[a].entry[0], *q = &j->own[b].entry[0];
			if (!j->own[a].tied || !j->own[b].tied || at(j, a, SP_AXIS_TENSOR) != at(j, b, SP_AXIS_TENSOR))
				continue;
			assert_string_equal(p->name, "bert.embeddings.word_embeddings.weight");
			assert_string_equal(q->name, p->name);
			assert_int_equal(p->offset, q->offset);
			assert_int_equal(j->own[a].tied, j->own[b].tied);
		}
}

static void check_job(struct job *j)
{
	open_tables(j);
	check_groups(j);
	check_tied(j);
	for (int i = 0; i < j->whole.count; i++)
		check_parameter(j, &j->whole.entry[i]);
	close_tables(j);
}

/* ---- every grid ---- */

/* Sizes that tensor ranks do not divide, but for the heads; post- and pre-LN. */
static void check_layers(const struct sp_grid_point *shape, int ranks, int64_t layers, int pieces)
{
	const int tensors = shape->at[SP_AXIS_TENSOR];
	for (int pre = 0; pre < 2; pre++) {
		struct job j = {
			.shape = *shape,
			.ranks = ranks,
			.pieces = pieces,
			.config = { .layers = layers, .hidden = 3 * tensors, .heads = tensors, .intermediate = 37, .vocab_size = 53,
			            .max_positions = 5, .pre_norm = pre, .sentence_order = (layers + pre) % 2 != 0 },
		};
		check_job(&j);
	}
}

static void each_parameter_is_in_one_reduction_group_of_each_stage_that_has_it(void **state)
{
	(void)state;
	int shapes = 0;
	for (int ranks = 1; ranks <= MOST; ranks++)
		for (int p = 1; p <= ranks; p++)
			for (int s = 1; p * s <= ranks; s++)
				for (int t = 1; p * s * t <= ranks; t++) {
					struct sp_grid_point shape;
					if (ranks % (p * s * t) != 0)
						continue;
					assert_int_equal(sp_grid_shape(ranks, p, s, t, &shape), SP_OK);
					check_layers(&shape, ranks, p, 1);
					check_layers(&shape, ranks, p + 3, 1);
					if (p > 1)
						check_layers(&shape, ranks, 2 * p, 2);
					if (p > 1)
						check_layers(&shape, ranks, 6 * p, 3);
					shapes++;
				}
	assert_int_equal(shapes, 204);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_parameter_is_in_one_reduction_group_of_each_stage_that_has_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
