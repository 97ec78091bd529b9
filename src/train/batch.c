#include "config.h"

#include "train/batch.h"

#include "attention/globals.h"
#include "base/log.h"
#include "base/size.h"
#include "base/trace.h"
#include "plan/batch_layout.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct counts {
	int64_t predictions, orders, globals;
};

struct sp_batches {
	struct sp_batches_options options;
	struct sp_batch_layout at;
	int64_t count;          /* micro-batches */
	uint64_t limit;         /* samples from this index on are left out */
	int32_t *host;          /* [count][at.size] */
	int32_t *device;        /* [at.size] */
	struct counts *counts;  /* [count] */
	struct sp_sample whole; /* a sample before it is cut */
	int32_t *whole_arrays;  /* its six arrays in one block */
};

static struct sp_batch_layout lay_out(const struct sp_batches_options *o)
{
	return sp_batch_layout_of(o->micro_batch, o->shard.chunk, o->grid->shape.at[SP_AXIS_SEQUENCE],
	                          sp_model_orders(o->packed, o->micro_batch, o->shard.chunk), o->globals);
}

static int64_t micro_batches(const struct sp_batches_options *o)
{
	return o->global_batch / (o->grid->shape.at[SP_AXIS_DATA] * o->micro_batch);
}

/* ---- create, destroy ---- */

static int check(const struct sp_batches_options *o)
{
	int64_t step = o->grid->shape.at[SP_AXIS_DATA] * o->micro_batch;
	if (o->micro_batch * o->shard.chunk > INT32_MAX)
		return sp_fail(SP_ERR_SETTING,
		               "train.micro_batch = %lld sequences of %lld tokens per rank are more than 2^31 rows; lower it",
		               (long long)o->micro_batch, (long long)o->shard.chunk);
	if (o->global_batch % step == 0)
		return SP_OK;
	int64_t below = o->global_batch / step * step;
	return sp_fail(
		SP_ERR_SETTING,
		"train.global_batch = %lld is not a multiple of %d data ranks x train.micro_batch = %lld; set it to %lld, or "
		"change train.micro_batch or parallel.sequence",
		(long long)o->global_batch, o->grid->shape.at[SP_AXIS_DATA], (long long)o->micro_batch, (long long)(below ? below : step));
}

static int allocate_host(struct sp_batches *b)
{
	size_t block;
	if (sp_size_mul((size_t)b->count, (size_t)b->at.size, &block))
		return sp_fail(SP_ERR_MEMORY, "the arrays of a step overflow the address space");
	b->host = calloc(block, sizeof *b->host);
	b->counts = calloc((size_t)b->count, sizeof *b->counts);
	b->whole_arrays = calloc(6 * (size_t)b->options.shard.length, sizeof *b->whole_arrays);
	if (b->host && b->counts && b->whole_arrays)
		return SP_OK;
	return sp_fail(SP_ERR_MEMORY, "out of memory for the samples of a step (%zu bytes)", block * sizeof *b->host);
}

static void point_whole(struct sp_batches *b)
{
	int64_t n = b->options.shard.length;
	int32_t *at = b->whole_arrays;
	b->whole = (struct sp_sample){ .length = n,
		                       .token = at,
		                       .position = at + n,
		                       .kind = at + 2 * n,
		                       .doc = at + 3 * n,
		                       .label = at + 4 * n,
		                       .order = at + 5 * n };
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
	b->at = lay_out(options);
	b->count = micro_batches(options);
	b->limit = UINT64_MAX;
	status = allocate_host(b);
	if (!status)
		status = sp_compute_alloc(options->compute, (size_t)b->at.size * sizeof *b->device, (void **)&b->device);
	if (status) {
		sp_batches_destroy(b);
		return status;
	}
	point_whole(b);
	*batches = b;
	return SP_OK;
}

void sp_batches_destroy(struct sp_batches *b)
{
	if (!b)
		return;
	sp_compute_free(b->options.compute, b->device);
	free(b->whole_arrays);
	free(b->counts);
	free(b->host);
	free(b);
}

void sp_batches_limit(struct sp_batches *b, int64_t samples)
{
	b->limit = (uint64_t)samples;
}

int64_t sp_batches_count(const struct sp_batches *b)
{
	return b->count;
}

/* ---- cutting samples ---- */

/* Tokens of this rank, the i-th sample of a micro-batch. The block was zeroed, which is what padding wants. */
static void cut_tokens(const struct sp_batches *b, int32_t *block, int64_t i)
{
	const struct sp_shard *shard = &b->options.shard;
	const struct sp_sample *s = &b->whole;
	size_t bytes = (size_t)shard->real * sizeof *block;
	int64_t row = i * shard->chunk, first = shard->first;
	if (shard->real == 0)
		return;
	memcpy(block + b->at.token + row, s->token + first, bytes);
	memcpy(block + b->at.position + row, s->position + first, bytes);
	memcpy(block + b->at.kind + row, s->kind + first, bytes);
}

/* A place without a sample: nobody attends to it. */
static void leave_out(const struct sp_batches *b, int32_t *block, int64_t i)
{
	const int64_t chunk = b->options.shard.chunk, batch = b->options.micro_batch;
	for (int64_t rank = 0; rank < b->options.grid->shape.at[SP_AXIS_SEQUENCE]; rank++)
		for (int64_t t = 0; t < chunk; t++)
			block[b->at.doc + (rank * batch + i) * chunk + t] = -1;
	for (int64_t t = 0; t < chunk; t++)
		block[b->at.read_doc + i * chunk + t] = -1;
}

/* Document ids of all ranks that share the sample. */
static void cut_documents(const struct sp_batches *b, int32_t *block, int64_t i)
{
	const int64_t chunk = b->options.shard.chunk, length = b->options.shard.length, batch = b->options.micro_batch;
	for (int64_t rank = 0; rank < b->options.grid->shape.at[SP_AXIS_SEQUENCE]; rank++) {
		int32_t *to = block + b->at.doc + (rank * batch + i) * chunk;
		int64_t real = sp_max(0, sp_min(chunk, length - rank * chunk));
		for (int64_t t = 0; t < chunk; t++)
			to[t] = t < real ? b->whole.doc[rank * chunk + t] : -1;
	}
}

/* Padding comes last. */
static void cut_length(const struct sp_batches *b, int32_t *block, int64_t i)
{
	int32_t real = 0;
	while (real < b->whole.length && b->whole.doc[real] >= 0)
		real++;
	block[b->at.length + i] = real;
}

static void cut_predictions(const struct sp_batches *b, int32_t *block, int64_t i, struct counts *counts)
{
	const struct sp_shard *shard = &b->options.shard;
	for (int64_t t = 0; t < shard->real; t++) {
		int32_t label = b->whole.label[shard->first + t];
		if (label < 0)
			continue;
		block[b->at.predicted + counts->predictions] = (int32_t)(i * shard->chunk + t);
		block[b->at.label + counts->predictions++] = label;
	}
}

/* The rank that holds a sample's first token, [CLS], tells its sentence order. */
static void cut_orders(const struct sp_batches *b, int32_t *block, int64_t i, struct counts *counts)
{
	const struct sp_shard *shard = &b->options.shard;
	for (int64_t t = 0; b->options.sentence_order && t < shard->real; t++) {
		const int32_t order = b->whole.order[shard->first + t];
		if (order < 0)
			continue;
		assert(b->whole.label[shard->first + t] < 0);
		block[b->at.order_row + counts->orders] = (int32_t)(i * shard->chunk + t);
		block[b->at.order_label + counts->orders++] = order;
	}
}

static int is_read(const struct sp_batches *b, int64_t at)
{
	return b->whole.label[at] >= 0 || (b->options.sentence_order && b->whole.order[at] >= 0);
}

/* Documents of the tokens that a head reads. */
static void cut_read(const struct sp_batches *b, int32_t *block, int64_t i)
{
	const struct sp_shard *shard = &b->options.shard;
	for (int64_t t = 0; t < shard->chunk; t++) {
		const int64_t at = shard->first + t;
		const int read = t < shard->real && is_read(b, at);
		block[b->at.read_doc + i * shard->chunk + t] = read ? b->whole.doc[at] : -1;
	}
}

/* Which tokens of the i-th sample are global; of none, if it is left out. */
static void cut_globals(const struct sp_batches *b, int32_t *block, int64_t i, int left_out, struct counts *counts)
{
	const struct sp_batches_options *o = &b->options;
	struct sp_globals_cut cut = {
		.batch = o->micro_batch,
		.chunk = o->shard.chunk,
		.globals = o->globals,
		.ranks = o->grid->shape.at[SP_AXIS_SEQUENCE],
		.rank = o->grid->place.at[SP_AXIS_SEQUENCE],
		.doc = block + b->at.doc,
		.read_doc = block + b->at.read_doc,
		.global_doc = block + b->at.global_doc,
		.other = block + b->at.other_doc,
		.read_other = block + b->at.read_other_doc,
		.row = block + b->at.global_row,
		.slot = block + b->at.global_slot,
		.own = counts->globals,
	};
	if (o->globals == 0)
		return;
	sp_attention_globals_cut(&cut, i, left_out ? NULL : b->whole.token, b->whole.length,
	                         o->global_separators ? sp_dataset_separator(o->dataset) : -1);
	counts->globals = cut.own;
}

static int is_global(const struct sp_batches *b, const int32_t *block, int64_t i, int64_t at)
{
	const int64_t chunk = b->options.shard.chunk, place = (at / chunk * b->options.micro_batch + i) * chunk + at % chunk;
	return block[b->at.doc + place] >= 0 && block[b->at.other_doc + place] < 0;
}

/* Pairs of a document that meet in a window: a token with its neighbours that are not global, and with those that are;
 * global ones with all. */
static void count_near(const struct sp_batches *b, const int32_t *block, int64_t i, int64_t first, int64_t end, struct sp_work *work)
{
	const int64_t window = b->options.window;
	int64_t globals = 0, near = 0, low = first, high = first; /* near: others among [low, high) */
	for (int64_t t = first; t < end; t++)
		globals += is_global(b, block, i, t);
	for (int64_t t = first; t < end; t++) {
		for (; high < end && high <= t + window; high++)
			near += !is_global(b, block, i, high);
		for (; low < t - window; low++)
			near -= !is_global(b, block, i, low);
		const int64_t met = is_global(b, block, i, t) ? end - first : near + globals;
		work->near += met;
		work->read_near += is_read(b, t) ? met : 0;
	}
}

static void count_work(const struct sp_batches *b, const int32_t *block, int64_t i, struct sp_work *work)
{
	const struct sp_sample *s = &b->whole;
	int64_t tokens = 0, read = 0; /* of the sample at hand */
	for (int64_t t = 0; t < s->length && s->doc[t] >= 0; t++) {
		const int ends = t + 1 == s->length || s->doc[t + 1] != s->doc[t];
		tokens++;
		work->predicted += s->label[t] >= 0;
		read += is_read(b, t);
		if (!ends)
			continue;
		work->samples++;
		work->tokens += tokens;
		work->pairs += tokens * tokens;
		work->read_pairs += read * tokens;
		if (b->options.globals > 0)
			count_near(b, block, i, t + 1 - tokens, t + 1, work);
		tokens = read = 0;
	}
	work->sequences++;
}

static int load_micro(struct sp_batches *b, enum sp_split split, uint64_t step, int64_t m, struct sp_work *work)
{
	const struct sp_batches_options *o = &b->options;
	int32_t *block = b->host + m * b->at.size;
	int64_t slot = o->grid->place.at[SP_AXIS_DATA] * (o->global_batch / o->grid->shape.at[SP_AXIS_DATA]) + m * o->micro_batch;
	memset(block, 0, (size_t)b->at.size * sizeof *block);
	b->counts[m] = (struct counts){ 0 };
	for (int64_t i = 0; i < o->micro_batch; i++) {
		uint64_t index = step * (uint64_t)o->global_batch + (uint64_t)(slot + i);
		if (index >= b->limit) {
			leave_out(b, block, i);
			cut_globals(b, block, i, 1, &b->counts[m]);
			continue;
		}
		int status = sp_dataset_sample(o->dataset, split, index, &b->whole);
		if (status)
			return status;
		block[b->at.sample + i] = (int32_t)(slot + i);
		block[b->at.head_sample + i] = (int32_t)((slot + i) * o->grid->shape.at[SP_AXIS_TENSOR] + o->grid->place.at[SP_AXIS_TENSOR]);
		cut_tokens(b, block, i);
		cut_documents(b, block, i);
		cut_length(b, block, i);
		cut_predictions(b, block, i, &b->counts[m]);
		cut_orders(b, block, i, &b->counts[m]);
		cut_read(b, block, i);
		cut_globals(b, block, i, 0, &b->counts[m]);
		count_work(b, block, i, work);
	}
	return SP_OK;
}

/* Ranks that differ in anything but their data have counted the same samples; the first of them speaks. */
static int speaks(const struct sp_grid *grid)
{
	return grid->place.at[SP_AXIS_SEQUENCE] == 0 && grid->place.at[SP_AXIS_TENSOR] == 0 &&
	       grid->place.at[SP_AXIS_PIPELINE] == 0;
}

static int agree(const struct sp_batches *b, struct sp_work *work)
{
	int64_t sums[8] = { work->samples, work->tokens, work->pairs, work->read_pairs, work->predicted, work->sequences, work->near,
		                work->read_near };
	if (!speaks(b->options.grid))
		memset(sums, 0, sizeof sums);
	int status = sp_comm_all_reduce(b->options.grid->world, sums, 8, SP_I64, SP_SUM);
	if (!status)
		*work = (struct sp_work){ sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6], sums[7] };
	return status;
}

int sp_batches_load(struct sp_batches *b, enum sp_split split, uint64_t step, struct sp_work *work)
{
	int status = SP_OK;
	memset(work, 0, sizeof *work);
	sp_trace_begin(SP_TRACE_DATA, "samples", -1);
	for (int64_t m = 0; m < b->count && !status; m++)
		status = load_micro(b, split, step, m, work);
	sp_trace_end(SP_TRACE_DATA);
	return status ? status : agree(b, work);
}

int sp_batches_take(struct sp_batches *b, int64_t i, struct sp_batch *batch)
{
	const struct sp_batches_options *o = &b->options;
	int status =
		sp_compute_copy_in(o->compute, b->device, b->host + i * b->at.size, (size_t)b->at.size * sizeof *b->device);
	if (status)
		return status;
	*batch = (struct sp_batch){
		.batch = o->micro_batch,
		.chunk = o->shard.chunk,
		.token = b->device + b->at.token,
		.position = b->device + b->at.position,
		.kind = b->device + b->at.kind,
		.doc = b->device + b->at.doc,
		.read_doc = b->device + b->at.read_doc,
		.length = b->host + i * b->at.size + b->at.length,
		.global_doc = b->device + b->at.global_doc,
		.other_doc = b->device + b->at.other_doc,
		.read_other_doc = b->device + b->at.read_other_doc,
		.global_row = b->device + b->at.global_row,
		.global_slot = b->device + b->at.global_slot,
		.globals = b->counts[i].globals,
		.sample = (const uint32_t *)(b->device + b->at.sample),
		.head_sample = (const uint32_t *)(b->device + b->at.head_sample),
		.first = (uint32_t)o->shard.first,
		.predictions = b->counts[i].predictions,
		.predicted = b->device + b->at.predicted,
		.label = b->device + b->at.label,
		.orders = b->counts[i].orders,
		.order_row = b->device + b->at.order_row,
		.order_label = b->device + b->at.order_label,
	};
	return SP_OK;
}
