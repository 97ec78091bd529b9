/* Takes the micro-batches of a step through this rank's stage of the pipeline, in the order of parallel/pipeline.h: what
 * the stages pass on travels while they compute. Without other stages, one micro-batch after the other.
 * May include: base, backend, parallel, model, train. */
#ifndef SP_TRAIN_FLOW_H
#define SP_TRAIN_FLOW_H

#include "model/model.h"
#include "parallel/grid.h"
#include "parallel/pipeline.h"
#include "train/batch.h"

struct sp_flow_options {
	struct sp_compute *compute; /* borrowed, like the next three */
	const struct sp_grid *grid;
	struct sp_model *model;     /* with the slots that sp_pipeline_slots() wants */
	struct sp_batches *batches;
	struct sp_pipeline pipeline;
	int overlap; /* inputs are asked for one work ahead */
};

struct sp_flow;

/* Not collective. SP_ERR_MEMORY, logged. */
int sp_flow_create(const struct sp_flow_options *options, struct sp_flow **flow);
void sp_flow_destroy(struct sp_flow *f); /* NULL accepted; no run may be under way */

/* All micro-batches of the loaded step forward, and backward if pass->training. pass->ready is called in the last backward
 * of each piece. Collective over sequence, tensor and pipeline ranks. */
int sp_flow_run(struct sp_flow *f, const struct sp_pass *pass);

/* Moves on what is under way between stages, for a library that does so only when asked. Does not block. */
void sp_flow_progress(struct sp_flow *f);

/* Seconds that this rank has waited for other stages. */
double sp_flow_waited(const struct sp_flow *f);

#endif
