#include "config.h"

#include "parallel/grid.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

/* From the slowest axis to the fastest. */
static const enum sp_axis order[SP_AXES] = { SP_AXIS_PIPELINE, SP_AXIS_DATA, SP_AXIS_SEQUENCE, SP_AXIS_TENSOR };

static const struct {
	const char *name;
	int spans[SP_AXES];
} groups[SP_GROUPS] = {
	[SP_GROUP_SEQUENCE] = { "sequence", { [SP_AXIS_SEQUENCE] = 1 } },
	[SP_GROUP_TENSOR] = { "tensor", { [SP_AXIS_TENSOR] = 1 } },
	[SP_GROUP_PIPELINE] = { "pipeline", { [SP_AXIS_PIPELINE] = 1 } },
	[SP_GROUP_REPLICAS] = { "replicas", { [SP_AXIS_DATA] = 1, [SP_AXIS_SEQUENCE] = 1 } },
};

const char *sp_axis_name(enum sp_axis axis)
{
	static const char *const names[SP_AXES] = { "data", "pipeline", "sequence", "tensor" };
	return names[axis];
}

const char *sp_group_name(enum sp_group group)
{
	return groups[group].name;
}

int sp_group_spans(enum sp_group group, enum sp_axis axis)
{
	return groups[group].spans[axis];
}

/* ---- ranks and places ---- */

struct sp_grid_point sp_grid_place(const struct sp_grid_point *shape, int rank)
{
	struct sp_grid_point place;
	for (int i = SP_AXES - 1; i >= 0; i--) {
		place.at[order[i]] = rank % shape->at[order[i]];
		rank /= shape->at[order[i]];
	}
	return place;
}

int sp_grid_rank(const struct sp_grid_point *shape, const struct sp_grid_point *place)
{
	int rank = 0;
	for (int i = 0; i < SP_AXES; i++)
		rank = rank * shape->at[order[i]] + place->at[order[i]];
	return rank;
}

/* The place within the axes that a group spans, or within those that it does not. */
static int number(const struct sp_grid_point *shape, enum sp_group group, int rank, int spanned)
{
	const struct sp_grid_point place = sp_grid_place(shape, rank);
	int n = 0;
	for (int i = 0; i < SP_AXES; i++)
		if (groups[group].spans[order[i]] == spanned)
			n = n * shape->at[order[i]] + place.at[order[i]];
	return n;
}

int sp_group_colour(const struct sp_grid_point *shape, enum sp_group group, int rank)
{
	return number(shape, group, rank, 0);
}

int sp_group_rank(const struct sp_grid_point *shape, enum sp_group group, int rank)
{
	return number(shape, group, rank, 1);
}

int sp_group_size(const struct sp_grid_point *shape, enum sp_group group)
{
	int size = 1;
	for (int axis = 0; axis < SP_AXES; axis++)
		size *= groups[group].spans[axis] ? shape->at[axis] : 1;
	return size;
}

/* ---- shapes ---- */

/* The largest divisor of n that is at most `want`, or the smallest that is at least that. */
static int64_t divisor_below(int64_t n, int64_t want)
{
	int64_t d = want < n ? want : n;
	while (n % d != 0)
		d--;
	return d;
}

static int64_t divisor_above(int64_t n, int64_t want)
{
	int64_t d = want < n ? want : n;
	while (n % d != 0)
		d++;
	return d;
}

/* "parallel.sequence = 2", or of several axes "parallel.pipeline x parallel.tensor = 2 x 3 = 6". */
static void describe(const int64_t want[SP_AXES], int64_t product, char *text, size_t size)
{
	char names[96] = "", sizes[64] = "";
	int several = 0;
	for (int axis = SP_AXIS_PIPELINE; axis < SP_AXES; axis++) {
		if (want[axis] == 1)
			continue;
		several = names[0] != 0;
		size_t n = strlen(names), m = strlen(sizes);
		snprintf(names + n, sizeof names - n, "%sparallel.%s", n ? " x " : "", sp_axis_name((enum sp_axis)axis));
		snprintf(sizes + m, sizeof sizes - m, "%s%lld", m ? " x " : "", (long long)want[axis]);
	}
	if (several)
		snprintf(text, size, "%s = %s = %lld", names, sizes, (long long)product);
	else
		snprintf(text, size, "%s = %s", names, sizes);
}

/* One axis is to blame if the others fit; then its nearest sizes are named. */
static int impossible(int ranks, const int64_t want[SP_AXES])
{
	const int64_t product = want[SP_AXIS_PIPELINE] * want[SP_AXIS_SEQUENCE] * want[SP_AXIS_TENSOR];
	char grid[160], remedy[128] = "";
	describe(want, product, grid, sizeof grid);
	for (int axis = SP_AXIS_PIPELINE; axis < SP_AXES && !remedy[0]; axis++) {
		const int64_t others = product / want[axis];
		if (want[axis] == 1 || ranks % others != 0)
			continue;
		const int64_t left = ranks / others, below = divisor_below(left, want[axis]),
					  above = divisor_above(left, want[axis]);
		if (below == above)
			snprintf(remedy, sizeof remedy, ", or set parallel.%s to %lld", sp_axis_name((enum sp_axis)axis),
			         (long long)below);
		else
			snprintf(remedy, sizeof remedy, ", or set parallel.%s to %lld or %lld", sp_axis_name((enum sp_axis)axis),
			         (long long)below, (long long)above);
	}
	return sp_fail(SP_ERR_SETTING, "%s does not divide %d ranks: start a multiple of %lld ranks%s", grid, ranks,
	               (long long)product, remedy);
}

int sp_grid_shape(int ranks, int64_t pipeline, int64_t sequence, int64_t tensor, struct sp_grid_point *shape)
{
	const int64_t want[SP_AXES] = { 1, pipeline, sequence, tensor };
	int64_t product;
	if (pipeline < 1 || sequence < 1 || tensor < 1 || __builtin_mul_overflow(pipeline, sequence, &product) ||
	    __builtin_mul_overflow(product, tensor, &product))
		return sp_fail(SP_ERR_SETTING, "a grid of %lld x %lld x %lld ranks is impossible", (long long)pipeline,
		               (long long)sequence, (long long)tensor);
	if (ranks % product != 0)
		return impossible(ranks, want);
	*shape = (struct sp_grid_point){ { (int)(ranks / product), (int)pipeline, (int)sequence, (int)tensor } };
	return SP_OK;
}

/* ---- communicators ---- */

/* A stage asks for the input of its next work before it sends on the result of this one. */
static int open_group(const struct sp_grid *grid, enum sp_group g, const char *name, struct sp_comm **group)
{
	const int rank = sp_comm_rank(grid->world);
	const int colour = sp_group_colour(&grid->shape, g, rank), key = sp_group_rank(&grid->shape, g, rank);
	return g == SP_GROUP_PIPELINE ? sp_comm_split_by_host(grid->world, colour, key, name, group) :
	                                sp_comm_split(grid->world, colour, key, name, group);
}

int sp_grid_open(struct sp_comm *world, int64_t pipeline, int64_t sequence, int64_t tensor, struct sp_grid *grid)
{
	memset(grid, 0, sizeof *grid);
	int status = sp_grid_shape(sp_comm_size(world), pipeline, sequence, tensor, &grid->shape);
	if (status)
		return status;
	grid->world = world;
	grid->place = sp_grid_place(&grid->shape, sp_comm_rank(world));
	for (int g = 0; g < SP_GROUPS && !status; g++)
		status = open_group(grid, (enum sp_group)g, groups[g].name, &grid->group[g]);
	return status ? status : open_group(grid, SP_GROUP_PIPELINE, "pipeline back", &grid->back);
}

void sp_grid_close(struct sp_grid *grid)
{
	sp_comm_close(grid->back);
	for (int g = SP_GROUPS - 1; g >= 0; g--)
		sp_comm_close(grid->group[g]);
	memset(grid, 0, sizeof *grid);
}
