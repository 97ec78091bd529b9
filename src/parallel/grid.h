/* The process grid: which ranks share a sequence, which hold the same tokens of other samples. May include: base, backend.
 *
 * World size = data x sequence; ranks that share a sequence are neighbours: world rank = data_rank * sequence_size +
 * sequence_rank. */
#ifndef SP_PARALLEL_GRID_H
#define SP_PARALLEL_GRID_H

#include "backend/comm.h"

struct sp_grid {
	struct sp_comm *world;    /* all ranks: gradients are summed over it; borrowed */
	struct sp_comm *sequence; /* ranks that share a sequence; owned by the grid */
	int data_size, data_rank;
	int sequence_size, sequence_rank;
};

/* Collective over `world`. SP_ERR_SETTING (logged, with the nearest sizes that work) if `sequence` does not divide the
 * number of ranks. */
int sp_grid_open(struct sp_comm *world, int64_t sequence, struct sp_grid *grid);
void sp_grid_close(struct sp_grid *grid); /* collective */

#endif
