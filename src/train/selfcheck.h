/* Does a split model compute what an unsplit one does, here, with this build and these ranks? May include: base,
 * settings, backend, train. */
#ifndef SP_TRAIN_SELFCHECK_H
#define SP_TRAIN_SELFCHECK_H

#include "backend/comm.h"
#include "settings/settings.h"

#include <stdio.h>

/* One training step, with dropout, of a small copy of `settings` on synthetic data: split over all ranks of `world`,
 * and unsplit on rank 0 alone, whole batch at once. Ranks share a sequence as parallel.sequence says, or all of them do
 * if it does not divide their number. Rank 0 prints to `out` the relative difference of the loss and of each gradient.
 * Collective. SP_ERR_NUMERIC, on all ranks and logged by rank 0, if the loss differs by more than 1e-6, or a gradient g
 * in L2 by more than 1e-5 |g| and by more than 1e-6 |all gradients|. */
int sp_selfcheck(const struct sp_settings *settings, struct sp_comm *world, FILE *out);

#endif
