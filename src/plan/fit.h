/* The longest sequence and the largest batch that fit a rank's memory. May include: plan. */
#ifndef SP_PLAN_FIT_H
#define SP_PLAN_FIT_H

#include "plan/plan.h"

/* What the program and its libraries take on a rank beside the plan, bytes, as measured (doc/performance.md): code and
 * tables, threads' stacks and buffers, and with several ranks those of the message-passing library. */
size_t sp_plan_base(int ranks);

/* 1 in *fits if the plans of all parts take at most `memory` bytes, and a micro-batch has less than 2^31 rows. */
int sp_plan_fits(const struct sp_plan_input *input, size_t memory, int *fits);

/* The largest sequence length, at most `most`, for which sp_plan_with_length() fits; 0 if not even one token does. Every
 * length below fits too. Some forty plans; nothing is allocated. Errors as sp_plan_make(). */
int sp_plan_longest(const struct sp_plan_input *input, size_t memory, int64_t most, int64_t *length);
/* The same with sp_plan_with_batch() for the sequences of a micro-batch. */
int sp_plan_largest_batch(const struct sp_plan_input *input, size_t memory, int64_t most, int64_t *batch);

#endif
