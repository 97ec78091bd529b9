/* Device memory passed to a message-passing library that reaches host memory only: out before a transfer, in after it, through
 * page-locked buffers that belong to the device and are kept. Both copies make the host wait for the device's queue, so this
 * serves ranks that share a device, and machines without a faster way. May include: base, backend/compute.h, seqpar/comm.h. */
#ifndef SP_BACKEND_STAGE_H
#define SP_BACKEND_STAGE_H

#include "backend/compute.h"

#include <seqpar/comm.h>
#include <seqpar/status.h>

/* What a transfer under way has to put back. All zero: nothing is staged. */
struct sp_staged {
	void *host;   /* the buffer */
	char *arrived; /* in it, and */
	void *device; /* where it goes, */
	size_t bytes; /* and how much */
};

/* Whether buffers in memory of `compute` (NULL: host memory) have to be staged. */
int sp_stage_needed(struct sp_compute *compute);

/* Each replaces the buffers by host memory, filled with what is sent. On error nothing is staged. */
int sp_stage_exchange(struct sp_compute *compute, struct sp_exchange *args, struct sp_staged *staged);
/* `bytes` of *data of which [sent, sent + sent_bytes) is sent and [arriving, arriving + arriving_bytes) will arrive. */
struct sp_stage_range {
	size_t bytes, sent, sent_bytes, arriving, arriving_bytes;
};
int sp_stage_collective(struct sp_compute *compute, void **data, struct sp_stage_range range, struct sp_staged *staged);

/* After the transfer, unless it failed: what has arrived goes to the device. Gives the buffer back in any case. */
int sp_stage_finish(struct sp_compute *compute, int status, struct sp_staged *staged);

#endif
