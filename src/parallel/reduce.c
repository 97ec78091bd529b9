#include "config.h"

#include "parallel/reduce.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/size.h"
#include "base/trace.h"

#include <stdlib.h>
#include <string.h>

enum { GRAIN = 16, BUCKET = 1 << 20, BUCKET_PER_RANK = 4 << 10, DEPTH = 4 };

/* As all ranks see it. */
struct bucket {
	int64_t offset, count, share; /* count <= ranks * share; less only when padded */
	float *pad;                   /* ranks * share elements on the device, if padded */
};

/* Sums go through the buckets from the last to the first, gathers from the first to the last; the i-th of either uses the
 * slot i % depth. Where transfers are queued on the device the host is far ahead of it, and all buckets may be under way: what it
 * starts only after the wait for another would come after all that it has queued by then. */
struct sp_reduce {
	struct sp_compute *compute;
	struct sp_comm *comm;
	int ranks, rank, whole;
	struct bucket *bucket;
	int buckets;
	float *pads; /* those of all padded buckets */
	struct sp_transfer *flight; /* [depth] */
	int depth;

	float *flat;              /* what is being summed or gathered */
	int ready;                /* sums that may begin */
	int started, finished;    /* of the direction that is at work */
	int busy;                 /* moving on: operations that it queues shall not move it on again */
	int status;               /* of progress that could not report it */
	double begun;             /* when sums came to be under way */
	double waited;            /* for transfers, before the first sum; what a device waits for is known some time after the last */
	int summed;               /* and not yet counted */
	struct sp_reduce_times times;
};

/* ---- where buckets begin and end ---- */

static int64_t full_share(const struct sp_reduce_shape *shape, int ranks)
{
	const int64_t bucket = shape->bucket ? shape->bucket : sp_max(BUCKET, (int64_t)BUCKET_PER_RANK * ranks);
	return sp_max(1, bucket / ((int64_t)GRAIN * ranks)) * GRAIN;
}

static int64_t segment_end(const struct sp_reduce_shape *shape, int64_t at)
{
	for (int i = 0; i < shape->cuts; i++)
		if (shape->cut[i] > at)
			return sp_min(shape->cut[i], shape->elements);
	return shape->elements;
}

/* The bucket that begins at element `at`: a full one, or one of what is left of the segment in whole grains, or a padded one
 * of the rest. */
static struct bucket bucket_at(const struct sp_reduce_shape *shape, int ranks, int64_t at)
{
	const int64_t left = segment_end(shape, at) - at, grain = (int64_t)GRAIN * ranks;
	struct bucket b = { .offset = at };
	b.share = left < grain ? GRAIN : sp_min(full_share(shape, ranks), left / grain * GRAIN);
	b.count = sp_min(left, b.share * ranks);
	return b;
}

static int64_t padding_of(const struct bucket *b, int ranks)
{
	return b->share * ranks - b->count;
}

static struct sp_reduce_piece piece_of(const struct bucket *b, int rank)
{
	const int64_t first = sp_min(rank * b->share, b->count), end = sp_min(first + b->share, b->count);
	return (struct sp_reduce_piece){ b->offset + first, end - first };
}

int64_t sp_reduce_owned_of(const struct sp_reduce_shape *shape, int ranks, int rank)
{
	int64_t sum = 0;
	for (int64_t at = 0; at < shape->elements;) {
		const struct bucket b = bucket_at(shape, ranks, at);
		sum += piece_of(&b, rank).count;
		at += b.count;
	}
	return sum;
}

int64_t sp_reduce_kept_of(const struct sp_reduce_shape *shape, int ranks, int rank)
{
	return shape->whole ? shape->elements : sp_reduce_owned_of(shape, ranks, rank);
}

int64_t sp_reduce_largest_of(const struct sp_reduce_shape *shape, int ranks, int rank)
{
	int64_t most = 0;
	for (int64_t at = 0; at < shape->elements;) {
		const struct bucket b = bucket_at(shape, ranks, at);
		most = sp_max(most, piece_of(&b, rank).count);
		at += b.count;
	}
	return most;
}

uint64_t sp_reduce_sent_of(const struct sp_reduce_shape *shape, int ranks)
{
	uint64_t shares = 0;
	for (int64_t at = 0; at < shape->elements;) {
		const struct bucket b = bucket_at(shape, ranks, at);
		shares += (uint64_t)b.share;
		at += b.count;
	}
	return 2 * shares * (uint64_t)(ranks - 1) * sizeof(float);
}

size_t sp_reduce_room_of(const struct sp_reduce_shape *shape, int ranks)
{
	int64_t buckets = 0, most = 0;
	for (int64_t at = 0; at < shape->elements; buckets++) {
		const struct bucket b = bucket_at(shape, ranks, at);
		most = sp_max(most, b.share);
		at += b.count;
	}
	return (size_t)(sp_min(buckets, DEPTH) * most * (ranks - 1)) * sizeof(float);
}

/* ---- create, destroy ---- */

static int list_buckets(struct sp_reduce *r, const struct sp_reduce_shape *shape)
{
	int count = 0;
	for (int64_t at = 0; at < shape->elements; count++)
		at += bucket_at(shape, r->ranks, at).count;
	r->bucket = calloc((size_t)count + 1, sizeof *r->bucket);
	if (!r->bucket)
		return sp_fail(SP_ERR_MEMORY, "out of memory for a list of %d buckets of gradients", count);
	for (int64_t at = 0; at < shape->elements; r->buckets++) {
		r->bucket[r->buckets] = bucket_at(shape, r->ranks, at);
		at += r->bucket[r->buckets].count;
	}
	return SP_OK;
}

static int give_pads(struct sp_reduce *r)
{
	const int64_t size = (int64_t)GRAIN * r->ranks;
	int64_t padded = 0;
	for (int i = 0; i < r->buckets; i++)
		padded += padding_of(&r->bucket[i], r->ranks) > 0;
	int status = sp_compute_alloc(r->compute, (size_t)(padded * size) * sizeof *r->pads, (void **)&r->pads);
	float *next = r->pads;
	for (int i = 0; i < r->buckets && !status; i++)
		if (padding_of(&r->bucket[i], r->ranks) > 0) {
			r->bucket[i].pad = next;
			next += size;
		}
	return status;
}

static int give_slots(struct sp_reduce *r)
{
	r->depth = sp_comm_is_queued(r->comm, r->compute) && r->buckets > DEPTH ? r->buckets : DEPTH;
	r->flight = calloc((size_t)r->depth, sizeof *r->flight);
	for (int i = 0; r->flight && i < r->depth; i++)
		r->flight[i].compute = r->compute;
	return r->flight ? SP_OK : sp_fail(SP_ERR_MEMORY, "out of memory for %d transfers of gradients", r->depth);
}

int sp_reduce_create(struct sp_compute *compute, struct sp_comm *comm, const struct sp_reduce_shape *shape,
                     struct sp_reduce **reduce)
{
	struct sp_reduce *r = calloc(1, sizeof *r);
	if (!r)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the gradient reduction");
	r->compute = compute;
	r->comm = comm;
	r->ranks = sp_comm_size(comm);
	r->rank = sp_comm_rank(comm);
	r->whole = shape->whole;
	int status = list_buckets(r, shape);
	if (!status)
		status = give_slots(r);
	if (!status)
		status = give_pads(r);
	if (status) {
		sp_reduce_destroy(r);
		return status;
	}
	*reduce = r;
	return SP_OK;
}

void sp_reduce_destroy(struct sp_reduce *r)
{
	if (!r)
		return;
	sp_compute_free(r->compute, r->pads);
	free(r->flight);
	free(r->bucket);
	free(r);
}

int sp_reduce_buckets(const struct sp_reduce *r)
{
	return r->buckets;
}

struct sp_reduce_piece sp_reduce_bucket(const struct sp_reduce *r, int i)
{
	return (struct sp_reduce_piece){ r->bucket[i].offset, r->bucket[i].count };
}

struct sp_reduce_piece sp_reduce_own(const struct sp_reduce *r, int i)
{
	return piece_of(&r->bucket[i], r->rank);
}

int64_t sp_reduce_owned(const struct sp_reduce *r)
{
	int64_t sum = 0;
	for (int i = 0; i < r->buckets; i++)
		sum += sp_reduce_own(r, i).count;
	return sum;
}

struct sp_reduce_piece sp_reduce_kept(const struct sp_reduce *r, int i)
{
	return r->whole ? sp_reduce_bucket(r, i) : sp_reduce_own(r, i);
}

int64_t sp_reduce_kept_elements(const struct sp_reduce *r)
{
	int64_t sum = 0;
	for (int i = 0; i < r->buckets; i++)
		sum += sp_reduce_kept(r, i).count;
	return sum;
}

int sp_reduce_is_whole(const struct sp_reduce *r)
{
	return r->whole;
}

struct sp_reduce_times sp_reduce_times(const struct sp_reduce *r)
{
	return r->times;
}

/* ---- what travels ---- */

static int copy(struct sp_reduce *r, float *from, float *to, int64_t n)
{
	return sp_compute_copy_rows(r->compute, sp_vector(from, n), sp_vector(to, n));
}

/* Where the bucket travels from and to: a padded one its own buffer, which is filled. */
static int stage(struct sp_reduce *r, const struct bucket *b, float **data)
{
	*data = r->flat + b->offset;
	if (!b->pad)
		return SP_OK;
	int status = sp_compute_zero(r->compute, b->pad, (size_t)(b->share * r->ranks) * sizeof *b->pad);
	if (!status)
		status = copy(r, *data, b->pad, b->count);
	*data = b->pad;
	return status;
}

/* A piece that has arrived, to its place in the flat buffer. */
static int unstage(struct sp_reduce *r, const struct bucket *b, struct sp_reduce_piece piece)
{
	return b->pad ? copy(r, b->pad + (piece.offset - b->offset), r->flat + piece.offset, piece.count) : SP_OK;
}

/* Names the bucket in traces. */
static struct sp_transfer *name_slot(struct sp_reduce *r, int i, const char *what, const struct bucket *b)
{
	struct sp_transfer *t = &r->flight[i % r->depth];
	t->what = what;
	t->index = (int)(b - r->bucket);
	return t;
}

static struct sp_transfer *slot(struct sp_reduce *r, int i)
{
	return &r->flight[i % r->depth];
}

/* ---- sums ---- */

/* The i-th bucket to be summed. */
static int summed_at(const struct sp_reduce *r, int i)
{
	return r->buckets - 1 - i;
}

static int start_sum(struct sp_reduce *r)
{
	const struct bucket *b = &r->bucket[summed_at(r, r->started)];
	float *data;
	int status = stage(r, b, &data);
	if (r->started == r->finished)
		r->begun = sp_clock();
	if (!r->summed)
		r->waited = sp_comm_counters(r->comm).exposed;
	r->summed = 1;
	if (!status)
		status = sp_comm_reduce_scatter_start(r->comm, data, b->share, SP_F32,
		                                      name_slot(r, r->started, "gradients", b));
	r->started++;
	return status;
}

/* After the wait for the oldest. */
static int end_sum(struct sp_reduce *r)
{
	const struct bucket *b = &r->bucket[summed_at(r, r->finished++)];
	if (r->started == r->finished)
		r->times.sums += sp_clock() - r->begun;
	return unstage(r, b, piece_of(b, r->rank));
}

static int finish_sum(struct sp_reduce *r)
{
	int status = sp_comm_wait(r->comm, slot(r, r->finished));
	return status ? status : end_sum(r);
}

static int has_slot(const struct sp_reduce *r)
{
	return r->started < r->ready && r->started - r->finished < r->depth;
}

static int move_on(struct sp_reduce *r)
{
	int status = SP_OK, done = 1;
	while (!status && done && r->finished < r->started) {
		status = sp_comm_test(r->comm, slot(r, r->finished), &done);
		if (!status && done)
			status = end_sum(r);
	}
	while (!status && has_slot(r))
		status = start_sum(r);
	return status;
}

int sp_reduce_progress(struct sp_reduce *r)
{
	if (r->status || r->busy || r->finished == r->ready)
		return r->status;
	r->busy = 1;
	r->status = move_on(r);
	r->busy = 0;
	return r->status;
}

void sp_reduce_move(struct sp_reduce *r)
{
	if (r->finished < r->started && sp_comm_progress(r->comm))
		r->status = SP_ERR_COMM;
}

int sp_reduce_ready(struct sp_reduce *r, float *flat, int64_t offset)
{
	r->flat = flat;
	while (r->ready < r->buckets && r->bucket[summed_at(r, r->ready)].offset >= offset)
		r->ready++;
	return sp_reduce_progress(r);
}

int sp_reduce_scatter(struct sp_reduce *r, float *flat)
{
	sp_trace_begin(SP_TRACE_COMM, "reduce gradients", -1);
	int status = sp_reduce_ready(r, flat, 0);
	r->busy = 1;
	while (!status && r->finished < r->buckets) {
		if (has_slot(r))
			status = start_sum(r);
		else
			status = finish_sum(r);
	}
	sp_trace_end(SP_TRACE_COMM);
	r->busy = r->ready = r->started = r->finished = 0;
	return status;
}

/* ---- gathers ---- */

static int finish_gather(struct sp_reduce *r)
{
	const struct bucket *b = &r->bucket[r->finished];
	int status = sp_comm_wait(r->comm, slot(r, r->finished++));
	return status ? status : unstage(r, b, (struct sp_reduce_piece){ b->offset, b->count });
}

int sp_reduce_gather_start(struct sp_reduce *r, float *flat, int i)
{
	const struct bucket *b = &r->bucket[i];
	float *data;
	if (r->summed)
		r->times.sums_exposed += sp_comm_counters(r->comm).exposed - r->waited;
	r->summed = 0;
	int status = r->started - r->finished == r->depth ? finish_gather(r) : SP_OK;
	r->flat = flat;
	if (!status)
		status = stage(r, b, &data);
	if (!status)
		status = sp_comm_all_gather_start(r->comm, data, b->share, SP_F32, name_slot(r, r->started++, "shares", b));
	return status;
}

int sp_reduce_gather_finish(struct sp_reduce *r)
{
	int status = SP_OK;
	while (!status && r->finished < r->started)
		status = finish_gather(r);
	r->started = r->finished = 0;
	return status;
}
