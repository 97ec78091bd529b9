/* Host buffers that a device copies from and to at its best, made when first needed and kept. May include: libc,
 * seqpar/compute.h. */
#ifndef SP_BACKEND_BUFFERS_H
#define SP_BACKEND_BUFFERS_H

#include <seqpar/compute.h>

enum { SP_BUFFERS = 17 }; /* of 16 transfers, and of a step's batches */

struct sp_buffers {
	struct {
		void *memory;
		size_t size;
		int taken;
	} slot[SP_BUFFERS];
};

/* At least `bytes` of host memory from ops->alloc_host. SP_ERR_MEMORY (logged) if there is none, or all are taken. */
int sp_buffers_take(struct sp_buffers *buffers, const struct sp_compute_ops *ops, void *ctx, size_t bytes, void **memory);
void sp_buffers_give(struct sp_buffers *buffers, const void *memory);
void sp_buffers_free(struct sp_buffers *buffers, const struct sp_compute_ops *ops, void *ctx);

#endif
