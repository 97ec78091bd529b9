#include "config.h"

#include "parallel/grid.h"

#include "base/log.h"

#include <string.h>

int sp_grid_open(struct sp_comm *world, int64_t sequence, struct sp_grid *grid)
{
	int size = sp_comm_size(world), rank = sp_comm_rank(world);
	if (sequence < 1 || size % sequence != 0) {
		int64_t below = sequence < 1 ? 1 : sequence < size ? sequence : size, above = below;
		while (size % below != 0)
			below--;
		while (above < size && size % above != 0)
			above++;
		return sp_fail(SP_ERR_SETTING,
		               "parallel.sequence = %lld does not divide %d ranks: start a multiple of %lld ranks, or set "
		               "parallel.sequence to %lld or %lld",
		               (long long)sequence, size, (long long)sequence, (long long)below, (long long)above);
	}
	memset(grid, 0, sizeof *grid);
	grid->world = world;
	grid->sequence_size = (int)sequence;
	grid->data_size = size / (int)sequence;
	grid->sequence_rank = rank % (int)sequence;
	grid->data_rank = rank / (int)sequence;
	return sp_comm_split(world, grid->data_rank, grid->sequence_rank, "sequence", &grid->sequence);
}

void sp_grid_close(struct sp_grid *grid)
{
	sp_comm_close(grid->sequence);
	grid->sequence = NULL;
}
