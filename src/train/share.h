/* What this rank owns, or keeps, of each parameter: the pieces of the flat buffer that the reduction gives it, cut at the
 * bounds of parameters. May include: base, parallel, model/parameters.h. */
#ifndef SP_TRAIN_SHARE_H
#define SP_TRAIN_SHARE_H

#include "model/parameters.h"
#include "parallel/reduce.h"

/* Elements [first, first + count) of a whole parameter, row by row. */
struct sp_share_part {
	int parameter; /* its number in the table */
	int64_t first, count;
	int64_t own; /* where they begin with all pieces one after the other */
};

struct sp_share {
	struct sp_share_part *part; /* in the order of the flat buffer */
	int count;
};

/* `piece_of`: sp_reduce_own or sp_reduce_kept. SP_ERR_MEMORY, logged. Not collective. */
int sp_share_create(const struct sp_reduce *reduce, struct sp_reduce_piece (*piece_of)(const struct sp_reduce *r, int i),
                    const struct sp_parameters *table, struct sp_share *share);
void sp_share_destroy(struct sp_share *share); /* zeroed or destroyed is fine */

#endif
