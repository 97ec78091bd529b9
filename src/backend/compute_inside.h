/* The open device as the files that wrap its operations see it. May include: what compute.h may. */
#ifndef SP_BACKEND_COMPUTE_INSIDE_H
#define SP_BACKEND_COMPUTE_INSIDE_H

#include "backend/buffers.h"
#include "backend/compute.h"
#include "backend/link.h"
#include "backend/operands.h"
#include "backend/shares.h"

struct sp_compute {
	const char *name;
	const struct sp_compute_ops *ops;
	void *ctx;
	struct sp_buffers buffers;
	struct sp_compute_poll poll;
	int polling;
	int recording; /* a graph */
	struct sp_link *links; /* pass its memory without the host */
	struct sp_shares *shares; /* NULL: operations are not timed */
};

/* Around an operation, which belongs to this class. The second passes its status on. */
static inline void sp_compute_begin(struct sp_compute *c, enum sp_class which)
{
	if (c->shares)
		sp_shares_begin(c->shares, which);
}

static inline int sp_compute_ended(struct sp_compute *c, int status)
{
	if (c->shares)
		sp_shares_end(c->shares);
	return status;
}

/* The same for an operation of a layer or head: also moves transfers on. */
int sp_compute_queued(struct sp_compute *c, int status);
/* Attention moves them on meanwhile, unless its caller has a way of its own. */
void sp_compute_give_poll(const struct sp_compute *c, struct sp_attention_shape *shape);

#endif
