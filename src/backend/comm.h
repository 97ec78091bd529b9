/* A communicator as the core sees it: the table of operations behind wrappers that check, count and trace.
 * May include: base, backend/stage.h, seqpar/{tensor,comm}.h.
 *
 * Contracts and collectivity are in seqpar/comm.h. A wrapper logs an error with the operation, rank and peers, and
 * returns SP_ERR_COMM; the communicator is then dead. While an operation may block, backend/waiting.h says which it is. */
#ifndef SP_BACKEND_COMM_H
#define SP_BACKEND_COMM_H

#include "backend/link.h"
#include "backend/stage.h"

#include <seqpar/comm.h>
#include <seqpar/status.h>

struct sp_comm;

/* Opens module `name` ("self", "mpi") on all ranks of the job. "auto" takes mpi when this process was started by a
 * launcher as one of several ranks, else self; and so does the name of a module that passes the memory of a device ("nccl"),
 * which has to stand beside one of them. If a launcher started several ranks and the module cannot join them, or
 * `want_ranks` > 1 and this process is alone, that is an error which says how to start ranks. */
int sp_comm_open(const char *name, int want_ranks, struct sp_comm **comm);
/* Ranks of one colour >= 0, ordered by key. Collective. `what` names the group in messages ("sequence"), at most 15 bytes. */
int sp_comm_split(struct sp_comm *comm, int colour, int key, const char *what, struct sp_comm **part);
/* As sp_comm_split, for a group in which messages pass one another: whose ranks start receiving before they send what the others
 * wait for. There device memory always goes through host memory. */
int sp_comm_split_by_host(struct sp_comm *comm, int colour, int key, const char *what, struct sp_comm **part);
/* From here on memory of `compute` is passed in this group, and in those that are split from it, by the module that reaches it,
 * if sp_comm_open was given that module's name, or "auto" and it can be had on all ranks; until the device is closed. Where it
 * was named and cannot be had, that is an error. Collective over the communicator from sp_comm_open. */
int sp_comm_bind(struct sp_comm *comm, struct sp_compute *compute);
/* Whether memory of `compute` is passed so: waiting for a transfer then does not stop the host. */
int sp_comm_is_queued(const struct sp_comm *comm, const struct sp_compute *compute);
void sp_comm_close(struct sp_comm *comm); /* collective; NULL accepted; the one from sp_comm_open last */
/* Ends the job; only src/cli. NULL: only this process. */
void sp_comm_abort(struct sp_comm *comm, int code) __attribute__((noreturn));

/* The module: that of device memory, where there is one. */
const char *sp_comm_name(const struct sp_comm *comm);
int sp_comm_rank(const struct sp_comm *comm);
int sp_comm_size(const struct sp_comm *comm);
struct sp_place sp_comm_place(const struct sp_comm *comm);

/* What this rank has sent through this communicator since it was opened, and how long the host waited for transfers. */
struct sp_comm_counters {
	uint64_t bytes;    /* payload sent: an exchange counts send_bytes; a reduce_scatter or all_gather (size - 1) * count
	                      elements; an all_to_all what it sends; an all_reduce 2 (size - 1) / size * count; a broadcast its bytes at the root, if anyone
	                      else is there; nothing to oneself */
	uint64_t messages; /* operations started */
	double exposed;    /* seconds the host spent in wait and in blocking operations, and a device's queue in waiting for what
	                      is passed without the host */
};
struct sp_comm_counters sp_comm_counters(const struct sp_comm *comm);

/* A transfer under way. Zero-initialise; a finished one may be waited for again (no-op). Buffers that are memory of a compute
 * device are passed correctly by any module if `compute` names the device before the start: a start comes after what is
 * queued there, and what is queued after the wait finds what has arrived. The device is not closed before the wait. */
struct sp_transfer {
	struct sp_compute *compute; /* NULL: host memory */
	const char *what;           /* is sent, and its number, for traces; NULL: only the group is named */
	int index;
	void *request;
	struct sp_staged staged;   /* backend/comm_transfers.c's own, like what follows */
	struct sp_link *link;      /* that passes it; NULL: the module of host memory */
	const char *operation;     /* that started it */
	int to, from;              /* an exchange's, ranks of the job; -1: none */
	int64_t span;
};

int sp_comm_exchange_start(struct sp_comm *comm, const struct sp_exchange *args, struct sp_transfer *transfer);
int sp_comm_reduce_scatter_start(struct sp_comm *comm, void *data, int64_t count, enum sp_dtype dtype,
                                 struct sp_transfer *transfer);
int sp_comm_all_gather_start(struct sp_comm *comm, void *data, int64_t count, enum sp_dtype dtype,
                             struct sp_transfer *transfer);
int sp_comm_all_to_all_start(struct sp_comm *comm, const struct sp_all_to_all *args, struct sp_transfer *transfer);
int sp_comm_wait(struct sp_comm *comm, struct sp_transfer *transfer);
/* As sp_comm_wait if the transfer is finished, then *done is 1; else 0. Does not block; time in it does not count as exposed. */
int sp_comm_test(struct sp_comm *comm, struct sp_transfer *transfer, int *done);
int sp_comm_progress(struct sp_comm *comm);

int sp_comm_all_reduce(struct sp_comm *comm, void *data, int64_t count, enum sp_dtype dtype, enum sp_reduction op);
/* The same in memory of `compute`, in its queue or through host memory. NULL: host memory. */
int sp_comm_all_reduce_on(struct sp_comm *comm, struct sp_compute *compute, void *data, int64_t count, enum sp_dtype dtype,
                          enum sp_reduction op);
int sp_comm_broadcast(struct sp_comm *comm, void *data, size_t bytes, int root);
int sp_comm_barrier(struct sp_comm *comm);

/* Words on how messages travel between these ranks; empty where there is nothing to say. Collective. */
int sp_comm_describe(struct sp_comm *comm, char *text, size_t size);

/* ---- memory that other ranks read in place ---- */

struct sp_window;

/* Makes `bytes` of memory of `compute`, whole pages (SP_WINDOW_PAGE), readable by all ranks of `comm`; what lay there is
 * lost. *window is NULL on all ranks where that cannot be, and nothing has changed: no error. Collective; `bytes` agree. */
int sp_comm_window_open(struct sp_comm *comm, struct sp_compute *compute, void *memory, size_t bytes,
                        struct sp_window **window);
/* Before the memory is given back; what lay there is lost. Not collective; NULL accepted. */
void sp_comm_window_close(struct sp_window *window);
/* Where this rank reads the memory of `rank`, which may still be writing to it: counters tell. */
const void *sp_comm_window_of(const struct sp_window *window, int rank);
/* What was read of `rank` is not read again soon. */
void sp_comm_window_leave(struct sp_window *window, int rank);
/* Counter `i` of this rank rises to `value`: who awaits that sees what was written before. `sent` bytes are counted as one
 * message of this rank if they are not 0. */
void sp_comm_window_post(struct sp_window *window, int i, uint64_t value, uint64_t sent);
/* Waits until counter `i` of `rank` is at least `value`; what waiting there is counts as exposed, in an exchange. */
int sp_comm_window_await(struct sp_window *window, int rank, int i, uint64_t value);

#endif
