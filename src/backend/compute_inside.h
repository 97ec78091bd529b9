/* The open device as the files that wrap its operations see it. May include: what compute.h may. */
#ifndef SP_BACKEND_COMPUTE_INSIDE_H
#define SP_BACKEND_COMPUTE_INSIDE_H

#include "backend/buffers.h"
#include "backend/compute.h"
#include "backend/link.h"
#include "backend/operands.h"

struct sp_compute {
	const char *name;
	const struct sp_compute_ops *ops;
	void *ctx;
	struct sp_buffers buffers;
	struct sp_compute_poll poll;
	int polling;
	struct sp_link *links; /* pass its memory without the host */
};

/* Passes the status of an operation on, and moves transfers on. */
int sp_compute_queued(struct sp_compute *c, int status);
/* Attention moves them on meanwhile, unless its caller has a way of its own. */
void sp_compute_give_poll(const struct sp_compute *c, struct sp_attention_shape *shape);

#endif
