/* A plan as one JSON object. May include: parallel, plan, jansson. */
#ifndef SP_CLI_PLAN_JSON_H
#define SP_CLI_PLAN_JSON_H

#include "parallel/grid.h"
#include "plan/classes.h"
#include "plan/time.h"

/* What seqpar plan found out. */
struct sp_cli_planned {
	const struct sp_plan_input *input;
	struct sp_plan_classes classes;
	struct sp_grid_point shape;
	size_t base;             /* libraries and program, bytes */
	size_t memory;           /* of a rank; 0: not asked what fits */
	int64_t longest, batch;  /* that fit; 0: none */
	int timed;
	struct sp_plan_time time;
};

/* To standard output. SP_ERR_IO, logged. */
int sp_cli_plan_json(const struct sp_cli_planned *planned);

#endif
