/* What this rank owns of each parameter: the pieces of the flat buffer that the reduction gives it, cut at the bounds of
 * parameters. May include: base, parallel, model/parameters.h. */
#ifndef SP_TRAIN_SHARE_H
#define SP_TRAIN_SHARE_H

#include "model/parameters.h"
#include "parallel/reduce.h"

/* Elements [first, first + count) of a whole parameter, row by row. */
struct sp_share_part {
	int parameter; /* its number in the table */
	int64_t first, count;
	int64_t own; /* where they begin in the own share, all pieces one after the other, as the moments are kept */
};

struct sp_share {
	struct sp_share_part *part; /* in the order of the flat buffer */
	int count;
};

/* SP_ERR_MEMORY, logged. Not collective. */
int sp_share_create(const struct sp_reduce *reduce, const struct sp_parameters *table, struct sp_share *share);
void sp_share_destroy(struct sp_share *share); /* zeroed or destroyed is fine */

#endif
