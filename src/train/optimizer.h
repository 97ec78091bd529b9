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

/* One step, the `step`-th (from 1; it corrects the bias of the moments), from this rank's contribution to the
 * gradients.
 *   values, gradients  the flat buffers; values are updated on all ranks, gradients are undefined afterwards
 *   norm  L2 norm of the summed gradients before clipping
 * Sums that sp_reduce_ready() has begun are finished first.
 * Collective over `world`.
 * SP_ERR_NUMERIC, logged with the step and the remedy, if a gradient is not finite; values are then as before. */
int sp_optimizer_step(struct sp_optimizer *o, float *values, float *gradients, int64_t step, double lr, double *norm);

#endif
