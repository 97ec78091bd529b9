/* A layer's memory by the paper's tables and by this program. May include: plan. */
#ifndef SP_CLI_PLAN_PAPER_H
#define SP_CLI_PLAN_PAPER_H

#include "plan/plan.h"

/* To standard output: elements of a layer if `ranks` ranks share its weights and if they share its sequences, and from how
 * many tokens the latter is less. SP_ERR_SETTING, logged, if the model cannot be shared like this. */
int sp_cli_plan_paper(const struct sp_plan_input *input, int ranks);

/* The same of what fits in `memory` bytes a rank: the largest batch and the longest sequence, of one of `stages` stages of
 * layers. */
int sp_cli_plan_paper_fitting(const struct sp_plan_input *input, int ranks, int64_t stages, size_t memory);

#endif
