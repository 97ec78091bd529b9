#include "config.h"

#include "backend/buffers.h"

#include "base/log.h"

#include <seqpar/status.h>
#include <stddef.h>

/* The smallest free one that is large enough; else the largest free one, which will be replaced; -1 if all are taken. */
static int choose(const struct sp_buffers *b, size_t bytes)
{
	int fitting = -1, largest = -1;
	for (int i = 0; i < SP_BUFFERS; i++) {
		const size_t size = b->slot[i].size;
		if (b->slot[i].taken)
			continue;
		if (b->slot[i].memory && size >= bytes && (fitting < 0 || size < b->slot[fitting].size))
			fitting = i;
		if (largest < 0 || size > b->slot[largest].size)
			largest = i;
	}
	return fitting >= 0 ? fitting : largest;
}

int sp_buffers_take(struct sp_buffers *b, const struct sp_compute_ops *ops, void *ctx, size_t bytes, void **memory)
{
	const int i = choose(b, bytes);
	if (i < 0)
		return sp_fail(SP_ERR_MEMORY, "more than %d transfers of device memory under way", SP_BUFFERS);
	if (!b->slot[i].memory || b->slot[i].size < bytes) {
		void *larger;
		int status = ops->alloc_host(ctx, bytes, &larger);
		if (status)
			return status;
		ops->free_host(ctx, b->slot[i].memory);
		b->slot[i].memory = larger;
		b->slot[i].size = bytes;
	}
	b->slot[i].taken = 1;
	*memory = b->slot[i].memory;
	return SP_OK;
}

void sp_buffers_give(struct sp_buffers *b, const void *memory)
{
	for (int i = 0; i < SP_BUFFERS; i++)
		if (b->slot[i].memory == memory)
			b->slot[i].taken = 0;
}

void sp_buffers_free(struct sp_buffers *b, const struct sp_compute_ops *ops, void *ctx)
{
	for (int i = 0; i < SP_BUFFERS; i++)
		if (b->slot[i].memory)
			ops->free_host(ctx, b->slot[i].memory);
}
