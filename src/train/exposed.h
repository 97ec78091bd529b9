/* How long a rank's host has waited for messages, by what they were for. May include: backend, parallel. */
#ifndef SP_TRAIN_EXPOSED_H
#define SP_TRAIN_EXPOSED_H

#include "parallel/grid.h"
#include "parallel/reduce.h"

enum sp_exposed_kind {
	SP_EXPOSED_RING = 0,   /* keys, values and their gradients */
	SP_EXPOSED_PIPELINE,   /* between stages */
	SP_EXPOSED_TENSOR,     /* sums inside layers */
	SP_EXPOSED_GRADIENT,   /* sums of gradients over replicas */
	SP_EXPOSED_PARAMETER,  /* updated parameters to all replicas */
	SP_EXPOSED_OTHER,      /* over all ranks: losses, verdicts */
	SP_EXPOSED_KINDS
};

/* "ring", "pipeline" ... */
const char *sp_exposed_name(enum sp_exposed_kind kind);

/* Since the groups were opened. */
struct sp_exposed {
	double seconds[SP_EXPOSED_KINDS];
	double reducing; /* seconds in which sums of gradients were under way, waited for or not */
	uint64_t bytes;  /* sent, of all kinds */
};

struct sp_exposed sp_exposed_read(const struct sp_grid *grid, const struct sp_reduce *reduce);
struct sp_exposed sp_exposed_since(const struct sp_exposed *before, const struct sp_exposed *now);
double sp_exposed_sum(const struct sp_exposed *exposed);

#endif
