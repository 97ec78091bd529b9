/* Everything a forward and backward pass over a global batch needs, made from the settings. May include: base,
 * settings, backend, data, parallel, model, checkpoint, train.
 *
 * The trainer and the self-check both start here, so what is checked is what is trained. */
#ifndef SP_TRAIN_SETUP_H
#define SP_TRAIN_SETUP_H

#include "backend/comm.h"
#include "backend/compute.h"
#include "checkpoint/weights.h"
#include "data/dataset.h"
#include "model/model.h"
#include "parallel/grid.h"
#include "parallel/reduce.h"
#include "parallel/tied.h"
#include "settings/settings.h"
#include "train/batch.h"
#include "train/flow.h"

struct sp_setup {
	const struct sp_settings *settings; /* borrowed, like the next two */
	struct sp_compute *compute;
	struct sp_comm *world;
	struct sp_model_config config; /* vocab_size settled */
	struct sp_grid grid;
	struct sp_dataset *dataset;
	struct sp_shard shard; /* with parallel.balance = cost: not its first and real tokens, and chunk is what there is room for */
	struct sp_model_options options;
	struct sp_model *model; /* initial values from the seed or from checkpoint.init */
	struct sp_weights_note note; /* what checkpoint.init gave, on rank 0 */
	struct sp_reduce *reduce;
	struct sp_tied *tied; /* sums after it, of what two stages of a pipeline hold */
	struct sp_batches *batches;
	struct sp_pipeline pipeline; /* of a training step */
	struct sp_flow *flow;
	double idle; /* share of its last pass that this rank waited for other stages */
	int forward_only;    /* no gradients, nothing to reduce */
	enum sp_split split; /* with forward_only: the one to evaluate on */
};

/* Of the settings, for this rank. */
const char *sp_setup_precision(const struct sp_settings *settings); /* "fp32", "tf32", "bf16", "fp16" */
double sp_setup_scale(const struct sp_settings *settings);          /* what the loss is multiplied by at first */
/* The device, bound to `world`: from then on what is in its memory is passed as backend.comm says. Collective. */
int sp_setup_open_device(const struct sp_settings *settings, struct sp_comm *world, struct sp_compute **compute);
/* Closes it, which is collective where it passes messages: after an error, `status`, the others need not come, and only a rank that is
 * alone closes it; the end of the process does for the others. NULL accepted for both. */
void sp_setup_close_device(struct sp_compute *compute, const struct sp_comm *world, int status);

/* Opens all of it. Collective over `world`. SP_ERR_SETTING and what data, model and backend say; what was opened by
 * then is left to sp_setup_close, which only a rank that is alone may call after an error. */
int sp_setup_open(const struct sp_settings *settings, struct sp_compute *compute, struct sp_comm *world,
                  struct sp_setup *setup);
/* The same for evaluating only, on `split`, which must have documents; the others need not. */
int sp_setup_open_forward(const struct sp_settings *settings, struct sp_compute *compute, struct sp_comm *world,
                          enum sp_split split, struct sp_setup *setup);
void sp_setup_close(struct sp_setup *setup); /* collective; zeroed or closed is fine */

/* For the optimizer's options: after its sums over replicas come those over stages. `setup` is a struct sp_setup. */
int sp_setup_summed(void *setup, float *gradients);

/* What a pass over a global batch gave, over all ranks. */
struct sp_outcome {
	struct sp_work work;
	double loss;       /* mlm + order */
	double mlm;        /* mean over predicted tokens; 0 if there are none */
	double order;      /* sum over samples with a sentence-order label, divided by all samples; 0 when off */
	int64_t correct;   /* tokens predicted right */
	int64_t ordered;   /* sentence orders predicted right */
	double bubble;     /* share of the pass that ranks waited for other stages, on average */
};

/* Sums over all ranks what the model has added up since its last reset. Waits for the device. Collective over the world. */
int sp_setup_outcome(struct sp_setup *setup, const struct sp_work *work, struct sp_outcome *outcome);

/* One global batch of a split: forward, and when `training` backward with dropout of that step, which leaves this
 * rank's contribution to the gradients of `scale` times the loss in the model's; with parallel.overlap their sums have begun, and
 * sp_reduce_scatter must follow. What was queued must have been waited for before, and is not waited for here but where messages
 * want it; sp_setup_outcome is to follow. Collective over the world. */
int sp_setup_run(struct sp_setup *setup, enum sp_split split, uint64_t step, int training, double scale, struct sp_work *work);

/* Both. */
int sp_setup_pass(struct sp_setup *setup, enum sp_split split, uint64_t step, int training, double scale,
                  struct sp_outcome *outcome);

#endif
