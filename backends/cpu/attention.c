/* Attention on the processor: which thread does which tile, and the packing around the kernels of attention_kernels.c.
 *
 * Forward: one unit of work is (sample, head, block of queries); it keeps the block's accumulator packed while all
 * blocks of keys pass. Backward: a unit is (sample, head, part of the keys), which owns dk and dv of its part. If there
 * are fewer samples times heads than threads, or not a multiple, keys and queries are cut into n parts each, and the
 * work is done in n phases: in phase t, key part s meets query part (s + t) mod n. So no two units write the same dq at
 * once, each dq gets its parts in the same order every time, and no partial sums need memory. */
#include "config.h"

#include "cpu/attention.h"

#include "backend/arena.h"
#include "base/size.h"
#include "cpu/cpu.h"

#include <seqpar/status.h>
#include <math.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

/* Most rows of a block of queries or keys, and most elements (rows x padded head_dim). Larger ones are up to 5 % faster
 * but would keep poll waiting for longer than 0.2 ms; measured, doc/performance.md. */
enum {
	FORWARD_QUERIES = 256,
	FORWARD_KEYS = 256,
	FORWARD_ELEMENTS = 16384,
	BACKWARD_QUERIES = 132,
	BACKWARD_KEYS = 192,
	BACKWARD_ELEMENTS = 12288,
	SMALLEST_PART = 48,  /* rows, when work is cut finer to occupy all threads */
	TOKENS_AT_ONCE = 64, /* finish and dots */
};

/* What both steps derive from the shape. */
struct geometry {
	const struct sp_attention_shape *shape;
	const struct sp_cpu_kernels *kernels;
	int rows, columns;            /* the kernels' block */
	int64_t width;                /* head_dim, padded */
	int64_t queries, keys;        /* most rows of a tile, padded */
	int64_t key_rows;             /* keys, padded also for products with the keys on the left */
	int64_t stride;               /* of score rows */
	int64_t parts;                /* query blocks of a head (forward), or its query and key parts (backward) */
	int64_t query_part, key_part; /* rows of a part */
	float kept;                   /* 65536 / keep */
};

/* One thread's packed copies; NULL where a step needs none. Score rows have room for one block more than the keys, as a
 * product with the keys on the left may read that far. */
struct buffers {
	float *staging, *q, *dout, *acc; /* acc: dq in backward */
	float *k, *v, *k_panels, *dk, *dv;
	float *p, *ds;
	float *first, *second; /* m and l, or lse and dots */
	int32_t *query_doc, *key_doc;
	uint16_t *half;
};

/* A head's block of queries, or of keys: rows [first, first + n) of sample `b`. */
struct block {
	int64_t b, a, first, n, padded;
	const int32_t *doc; /* of its rows */
	int32_t low, high;  /* of the ids that are not negative; low > high if there is none */
	int whole;          /* no id is negative */
};

/* ---- geometry ---- */

/* Rows of each of the fewest equal pieces of n that have at most `most`; a multiple of `multiple`, at least one. */
static int64_t even_size(int64_t n, int64_t most, int64_t multiple)
{
	const int64_t pieces = sp_max(sp_ceil_div(n, sp_max(most / multiple, 1) * multiple), 1);
	return sp_max(sp_round_up(sp_ceil_div(n, pieces), multiple), multiple);
}

/* Into how many parts, fewest .. most, each of `units` equal tasks is best cut for all threads to end together. A part
 * more costs 1 %, because packing is repeated. */
static int64_t choose_parts(int64_t units, int threads, int64_t fewest, int64_t most)
{
	int64_t best = fewest;
	double least = INFINITY;
	for (int64_t n = fewest; n <= most && n <= fewest + 2 * threads; n++) {
		const double rounds = (double)sp_ceil_div(units * n, threads);
		const double cost = rounds / (double)n * (1.0 + 0.01 * (double)(n - fewest));
		if (cost < least * 0.999) {
			least = cost;
			best = n;
		}
	}
	return best;
}

static struct geometry geometry(const struct sp_cpu *cpu, const struct sp_attention_shape *shape)
{
	struct geometry g = { .shape = shape, .kernels = cpu->kernels, .kept = 65536.0f / (float)shape->dropout.keep };
	cpu->kernels->attention_block(&g.rows, &g.columns);
	g.width = sp_round_up(shape->head_dim, g.columns);
	return g;
}

static struct geometry forward_geometry(const struct sp_cpu *cpu, const struct sp_attention_shape *shape)
{
	struct geometry g = geometry(cpu, shape);
	const int64_t most_keys = sp_min(FORWARD_KEYS, FORWARD_ELEMENTS / sp_max(g.width, 1));
	const int64_t fewest_parts = sp_max(sp_ceil_div(shape->chunk, FORWARD_QUERIES), 1);
	g.parts = choose_parts(shape->batch * shape->heads, cpu->threads, fewest_parts,
	                       sp_max(shape->chunk / SMALLEST_PART, fewest_parts));
	g.query_part = g.queries = even_size(sp_ceil_div(shape->chunk, g.parts), FORWARD_QUERIES, g.rows);
	g.parts = sp_ceil_div(shape->chunk, g.query_part);
	g.key_part = shape->keys;
	g.keys = g.key_rows = even_size(shape->keys, most_keys, g.columns);
	g.stride = sp_round_up(g.keys + g.rows, g.columns);
	return g;
}

static struct geometry backward_geometry(const struct sp_cpu *cpu, const struct sp_attention_shape *shape)
{
	struct geometry g = geometry(cpu, shape);
	const int64_t most = BACKWARD_ELEMENTS / sp_max(g.width, 1);
	const int64_t most_parts = sp_max(sp_min(shape->chunk, shape->keys) / SMALLEST_PART, 1);
	g.parts = choose_parts(shape->batch * shape->heads, cpu->threads, 1, most_parts);
	g.query_part = sp_round_up(sp_ceil_div(shape->chunk, g.parts), g.rows);
	g.key_part = sp_round_up(sp_ceil_div(shape->keys, g.parts), g.columns);
	g.queries = even_size(g.query_part, sp_min(BACKWARD_QUERIES, most), g.rows);
	g.keys = even_size(g.key_part, sp_min(BACKWARD_KEYS, most), g.columns);
	g.key_rows = sp_round_up(g.keys, g.rows);
	g.stride = sp_round_up(g.keys + g.rows, g.columns);
	return g;
}

/* ---- scratch ---- */

static void *take(struct sp_arena *arena, int64_t count, size_t size, int *status)
{
	void *memory = NULL;
	if (*status == SP_OK)
		*status = sp_arena_take(arena, count, size, &memory);
	return memory;
}

static int carve(const struct geometry *g, int backward, struct sp_arena *arena, struct buffers *b)
{
	const int64_t queries = g->queries * g->width, keys = g->key_rows * g->width;
	const int64_t score_rows = backward ? g->queries : g->rows;
	int status = SP_OK;
	b->staging = take(arena, keys, sizeof(float), &status);
	b->q = take(arena, queries, sizeof(float), &status);
	b->acc = take(arena, queries, sizeof(float), &status);
	b->k = take(arena, keys, sizeof(float), &status);
	b->v = take(arena, keys, sizeof(float), &status);
	b->p = take(arena, score_rows * g->stride, sizeof(float), &status);
	b->first = take(arena, g->queries, sizeof(float), &status);
	b->second = take(arena, g->queries, sizeof(float), &status);
	b->query_doc = take(arena, g->queries, sizeof(int32_t), &status);
	b->key_doc = take(arena, g->keys, sizeof(int32_t), &status);
	b->half = take(arena, g->keys + SP_CPU_ATTENTION_HALVES, sizeof(uint16_t), &status);
	if (backward) {
		b->dout = take(arena, queries, sizeof(float), &status);
		b->k_panels = take(arena, keys, sizeof(float), &status);
		b->dk = take(arena, keys, sizeof(float), &status);
		b->dv = take(arena, keys, sizeof(float), &status);
		b->ds = take(arena, score_rows * g->stride, sizeof(float), &status);
	}
	return status;
}

/* Memory for the buffers of all threads, and how much of it is one thread's. */
static int reserve(struct sp_cpu *cpu, const struct geometry *g, int backward, char **memory, size_t *each)
{
	struct sp_arena count = { 0 };
	struct buffers unused = { 0 };
	size_t bytes;
	const int status = carve(g, backward, &count, &unused);
	if (status != SP_OK)
		return status;
	if (sp_size_mul(count.used, (size_t)cpu->threads, &bytes))
		return SP_ERR_MEMORY;
	*each = count.used;
	*memory = sp_cpu_scratch(cpu, bytes);
	return *memory ? SP_OK : SP_ERR_MEMORY;
}

static int thread_number(void)
{
#ifdef _OPENMP
	return omp_get_thread_num();
#else
	return 0;
#endif
}

/* ---- blocks ---- */

static struct block block(int64_t b, int64_t a, int64_t first, int64_t n, int64_t multiple, const int32_t *doc)
{
	struct block block = { b, a, first, n, sp_round_up(n, multiple), doc, INT32_MAX, -1, 1 };
	for (int64_t i = 0; i < n; i++) {
		const int32_t id = block.doc[i];
		if (id < 0) {
			block.whole = 0;
			continue;
		}
		block.low = id < block.low ? id : block.low;
		block.high = id > block.high ? id : block.high;
	}
	return block;
}

static struct block query_block(const struct geometry *g, int64_t b, int64_t a, int64_t first, int64_t n)
{
	return block(b, a, first, n, g->rows, g->shape->query_doc + b * g->shape->chunk + first);
}

static struct block key_block(const struct geometry *g, int64_t b, int64_t a, int64_t first, int64_t n)
{
	return block(b, a, first, n, g->columns, g->shape->key_doc + b * g->shape->keys + first);
}

static int can_meet(const struct block *q, const struct block *k)
{
	return q->low <= k->high && k->low <= q->high;
}

/* One and the same document throughout, and no key is padding of ours. */
static int all_meet(const struct block *q, const struct block *k)
{
	return q->whole && k->whole && k->n == k->padded && q->low == q->high && k->low == k->high && q->low == k->low;
}

/* Ids for comparison: whatever is negative, and the padding of the block, becomes `nobody`. */
static void copy_ids(const struct block *block, int32_t nobody, int32_t *ids)
{
	for (int64_t i = 0; i < block->padded; i++)
		ids[i] = i < block->n && block->doc[i] >= 0 ? block->doc[i] : nobody;
}

/* Where the block's rows begin in a matrix of (B tokens, A D), and in one of (B A, tokens). */
static float *features(const struct geometry *g, const struct sp_matrix *m, int64_t tokens, const struct block *block)
{
	return (float *)m->data + (block->b * tokens + block->first) * m->stride + block->a * g->shape->head_dim;
}

static float *statistics(const struct geometry *g, const struct sp_matrix *m, const struct block *block)
{
	return (float *)m->data + (block->b * g->shape->heads + block->a) * m->stride + block->first;
}

static void pack(const struct geometry *g, const struct sp_matrix *m, int64_t tokens, const struct block *block,
                 float factor, const int32_t *doc, float *y)
{
	g->kernels->attention_pack(features(g, m, tokens, block), m->stride, block->n, g->shape->head_dim, factor, doc, y,
	                           block->padded, g->width);
}

static void unpack(const struct geometry *g, const float *x, int64_t padded, float factor, int add,
                   const struct sp_matrix *m, int64_t tokens, const struct block *block)
{
	g->kernels->attention_unpack(x, padded, block->n, g->shape->head_dim, factor, add, features(g, m, tokens, block),
	                             m->stride);
}

static void fill(float *x, int64_t first, int64_t end, float value)
{
	for (int64_t i = first; i < end; i++)
		x[i] = value;
}

static struct sp_cpu_attention_tile tile(const struct geometry *g, const struct buffers *w, const struct block *q,
                                         const struct block *k)
{
	const struct sp_attention_shape *shape = g->shape;
	struct sp_cpu_attention_tile t = {
		.rows = q->padded,
		.keys = k->padded,
		.depth = shape->head_dim,
		.width = g->width,
		.dropout = shape->dropout,
		.first_row = shape->first_query + (uint32_t)q->first,
		.first_column = shape->first_key + (uint32_t)k->first,
		.half = w->half,
	};
	if (shape->dropout.keep != 65536)
		t.head = sp_attention_line(shape, shape->sample[q->b], q->a);
	if (!all_meet(q, k)) {
		copy_ids(q, -2, w->query_doc);
		copy_ids(k, -1, w->key_doc);
		t.query_doc = w->query_doc;
		t.key_doc = w->key_doc;
	}
	return t;
}

/* Only the thread that called the operation may enter the communication library. */
static void poll(const struct sp_attention_shape *shape)
{
	if (shape->poll && thread_number() == 0)
		shape->poll(shape->poll_ctx);
}

/* ---- forward ---- */

static void forward_load(const struct geometry *g, const struct sp_attention_forward *args, const struct block *q,
                         const struct buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	pack(g, &args->q, shape->chunk, q, shape->scale, q->doc, w->q);
	fill(w->first, args->first ? 0 : q->n, q->padded, -INFINITY);
	fill(w->second, args->first ? 0 : q->n, q->padded, 0.0f);
	if (args->first) {
		fill(w->acc, 0, q->padded * g->width, 0.0f);
		return;
	}
	pack(g, &args->acc, shape->chunk, q, 1.0f, NULL, w->acc);
	memcpy(w->first, statistics(g, &args->m, q), (size_t)q->n * sizeof(float));
	memcpy(w->second, statistics(g, &args->l, q), (size_t)q->n * sizeof(float));
}

static void forward_store(const struct geometry *g, const struct sp_attention_forward *args, const struct block *q,
                          const struct buffers *w)
{
	unpack(g, w->acc, q->padded, 1.0f, 0, &args->acc, g->shape->chunk, q);
	memcpy(statistics(g, &args->m, q), w->first, (size_t)q->n * sizeof(float));
	memcpy(statistics(g, &args->l, q), w->second, (size_t)q->n * sizeof(float));
}

static void forward_tile(const struct geometry *g, const struct sp_attention_forward *args, const struct block *q,
                         const struct block *k, const struct buffers *w)
{
	const struct sp_cpu_attention_forward_tile t = {
		.tile = tile(g, w, q, k), .q = w->q, .k = w->k, .v = w->v, .m = w->first, .l = w->second, .acc = w->acc,
		.p = w->p, .stride = g->stride,
	};
	pack(g, &args->k, g->shape->keys, k, 1.0f, k->doc, w->staging);
	g->kernels->attention_turn(w->staging, k->padded, g->shape->head_dim, w->k);
	pack(g, &args->v, g->shape->keys, k, g->kept, k->doc, w->v);
	g->kernels->attention_forward(&t);
}

/* Unit: the query block `part` of a head, against all keys. */
static void forward_unit(const struct geometry *g, const struct sp_attention_forward *args, int64_t unit,
                         const struct buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	const int64_t part = unit % g->parts, head = unit / g->parts, b = head / shape->heads, a = head % shape->heads;
	const int64_t first = part * g->query_part;
	const struct block q = query_block(g, b, a, first, sp_min(g->query_part, shape->chunk - first));
	forward_load(g, args, &q, w);
	for (int64_t j = 0; j < shape->keys; j += g->keys) {
		const struct block k = key_block(g, b, a, j, sp_min(g->keys, shape->keys - j));
		if (!can_meet(&q, &k))
			continue;
		forward_tile(g, args, &q, &k, w);
		poll(shape);
	}
	forward_store(g, args, &q, w);
}

int sp_cpu_attention_forward(void *ctx, const struct sp_attention_forward *args)
{
	struct sp_cpu *cpu = ctx;
	const struct sp_attention_shape *shape = &args->shape;
	const struct geometry g = forward_geometry(cpu, shape);
	const int64_t units = shape->batch * shape->heads * g.parts;
	char *memory;
	size_t each;
	if (units == 0)
		return SP_OK;
	const int status = reserve(cpu, &g, 0, &memory, &each);
	if (status != SP_OK)
		return status;
#pragma omp parallel num_threads(cpu->threads)
	{
		struct sp_arena arena = { .base = memory + (size_t)thread_number() * each, .size = each };
		struct buffers w = { 0 };
		carve(&g, 0, &arena, &w);
#pragma omp for schedule(dynamic)
		for (int64_t unit = 0; unit < units; unit++)
			forward_unit(&g, args, unit, &w);
	}
	return SP_OK;
}

/* ---- backward ---- */

/* Rows that attended to nothing: with lse = +inf all their probabilities come out as 0. */
static void load_statistics(const struct geometry *g, const struct sp_attention_backward *args, const struct block *q,
                            const struct buffers *w)
{
	const float *lse = statistics(g, &args->lse, q), *dots = statistics(g, &args->dots, q);
	for (int64_t i = 0; i < q->n; i++) {
		const int none = lse[i] == -INFINITY;
		w->first[i] = none ? INFINITY : lse[i];
		w->second[i] = none ? 0.0f : dots[i];
	}
	fill(w->first, q->n, q->padded, INFINITY);
	fill(w->second, q->n, q->padded, 0.0f);
}

static void backward_tile(const struct geometry *g, const struct sp_attention_backward *args, const struct block *q,
                          const struct block *k, const struct buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	const struct sp_cpu_attention_backward_tile t = {
		.tile = tile(g, w, q, k), .q = w->q, .dout = w->dout, .k = w->k, .v = w->v, .k_panels = w->k_panels,
		.lse = w->first, .dots = w->second, .dq = w->acc, .dk = w->dk, .dv = w->dv, .p = w->p, .ds = w->ds,
		.stride = g->stride,
	};
	load_statistics(g, args, q, w);
	pack(g, &args->q, shape->chunk, q, shape->scale, q->doc, w->q);
	pack(g, &args->dout, shape->chunk, q, g->kept, q->doc, w->dout);
	g->kernels->attention_backward(&t);
	unpack(g, w->acc, q->padded, shape->scale, 1, &args->dq, shape->chunk, q);
}

static void load_keys(const struct geometry *g, const struct sp_attention_backward *args, const struct block *k,
                      const struct buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	pack(g, &args->v, shape->keys, k, 1.0f, k->doc, w->staging);
	g->kernels->attention_turn(w->staging, k->padded, shape->head_dim, w->v);
	pack(g, &args->k, shape->keys, k, 1.0f, k->doc, w->k_panels);
	g->kernels->attention_turn(w->k_panels, k->padded, shape->head_dim, w->k);
	fill(w->dk, 0, g->key_rows * g->width, 0.0f);
	fill(w->dv, 0, g->key_rows * g->width, 0.0f);
}

/* A block of keys against queries [first, end) of its head. */
static void backward_keys(const struct geometry *g, const struct sp_attention_backward *args, const struct block *k,
                          int64_t first, int64_t end, int overwrite, const struct buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	int loaded = 0;
	for (int64_t i = first; i < end; i += g->queries) {
		const struct block q = query_block(g, k->b, k->a, i, sp_min(g->queries, end - i));
		if (!can_meet(&q, k))
			continue;
		if (!loaded)
			load_keys(g, args, k, w);
		loaded = 1;
		backward_tile(g, args, &q, k, w);
		poll(shape);
	}
	const int64_t padded = sp_round_up(k->padded, g->rows);
	if (!loaded && overwrite) {
		fill(w->dk, 0, padded * g->width, 0.0f);
		fill(w->dv, 0, padded * g->width, 0.0f);
	}
	if (loaded || overwrite) {
		unpack(g, w->dk, padded, 1.0f, !overwrite, &args->dk, shape->keys, k);
		unpack(g, w->dv, padded, 1.0f, !overwrite, &args->dv, shape->keys, k);
	}
}

/* Unit: the key part `part` of a head, against the query part that it meets in this phase. */
static void backward_unit(const struct geometry *g, const struct sp_attention_backward *args, int64_t unit,
                          int64_t phase, const struct buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	const int64_t part = unit % g->parts, head = unit / g->parts, b = head / shape->heads, a = head % shape->heads;
	const int64_t first = sp_min((part + phase) % g->parts * g->query_part, shape->chunk);
	const int64_t end = sp_min(first + g->query_part, shape->chunk);
	const int64_t first_key = sp_min(part * g->key_part, shape->keys);
	const int64_t end_key = sp_min(first_key + g->key_part, shape->keys);
	if (phase == 0 && args->overwrite_dq) {
		const struct block q = { .b = b, .a = a, .first = first };
		float *dq = features(g, &args->dq, shape->chunk, &q);
		for (int64_t i = first; i < end; i++, dq += args->dq.stride)
			fill(dq, 0, shape->head_dim, 0.0f);
	}
	for (int64_t j = first_key; j < end_key; j += g->keys) {
		const struct block k = key_block(g, b, a, j, sp_min(g->keys, end_key - j));
		backward_keys(g, args, &k, first, end, phase == 0 && args->overwrite_dkv, w);
	}
}

int sp_cpu_attention_backward(void *ctx, const struct sp_attention_backward *args)
{
	struct sp_cpu *cpu = ctx;
	const struct sp_attention_shape *shape = &args->shape;
	const struct geometry g = backward_geometry(cpu, shape);
	const int64_t units = shape->batch * shape->heads * g.parts;
	char *memory;
	size_t each;
	if (units == 0)
		return SP_OK;
	const int status = reserve(cpu, &g, 1, &memory, &each);
	if (status != SP_OK)
		return status;
#pragma omp parallel num_threads(cpu->threads)
	{
		struct sp_arena arena = { .base = memory + (size_t)thread_number() * each, .size = each };
		struct buffers w = { 0 };
		carve(&g, 1, &arena, &w);
		for (int64_t phase = 0; phase < g.parts; phase++)
#pragma omp for schedule(dynamic)
			for (int64_t unit = 0; unit < units; unit++)
				backward_unit(&g, args, unit, phase, &w);
	}
	return SP_OK;
}

/* ---- around the steps ---- */

int sp_cpu_attention_finish(void *ctx, const struct sp_attention_finish *args)
{
	const struct sp_cpu *cpu = ctx;
	const int64_t blocks = sp_ceil_div(args->chunk, TOKENS_AT_ONCE), units = args->batch * blocks;
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
	for (int64_t unit = 0; unit < units; unit++) {
		const int64_t first = unit % blocks * TOKENS_AT_ONCE;
		cpu->kernels->attention_finish(args, unit / blocks, first, sp_min(first + TOKENS_AT_ONCE, args->chunk));
	}
	return SP_OK;
}

int sp_cpu_attention_dots(void *ctx, const struct sp_attention_dots *args)
{
	const struct sp_cpu *cpu = ctx;
	const int64_t blocks = sp_ceil_div(args->chunk, TOKENS_AT_ONCE), units = args->batch * blocks;
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
	for (int64_t unit = 0; unit < units; unit++) {
		const int64_t first = unit % blocks * TOKENS_AT_ONCE;
		cpu->kernels->attention_dots(args, unit / blocks, first, sp_min(first + TOKENS_AT_ONCE, args->chunk));
	}
	return SP_OK;
}
