/* Going on from a checkpoint. May include: base, settings, backend, checkpoint, train. */
#ifndef SP_TRAIN_RESUME_H
#define SP_TRAIN_RESUME_H

#include "train/optimizer.h"
#include "train/report.h"
#include "train/setup.h"

/* The same on all ranks. */
struct sp_resume {
	char path[SP_TEXT + 64]; /* "": from the beginning */
	int64_t step;            /* steps done there */
	int64_t vocab_size;
	double tokens;
	struct sp_optimizer_progress progress;
	int64_t newest;          /* step of the newest checkpoint in checkpoint.dir that is of use; -1: none */
};

/* Finds what checkpoint.resume means and reads every byte of it; says which checkpoints were passed over and why, and what
 * has changed since. checkpoint.dir has been claimed. Refused before anything is overwritten: a run that would be behind the
 * checkpoints in checkpoint.dir, another model. Collective. SP_ERR_SETTING, SP_ERR_FORMAT, SP_ERR_IO, logged. */
int sp_resume_choose(const struct sp_settings *settings, struct sp_comm *world, struct sp_report *report,
                     struct sp_resume *resume);

/* Fills values and moments from the checkpoint; what does not depend on the step is as set-up left it. Every rank reads
 * for itself. */
int sp_resume_load(const struct sp_resume *resume, struct sp_setup *setup, struct sp_optimizer *optimizer);

#endif
