/* checkpoint.dir as a run holds it from its beginning to its end. May include: base, settings, backend, checkpoint. */
#ifndef SP_TRAIN_STORE_H
#define SP_TRAIN_STORE_H

#include "backend/comm.h"

struct sp_store {
	const char *dir; /* borrowed; "": nothing is saved */
	int claim;       /* rank 0's while `dir` is not "" */
};

/* Rank 0 makes and claims the directory, then all ranks see whether they find what rank 0 writes there: better now than at
 * the first checkpoint. Collective. SP_ERR_IO, logged. */
int sp_store_open(struct sp_comm *world, const char *dir, struct sp_store *store);
void sp_store_close(struct sp_store *store); /* not collective; zeroed or closed is fine */

#endif
