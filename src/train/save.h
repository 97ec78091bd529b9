/* Saving checkpoints while training goes on. May include: base, settings, backend, parallel, model, checkpoint, train.
 *
 * A save has three stages. Each rank copies what it owns of values and moments (the only stage that training waits
 * for); a thread of each rank writes that to its places in the files; when all ranks are done, a thread of rank 0 adds
 * the small files, gives the checkpoint its name and removes old ones. Threads do not communicate: the ranks learn that all
 * have finished in a reduction that training does anyway, and then call sp_save_proceed(). */
#ifndef SP_TRAIN_SAVE_H
#define SP_TRAIN_SAVE_H

#include "backend/comm.h"
#include "backend/compute.h"
#include "model/parameters.h"
#include "parallel/reduce.h"
#include "settings/settings.h"
#include "train/optimizer.h"
#include "train/record.h"

struct sp_save_options {
	struct sp_compute *compute; /* all borrowed */
	struct sp_comm *world;
	const struct sp_reduce *reduce;
	const struct sp_parameters *table;
	const struct sp_model_config *config; /* vocab_size settled */
	const struct sp_settings *settings;
	int64_t newest; /* step of the newest checkpoint there is, for messages; -1: none */
};

struct sp_save;

/* Takes the memory that a snapshot needs, forms what is the same in all checkpoints. Not collective. SP_ERR_MEMORY,
 * SP_ERR_IO, SP_ERR_FORMAT (vocabulary), logged. */
int sp_save_create(const struct sp_save_options *options, struct sp_save **save);
/* Waits for this rank's thread; what is not finished then stays under its temporary name. NULL accepted. */
void sp_save_destroy(struct sp_save *s);

/* Begins to save what `values` (flat, device) and the optimizer hold after record->step steps; waits for the save before.
 * Collective. Errors of writing are no errors here, see sp_save_result. */
int sp_save_start(struct sp_save *s, const struct sp_record *record, const float *values, struct sp_moments moments);
/* 1 while a thread of this rank is at work. */
int sp_save_busy(const struct sp_save *s);
/* To be called on all ranks when none is busy. Collective. */
int sp_save_proceed(struct sp_save *s);
/* Waits until the save under way is finished, or failed. Collective. *last: the status of the last save, the same on all
 * ranks; SP_OK if there was none. */
int sp_save_finish(struct sp_save *s, int *last);

/* What came of a save; on rank 0. */
struct sp_save_result {
	int64_t step;
	int status;       /* SP_OK: it is there */
	double snapshot;  /* seconds that training waited */
	double seconds;   /* until it was there, or failed */
	uint64_t bytes;
	char path[SP_TEXT + 64];
	char text[768];   /* SP_OK: "", or what went wrong afterwards; else why it is not there */
	int64_t newest;   /* step of the newest checkpoint now, -1: none */
};
/* 1, once for each save that has ended since the last call. */
int sp_save_result(struct sp_save *s, struct sp_save_result *result);

#endif
