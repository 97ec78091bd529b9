/* The communication table: everything seqpar asks of a message-passing library. May include: libc, seqpar/tensor.h.
 *
 * A backend implements struct sp_comm_ops; the core calls it through the counting and checking wrappers of
 * src/backend/comm.h. A communicator is an ordered group of ranks. Every collective is called by all its ranks in the same
 * order with the same counts, dtype and operation. All return SP_OK or SP_ERR_COMM; after SP_ERR_COMM the
 * communicator is dead and may only be closed or aborted.
 *
 * There are two kinds of modules. One passes host memory, which the cpu backend's memory is too, between the ranks of a job
 * that it finds by itself: `open`. The other passes the memory of one compute backend and nothing else, between ranks that one
 * of the first kind has brought together, beside which it stands: `join`. Its transfers are queued like a compute operation:
 * they read and write their buffers on the device, after what the device's queue held at their start. */
#ifndef SEQPAR_COMM_H
#define SEQPAR_COMM_H

#include <seqpar/tensor.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sums of SP_BF16 and SP_F16 are formed in float32 and rounded to nearest, ties to even, at most once an addition. */
enum sp_reduction { SP_SUM = 0, SP_MAX, SP_MIN };

/* Where this rank stands. local_*: among the ranks of this communicator on the same machine. */
struct sp_place {
	int rank, size;
	int local_rank, local_size;
};

/* send_bytes to `to` and receive_bytes from `from`, at the same time; the two counts may differ and may be 0 (then no
 * message is sent or awaited). to == from == own rank copies. */
struct sp_exchange {
	const void *send;
	size_t send_bytes;
	int to;
	void *receive;
	size_t receive_bytes;
	int from;
};

/* A part to every rank and one from every rank, at the same time. The parts lie one behind the other in the order of ranks:
 * the one to rank i has send_bytes[i], the one from it receive_bytes[i]. What one rank sends another awaits; 0: neither is
 * done. The own part is copied. The arrays are read by start only. */
struct sp_all_to_all {
	const void *send;
	const size_t *send_bytes; /* [size] */
	void *receive;
	const size_t *receive_bytes; /* [size] */
};

/* What a module of device memory is given to bring ranks together that already pass host memory to one another. */
struct sp_joining {
	struct sp_place place; /* among them */
	void *queue;           /* of this rank's device, as its table's queue() gives it; the calling thread uses that device */
	/* Every rank's share of host memory, `bytes` from rank * bytes on, is copied to all, in place. Collective. */
	int (*all_gather)(void *ctx, void *data, size_t bytes);
	void *ctx;
};

struct sp_comm_ops {
	/* ---- modules of host memory; NULL in the others ---- */
	/* All ranks of the job. Collective over them; once per process. */
	int (*open)(void **comm);
	/* Ends all ranks of the job with this exit code, does not return, not collective. Only src/cli calls it. */
	void (*abort)(void *comm, int code);
	int (*place)(void *comm, struct sp_place *place);
	/* Finished on return; these may block the host. */
	int (*all_reduce)(void *comm, void *data, int64_t count, enum sp_dtype dtype, enum sp_reduction op); /* in place */
	int (*broadcast)(void *comm, void *data, size_t bytes, int root);
	int (*barrier)(void *comm);
	/* Finishes a transfer and releases the request. NULL is a finished request. */
	int (*wait)(void *comm, void *request);

	/* ---- modules of device memory; NULL in the others ---- */
	/* All ranks of `with`, which is read until it returns. SP_ERR_UNUSABLE on all of them, the same reason in `why` and
	 * nothing logged, if it is not for such ranks; SP_ERR_COMM if it is and fails. Collective; blocks the host. */
	int (*join)(const struct sp_joining *with, void **comm, char *why, size_t size);
	/* What is queued on the device from now on comes after the transfer. Blocks the host at most until the transfer is queued,
	 * which may be when the other ranks have started theirs. The request is released by `test`. */
	int (*order)(void *comm, void *request);
	/* Whether the device has come to where it waits for a transfer, which has been ordered: what was queued before is finished. */
	int (*begun)(void *comm, void *request);
	/* Seconds that the device's queue stood still for transfers of this communicator, of those that are finished. */
	double (*stalled)(void *comm);
	int (*all_reduce_start)(void *comm, void *data, int64_t count, enum sp_dtype dtype, enum sp_reduction op, void **request);

	/* ---- both ---- */
	/* Ranks of one colour form a group, ordered by key then by rank. Collective over `comm`. colour >= 0; a module of device
	 * memory also takes -1, for a rank that is alone in its group. */
	int (*split)(void *comm, int colour, int key, void **part);
	void (*close)(void *comm); /* collective; NULL accepted; the one from open() or join() last */

	/* ---- transfers that overlap with compute. start: after what was queued; wait: before what comes. ---- */
	/* Buffers belong to the transfer until it is waited for. Transfers between two ranks match in the order they were started.
	 * A module of device memory works off the transfers of a communicator one after the other: there all ranks start those of
	 * which they have a part in one order. A request of NULL is a transfer that is finished, or in the device's queue. */
	int (*exchange_start)(void *comm, const struct sp_exchange *args, void **request);
	/* data[rank's share] of `data` (size * count elements) becomes the reduction over ranks; other shares are undefined
	 * afterwards. In place. Always the same order of summation for the same group size. */
	int (*reduce_scatter_start)(void *comm, void *data, int64_t count, enum sp_dtype dtype, void **request);
	/* Every rank's share [rank * count, (rank + 1) * count) is copied to all. In place. */
	int (*all_gather_start)(void *comm, void *data, int64_t count, enum sp_dtype dtype, void **request);
	/* Between ranks that exchange nothing there is no message, so groups of ranks may do this each for itself. Transfers
	 * between two ranks match those of exchange_start in the order they were started. */
	int (*all_to_all_start)(void *comm, const struct sp_all_to_all *args, void **request);
	/* Sets *done to 1, having finished the transfer and released the request, or to 0; moves started transfers on, does not
	 * block. */
	int (*test)(void *comm, void *request, int *done);
	/* Moves started transfers on without blocking. */
	int (*progress)(void *comm);

	/* Words on how messages travel between the ranks of `comm`; what must be measured for that takes some milliseconds.
	 * Collective. Optional: NULL means that there is nothing to say. */
	int (*describe)(void *comm, char *text, size_t size);

	/* ---- windows: memory that the other ranks of a group read in place. Optional, all or none: NULL means that messages
	 * are the only way. ---- */
	/* [memory, memory + bytes), whole pages of SP_WINDOW_PAGE bytes of host memory, becomes readable by all ranks of the
	 * group; `bytes` > 0 is the same on all. What lay there is lost. *window is NULL on all ranks, and all is as before, where
	 * they do not share memory. Collective. */
	int (*window_open)(void *comm, void *memory, size_t bytes, void **window);
	/* The memory is this rank's alone again, what lay there is lost, and the other ranks' can no longer be read. Not
	 * collective: others may still read what they saw. Before the memory is given back. */
	void (*window_close)(void *window);
	/* Where this rank reads what `rank` has in its window. */
	const void *(*window_of)(void *window, int rank);
	/* What was read of `rank` is not read again soon, and need not count as memory that this process has. It stays there. */
	void (*window_leave)(void *window, int rank);
	/* Counter 0 <= `i` < SP_WINDOW_COUNTERS of this rank becomes `value`. Who sees that sees all that this rank had written. */
	void (*window_post)(void *window, int i, uint64_t value);
	/* Another rank's counter; 0 at first. Does not block. */
	uint64_t (*window_seen)(void *window, int rank, int i);
};

enum { SP_WINDOW_PAGE = 4096, SP_WINDOW_COUNTERS = 8 };

#ifdef __cplusplus
}
#endif

#endif
