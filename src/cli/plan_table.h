/* Plans as a table, a column for each class of rank. May include: parallel, plan. */
#ifndef SP_CLI_PLAN_TABLE_H
#define SP_CLI_PLAN_TABLE_H

#include "parallel/grid.h"
#include "plan/classes.h"

/* A figure of struct sp_plan: what it is called for people and for programs, and where it is. The last name is NULL. */
struct sp_cli_figure {
	const char *name, *key;
	size_t at, size;
};
extern const struct sp_cli_figure sp_cli_plan_memory[], sp_cli_plan_traffic[];

uint64_t sp_cli_plan_figure(const struct sp_plan *plan, const struct sp_cli_figure *figure);

/* The class of a rank of the grid, and how many ranks there are. */
int sp_cli_plan_class(const struct sp_plan_classes *classes, const struct sp_grid_point *shape, int rank);
int sp_cli_plan_ranks(const struct sp_grid_point *shape);

/* To standard output: what the stages of a pipeline hold, which ranks of the grid are of which class, memory, and what is
 * sent in a step; in MiB, or bytes if `exact`. */
void sp_cli_plan_table(const struct sp_plan_input *input, const struct sp_plan_classes *classes,
                       const struct sp_grid_point *shape, int exact);

#endif
