/* Work that is queued again and again with the same arguments, such as a layer's in each step: as a graph it costs the host one call.
 * May include: what compute.h may.
 *
 * The first time such work is queued as it is, and libraries choose and allocate what they need; the second time it is recorded; from
 * then on its graph is launched. While operations are timed by classes (sp_compute_shares_start) all is queued as it is. */
#ifndef SP_BACKEND_GRAPHS_H
#define SP_BACKEND_GRAPHS_H

#include "backend/compute.h"

struct sp_graphs;

/* `compute`, borrowed, has graphs. `must`: work that cannot be recorded is an error; else that is warned of once, and all is queued
 * as it is from then on. SP_ERR_MEMORY, logged. */
int sp_graphs_create(struct sp_compute *compute, int must, struct sp_graphs **graphs);
/* What was launched has been waited for. NULL accepted. */
void sp_graphs_destroy(struct sp_graphs *g);

/* Queues what queue(context) queues. Two calls with the same `size` bytes at `key` must queue the same operations with the same
 * arguments, but for what these find in device memory; queue() may do nothing else that matters later, for it is not called
 * each time. Passes on errors of queue() and of the device. */
int sp_graphs_queue(struct sp_graphs *g, const void *key, size_t size, int (*queue)(const void *context), const void *context);

/* Graphs launched so far. */
int64_t sp_graphs_launched(const struct sp_graphs *g);

#endif
