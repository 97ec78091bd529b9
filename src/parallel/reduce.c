#include "config.h"

#include "parallel/reduce.h"

#include "base/log.h"
#include "base/size.h"
#include "base/trace.h"

#include <stdlib.h>
#include <string.h>

enum { GRAIN = 16, BUCKET = 4 << 20, DEPTH = 2 };

struct sp_reduce {
	struct sp_compute *compute;
	struct sp_comm *comm;
	int64_t elements, share; /* share: elements a rank owns of a full bucket */
	int ranks, rank, buckets;
	float *pad; /* the last bucket when it is not a multiple of GRAIN x ranks; device */
	struct sp_transfer flight[DEPTH];
	float *gathered; /* buffer whose padded end still has to be copied out, or NULL */
};

/* A bucket as all ranks see it. */
struct bucket {
	int64_t offset, count, share; /* count <= ranks * share; less only when padded */
};

static struct bucket bucket_of(const struct sp_reduce *r, int i)
{
	struct bucket b = { .offset = i * r->share * r->ranks };
	int64_t left = r->elements - b.offset, grain = (int64_t)GRAIN * r->ranks;
	b.share = left < grain ? GRAIN : sp_min(r->share, left / grain * GRAIN);
	b.count = sp_min(left, b.share * r->ranks);
	return b;
}

/* Full buckets, one of what is left in whole grains, one that is padded. */
static struct bucket nth(const struct sp_reduce *r, int i)
{
	int64_t full = r->elements / (r->share * r->ranks);
	if (i <= full)
		return bucket_of(r, i);
	struct bucket before = bucket_of(r, (int)full), b = { .offset = before.offset + before.count, .share = GRAIN };
	b.count = r->elements - b.offset;
	return b;
}

static int count_buckets(const struct sp_reduce *r)
{
	int n = 0;
	for (int64_t at = 0; at < r->elements; n++)
		at += nth(r, n).count;
	return n;
}

/* All that does not need memory or ranks. */
static void shape(struct sp_reduce *r, int64_t elements, int ranks, int rank, int64_t bucket)
{
	memset(r, 0, sizeof *r);
	r->elements = elements;
	r->ranks = ranks;
	r->rank = rank;
	r->share = sp_max(1, (bucket ? bucket : BUCKET) / ((int64_t)GRAIN * ranks)) * GRAIN;
	r->buckets = count_buckets(r);
}

int sp_reduce_create(struct sp_compute *compute, struct sp_comm *comm, int64_t elements, int64_t bucket,
                     struct sp_reduce **reduce)
{
	struct sp_reduce *r = calloc(1, sizeof *r);
	if (!r)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the gradient reduction");
	shape(r, elements, sp_comm_size(comm), sp_comm_rank(comm), bucket);
	r->compute = compute;
	r->comm = comm;
	for (int i = 0; i < DEPTH; i++)
		r->flight[i].compute = compute;
	int status = sp_compute_alloc(compute, GRAIN * (size_t)r->ranks * sizeof *r->pad, (void **)&r->pad);
	if (status) {
		free(r);
		return status;
	}
	*reduce = r;
	return SP_OK;
}

void sp_reduce_destroy(struct sp_reduce *r)
{
	if (!r)
		return;
	sp_compute_free(r->compute, r->pad);
	free(r);
}

int sp_reduce_buckets(const struct sp_reduce *r)
{
	return r->buckets;
}

struct sp_reduce_piece sp_reduce_own(const struct sp_reduce *r, int i)
{
	struct bucket b = nth(r, i);
	int64_t first = sp_min(r->rank * b.share, b.count), end = sp_min(first + b.share, b.count);
	return (struct sp_reduce_piece){ b.offset + first, end - first };
}

int64_t sp_reduce_owned(const struct sp_reduce *r)
{
	int64_t sum = 0;
	for (int i = 0; i < r->buckets; i++)
		sum += sp_reduce_own(r, i).count;
	return sum;
}

int64_t sp_reduce_owned_of(int64_t elements, int ranks, int rank)
{
	struct sp_reduce r;
	shape(&r, elements, ranks, rank, 0);
	return sp_reduce_owned(&r);
}

uint64_t sp_reduce_sent_of(int64_t elements, int ranks)
{
	const int64_t grain = (int64_t)GRAIN * ranks, padded_size = sp_round_up(elements, grain);
	return 2 * (uint64_t)(padded_size / ranks * (ranks - 1)) * sizeof(float);
}

static int padded(const struct sp_reduce *r, struct bucket b)
{
	return b.count < b.share * r->ranks;
}

static int copy(struct sp_reduce *r, float *from, float *to, int64_t n)
{
	return sp_compute_copy_rows(r->compute, sp_vector(from, n), sp_vector(to, n));
}

/* The padded bucket into its buffer. */
static int stage(struct sp_reduce *r, float *flat, struct bucket b)
{
	int status = sp_compute_zero(r->compute, r->pad, (size_t)(b.share * r->ranks) * sizeof *r->pad);
	return status ? status : copy(r, flat + b.offset, r->pad, b.count);
}

static int wait_for(struct sp_reduce *r, int i)
{
	return sp_comm_wait(r->comm, &r->flight[i % DEPTH]);
}

static int scatter_start(struct sp_reduce *r, float *flat, int i)
{
	struct bucket b = nth(r, i);
	float *data = flat + b.offset;
	int status = SP_OK;
	if (padded(r, b)) {
		status = stage(r, flat, b);
		data = r->pad;
	}
	return status ? status : sp_comm_reduce_scatter_start(r->comm, data, b.share, SP_F32, &r->flight[i % DEPTH]);
}

static int scatter_finish(struct sp_reduce *r, float *flat, int i)
{
	struct bucket b = nth(r, i);
	struct sp_reduce_piece own = sp_reduce_own(r, i);
	int status = wait_for(r, i);
	if (status || !padded(r, b))
		return status;
	return copy(r, r->pad + (own.offset - b.offset), flat + own.offset, own.count);
}

int sp_reduce_scatter(struct sp_reduce *r, float *flat)
{
	int status = SP_OK;
	sp_trace_begin(SP_TRACE_COMM, "reduce gradients", -1);
	for (int i = 0; i < r->buckets + DEPTH && !status; i++) {
		if (i >= DEPTH)
			status = scatter_finish(r, flat, i - DEPTH);
		if (!status && i < r->buckets)
			status = scatter_start(r, flat, i);
	}
	sp_trace_end(SP_TRACE_COMM);
	return status;
}

int sp_reduce_gather_start(struct sp_reduce *r, float *flat, int i)
{
	struct bucket b = nth(r, i);
	float *data = flat + b.offset;
	int status = wait_for(r, i);
	if (!status && padded(r, b)) {
		status = stage(r, flat, b);
		data = r->pad;
		r->gathered = flat;
	}
	return status ? status : sp_comm_all_gather_start(r->comm, data, b.share, SP_F32, &r->flight[i % DEPTH]);
}

int sp_reduce_gather_finish(struct sp_reduce *r)
{
	int status = SP_OK;
	for (int i = 0; i < DEPTH && !status; i++)
		status = wait_for(r, r->buckets + i);
	if (!status && r->gathered) {
		struct bucket b = nth(r, r->buckets - 1);
		status = copy(r, r->pad, r->gathered + b.offset, b.count);
	}
	r->gathered = NULL;
	return status;
}
