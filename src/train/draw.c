#include "config.h"

#include "train/draw.h"

#include "attention/globals.h"
#include "base/log.h"
#include "base/size.h"
#include "parallel/balance.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct sp_draw {
	struct sp_batches_options options;
	int ranks, rank; /* that share a sequence */
	struct sp_batch_layout at;
	struct sp_sample *whole; /* [micro_batch] samples before they are cut */
	int32_t *whole_arrays;   /* their six arrays each in one block */
	int64_t *cost;           /* [length + 1] of the tokens before each, over the samples of a micro-batch */
	size_t bytes;            /* of these two */
};

struct sp_batch_layout sp_draw_layout(const struct sp_batches_options *o)
{
	return sp_batch_layout_of(o->micro_batch, o->room, o->grid->shape.at[SP_AXIS_SEQUENCE],
	                          sp_model_orders(o->packed, o->micro_batch, o->room), o->globals);
}

/* ---- create, destroy ---- */

static void point_whole(struct sp_draw *d)
{
	const int64_t n = d->options.length;
	for (int64_t i = 0; i < d->options.micro_batch; i++) {
		int32_t *at = d->whole_arrays + 6 * n * i;
		d->whole[i] = (struct sp_sample){ .length = n,
			                          .token = at,
			                          .position = at + n,
			                          .kind = at + 2 * n,
			                          .doc = at + 3 * n,
			                          .label = at + 4 * n,
			                          .order = at + 5 * n };
	}
}

int sp_draw_create(const struct sp_batches_options *options, struct sp_draw **draw)
{
	const size_t samples = (size_t)options->micro_batch, length = (size_t)options->length, tokens = 6 * samples * length;
	struct sp_draw *d = calloc(1, sizeof *d);
	if (!d)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the samples of a step");
	d->options = *options;
	d->ranks = options->grid->shape.at[SP_AXIS_SEQUENCE];
	d->rank = options->grid->place.at[SP_AXIS_SEQUENCE];
	d->at = sp_draw_layout(options);
	d->whole = calloc(samples, sizeof *d->whole);
	d->whole_arrays = calloc(tokens, sizeof *d->whole_arrays);
	d->cost = calloc(length + 1, sizeof *d->cost);
	d->bytes = tokens * sizeof *d->whole_arrays + (length + 1) * sizeof *d->cost;
	if (!d->whole || !d->whole_arrays || !d->cost) {
		sp_draw_destroy(d);
		return sp_fail(SP_ERR_MEMORY, "out of memory for %zu samples of %zu tokens", samples, length);
	}
	point_whole(d);
	*draw = d;
	return SP_OK;
}

void sp_draw_destroy(struct sp_draw *d)
{
	if (!d)
		return;
	free(d->cost);
	free(d->whole_arrays);
	free(d->whole);
	free(d);
}

size_t sp_draw_bytes(const struct sp_draw *d)
{
	return d->bytes;
}

/* ---- what samples cost, and where they are cut ---- */

static int is_read(const struct sp_draw *d, const struct sp_sample *s, int64_t t)
{
	return s->label[t] >= 0 || (d->options.sentence_order && s->order[t] >= 0);
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
static void add_document(struct sp_draw *d, const struct sp_sample *s, int64_t t, int64_t end)
{
	const struct sp_token_cost *each = &d->options.cost;
	for (const int64_t size = end - t; t < end; t++) {
		d->cost[t] += size * each->pair;
		if (is_read(d, s, t))
			d->cost[t] += each->read + size * each->read_pair;
		if (s->label[t] >= 0)
			d->cost[t] += each->predicted;
	}
}

/* Tokens of a micro-batch's samples up to the last that is none's padding. */
static int64_t longest(const struct sp_draw *d)
{
	int64_t most = 0;
	for (int64_t i = 0; i < d->options.micro_batch; i++)
		most = sp_max(most, real_tokens(&d->whole[i]));
	return most;
}

/* d->cost[t] is that of the tokens before t. Rows are computed also where a sample has padding. */
static void sum_costs(struct sp_draw *d)
{
	const int64_t row = d->options.micro_batch * d->options.cost.row;
	int64_t sum = 0;
	memset(d->cost, 0, ((size_t)d->options.length + 1) * sizeof *d->cost);
	for (int64_t i = 0; i < d->options.micro_batch; i++) {
		const struct sp_sample *s = &d->whole[i];
		const int64_t real = real_tokens(s);
		for (int64_t t = 0, end; t < real; t = end) {
			end = document_end(s, t);
			add_document(d, s, t, end);
		}
	}
	for (int64_t t = 0; t <= d->options.length; t++) {
		const int64_t own = d->cost[t] + row;
		d->cost[t] = sum;
		sum += own;
	}
}

static void cut_equal(const struct sp_draw *d, struct sp_cuts *c)
{
	for (int r = 0; r <= d->ranks; r++)
		c->at[r] = sp_min(r * d->options.room, d->options.length);
}

/* Every rank has the whole samples, so all make the same cuts. */
static void cut(struct sp_draw *d, struct sp_cuts *c, struct sp_work *work)
{
	const struct sp_batches_options *o = &d->options;
	sum_costs(d);
	if (o->balanced)
		sp_balance_cut(d->cost, longest(d), d->ranks, o->room, c->at);
	else
		cut_equal(d, c);
	for (int r = 0; r < d->ranks; r++) {
		const struct sp_shard shard = o->balanced ? sp_shard_cut(o->length, c->at, r, o->multiple) :
		                                            sp_shard_of(o->length, d->ranks, r, o->multiple);
		c->first[r] = shard.first;
		c->chunk[r] = shard.chunk;
		c->own = r == d->rank ? shard : c->own;
	}
	const double all = (double)d->cost[c->at[d->ranks]], most = (double)sp_balance_most(d->cost, d->ranks, c->at);
	work->micro_batches++;
	work->uneven += all > 0 ? (int64_t)(1e6 * (most * d->ranks / all - 1)) : 0;
}

/* ---- cutting samples ---- */

/* Tokens of this rank, the i-th sample of a micro-batch. The block was zeroed, which is what padding wants. */
static void cut_tokens(const struct sp_draw *d, int32_t *block, int64_t i, const struct sp_shard *shard)
{
	const struct sp_sample *s = &d->whole[i];
	size_t bytes = (size_t)shard->real * sizeof *block;
	int64_t row = i * shard->chunk, first = shard->first;
	if (shard->real == 0)
		return;
	memcpy(block + d->at.token + row, s->token + first, bytes);
	memcpy(block + d->at.position + row, s->position + first, bytes);
	memcpy(block + d->at.kind + row, s->kind + first, bytes);
}

/* Document ids of all ranks that share the sample. */
static void cut_documents(const struct sp_draw *d, int32_t *block, int64_t i, const struct sp_cuts *c)
{
	const int32_t *doc = d->whole[i].doc;
	for (int64_t rank = 0; rank < d->ranks; rank++) {
		int32_t *to = block + d->at.doc + rank * d->options.micro_batch * d->options.room + i * c->chunk[rank];
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

static int is_whole(const struct sp_draw *d, const struct sp_cuts *c, int rank)
{
	int whole = c->chunk[rank] == c->at[rank + 1] - c->at[rank];
	for (int64_t i = 0; i < d->options.micro_batch && whole; i++)
		whole = is_one_document(&d->whole[i], c->at[rank], c->at[rank + 1]);
	return whole;
}

static void cut_predictions(const struct sp_draw *d, int32_t *block, int64_t i, const struct sp_shard *shard,
                            struct sp_counts *counts)
{
	for (int64_t t = 0; t < shard->real; t++) {
		int32_t label = d->whole[i].label[shard->first + t];
		if (label < 0)
			continue;
		block[d->at.predicted + counts->predictions] = (int32_t)(i * shard->chunk + t);
		block[d->at.label + counts->predictions++] = label;
	}
}

/* The rank that holds a sample's first token, [CLS], tells its sentence order. */
static void cut_orders(const struct sp_draw *d, int32_t *block, int64_t i, const struct sp_shard *shard, struct sp_counts *counts)
{
	const struct sp_sample *s = &d->whole[i];
	for (int64_t t = 0; d->options.sentence_order && t < shard->real; t++) {
		const int32_t order = s->order[shard->first + t];
		if (order < 0)
			continue;
		assert(s->label[shard->first + t] < 0);
		block[d->at.order_row + counts->orders] = (int32_t)(i * shard->chunk + t);
		block[d->at.order_label + counts->orders++] = order;
	}
}

/* Documents of the tokens that a head reads. */
static void cut_read(const struct sp_draw *d, int32_t *block, int64_t i, const struct sp_shard *shard)
{
	const struct sp_sample *s = &d->whole[i];
	for (int64_t t = 0; t < shard->chunk; t++) {
		const int64_t at = shard->first + t;
		block[d->at.read_doc + i * shard->chunk + t] = t < shard->real && is_read(d, s, at) ? s->doc[at] : -1;
	}
}

/* Which tokens of the i-th sample are global; of none, if it is left out. Kinds that look at it have equal parts. */
static void cut_globals(const struct sp_draw *d, int32_t *block, int64_t i, int left_out, struct sp_counts *counts)
{
	const struct sp_batches_options *o = &d->options;
	struct sp_globals_cut cut = {
		.batch = o->micro_batch,
		.chunk = o->room,
		.globals = o->globals,
		.ranks = d->ranks,
		.rank = d->rank,
		.doc = block + d->at.doc,
		.read_doc = block + d->at.read_doc,
		.global_doc = block + d->at.global_doc,
		.other = block + d->at.other_doc,
		.read_other = block + d->at.read_other_doc,
		.row = block + d->at.global_row,
		.slot = block + d->at.global_slot,
		.own = counts->globals,
	};
	if (o->globals == 0)
		return;
	sp_attention_globals_cut(&cut, i, left_out ? NULL : d->whole[i].token, o->length,
	                         o->global_separators ? sp_dataset_separator(o->dataset) : -1);
	counts->globals = cut.own;
}

static int is_global(const struct sp_draw *d, const int32_t *block, int64_t i, int64_t at)
{
	const int64_t chunk = d->options.room, place = (at / chunk * d->options.micro_batch + i) * chunk + at % chunk;
	return block[d->at.doc + place] >= 0 && block[d->at.other_doc + place] < 0;
}

/* Pairs of a document that meet in a window: a token with its neighbours that are not global, and with those that are;
 * global ones with all. */
static void count_near(const struct sp_draw *d, const int32_t *block, int64_t i, int64_t first, int64_t end, struct sp_work *work)
{
	const int64_t window = d->options.window;
	int64_t globals = 0, near = 0, low = first, high = first; /* near: others among [low, high) */
	for (int64_t t = first; t < end; t++)
		globals += is_global(d, block, i, t);
	for (int64_t t = first; t < end; t++) {
		for (; high < end && high <= t + window; high++)
			near += !is_global(d, block, i, high);
		for (; low < t - window; low++)
			near -= !is_global(d, block, i, low);
		const int64_t met = is_global(d, block, i, t) ? end - first : near + globals;
		work->near += met;
		work->read_near += is_read(d, &d->whole[i], t) ? met : 0;
	}
}

static void count_work(const struct sp_draw *d, const int32_t *block, int64_t i, struct sp_work *work)
{
	const struct sp_sample *s = &d->whole[i];
	int64_t tokens = 0, read = 0; /* of the sample at hand */
	for (int64_t t = 0; t < s->length && s->doc[t] >= 0; t++) {
		const int ends = t + 1 == s->length || s->doc[t + 1] != s->doc[t];
		tokens++;
		work->predicted += s->label[t] >= 0;
		read += is_read(d, s, t);
		if (!ends)
			continue;
		work->samples++;
		work->tokens += tokens;
		work->pairs += tokens * tokens;
		work->read_pairs += read * tokens;
		if (d->options.globals > 0)
			count_near(d, block, i, t + 1 - tokens, t + 1, work);
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

static int64_t first_slot(const struct sp_draw *d, int64_t m)
{
	const struct sp_batches_options *o = &d->options;
	return o->grid->place.at[SP_AXIS_DATA] * (o->global_batch / o->grid->shape.at[SP_AXIS_DATA]) + m * o->micro_batch;
}

static uint64_t index_of(const struct sp_draw *d, uint64_t step, int64_t m, int64_t i)
{
	return step * (uint64_t)d->options.global_batch + (uint64_t)(first_slot(d, m) + i);
}

/* The samples of a micro-batch, whole. */
static int draw(struct sp_draw *d, const struct sp_draw_key *key, int64_t m)
{
	const struct sp_batches_options *o = &d->options;
	int status = SP_OK;
	for (int64_t i = 0; i < o->micro_batch && !status; i++) {
		const uint64_t index = index_of(d, key->step, m, i);
		if (index >= key->limit)
			leave_out(&d->whole[i]);
		else
			status = sp_dataset_sample(o->dataset, key->split, index, &d->whole[i]);
	}
	return status;
}

int sp_draw_micro(struct sp_draw *d, const struct sp_draw_key *key, int64_t m, struct sp_drawn *to, struct sp_work *work)
{
	const struct sp_grid *grid = d->options.grid;
	const int64_t slot = first_slot(d, m), tensors = grid->shape.at[SP_AXIS_TENSOR], tensor = grid->place.at[SP_AXIS_TENSOR];
	const struct sp_shard *own = &to->cuts.own;
	int32_t *block = to->block;
	int status = draw(d, key, m);
	if (status)
		return status;
	cut(d, &to->cuts, work);
	for (int rank = 0; rank < d->ranks; rank++)
		to->cuts.whole[rank] = (uint8_t)is_whole(d, &to->cuts, rank);
	memset(block, 0, (size_t)d->at.size * sizeof *block);
	to->counts = (struct sp_counts){ 0 };
	for (int64_t i = 0; i < d->options.micro_batch; i++) {
		block[d->at.sample + i] = (int32_t)(slot + i);
		block[d->at.head_sample + i] = (int32_t)((slot + i) * tensors + tensor);
		block[d->at.length + i] = (int32_t)real_tokens(&d->whole[i]);
		cut_tokens(d, block, i, own);
		cut_documents(d, block, i, &to->cuts);
		cut_predictions(d, block, i, own, &to->counts);
		cut_orders(d, block, i, own, &to->counts);
		cut_read(d, block, i, own);
		const int left_out = index_of(d, key->step, m, i) >= key->limit;
		cut_globals(d, block, i, left_out, &to->counts);
		if (!left_out)
			count_work(d, block, i, work);
	}
	return SP_OK;
}
