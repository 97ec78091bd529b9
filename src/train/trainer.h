/* Training: the loop over steps and what goes with it. May include: base, settings, backend, train. */
#ifndef SP_TRAIN_TRAINER_H
#define SP_TRAIN_TRAINER_H

#include "backend/comm.h"
#include "settings/settings.h"

#include <signal.h>
#include <stdio.h>

/* Trains as `settings` (finished) say, on all ranks of `world`.
 *   out   where rank 0 reports to a person; NULL: nowhere
 *   stop  looked at after each step; once it is not zero on some rank, all finish that step, close their files and
 * return SP_ERR_STOPPED. NULL: never. Collective. Errors are logged; other ranks may then be left waiting for this one,
 * so the caller ends the job. */
int sp_train(const struct sp_settings *settings, struct sp_comm *world, FILE *out, const volatile sig_atomic_t *stop);

#endif
