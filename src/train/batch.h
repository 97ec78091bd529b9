/* This rank's part of the samples of one step, as the model wants it. May include: base, backend, data, parallel,
 * model, train.
 *
 * Step t of G sequences: slot j of 0 .. G - 1 is sample t G + j of the split. Data replica d of D takes slots
 * [d G / D, (d + 1) G / D), in micro-batches of B in ascending order; of each sample this rank holds the tokens that
 * sp_shard_of() gives it, or those between two cuts that are made for each micro-batch, the same for all its samples, so that ranks
 * have as much to do as each other. So what a step computes does not depend on the grid. */
#ifndef SP_TRAIN_BATCH_H
#define SP_TRAIN_BATCH_H

#include "backend/compute.h"
#include "data/dataset.h"
#include "model/model.h"
#include "parallel/grid.h"
#include "parallel/shard.h"
#include "train/flops.h"

struct sp_batches_options {
	struct sp_compute *compute; /* borrowed, like the next two */
	const struct sp_grid *grid;
	struct sp_dataset *dataset;
	int64_t length;   /* tokens of a sequence */
	int64_t multiple; /* tokens of a rank are rounded up to it */
	int64_t room;     /* the most that a rank holds: sp_shard_room() */
	int balanced;     /* 0: all ranks hold the same number of tokens; 1: cuts by cost */
	struct sp_token_cost cost;
	int64_t global_batch, micro_batch;
	int sentence_order, packed;
	int64_t window, globals; /* of attention; 0: all tokens attend to all */
	int global_separators;
	int ahead; /* 1: steps may be drawn ahead, into host memory for one more of them */
};

struct sp_batches;

/* SP_ERR_SETTING (logged, with batches that work) if data ranks x micro_batch does not divide global_batch. All memory
 * a step can need is allocated here. */
int sp_batches_create(const struct sp_batches_options *options, struct sp_batches **batches);
void sp_batches_destroy(struct sp_batches *b); /* NULL accepted */

/* Draws the samples of a step and agrees on what it is made of over all ranks. Collective over the world. What was queued of the
 * last step must have been waited for. */
int sp_batches_load(struct sp_batches *b, enum sp_split split, uint64_t step, struct sp_work *work);
/* Draws the samples of a step before it is due, while the device works on the one that is loaded: that stays as it is, with all
 * that is queued of it. The next load of the same step of the same split under the same limit takes them, whatever is loaded in
 * between; every other load draws its own. An error is not told: that load draws anew, and meets it. Only with options.ahead. Not
 * collective. What was queued of the step before the loaded one must have been waited for. */
void sp_batches_draw_ahead(struct sp_batches *b, enum sp_split split, uint64_t step);
/* Samples of a split from index `samples` on are left out of the steps that follow: their places hold padding, and they are
 * not counted. So a split can be gone through once, whatever the batch. */
void sp_batches_limit(struct sp_batches *b, int64_t samples);
/* Host and device memory of all arrays of samples; a few numbers for each micro-batch and rank are left out, as in plan/plan.h. */
size_t sp_batches_bytes(const struct sp_batches *b);
/* Micro-batches of a step on this rank. */
int64_t sp_batches_count(const struct sp_batches *b);
/* Rows of the i-th micro-batch of the loaded step on this rank. */
int64_t sp_batches_rows(const struct sp_batches *b, int64_t i);
/* Moves the i-th micro-batch of the loaded step to the device, in its queue; valid until the next call. */
int sp_batches_take(struct sp_batches *b, int64_t i, struct sp_batch *batch);

#endif
