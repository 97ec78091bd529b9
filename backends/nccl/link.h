/* Inside the nccl module: communicators and the transfers on them. May include: base, backend, nccl.h.
 *
 * A communicator has a stream of its own, on which its transfers follow one another. Each communicator's wait for other ranks
 * without holding up another's, as long as the kernels of all of them find room on the device together: CTAS is small for that.
 * NCCL is told not to block: a call may go on in the background, as the first to a peer does until that peer has called too, and
 * no other call is allowed on that communicator meanwhile. So what is started is put into a list, and handed to NCCL when it can
 * be; nobody waits for that but who waits for the transfer. */
#ifndef SP_NCCL_LINK_H
#define SP_NCCL_LINK_H

#include "nccl/library.h"

#include <seqpar/comm.h>
#include <seqpar/status.h>

enum { SP_NCCL_CTAS = 16 }; /* thread blocks of a transfer, at most: with 132 multiprocessors several may run beside a product */

struct sp_nccl_request;

struct sp_nccl_link {
	struct sp_nccl_link *next; /* among all there are */
	ncclComm_t nccl;           /* NULL: a group of one rank, or aborted */
	int rank, size;
	void *queue; /* of computing */
	void *side;
	struct sp_nccl_request *first, *last; /* started, not yet handed to NCCL */
	struct sp_nccl_request *calling;      /* handed over; the call goes on */
	struct sp_nccl_request *spare, *all;
	double stalled;
};

/* ---- link.c ---- */

int sp_nccl_join(const struct sp_joining *with, void **comm, char *why, size_t size);
int sp_nccl_split(void *comm, int colour, int key, void **part);
void sp_nccl_close(void *comm);
int sp_nccl_describe(void *comm, char *text, size_t size);
/* Logs what NCCL says, aborts all communicators, so that nothing on the device waits for messages any more, and returns
 * SP_ERR_COMM. */
int sp_nccl_failed(struct sp_nccl_link *link, const char *call, ncclResult_t result);
/* The same after an error of the device, which has been logged. */
int sp_nccl_give_up(void);
int sp_nccl_has_failed(void);
/* SP_OK and *state: ncclSuccess, or ncclInProgress as long as a call goes on. */
int sp_nccl_look(struct sp_nccl_link *link, ncclResult_t *state);
/* Moves the transfers of all communicators on. */
int sp_nccl_progress_all(void);

/* ---- transfers.c ---- */

int sp_nccl_exchange_start(void *comm, const struct sp_exchange *args, void **request);
int sp_nccl_reduce_scatter_start(void *comm, void *data, int64_t count, enum sp_dtype dtype, void **request);
int sp_nccl_all_gather_start(void *comm, void *data, int64_t count, enum sp_dtype dtype, void **request);
int sp_nccl_all_to_all_start(void *comm, const struct sp_all_to_all *args, void **request);
int sp_nccl_all_reduce_start(void *comm, void *data, int64_t count, enum sp_dtype dtype, enum sp_reduction op,
                             void **request);
int sp_nccl_order(void *comm, void *request);
int sp_nccl_begun(void *comm, void *request);
int sp_nccl_test(void *comm, void *request, int *done);
int sp_nccl_progress(void *comm);
double sp_nccl_stalled(void *comm);
void sp_nccl_free_requests(struct sp_nccl_link *link);

/* ---- meeting.c ---- */

/* Whether these ranks can be joined; then *id, the same on all, is what NCCL makes of that. As `join` of seqpar/comm.h. */
int sp_nccl_meet(const struct sp_joining *with, ncclUniqueId *id, char *why, size_t size);

/* table.c: for each module made of these sources. */
extern const struct sp_comm_ops sp_nccl_ops;
int sp_nccl_probe(char *text, size_t size);

#endif
