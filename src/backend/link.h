/* What stands beside a communicator of host memory where a module passes device memory itself: its transfers are queued on the
 * device, and waiting for one orders the device's queue instead of stopping the host. The host meets them again where it
 * waits for the device: until then they are kept here, so that it can be told what the device waits for, and that it failed.
 * May include: base, backend/compute.h, seqpar/comm.h. */
#ifndef SP_BACKEND_LINK_H
#define SP_BACKEND_LINK_H

#include "backend/compute.h"

#include <seqpar/comm.h>
#include <seqpar/status.h>

/* A group of ranks and its name, for messages. */
struct sp_comm_group {
	char what[16];
	struct sp_place place;
	int32_t *member; /* the ranks of the group, as numbered in the job; NULL: all of them */
};

/* From here on the main thread may block; ends with sp_waiting_end(). Ranks are those of the job; -1: none. */
void sp_comm_group_waits(const struct sp_comm_group *group, const char *operation, int to, int from);
/* Logs that an operation failed inside of a library, which has logged its own words; returns SP_ERR_COMM. */
int sp_comm_group_failed(const struct sp_comm_group *group, const char *operation, const char *peers);

struct sp_link {
	const char *name; /* module */
	const struct sp_comm_ops *ops;
	void *comm; /* the module's own */
	struct sp_compute *compute;
	const struct sp_comm_group *group;
	struct sp_link **home;        /* where the communicator has it, */
	struct sp_link *next, **here; /* and where it stands among the device's */
	struct sp_ordered *first, *last, *spare; /* what the device's queue waits for, in that order */
	double closed_stalled;
};

/* A link of `compute` around the module's communicator, put into *home. Takes `comm` over, also on error. */
int sp_link_create(const char *name, const struct sp_comm_ops *ops, void *comm, struct sp_compute *compute,
                   const struct sp_comm_group *group, struct sp_link **home);
/* Collective. NULL accepted; *home is NULL afterwards. */
void sp_link_close(struct sp_link *link);

/* The device's queue waits for the transfer. `operation`, and its peers, ranks of the job, are for messages; `span` is closed
 * when it is seen to be finished. */
int sp_link_order(struct sp_link *link, void *request, const char *operation, int to, int from, int64_t span);
/* Moves transfers on, and forgets those that are finished. Does not block. */
int sp_link_progress(struct sp_link *link);

/* Before the host waits for a device: waits until all that its queue waits for has come, so that the wait has a name, and an
 * error an end. */
int sp_link_settle(struct sp_compute *compute);
/* Closes all links of a device, which is about to be closed. */
void sp_link_close_all(struct sp_compute *compute);

#endif
