#include "config.h"

#include "train/optimizer.h"

#include "base/log.h"
#include "base/size.h"
#include "base/trace.h"

#include <math.h>
#include <stdlib.h>

/* Neighbouring own elements that share their weight decay. */
struct segment {
	int64_t offset; /* in the flat buffer */
	int64_t own;    /* in m and v */
	int64_t count;
	int decay;
	int counted; /* in the norm, by this rank; else by another one that holds the same */
	int bucket;
};

struct scalars { /* device */
	double sum;
	float factor;
};

struct sp_optimizer {
	struct sp_compute *compute;
	struct sp_comm *world;
	struct sp_reduce *reduce;
	struct sp_optimizer_options options;
	struct segment *segment;
	int segments;
	float *m, *v; /* device, own share */
	struct scalars *scalars;
};

/* ---- the own share, cut where weight decay changes ---- */

/* Adds [first, end) of one parameter to the list; it continues the last segment if bucket and decay are the same, over
 * the zeros that align parameters. */
static void add_segment(struct sp_optimizer *o, struct sp_reduce_piece piece, int64_t own, int bucket, int64_t first,
                        int64_t end, const struct sp_parameter *p)
{
	struct segment *last = o->segments > 0 ? &o->segment[o->segments - 1] : NULL;
	if (first >= end)
		return;
	if (last && last->bucket == bucket && last->decay == p->decay && last->counted == p->counted)
		last->count = end - last->offset;
	else
		o->segment[o->segments++] =
			(struct segment){ first, own + first - piece.offset, end - first, p->decay, p->counted, bucket };
}

static int cut(struct sp_optimizer *o, const struct sp_parameters *table)
{
	int buckets = sp_reduce_buckets(o->reduce);
	/* A parameter boundary or a bucket boundary starts a segment, so there are no more than this. */
	o->segment = calloc((size_t)table->count + (size_t)buckets + 1, sizeof *o->segment);
	if (!o->segment)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the optimizer's list of parameters");
	int64_t own = 0;
	for (int b = 0, p = 0; b < buckets; b++) {
		struct sp_reduce_piece piece = sp_reduce_own(o->reduce, b);
		int64_t end = piece.offset + piece.count;
		while (p < table->count && table->entry[p].offset + table->entry[p].rows * table->entry[p].cols <= piece.offset)
			p++;
		for (int i = p; i < table->count && table->entry[i].offset < end; i++) {
			const struct sp_parameter *e = &table->entry[i];
			add_segment(o, piece, own, b, sp_max(e->offset, piece.offset), sp_min(e->offset + e->rows * e->cols, end),
			            e);
		}
		own += piece.count;
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
	size_t bytes = (size_t)sp_reduce_owned(reduce) * sizeof(float);
	int status = cut(o, table);
	if (!status)
		status = sp_compute_alloc(compute, bytes, (void **)&o->m);
	if (!status)
		status = sp_compute_alloc(compute, bytes, (void **)&o->v);
	if (!status)
		status = sp_compute_alloc(compute, sizeof *o->scalars, (void **)&o->scalars);
	if (!status)
		status = sp_compute_zero(compute, o->m, bytes);
	if (!status)
		status = sp_compute_zero(compute, o->v, bytes);
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
	sp_compute_free(o->compute, o->scalars);
	sp_compute_free(o->compute, o->v);
	sp_compute_free(o->compute, o->m);
	free(o->segment);
	free(o);
}

struct sp_moments sp_optimizer_moments(struct sp_optimizer *o)
{
	return (struct sp_moments){ o->m, o->v };
}

/* ---- a step ---- */

/* Sum of squares of the whole gradient, on the host and, for the clip factor, on the device. */
static int sum_of_squares(struct sp_optimizer *o, const float *gradients, double *sum)
{
	int status = sp_compute_zero(o->compute, o->scalars, sizeof *o->scalars);
	for (int i = 0; i < o->segments && !status; i++) {
		if (!o->segment[i].counted)
			continue;
		struct sp_sum_squares args = { gradients + o->segment[i].offset, o->segment[i].count, &o->scalars->sum };
		status = sp_compute_sum_squares(o->compute, &args);
	}
	if (!status)
		status = sp_compute_copy_out(o->compute, sum, &o->scalars->sum, sizeof *sum);
	if (!status)
		status = sp_comm_all_reduce(o->world, sum, 1, SP_F64, SP_SUM);
	return status ? status : sp_compute_copy_in(o->compute, &o->scalars->sum, sum, sizeof *sum);
}

static int update_segment(struct sp_optimizer *o, const struct segment *s, float *values, const float *gradients,
                          int64_t step, double lr)
{
	const struct sp_optimizer_options *p = &o->options;
	struct sp_adamw args = {
		.w = values + s->offset,
		.m = o->m + s->own,
		.v = o->v + s->own,
		.g = gradients + s->offset,
		.factor = &o->scalars->factor,
		.n = s->count,
		.lr = (float)lr,
		.beta1 = (float)p->beta1,
		.beta2 = (float)p->beta2,
		.eps = (float)p->eps,
		.decay = s->decay ? (float)p->weight_decay : 0,
		.correction1 = (float)(1 - pow(p->beta1, (double)step)),
		.correction2 = (float)(1 - pow(p->beta2, (double)step)),
	};
	return sp_compute_adamw(o->compute, &args);
}

/* A bucket is on its way to the other ranks while the next is updated. */
static int update(struct sp_optimizer *o, float *values, const float *gradients, int64_t step, double lr)
{
	int status = SP_OK, s = 0;
	for (int b = 0; b < sp_reduce_buckets(o->reduce) && !status; b++) {
		for (; s < o->segments && o->segment[s].bucket == b && !status; s++)
			status = update_segment(o, &o->segment[s], values, gradients, step, lr);
		if (!status)
			status = sp_reduce_gather_start(o->reduce, values, b);
	}
	return status ? status : sp_reduce_gather_finish(o->reduce);
}

int sp_optimizer_step(struct sp_optimizer *o, float *values, float *gradients, int64_t step, double lr, double *norm)
{
	double sum;
	int status = sp_reduce_scatter(o->reduce, gradients);
	if (!status && o->options.summed)
		status = o->options.summed(o->options.context, gradients);
	if (!status)
		status = sum_of_squares(o, gradients, &sum);
	if (status)
		return status;
	if (!isfinite(sum))
		return sp_fail(
			SP_ERR_NUMERIC,
			"step %lld: a gradient is not finite; lower optimizer.lr (now %g), raise optimizer.warmup_fraction or set "
			"optimizer.clip_norm",
			(long long)step, lr);
	struct sp_clip_factor clip = { &o->scalars->sum, (float)o->options.clip_norm, &o->scalars->factor };
	status = sp_compute_clip_factor(o->compute, &clip);
	sp_trace_begin(SP_TRACE_COMPUTE, "optimizer", -1);
	if (!status)
		status = update(o, values, gradients, step, lr);
	sp_trace_end(SP_TRACE_COMPUTE);
	*norm = sqrt(sum);
	return status;
}
