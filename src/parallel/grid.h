/* The process grid: which ranks hold the same tokens of other samples, other layers, other tokens, other columns of the
 * weights. May include: base, backend.
 *
 * World size = data x pipeline x sequence x tensor. Tensor ranks are neighbours, then come sequence and data; pipeline
 * stages are farthest apart: rank = ((stage * data + d) * sequence + s) * tensor + t. */
#ifndef SP_PARALLEL_GRID_H
#define SP_PARALLEL_GRID_H

#include "backend/comm.h"

#include <stddef.h>
#include <stdint.h>

enum sp_axis { SP_AXIS_DATA = 0, SP_AXIS_PIPELINE, SP_AXIS_SEQUENCE, SP_AXIS_TENSOR, SP_AXES };

const char *sp_axis_name(enum sp_axis axis); /* "data" ... */

/* Sizes of the axes, or a rank's place on them. */
struct sp_grid_point {
	int at[SP_AXES];
};

/* The grid of `ranks` ranks with these three sizes, data being what is left. SP_ERR_SETTING, logged with the nearest
 * grids that exist, if their product does not divide `ranks`. */
int sp_grid_shape(int ranks, int64_t pipeline, int64_t sequence, int64_t tensor, struct sp_grid_point *shape);

struct sp_grid_point sp_grid_place(const struct sp_grid_point *shape, int rank);
int sp_grid_rank(const struct sp_grid_point *shape, const struct sp_grid_point *place);

/* Groups of ranks, each the ranks that differ on some axes and agree on the others. */
enum sp_group {
	SP_GROUP_SEQUENCE = 0, /* share a sequence: attention crosses it */
	SP_GROUP_TENSOR,       /* share the columns of the weights: sums inside a layer */
	SP_GROUP_PIPELINE,     /* the stages of one model, in their order */
	SP_GROUP_REPLICAS,     /* data x sequence: hold the same parameters, whose gradients are summed over it */
	SP_GROUPS
};

const char *sp_group_name(enum sp_group group); /* "sequence" ... */
int sp_group_spans(enum sp_group group, enum sp_axis axis); /* 1 if its ranks differ on this axis */

/* Which of the groups of a kind a rank is in, from 0, and its place among them. */
int sp_group_colour(const struct sp_grid_point *shape, enum sp_group group, int rank);
int sp_group_rank(const struct sp_grid_point *shape, enum sp_group group, int rank);
int sp_group_size(const struct sp_grid_point *shape, enum sp_group group);

struct sp_grid {
	struct sp_grid_point shape, place; /* of this rank */
	struct sp_comm *world;             /* borrowed */
	struct sp_comm *group[SP_GROUPS];  /* owned by the grid, like the next */
	struct sp_comm *back;              /* the pipeline's ranks again: what goes back cannot mix with what goes forward */
};

/* Opens all groups, in the order of their enumeration. Collective over `world`. SP_ERR_SETTING as sp_grid_shape. */
int sp_grid_open(struct sp_comm *world, int64_t pipeline, int64_t sequence, int64_t tensor, struct sp_grid *grid);
void sp_grid_close(struct sp_grid *grid); /* collective; closed or zeroed is fine */

#endif
