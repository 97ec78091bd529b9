#include "config.h"

#include "train/batch.h"

#include "base/log.h"
#include "base/size.h"
#include "base/trace.h"
#include "train/draw.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The samples of one step, on the host. */
struct step {
	struct sp_draw_key key;
	struct sp_work work;    /* as this rank has counted it */
	int32_t *host;          /* [count][at.size], all micro-batches' arrays */
	size_t bytes;           /* of these */
	int host_is_own;        /* else the device's */
	struct sp_drawn *micro; /* [count] */
	int64_t *cut_arrays;    /* theirs in one block */
	uint8_t *cut_flags;     /* the last of these */
};

struct sp_batches {
	struct sp_batches_options options;
	struct sp_batch_layout at;
	int64_t count;  /* micro-batches */
	uint64_t limit; /* samples from this index on are left out */
	struct sp_draw *draw;
	struct step now;   /* the one that is loaded */
	struct step ahead; /* another one, if it has been drawn ahead */
	int is_ahead;
	int32_t *device; /* [at.size] */
};

static int64_t micro_batches(const struct sp_batches_options *o)
{
	return o->global_batch / (o->grid->shape.at[SP_AXIS_DATA] * o->micro_batch);
}

/* ---- create, destroy ---- */

static int check(const struct sp_batches_options *o)
{
	int64_t step = o->grid->shape.at[SP_AXIS_DATA] * o->micro_batch;
	if (o->micro_batch * o->room > INT32_MAX)
		return sp_fail(SP_ERR_SETTING,
		               "train.micro_batch = %lld sequences of %lld tokens per rank are more than 2^31 rows; lower it",
		               (long long)o->micro_batch, (long long)o->room);
	if (o->global_batch % step == 0)
		return SP_OK;
	int64_t below = o->global_batch / step * step;
	return sp_fail(
		SP_ERR_SETTING,
		"train.global_batch = %lld is not a multiple of %d data ranks x train.micro_batch = %lld; set it to %lld, or "
		"change train.micro_batch or parallel.sequence",
		(long long)o->global_batch, o->grid->shape.at[SP_AXIS_DATA], (long long)o->micro_batch, (long long)(below ? below : step));
}

/* Where the device takes a step's arrays from, while the host goes on. */
static int allocate_blocks(const struct sp_batches *b, struct step *s)
{
	struct sp_compute *c = b->options.compute;
	const size_t bytes = s->bytes = (size_t)(b->count * b->at.size) * sizeof *s->host;
	int status = SP_OK;
	s->host_is_own = sp_compute_is_host_memory(c);
	if (s->host_is_own)
		s->host = malloc(bytes);
	else
		status = sp_compute_buffer_take(c, bytes, (void **)&s->host);
	if (!status && !s->host)
		status = sp_fail(SP_ERR_MEMORY, "out of memory for the samples of a step (%zu bytes)", bytes);
	if (!status)
		memset(s->host, 0, bytes);
	return status;
}

static void point_micro(const struct sp_batches *b, struct step *s)
{
	const int64_t ranks = b->options.grid->shape.at[SP_AXIS_SEQUENCE];
	for (int64_t m = 0; m < b->count; m++) {
		int64_t *at = s->cut_arrays + m * (3 * ranks + 1);
		s->micro[m].block = s->host + m * b->at.size;
		s->micro[m].cuts = (struct sp_cuts){ .at = at, .first = at + ranks + 1, .chunk = at + 2 * ranks + 1,
			                                 .whole = s->cut_flags + m * ranks };
	}
}

/* What was allocated is left to free_step after an error. */
static int allocate_step(const struct sp_batches *b, struct step *s)
{
	const size_t count = (size_t)b->count, ranks = (size_t)b->options.grid->shape.at[SP_AXIS_SEQUENCE];
	size_t block;
	if (sp_size_mul(count, (size_t)b->at.size, &block))
		return sp_fail(SP_ERR_MEMORY, "the arrays of a step overflow the address space");
	s->micro = calloc(count, sizeof *s->micro);
	s->cut_arrays = calloc(count * (3 * ranks + 1), sizeof *s->cut_arrays);
	s->cut_flags = calloc(count * ranks, sizeof *s->cut_flags);
	if (!s->micro || !s->cut_arrays || !s->cut_flags)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the samples of a step (%zu bytes)", block * sizeof *s->host);
	int status = allocate_blocks(b, s);
	if (!status)
		point_micro(b, s);
	return status;
}

static void free_step(const struct sp_batches *b, struct step *s)
{
	if (s->host_is_own)
		free(s->host);
	else if (s->host)
		sp_compute_buffer_give(b->options.compute, s->host);
	free(s->cut_flags);
	free(s->cut_arrays);
	free(s->micro);
}

int sp_batches_create(const struct sp_batches_options *options, struct sp_batches **batches)
{
	int status = check(options);
	if (status)
		return status;
	struct sp_batches *b = calloc(1, sizeof *b);
	if (!b)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the samples of a step");
	b->options = *options;
	b->at = sp_draw_layout(options);
	b->count = micro_batches(options);
	b->limit = INT64_MAX;
	status = sp_draw_create(options, &b->draw);
	if (!status)
		status = allocate_step(b, &b->now);
	if (!status && options->ahead)
		status = allocate_step(b, &b->ahead);
	if (!status)
		status = sp_compute_alloc(options->compute, (size_t)b->at.size * sizeof *b->device, (void **)&b->device);
	if (status) {
		sp_batches_destroy(b);
		return status;
	}
	*batches = b;
	return SP_OK;
}

void sp_batches_destroy(struct sp_batches *b)
{
	if (!b)
		return;
	sp_compute_free(b->options.compute, b->device);
	free_step(b, &b->ahead);
	free_step(b, &b->now);
	sp_draw_destroy(b->draw);
	free(b);
}

void sp_batches_limit(struct sp_batches *b, int64_t samples)
{
	b->limit = (uint64_t)samples;
}

size_t sp_batches_bytes(const struct sp_batches *b)
{
	return b->now.bytes + b->ahead.bytes + sp_draw_bytes(b->draw) + (size_t)b->at.size * sizeof *b->device;
}

int64_t sp_batches_count(const struct sp_batches *b)
{
	return b->count;
}

int64_t sp_batches_rows(const struct sp_batches *b, int64_t i)
{
	return b->options.micro_batch * b->now.micro[i].cuts.own.chunk;
}

/* ---- a step ---- */

/* Ranks that differ in anything but their data have counted the same samples; the first of them speaks. */
static int speaks(const struct sp_grid *grid)
{
	return grid->place.at[SP_AXIS_SEQUENCE] == 0 && grid->place.at[SP_AXIS_TENSOR] == 0 &&
	       grid->place.at[SP_AXIS_PIPELINE] == 0;
}

static int agree(const struct sp_batches *b, struct sp_work *work)
{
	int64_t sums[10] = { work->samples, work->tokens, work->pairs, work->read_pairs, work->predicted, work->sequences, work->near,
		                 work->read_near, work->micro_batches, work->uneven };
	if (!speaks(b->options.grid))
		memset(sums, 0, sizeof sums);
	int status = sp_comm_all_reduce(b->options.grid->world, sums, 10, SP_I64, SP_SUM);
	if (!status)
		*work = (struct sp_work){ sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6], sums[7], sums[8], sums[9] };
	return status;
}

static int draw(const struct sp_batches *b, const struct sp_draw_key *key, struct step *s)
{
	int status = SP_OK;
	s->key = *key;
	s->work = (struct sp_work){ 0 };
	sp_trace_begin(SP_TRACE_DATA, "samples", -1);
	for (int64_t m = 0; m < b->count && !status; m++)
		status = sp_draw_micro(b->draw, key, m, &s->micro[m], &s->work);
	sp_trace_end(SP_TRACE_DATA);
	return status;
}

static int is_drawn(const struct sp_batches *b, const struct sp_draw_key *key)
{
	const struct sp_draw_key *k = &b->ahead.key;
	return b->is_ahead && k->split == key->split && k->step == key->step && k->limit == key->limit;
}

/* The two change places: what is drawn ahead next is drawn over the step before, which the device is through with. */
static void take_ahead(struct sp_batches *b)
{
	const struct step before = b->now;
	b->now = b->ahead;
	b->ahead = before;
	b->is_ahead = 0;
}

void sp_batches_draw_ahead(struct sp_batches *b, enum sp_split split, uint64_t step)
{
	const struct sp_draw_key key = { split, step, b->limit };
	assert(b->options.ahead);
	sp_log_mute(1);
	b->is_ahead = draw(b, &key, &b->ahead) == SP_OK;
	sp_log_mute(0);
}

int sp_batches_load(struct sp_batches *b, enum sp_split split, uint64_t step, struct sp_work *work)
{
	const struct sp_draw_key key = { split, step, b->limit };
	int status = SP_OK;
	if (is_drawn(b, &key))
		take_ahead(b);
	else
		status = draw(b, &key, &b->now);
	*work = b->now.work;
	return status ? status : agree(b, work);
}

int sp_batches_take(struct sp_batches *b, int64_t i, struct sp_batch *batch)
{
	const struct sp_batches_options *o = &b->options;
	const struct sp_drawn *drawn = &b->now.micro[i];
	const struct sp_cuts *c = &drawn->cuts;
	int status = sp_compute_upload(o->compute, b->device, drawn->block, (size_t)b->at.size * sizeof *b->device);
	if (status)
		return status;
	*batch = (struct sp_batch){
		.batch = o->micro_batch,
		.chunk = c->own.chunk,
		.parts = { c->first, c->chunk, o->room },
		.token = b->device + b->at.token,
		.position = b->device + b->at.position,
		.kind = b->device + b->at.kind,
		.doc = b->device + b->at.doc,
		.read_doc = b->device + b->at.read_doc,
		.whole = o->balanced || o->packed ? NULL : c->whole, /* what ever new steps would be is nothing to prepare for */
		.length = drawn->block + b->at.length,
		.global_doc = b->device + b->at.global_doc,
		.other_doc = b->device + b->at.other_doc,
		.read_other_doc = b->device + b->at.read_other_doc,
		.global_row = b->device + b->at.global_row,
		.global_slot = b->device + b->at.global_slot,
		.globals = drawn->counts.globals,
		.sample = (const uint32_t *)(b->device + b->at.sample),
		.head_sample = (const uint32_t *)(b->device + b->at.head_sample),
		.first = (uint32_t)c->own.first,
		.predictions = drawn->counts.predictions,
		.predicted = b->device + b->at.predicted,
		.label = b->device + b->at.label,
		.orders = drawn->counts.orders,
		.order_row = b->device + b->at.order_row,
		.order_label = b->device + b->at.order_label,
	};
	if (!o->balanced)
		batch->parts = (struct sp_attention_parts){ 0 };
	return SP_OK;
}
