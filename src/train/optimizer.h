/* AdamW on this rank's share of the parameters, or on all of them. May include: base, backend, parallel, model/parameters.h.
 *
 * Gradients are summed over all ranks so that each owns a share, the share is updated, the values are put together
 * again on all ranks: no rank does another's work and replicas cannot drift apart. The two moments exist for the share
 * only (Rajbhandari et al. 2020, "ZeRO", stage 1). Of a reduction that is `whole` the sums are put together instead, and
 * every rank keeps all moments and updates everything. */
#ifndef SP_TRAIN_OPTIMIZER_H
#define SP_TRAIN_OPTIMIZER_H

#include "model/parameters.h"
#include "parallel/reduce.h"

struct sp_optimizer_options {
	double beta1, beta2, eps, weight_decay;
	double clip_norm; /* 0: not clipped */
	double scale;     /* at first; gradients will be those of scale * loss. 0: 1 */
	int32_t growth;   /* steps after which the scale is doubled; 0: it stays as it is */
	/* Optional: called when own pieces of the gradients (sp_reduce_own) are sums, before the norm is taken, so that copies of
	 * a parameter in another group can be added to them. A nonzero return ends the step. */
	int (*summed)(void *context, float *gradients);
	void *context;
};

struct sp_optimizer;

/* Borrows everything. Not collective. */
int sp_optimizer_create(struct sp_compute *compute, struct sp_comm *world, struct sp_reduce *reduce,
                        const struct sp_parameters *table, const struct sp_optimizer_options *options,
                        struct sp_optimizer **optimizer);
void sp_optimizer_destroy(struct sp_optimizer *o); /* NULL accepted */

/* The two moments of what is kept: device, sp_reduce_kept_elements() floats each, the pieces of sp_reduce_kept() one after
 * the other. Zero at first; they may be copied from and to between steps. */
struct sp_moments {
	float *m, *v;
};
struct sp_moments sp_optimizer_moments(struct sp_optimizer *o);

/* How far it is, beside the moments; kept with them in checkpoints. */
struct sp_optimizer_progress {
	double scale;  /* of the next step's loss */
	int32_t since; /* steps taken since it changed */
	int64_t taken; /* steps taken; the correction of the moments' bias depends on it */
};
int sp_optimizer_go_on(struct sp_optimizer *o, const struct sp_optimizer_progress *progress);
/* What the next step's loss is to be multiplied by. */
double sp_optimizer_scale(const struct sp_optimizer *o);

/* One step from this rank's contribution to the gradients of sp_optimizer_scale() * loss. Whether it is taken is decided
 * on the device: where some gradient is not finite, values and moments stay as they are.
 *   values, gradients  the flat buffers; values are updated on all ranks, gradients are undefined afterwards
 * Sums that sp_reduce_ready() has begun are finished first. The host does not wait for the device but where messages want it.
 * Collective over `world`. */
int sp_optimizer_step(struct sp_optimizer *o, float *values, float *gradients, double lr);

/* What came of it. Waits for the device; once after each step. */
struct sp_optimizer_result {
	double norm;  /* L2 norm of the summed gradients of the loss before clipping; not finite if one of them is not */
	int taken;    /* 0: it is not finite, and nothing was updated */
	double scale; /* of this step's loss */
	struct sp_optimizer_progress progress;
};
int sp_optimizer_result(struct sp_optimizer *o, struct sp_optimizer_result *result);

#endif
