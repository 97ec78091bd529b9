#include "config.h"

#include "train/optimizer.h"

#include "base/log.h"
#include "base/size.h"
#include "base/trace.h"

#include <math.h>
#include <stdlib.h>

/* Neighbouring elements of the flat buffer that share their weight decay. */
struct segment {
	int64_t offset;
	int64_t kept; /* in m and v */
	int64_t count;
	int decay;
	int counted; /* in the norm, by this rank; else by another one that holds the same */
	int bucket;
};

struct segments {
	struct segment *at;
	int count;
};

struct sp_optimizer {
	struct sp_compute *compute;
	struct sp_comm *world;
	struct sp_reduce *reduce;
	struct sp_optimizer_options options;
	struct segments owned, kept; /* whose squares this rank adds up, and what it updates */
	float *m, *v; /* device, of what is kept */
	struct sp_step *state; /* device */
	float scale;           /* as it is there */
};

/* ---- pieces of buckets, cut where weight decay changes ---- */

/* Adds [first, end) of one parameter to the list; it continues the last segment if bucket and decay are the same, over
 * the zeros that align parameters. */
static void add_segment(struct segments *s, struct sp_reduce_piece piece, int64_t kept, int bucket, int64_t first, int64_t end,
                        const struct sp_parameter *p)
{
	struct segment *last = s->count > 0 ? &s->at[s->count - 1] : NULL;
	if (first >= end)
		return;
	if (last && last->bucket == bucket && last->decay == p->decay && last->counted == p->counted)
		last->count = end - last->offset;
	else
		s->at[s->count++] =
			(struct segment){ first, kept + first - piece.offset, end - first, p->decay, p->counted, bucket };
}

static int cut(const struct sp_reduce *reduce, struct sp_reduce_piece (*piece_of)(const struct sp_reduce *r, int i),
               const struct sp_parameters *table, struct segments *segments)
{
	int buckets = sp_reduce_buckets(reduce);
	/* A parameter boundary or a bucket boundary starts a segment, so there are no more than this. */
	segments->at = calloc((size_t)table->count + (size_t)buckets + 1, sizeof *segments->at);
	if (!segments->at)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the optimizer's list of parameters");
	int64_t kept = 0;
	for (int b = 0, p = 0; b < buckets; b++) {
		struct sp_reduce_piece piece = piece_of(reduce, b);
		int64_t end = piece.offset + piece.count;
		while (p < table->count && table->entry[p].offset + table->entry[p].rows * table->entry[p].cols <= piece.offset)
			p++;
		for (int i = p; i < table->count && table->entry[i].offset < end; i++) {
			const struct sp_parameter *e = &table->entry[i];
			add_segment(segments, piece, kept, b, sp_max(e->offset, piece.offset),
			            sp_min(e->offset + e->rows * e->cols, end), e);
		}
		kept += piece.count;
	}
	return SP_OK;
}

/* ---- create, destroy ---- */

int sp_optimizer_create(struct sp_compute *compute, struct sp_comm *world, struct sp_reduce *reduce,
                        const struct sp_parameters *table, const struct sp_optimizer_options *options,
                        struct sp_optimizer **optimizer)
{
	struct sp_optimizer *o = calloc(1, sizeof *o);
	if (!o)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the optimizer");
	o->compute = compute;
	o->world = world;
	o->reduce = reduce;
	o->options = *options;
	size_t bytes = (size_t)sp_reduce_kept_elements(reduce) * sizeof(float);
	int status = cut(reduce, sp_reduce_own, table, &o->owned);
	if (!status)
		status = cut(reduce, sp_reduce_kept, table, &o->kept);
	if (!status)
		status = sp_compute_alloc(compute, bytes, (void **)&o->m);
	if (!status)
		status = sp_compute_alloc(compute, bytes, (void **)&o->v);
	if (!status)
		status = sp_compute_alloc(compute, sizeof *o->state, (void **)&o->state);
	if (!status)
		status = sp_compute_zero(compute, o->m, bytes);
	if (!status)
		status = sp_compute_zero(compute, o->v, bytes);
	if (!status)
		status = sp_optimizer_go_on(o, &(struct sp_optimizer_progress){ .scale = options->scale > 0 ? options->scale : 1 });
	if (status) {
		sp_optimizer_destroy(o);
		return status;
	}
	*optimizer = o;
	return SP_OK;
}

void sp_optimizer_destroy(struct sp_optimizer *o)
{
	if (!o)
		return;
	sp_compute_free(o->compute, o->state);
	sp_compute_free(o->compute, o->v);
	sp_compute_free(o->compute, o->m);
	free(o->kept.at);
	free(o->owned.at);
	free(o);
}

struct sp_moments sp_optimizer_moments(struct sp_optimizer *o)
{
	return (struct sp_moments){ o->m, o->v };
}

/* ---- how far it is ---- */

int sp_optimizer_go_on(struct sp_optimizer *o, const struct sp_optimizer_progress *progress)
{
	const struct sp_step state = { .scale = (float)progress->scale, .since = progress->since, .taken = progress->taken };
	o->scale = state.scale;
	return sp_compute_copy_in(o->compute, o->state, &state, sizeof state);
}

double sp_optimizer_scale(const struct sp_optimizer *o)
{
	return o->scale;
}

/* ---- a step ---- */

/* Sum of squares of the whole gradient. */
static int sum_of_squares(struct sp_optimizer *o, const float *gradients)
{
	int status = sp_compute_zero(o->compute, &o->state->sum, sizeof o->state->sum);
	for (int i = 0; i < o->owned.count && !status; i++) {
		const struct segment *s = &o->owned.at[i];
		if (!s->counted)
			continue;
		struct sp_sum_squares args = { gradients + s->offset, s->count, &o->state->sum };
		status = sp_compute_sum_squares(o->compute, &args);
	}
	if (!status && sp_comm_size(o->world) > 1)
		status = sp_comm_all_reduce_on(o->world, o->compute, &o->state->sum, 1, SP_F64, SP_SUM);
	return status;
}

static int update_segment(struct sp_optimizer *o, const struct segment *s, float *values, const float *gradients,
                          double lr)
{
	const struct sp_optimizer_options *p = &o->options;
	struct sp_adamw args = {
		.w = values + s->offset,
		.m = o->m + s->kept,
		.v = o->v + s->kept,
		.g = gradients + s->offset,
		.step = o->state,
		.n = s->count,
		.lr = (float)lr,
		.beta1 = (float)p->beta1,
		.beta2 = (float)p->beta2,
		.eps = (float)p->eps,
		.decay = s->decay ? (float)p->weight_decay : 0,
	};
	return sp_compute_adamw(o->compute, &args);
}

/* Each rank its share: a bucket is on its way to the other ranks while the next is updated. */
static int update_share(struct sp_optimizer *o, float *values, const float *gradients, double lr)
{
	int status = SP_OK, s = 0;
	for (int b = 0; b < sp_reduce_buckets(o->reduce) && !status; b++) {
		for (; s < o->kept.count && o->kept.at[s].bucket == b && !status; s++)
			status = update_segment(o, &o->kept.at[s], values, gradients, lr);
		if (!status)
			status = sp_reduce_gather_start(o->reduce, values, b);
	}
	return status ? status : sp_reduce_gather_finish(o->reduce);
}

/* Every rank everything, from the same sums in the same order: the same bits everywhere. */
static int update_all(struct sp_optimizer *o, float *values, float *gradients, double lr)
{
	int status = SP_OK;
	for (int b = 0; b < sp_reduce_buckets(o->reduce) && !status; b++)
		status = sp_reduce_gather_start(o->reduce, gradients, b);
	if (!status)
		status = sp_reduce_gather_finish(o->reduce);
	for (int s = 0; s < o->kept.count && !status; s++)
		status = update_segment(o, &o->kept.at[s], values, gradients, lr);
	return status;
}

static int update(struct sp_optimizer *o, float *values, float *gradients, double lr)
{
	return sp_reduce_is_whole(o->reduce) ? update_all(o, values, gradients, lr) :
	                                       update_share(o, values, gradients, lr);
}

int sp_optimizer_step(struct sp_optimizer *o, float *values, float *gradients, double lr)
{
	const struct sp_optimizer_options *p = &o->options;
	const struct sp_decide decide = { o->state, (float)p->clip_norm, p->beta1, p->beta2, p->growth };
	int status = sp_reduce_scatter(o->reduce, gradients);
	if (!status && p->summed)
		status = p->summed(p->context, gradients);
	if (!status)
		status = sum_of_squares(o, gradients);
	if (!status)
		status = sp_compute_decide(o->compute, &decide);
	sp_trace_begin(SP_TRACE_COMPUTE, "optimizer", -1);
	if (!status)
		status = update(o, values, gradients, lr);
	sp_trace_end(SP_TRACE_COMPUTE);
	return status;
}

int sp_optimizer_result(struct sp_optimizer *o, struct sp_optimizer_result *result)
{
	struct sp_step state;
	const double scale = o->scale;
	int status = sp_compute_copy_out(o->compute, &state, o->state, sizeof state);
	if (status)
		return status;
	o->scale = state.scale;
	*result = (struct sp_optimizer_result){ .norm = sqrt(state.sum) / scale, .taken = state.take, .scale = scale,
		                                     .progress = { state.scale, state.since, state.taken } };
	return SP_OK;
}
