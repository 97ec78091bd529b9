/* A flat buffer that all ranks hold, summed so that each rank gets a share, and put together again from the shares.
 * May include: base, backend.
 *
 * The buffer is cut into buckets of ranks x share elements, the same on all ranks; of each bucket rank r owns the r-th
 * share (its "piece"). Shares are multiples of 16 elements; what is left at the end, less than 16 x ranks elements,
 * goes through a small padded buffer, so the flat buffer itself needs no padding and there is no second copy of it. Two
 * buckets are under way at a time. Each of the two directions sends (ranks - 1) x padded / ranks elements, padded being
 * the elements rounded up to a multiple of 16 x ranks. */
#ifndef SP_PARALLEL_REDUCE_H
#define SP_PARALLEL_REDUCE_H

#include "backend/comm.h"
#include "backend/compute.h"

struct sp_reduce;

/* Elements [offset, offset + count) of the flat buffer; count may be 0. */
struct sp_reduce_piece {
	int64_t offset, count;
};

/* `bucket` elements at most travel together; 0: 4 Mi. Not collective. */
int sp_reduce_create(struct sp_compute *compute, struct sp_comm *comm, int64_t elements, int64_t bucket,
                     struct sp_reduce **reduce);
void sp_reduce_destroy(struct sp_reduce *r); /* NULL accepted; no gather may be under way */

int sp_reduce_buckets(const struct sp_reduce *r);
/* What this rank owns of bucket i. */
struct sp_reduce_piece sp_reduce_own(const struct sp_reduce *r, int i);
/* The sum of the counts above. */
int64_t sp_reduce_owned(const struct sp_reduce *r);

/* The same for any rank of a group of `ranks`, and what each of them sends in both directions together, bytes: known
 * before anything exists. Default bucket. */
int64_t sp_reduce_owned_of(int64_t elements, int ranks, int rank);
uint64_t sp_reduce_sent_of(int64_t elements, int ranks);

/* Own pieces of `flat` (device) become the sums over all ranks; the rest of it is undefined afterwards. Collective. */
int sp_reduce_scatter(struct sp_reduce *r, float *flat);

/* Own piece of bucket i goes to all ranks, theirs come here. Started in ascending order of i, all of them, then
 * finished; a bucket's elements belong to the transfer until then. Collective. */
int sp_reduce_gather_start(struct sp_reduce *r, float *flat, int i);
int sp_reduce_gather_finish(struct sp_reduce *r);

#endif
