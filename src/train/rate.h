/* What the machine could do at best on this model: its matrix multiplication rate. May include: backend,
 * model/config.h. */
#ifndef SP_TRAIN_RATE_H
#define SP_TRAIN_RATE_H

#include "backend/comm.h"
#include "backend/compute.h"
#include "model/config.h"

/* Floating-point operations per second of all ranks together, working at the same time, on the four matrix products of
 * a layer at `rows` rows, each weighted with its share of the work; of matrices of `element`, that of the activations of the run that
 * is to be held against it. Less than a second. Collective over `world`. */
int sp_rate_measure(struct sp_compute *compute, struct sp_comm *world, const struct sp_model_config *config,
                    enum sp_dtype element, int64_t rows, double *flops_per_s);

#endif
