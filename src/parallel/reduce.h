/* A flat buffer that all ranks hold, summed so that each rank gets a share, and put together again from the shares.
 * May include: base, backend.
 *
 * The buffer is cut into buckets of at most ranks x share elements, the same on all ranks; of each bucket rank r owns the
 * r-th share (its "piece"). Shares are multiples of 16 elements; what is left at the end, less than 16 x ranks elements,
 * goes through a small padded buffer, so the flat buffer itself needs no padding and there is no second copy of it.
 * No bucket straddles a cut: each segment between cuts is cut into buckets on its own, so what two buffers have in common
 * up to a cut is owned and summed alike, whatever follows. Each of the two directions sends (ranks - 1) x padded / ranks
 * elements, padded being those of the segments, each rounded up to a multiple of 16 x ranks.
 *
 * Sums can begin while the buffer is still being filled, from its end downwards: sp_reduce_ready() says how far it is
 * final, and a few buckets at a time are then under way. */
#ifndef SP_PARALLEL_REDUCE_H
#define SP_PARALLEL_REDUCE_H

#include "backend/comm.h"
#include "backend/compute.h"

struct sp_reduce;

/* What is reduced. All ranks give the same. */
struct sp_reduce_shape {
	int64_t elements;
	const int64_t *cut; /* ascending; such as are not inside the buffer are passed over */
	int cuts;
	int whole;      /* every rank keeps what belongs to all elements, not only to its share */
	int64_t bucket; /* elements that travel together at most; 0: 1 Mi, or 4 Ki for each rank if that is more */
};

/* Elements [offset, offset + count) of the flat buffer; count may be 0. */
struct sp_reduce_piece {
	int64_t offset, count;
};

/* Borrows compute and comm. Not collective. */
int sp_reduce_create(struct sp_compute *compute, struct sp_comm *comm, const struct sp_reduce_shape *shape,
                     struct sp_reduce **reduce);
void sp_reduce_destroy(struct sp_reduce *r); /* NULL accepted; nothing may be under way */

int sp_reduce_buckets(const struct sp_reduce *r);
/* Bucket i, and what this rank owns of it. Buckets follow each other in the buffer. */
struct sp_reduce_piece sp_reduce_bucket(const struct sp_reduce *r, int i);
struct sp_reduce_piece sp_reduce_own(const struct sp_reduce *r, int i);
/* The sum of what it owns. */
int64_t sp_reduce_owned(const struct sp_reduce *r);
/* What it keeps state for, pieces one after the other: what it owns, or the whole buffer. Of each element one rank writes
 * that state to files: the owner. */
struct sp_reduce_piece sp_reduce_kept(const struct sp_reduce *r, int i);
int64_t sp_reduce_kept_elements(const struct sp_reduce *r);
int sp_reduce_is_whole(const struct sp_reduce *r);

/* The same for any rank of a group of `ranks`, and what each of them sends in both directions together, bytes: known
 * before anything exists. */
int64_t sp_reduce_owned_of(const struct sp_reduce_shape *shape, int ranks, int rank);
int64_t sp_reduce_kept_of(const struct sp_reduce_shape *shape, int ranks, int rank);
/* Elements of its largest piece. */
int64_t sp_reduce_largest_of(const struct sp_reduce_shape *shape, int ranks, int rank);
uint64_t sp_reduce_sent_of(const struct sp_reduce_shape *shape, int ranks);
/* Bytes of host memory that contributions of other ranks take at most until they are added: what is under way at a time. */
size_t sp_reduce_room_of(const struct sp_reduce_shape *shape, int ranks);

/* Own pieces of `flat` (device) become the sums over all ranks; the rest of it is undefined afterwards. Collective. */
int sp_reduce_scatter(struct sp_reduce *r, float *flat);

/* Elements of `flat` from `offset` on are final: buckets that lie there wholly begin to be summed, and belong to the
 * reduction until sp_reduce_scatter has returned, which must follow. `offset` never rises in between. Returns at once; what
 * is under way moves on in sp_reduce_progress. The ranks need not call this at the same time or equally often. */
int sp_reduce_ready(struct sp_reduce *r, float *flat, int64_t offset);
/* Moves transfers on and starts those that follow, without blocking. Cheap when there are none. */
int sp_reduce_progress(struct sp_reduce *r);
/* Only moves on what is under way: also from within an operation of the device. A failure shows in sp_reduce_scatter. */
void sp_reduce_move(struct sp_reduce *r);

/* Own piece of bucket i goes to all ranks, theirs come here. Started in ascending order of i, all of them, then
 * finished; a bucket's elements belong to the transfer until then. Collective. */
int sp_reduce_gather_start(struct sp_reduce *r, float *flat, int i);
int sp_reduce_gather_finish(struct sp_reduce *r);

/* Seconds since creation. */
struct sp_reduce_times {
	double sums, sums_exposed; /* in which sums were under way; of them those that were waited for them, known with the first gather after them */
};
struct sp_reduce_times sp_reduce_times(const struct sp_reduce *r);

#endif
