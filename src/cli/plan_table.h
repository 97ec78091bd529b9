/* Plans as a table, a column for each class of rank. May include: parallel, plan. */
#ifndef SP_CLI_PLAN_TABLE_H
#define SP_CLI_PLAN_TABLE_H

#include "parallel/grid.h"
#include "plan/classes.h"

/* To standard output: what the stages of a pipeline hold, which ranks of the grid are of which class, memory, and what is
 * sent in a step; in MiB, or bytes if `exact`. */
void sp_cli_plan_table(const struct sp_plan_input *input, const struct sp_plan_classes *classes,
                       const struct sp_grid_point *shape, int exact);

#endif
