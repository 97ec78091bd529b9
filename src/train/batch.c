#include "config.h"

#include "train/batch.h"

#include "attention/globals.h"
#include "base/log.h"
#include "base/size.h"
#include "base/trace.h"
#include "parallel/balance.h"
#include "plan/batch_layout.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct counts {
	int64_t predictions, orders, globals;
};

/* How the samples of a micro-batch are shared out. */
struct cuts {
	int64_t *at;            /* [ranks + 1] */
	int64_t *first, *chunk; /* [ranks], as in struct sp_attention_parts */
	uint8_t *whole;         /* [ranks], as in struct sp_attention_call */
	struct sp_shard own;
};

struct sp_batches {
	struct sp_batches_options options;
	int ranks, rank; /* that share a sequence */
	struct sp_batch_layout at;
	int64_t count;           /* micro-batches */
	uint64_t limit;          /* samples from this index on are left out */
	int32_t *host;           /* [count][at.size] */
	int host_is_own;         /* else the device's */
	int32_t *device;         /* [at.size] */
	struct counts *counts;   /* [count] */
	struct cuts *cuts;       /* [count] */
	int64_t *cut_arrays;     /* theirs in one block */
	uint8_t *cut_flags;      /* the last of these */
	struct sp_sample *whole; /* [micro_batch] samples before they are cut */
	int32_t *whole_arrays;   /* their six arrays each in one block */
	int64_t *cost;           /* [length + 1] of the tokens before each, over the samples of a micro-batch */
};

static struct sp_batch_layout lay_out(const struct sp_batches_options *o)
{
	return sp_batch_layout_of(o->micro_batch, o->room, o->grid->shape.at[SP_AXIS_SEQUENCE],
	                          sp_model_orders(o->packed, o->micro_batch, o->room), o->globals);
}

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

static int allocate_host(struct sp_batches *b)
{
	const size_t samples = (size_t)b->options.micro_batch, count = (size_t)b->count, ranks = (size_t)b->ranks;
	size_t block;
	if (sp_size_mul(count, (size_t)b->at.size, &block))
		return sp_fail(SP_ERR_MEMORY, "the arrays of a step overflow the address space");
	b->counts = calloc(count, sizeof *b->counts);
	b->cuts = calloc(count, sizeof *b->cuts);
	b->cut_arrays = calloc(count * (3 * ranks + 1), sizeof *b->cut_arrays);
	b->cut_flags = calloc(count * ranks, sizeof *b->cut_flags);
	b->whole = calloc(samples, sizeof *b->whole);
	b->whole_arrays = calloc(6 * samples * (size_t)b->options.length, sizeof *b->whole_arrays);
	b->cost = calloc((size_t)b->options.length + 1, sizeof *b->cost);
	if (b->counts && b->cuts && b->cut_arrays && b->cut_flags && b->whole && b->whole_arrays && b->cost)
		return SP_OK;
	return sp_fail(SP_ERR_MEMORY, "out of memory for the samples of a step (%zu bytes)", block * sizeof *b->host);
}

/* Where the device takes a step's arrays from, while the host goes on. */
static int allocate_blocks(struct sp_batches *b)
{
	struct sp_compute *c = b->options.compute;
	const size_t bytes = (size_t)(b->count * b->at.size) * sizeof *b->host;
	int status = SP_OK;
	b->host_is_own = sp_compute_is_host_memory(c);
	if (b->host_is_own)
		b->host = malloc(bytes);
	else
		status = sp_compute_buffer_take(c, bytes, (void **)&b->host);
	if (!status && !b->host)
		status = sp_fail(SP_ERR_MEMORY, "out of memory for the samples of a step (%zu bytes)", bytes);
	if (!status)
		memset(b->host, 0, bytes);
	return status;
}

static void free_blocks(struct sp_batches *b)
{
	if (b->host_is_own)
		free(b->host);
	else if (b->host)
		sp_compute_buffer_give(b->options.compute, b->host);
}

static void point_whole(struct sp_batches *b)
{
	const int64_t n = b->options.length;
	for (int64_t i = 0; i < b->options.micro_batch; i++) {
		int32_t *at = b->whole_arrays + 6 * n * i;
		b->whole[i] = (struct sp_sample){ .length = n,
			                          .token = at,
			                          .position = at + n,
			                          .kind = at + 2 * n,
			                          .doc = at + 3 * n,
			                          .label = at + 4 * n,
			                          .order = at + 5 * n };
	}
}

static void point_cuts(struct sp_batches *b)
{
	for (int64_t m = 0; m < b->count; m++) {
		int64_t *at = b->cut_arrays + m * (3 * b->ranks + 1);
		b->cuts[m] = (struct cuts){ .at = at, .first = at + b->ranks + 1, .chunk = at + 2 * b->ranks + 1,
			                        .whole = b->cut_flags + m * b->ranks };
	}
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
	b->ranks = options->grid->shape.at[SP_AXIS_SEQUENCE];
	b->rank = options->grid->place.at[SP_AXIS_SEQUENCE];
	b->at = lay_out(options);
	b->count = micro_batches(options);
	b->limit = UINT64_MAX;
	status = allocate_host(b);
	if (!status)
		status = allocate_blocks(b);
	if (!status)
		status = sp_compute_alloc(options->compute, (size_t)b->at.size * sizeof *b->device, (void **)&b->device);
	if (status) {
		sp_batches_destroy(b);
		return status;
	}
	point_whole(b);
	point_cuts(b);
	*batches = b;
	return SP_OK;
}

void sp_batches_destroy(struct sp_batches *b)
{
	if (!b)
		return;
	sp_compute_free(b->options.compute, b->device);
	free(b->cost);
	free(b->whole_arrays);
	free(b->whole);
	free(b->cut_flags);
	free(b->cut_arrays);
	free(b->cuts);
	free(b->counts);
	free_blocks(b);
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

int64_t sp_batches_rows(const struct sp_batches *b, int64_t i)
{
	return b->options.micro_batch * b->cuts[i].own.chunk;
}

/* ---- what samples cost, and where they are cut ---- */

static int is_read(const struct sp_batches *b, const struct sp_sample *s, int64_t t)
{
	return s->label[t] >= 0 || (b->options.sentence_order && s->order[t] >= 0);
}

/* Padding comes last. */
static int64_t real_tokens(const struct sp_sample *s)
{
	int64_t real = 0;
	while (real < s->length && s->doc[real] >= 0)
		real++;
	return real;
}

/* Where the document of token t ends. */
static int64_t document_end(const struct sp_sample *s, int64_t t)
{
	int64_t end = t + 1;
	while (end < s->length && s->doc[end] == s->doc[t])
		end++;
	return end;
}

/* Adds what the tokens [t, end) of a document cost, each at its place. */
static void add_document(struct sp_batches *b, const struct sp_sample *s, int64_t t, int64_t end)
{
	const struct sp_token_cost *each = &b->options.cost;
	for (const int64_t size = end - t; t < end; t++) {
		b->cost[t] += size * each->pair;
		if (is_read(b, s, t))
			b->cost[t] += each->read + size * each->read_pair;
		if (s->label[t] >= 0)
			b->cost[t] += each->predicted;
	}
}

/* Tokens of a micro-batch's samples up to the last that is none's padding. */
static int64_t longest(const struct sp_batches *b)
{
	int64_t most = 0;
	for (int64_t i = 0; i < b->options.micro_batch; i++)
		most = sp_max(most, real_tokens(&b->whole[i]));
	return most;
}

/* b->cost[t] is that of the tokens before t. Rows are computed also where a sample has padding. */
static void sum_costs(struct sp_batches *b)
{
	const int64_t row = b->options.micro_batch * b->options.cost.row;
	int64_t sum = 0;
	memset(b->cost, 0, ((size_t)b->options.length + 1) * sizeof *b->cost);
	for (int64_t i = 0; i < b->options.micro_batch; i++) {
		const struct sp_sample *s = &b->whole[i];
		const int64_t real = real_tokens(s);
		for (int64_t t = 0, end; t < real; t = end) {
			end = document_end(s, t);
			add_document(b, s, t, end);
		}
	}
	for (int64_t t = 0; t <= b->options.length; t++) {
		const int64_t own = b->cost[t] + row;
		b->cost[t] = sum;
		sum += own;
	}
}

static void cut_equal(const struct sp_batches *b, struct cuts *c)
{
	for (int r = 0; r <= b->ranks; r++)
		c->at[r] = sp_min(r * b->options.room, b->options.length);
}

/* Every rank has the whole samples, so all make the same cuts. */
static void cut(struct sp_batches *b, struct cuts *c, struct sp_work *work)
{
	const struct sp_batches_options *o = &b->options;
	sum_costs(b);
	if (o->balanced)
		sp_balance_cut(b->cost, longest(b), b->ranks, o->room, c->at);
	else
		cut_equal(b, c);
	for (int r = 0; r < b->ranks; r++) {
		const struct sp_shard shard = o->balanced ? sp_shard_cut(o->length, c->at, r, o->multiple) :
		                                            sp_shard_of(o->length, b->ranks, r, o->multiple);
		c->first[r] = shard.first;
		c->chunk[r] = shard.chunk;
		c->own = r == b->rank ? shard : c->own;
	}
	const double all = (double)b->cost[c->at[b->ranks]], most = (double)sp_balance_most(b->cost, b->ranks, c->at);
	work->micro_batches++;
	work->uneven += all > 0 ? (int64_t)(1e6 * (most * b->ranks / all - 1)) : 0;
}

/* ---- cutting samples ---- */

/* Tokens of this rank, the i-th sample of a micro-batch. The block was zeroed, which is what padding wants. */
static void cut_tokens(const struct sp_batches *b, int32_t *block, int64_t i, const struct sp_shard *shard)
{
	const struct sp_sample *s = &b->whole[i];
	size_t bytes = (size_t)shard->real * sizeof *block;
	int64_t row = i * shard->chunk, first = shard->first;
	if (shard->real == 0)
		return;
	memcpy(block + b->at.token + row, s->token + first, bytes);
	memcpy(block + b->at.position + row, s->position + first, bytes);
	memcpy(block + b->at.kind + row, s->kind + first, bytes);
}

/* Document ids of all ranks that share the sample. */
static void cut_documents(const struct sp_batches *b, int32_t *block, int64_t i, const struct cuts *c)
{
	const int32_t *doc = b->whole[i].doc;
	for (int64_t rank = 0; rank < b->ranks; rank++) {
		int32_t *to = block + b->at.doc + rank * b->options.micro_batch * b->options.room + i * c->chunk[rank];
		const int64_t real = c->at[rank + 1] - c->at[rank];
		for (int64_t t = 0; t < c->chunk[rank]; t++)
			to[t] = t < real ? doc[c->at[rank] + t] : -1;
	}
}

/* Whether the tokens [first, end) of a sample are all of the document that it begins with. */
static int is_one_document(const struct sp_sample *s, int64_t first, int64_t end)
{
	while (first < end && s->doc[first] == s->doc[0])
		first++;
	return first == end && s->doc[0] >= 0;
}

static int is_whole(const struct sp_batches *b, const struct cuts *c, int rank)
{
	int whole = c->chunk[rank] == c->at[rank + 1] - c->at[rank];
	for (int64_t i = 0; i < b->options.micro_batch && whole; i++)
		whole = is_one_document(&b->whole[i], c->at[rank], c->at[rank + 1]);
	return whole;
}

static void cut_predictions(const struct sp_batches *b, int32_t *block, int64_t i, const struct sp_shard *shard,
                            struct counts *counts)
{
	for (int64_t t = 0; t < shard->real; t++) {
		int32_t label = b->whole[i].label[shard->first + t];
		if (label < 0)
			continue;
		block[b->at.predicted + counts->predictions] = (int32_t)(i * shard->chunk + t);
		block[b->at.label + counts->predictions++] = label;
	}
}

/* The rank that holds a sample's first token, [CLS], tells its sentence order. */
static void cut_orders(const struct sp_batches *b, int32_t *block, int64_t i, const struct sp_shard *shard, struct counts *counts)
{
	const struct sp_sample *s = &b->whole[i];
	for (int64_t t = 0; b->options.sentence_order && t < shard->real; t++) {
		const int32_t order = s->order[shard->first + t];
		if (order < 0)
			continue;
		assert(s->label[shard->first + t] < 0);
		block[b->at.order_row + counts->orders] = (int32_t)(i * shard->chunk + t);
		block[b->at.order_label + counts->orders++] = order;
	}
}

/* Documents of the tokens that a head reads. */
static void cut_read(const struct sp_batches *b, int32_t *block, int64_t i, const struct sp_shard *shard)
{
	const struct sp_sample *s = &b->whole[i];
	for (int64_t t = 0; t < shard->chunk; t++) {
		const int64_t at = shard->first + t;
		block[b->at.read_doc + i * shard->chunk + t] = t < shard->real && is_read(b, s, at) ? s->doc[at] : -1;
	}
}

/* Which tokens of the i-th sample are global; of none, if it is left out. Kinds that look at it have equal parts. */
static void cut_globals(const struct sp_batches *b, int32_t *block, int64_t i, int left_out, struct counts *counts)
{
	const struct sp_batches_options *o = &b->options;
	struct sp_globals_cut cut = {
		.batch = o->micro_batch,
		.chunk = o->room,
		.globals = o->globals,
		.ranks = b->ranks,
		.rank = b->rank,
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
	sp_attention_globals_cut(&cut, i, left_out ? NULL : b->whole[i].token, o->length,
	                         o->global_separators ? sp_dataset_separator(o->dataset) : -1);
	counts->globals = cut.own;
}

static int is_global(const struct sp_batches *b, const int32_t *block, int64_t i, int64_t at)
{
	const int64_t chunk = b->options.room, place = (at / chunk * b->options.micro_batch + i) * chunk + at % chunk;
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
		work->read_near += is_read(b, &b->whole[i], t) ? met : 0;
	}
}

static void count_work(const struct sp_batches *b, const int32_t *block, int64_t i, struct sp_work *work)
{
	const struct sp_sample *s = &b->whole[i];
	int64_t tokens = 0, read = 0; /* of the sample at hand */
	for (int64_t t = 0; t < s->length && s->doc[t] >= 0; t++) {
		const int ends = t + 1 == s->length || s->doc[t + 1] != s->doc[t];
		tokens++;
		work->predicted += s->label[t] >= 0;
		read += is_read(b, s, t);
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

/* A place without a sample: nobody attends to it, and nothing is predicted. */
static void leave_out(struct sp_sample *s)
{
	const size_t bytes = (size_t)s->length * sizeof *s->doc;
	memset(s->token, 0, bytes);
	memset(s->position, 0, bytes);
	memset(s->kind, 0, bytes);
	memset(s->doc, -1, bytes);
	memset(s->label, -1, bytes);
	memset(s->order, -1, bytes);
}

static int64_t first_slot(const struct sp_batches *b, int64_t m)
{
	const struct sp_batches_options *o = &b->options;
	return o->grid->place.at[SP_AXIS_DATA] * (o->global_batch / o->grid->shape.at[SP_AXIS_DATA]) + m * o->micro_batch;
}

static uint64_t index_of(const struct sp_batches *b, uint64_t step, int64_t m, int64_t i)
{
	return step * (uint64_t)b->options.global_batch + (uint64_t)(first_slot(b, m) + i);
}

/* The samples of a micro-batch, whole. */
static int draw(struct sp_batches *b, enum sp_split split, uint64_t step, int64_t m)
{
	const struct sp_batches_options *o = &b->options;
	int status = SP_OK;
	for (int64_t i = 0; i < o->micro_batch && !status; i++) {
		const uint64_t index = index_of(b, step, m, i);
		if (index >= b->limit)
			leave_out(&b->whole[i]);
		else
			status = sp_dataset_sample(o->dataset, split, index, &b->whole[i]);
	}
	return status;
}

static int load_micro(struct sp_batches *b, enum sp_split split, uint64_t step, int64_t m, struct sp_work *work)
{
	const struct sp_grid *grid = b->options.grid;
	const int64_t slot = first_slot(b, m), tensors = grid->shape.at[SP_AXIS_TENSOR], tensor = grid->place.at[SP_AXIS_TENSOR];
	const struct sp_shard *own = &b->cuts[m].own;
	int32_t *block = b->host + m * b->at.size;
	int status = draw(b, split, step, m);
	if (status)
		return status;
	cut(b, &b->cuts[m], work);
	for (int rank = 0; rank < b->ranks; rank++)
		b->cuts[m].whole[rank] = (uint8_t)is_whole(b, &b->cuts[m], rank);
	memset(block, 0, (size_t)b->at.size * sizeof *block);
	b->counts[m] = (struct counts){ 0 };
	for (int64_t i = 0; i < b->options.micro_batch; i++) {
		block[b->at.sample + i] = (int32_t)(slot + i);
		block[b->at.head_sample + i] = (int32_t)((slot + i) * tensors + tensor);
		block[b->at.length + i] = (int32_t)real_tokens(&b->whole[i]);
		cut_tokens(b, block, i, own);
		cut_documents(b, block, i, &b->cuts[m]);
		cut_predictions(b, block, i, own, &b->counts[m]);
		cut_orders(b, block, i, own, &b->counts[m]);
		cut_read(b, block, i, own);
		const int left_out = index_of(b, step, m, i) >= b->limit;
		cut_globals(b, block, i, left_out, &b->counts[m]);
		if (!left_out)
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
	int64_t sums[10] = { work->samples, work->tokens, work->pairs, work->read_pairs, work->predicted, work->sequences, work->near,
		                 work->read_near, work->micro_batches, work->uneven };
	if (!speaks(b->options.grid))
		memset(sums, 0, sizeof sums);
	int status = sp_comm_all_reduce(b->options.grid->world, sums, 10, SP_I64, SP_SUM);
	if (!status)
		*work = (struct sp_work){ sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6], sums[7], sums[8], sums[9] };
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
	const struct cuts *c = &b->cuts[i];
	int status =
		sp_compute_upload(o->compute, b->device, b->host + i * b->at.size, (size_t)b->at.size * sizeof *b->device);
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
		.length = b->host + i * b->at.size + b->at.length,
		.global_doc = b->device + b->at.global_doc,
		.other_doc = b->device + b->at.other_doc,
		.read_other_doc = b->device + b->at.read_other_doc,
		.global_row = b->device + b->at.global_row,
		.global_slot = b->device + b->at.global_slot,
		.globals = b->counts[i].globals,
		.sample = (const uint32_t *)(b->device + b->at.sample),
		.head_sample = (const uint32_t *)(b->device + b->at.head_sample),
		.first = (uint32_t)c->own.first,
		.predictions = b->counts[i].predictions,
		.predicted = b->device + b->at.predicted,
		.label = b->device + b->at.label,
		.orders = b->counts[i].orders,
		.order_row = b->device + b->at.order_row,
		.order_label = b->device + b->at.order_label,
	};
	if (!o->balanced)
		batch->parts = (struct sp_attention_parts){ 0 };
	return SP_OK;
}
