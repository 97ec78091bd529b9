/* The grid against its definition, for every shape of up to 16 ranks; and what an impossible one says. */
#include "config.h"

#include "parallel/grid.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = 16 };

static void every_shape(void (*check)(const struct sp_grid_point *shape, int ranks))
{
	for (int ranks = 1; ranks <= MOST; ranks++)
		for (int p = 1; p <= ranks; p++)
			for (int s = 1; p * s <= ranks; s++)
				for (int t = 1; p * s * t <= ranks; t++) {
					struct sp_grid_point shape;
					if (ranks % (p * s * t) != 0)
						continue;
					assert_int_equal(sp_grid_shape(ranks, p, s, t, &shape), SP_OK);
					assert_int_equal(shape.at[SP_AXIS_DATA], ranks / (p * s * t));
					check(&shape, ranks);
				}
}

/* rank = ((stage * data + d) * sequence + s) * tensor + t */
static void check_places(const struct sp_grid_point *shape, int ranks)
{
	for (int rank = 0; rank < ranks; rank++) {
		const struct sp_grid_point at = sp_grid_place(shape, rank);
		const int expected = ((at.at[SP_AXIS_PIPELINE] * shape->at[SP_AXIS_DATA] + at.at[SP_AXIS_DATA]) *
		                          shape->at[SP_AXIS_SEQUENCE] +
		                      at.at[SP_AXIS_SEQUENCE]) *
		                         shape->at[SP_AXIS_TENSOR] +
		                     at.at[SP_AXIS_TENSOR];
		assert_int_equal(expected, rank);
		assert_int_equal(sp_grid_rank(shape, &at), rank);
		for (int axis = 0; axis < SP_AXES; axis++)
			assert_true(at.at[axis] >= 0 && at.at[axis] < shape->at[axis]);
	}
}

static void places_are_numbered_tensor_first_and_stages_last(void **state)
{
	(void)state;
	every_shape(check_places);
}

/* Two ranks share a group exactly if they agree on every axis that it does not span. */
static int together(const struct sp_grid_point *shape, enum sp_group group, int a, int b)
{
	const struct sp_grid_point x = sp_grid_place(shape, a), y = sp_grid_place(shape, b);
	for (int axis = 0; axis < SP_AXES; axis++)
		if (!sp_group_spans(group, (enum sp_axis)axis) && x.at[axis] != y.at[axis])
			return 0;
	return 1;
}

static void check_groups(const struct sp_grid_point *shape, int ranks)
{
	for (int g = 0; g < SP_GROUPS; g++) {
		const enum sp_group group = (enum sp_group)g;
		for (int a = 0; a < ranks; a++) {
			int members = 0, before = 0;
			for (int b = 0; b < ranks; b++) {
				const int same = sp_group_colour(shape, group, a) == sp_group_colour(shape, group, b);
				assert_int_equal(same, together(shape, group, a, b));
				members += same;
				before += same && b < a;
			}
			assert_int_equal(members, sp_group_size(shape, group));
			assert_int_equal(before, sp_group_rank(shape, group, a)); /* in the order of the world's ranks */
		}
	}
}

static void groups_hold_those_who_differ_on_their_axes_only(void **state)
{
	(void)state;
	every_shape(check_groups);
}

static void what_groups_span_is_what_they_are_for(void **state)
{
	(void)state;
	static const int spans[SP_GROUPS][SP_AXES] = {
		/* data, pipeline, sequence, tensor */
		[SP_GROUP_SEQUENCE] = { 0, 0, 1, 0 },
		[SP_GROUP_TENSOR] = { 0, 0, 0, 1 },
		[SP_GROUP_PIPELINE] = { 0, 1, 0, 0 },
		[SP_GROUP_REPLICAS] = { 1, 0, 1, 0 },
	};
	for (int g = 0; g < SP_GROUPS; g++)
		for (int axis = 0; axis < SP_AXES; axis++)
			assert_int_equal(sp_group_spans((enum sp_group)g, (enum sp_axis)axis), spans[g][axis]);
}

/* What is logged when `ranks` cannot be divided so. */
static void refused(int ranks, int pipeline, int sequence, int tensor, const char *expected)
{
	char name[] = "/tmp/seqpar-grid-XXXXXX", text[512];
	struct sp_grid_point shape;
	int file = mkstemp(name), kept = dup(STDERR_FILENO);
	assert_true(file >= 0 && kept >= 0);
	dup2(file, STDERR_FILENO);
	int status = sp_grid_shape(ranks, pipeline, sequence, tensor, &shape);
	dup2(kept, STDERR_FILENO);
	close(kept);
	lseek(file, 0, SEEK_SET);
	ssize_t n = read(file, text, sizeof text - 1);
	text[n > 0 ? n : 0] = 0;
	close(file);
	unlink(name);
	assert_int_equal(status, SP_ERR_SETTING);
	if (!strstr(text, expected))
		fail_msg("not \"%s\" but: %s", expected, text);
}

static void an_impossible_grid_names_the_nearest_that_exist(void **state)
{
	(void)state;
	refused(3, 1, 2, 1, "parallel.sequence = 2 does not divide 3 ranks: start a multiple of 2 ranks, or set "
	                    "parallel.sequence to 1 or 3");
	refused(12, 1, 5, 1, "parallel.sequence to 4 or 6");
	refused(8, 2, 3, 1, "parallel.pipeline x parallel.sequence = 2 x 3 = 6 does not divide 8 ranks: start a multiple of 6 "
	                    "ranks, or set parallel.sequence to 2 or 4");
	refused(2, 1, 4, 1, "parallel.sequence to 2");
	refused(7, 2, 2, 2, "2 x 2 x 2 = 8 does not divide 7 ranks: start a multiple of 8 ranks");
	refused(8, 0, 1, 1, "impossible");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_are_numbered_tensor_first_and_stages_last),
		cmocka_unit_test(groups_hold_those_who_differ_on_their_axes_only),
		cmocka_unit_test(what_groups_span_is_what_they_are_for),
		cmocka_unit_test(an_impossible_grid_names_the_nearest_that_exist),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
