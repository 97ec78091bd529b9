/* A communicator, to the files that it is made of: comm.c opens and splits, comm_bind.c finds who passes the memory of a device,
 * comm_transfers.c checks, routes, counts and traces what is passed, comm_window.c does what is read in place.
 * May include: backend, base. */
#ifndef SP_BACKEND_COMM_INSIDE_H
#define SP_BACKEND_COMM_INSIDE_H

#include "backend/comm.h"

enum { SP_COMM_WHY = 512 };

/* What the setting asks for: that device memory goes through host memory, or is passed by the module that reaches it where there
 * is one, or in any case. */
enum sp_comm_wish { SP_COMM_BY_HOST, SP_COMM_IF_IT_CAN, SP_COMM_BY_NAME };

struct sp_comm {
	const char *name; /* module */
	const struct sp_comm_ops *ops;
	void *comm; /* the module's own */
	struct sp_comm_group group;
	struct sp_comm_counters counters;
	enum sp_comm_wish wish;        /* for device memory */
	const char *wanted;    /* the module that was named for it */
	struct sp_link *link;  /* passes device memory; NULL: it goes through host memory */
	char why[SP_COMM_WHY];    /* it does, if the choice was ours; else empty */
};

/* A member's rank in the job. */
int sp_comm_rank_of(const struct sp_comm *c, int member);
/* From here on the main thread may block. */
void sp_comm_waits(const struct sp_comm *c, const char *operation, int to, int from);
/* After a failure inside the library: it has logged its own words. */
int sp_comm_failed(const struct sp_comm *c, const char *op, const char *peers);
int sp_comm_refused(const struct sp_comm *c, const char *op, const char *why);
/* The span of a wait or a blocking operation. */
void sp_comm_span_begin(const struct sp_comm *c, const char *op);
void sp_comm_span_end(void);

#endif
