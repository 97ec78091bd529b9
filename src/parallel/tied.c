#include "config.h"

#include "parallel/tied.h"

#include "base/log.h"
#include "base/size.h"

#include <stdlib.h>

enum { DEPTH = 2 }; /* pieces under way at a time */

struct sp_tied {
	struct sp_compute *compute;
	struct sp_comm *pipeline;
	const struct sp_reduce *reduce;
	int other;     /* the stage that holds them too */
	int pieces;    /* buckets that are tied */
	int64_t room;  /* elements of the largest piece */
	float *theirs; /* [DEPTH][room], device */
	struct sp_transfer transfer[DEPTH];
};

static void measure(const struct sp_reduce *reduce, int64_t elements, int *pieces, int64_t *room)
{
	*pieces = 0;
	*room = 0;
	while (*pieces < sp_reduce_buckets(reduce) && sp_reduce_bucket(reduce, *pieces).offset < elements)
		*room = sp_max(*room, sp_reduce_own(reduce, (*pieces)++).count);
}

static size_t bytes_for(int64_t room)
{
	return DEPTH * (size_t)room * sizeof(float);
}

size_t sp_tied_bytes(int64_t elements, int ranks)
{
	const struct sp_reduce_shape tied = { .elements = elements };
	return bytes_for(sp_reduce_largest_of(&tied, ranks, 0));
}

int sp_tied_create(struct sp_compute *compute, const struct sp_grid *grid, const struct sp_reduce *reduce, int64_t elements,
                   struct sp_tied **tied)
{
	struct sp_tied *t = calloc(1, sizeof *t);
	if (!t)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the sums of tied gradients");
	t->compute = compute;
	t->pipeline = grid->group[SP_GROUP_PIPELINE];
	t->reduce = reduce;
	t->other = grid->place.at[SP_AXIS_PIPELINE] == 0 ? grid->shape.at[SP_AXIS_PIPELINE] - 1 : 0;
	measure(reduce, elements, &t->pieces, &t->room);
	for (int i = 0; i < DEPTH; i++)
		t->transfer[i].compute = compute;
	int status = sp_compute_alloc(compute, bytes_for(t->room), (void **)&t->theirs);
	if (status) {
		free(t);
		return status;
	}
	*tied = t;
	return SP_OK;
}

void sp_tied_destroy(struct sp_tied *t)
{
	if (!t)
		return;
	sp_compute_free(t->compute, t->theirs);
	free(t);
}

static int start(struct sp_tied *t, const float *flat, int i)
{
	const struct sp_reduce_piece own = sp_reduce_own(t->reduce, i);
	const size_t bytes = (size_t)own.count * sizeof *flat;
	const struct sp_exchange exchange = { flat + own.offset, bytes, t->other, t->theirs + i % DEPTH * t->room, bytes, t->other };
	return sp_comm_exchange_start(t->pipeline, &exchange, &t->transfer[i % DEPTH]);
}

static int finish(struct sp_tied *t, float *flat, int i)
{
	const struct sp_reduce_piece own = sp_reduce_own(t->reduce, i);
	int status = sp_comm_wait(t->pipeline, &t->transfer[i % DEPTH]);
	if (status || own.count == 0)
		return status;
	return sp_compute_add(t->compute, flat + own.offset, t->theirs + i % DEPTH * t->room, own.count);
}

int sp_tied_sum(struct sp_tied *t, float *flat)
{
	int status = SP_OK;
	for (int i = 0; i < t->pieces + DEPTH - 1 && !status; i++) {
		if (i < t->pieces)
			status = start(t, flat, i);
		if (!status && i >= DEPTH - 1)
			status = finish(t, flat, i - (DEPTH - 1));
	}
	return status;
}
