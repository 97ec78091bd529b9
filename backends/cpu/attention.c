/* Attention on the processor: which thread does which tile, and the packing around the kernels of attention_kernels.c.
 *
 * Forward: one unit of work is (sample, head, part of the queries); a block of queries keeps its accumulator packed while
 * blocks of keys pass. Backward: a unit is (sample, head, part of the keys), which owns dk and dv of its part. If there
 * are fewer samples times heads than threads, or not a multiple, keys and queries are cut into n parts each, and the
 * work is done in n phases: in phase t, key part s meets query part (s + t) mod n. So no two units write the same dq at
 * once, each dq gets its parts in the same order every time, and no partial sums need memory.
 *
 * Queries that may attend to nothing, padding or what nobody reads, are left out: the others are listed, sample by sample.
 *
 * What passes by again and again, keys in forward and queries in backward, is packed once and held: a stretch of it at a
 * time, so that the memory held does not grow with the sequence. */
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
	FORWARD_PART = 1024, /* queries of a unit, at most: units must be many enough for threads to end together */
	BACKWARD_QUERIES = 66,
	BACKWARD_KEYS = 192,
	BACKWARD_ELEMENTS = 12288,
	HELD_ELEMENTS = 1 << 17, /* of each array that is held: 512 KiB */
	SMALLEST_PART = 48,      /* rows, when work is cut finer to occupy all threads */
	TOKENS_AT_ONCE = 64,     /* finish and dots */
};

/* What both steps derive from the shape. */
struct geometry {
	const struct sp_attention_shape *shape;
	const struct sp_cpu_kernels *kernels;
	int rows, columns;            /* the kernels' block */
	int64_t width;                /* head_dim, padded */
	int64_t queries, keys;        /* most rows of a tile, padded */
	int64_t key_rows;             /* keys, padded also for products with the keys on the left */
	int64_t held, tiles;          /* most rows that are held, and tiles they make */
	int64_t stride;               /* of score rows */
	int64_t parts;                /* query parts of a head (forward), or its query and key parts (backward) */
	int64_t query_part, key_part; /* rows of a part */
	float kept;                   /* 65536 / keep */
	int64_t most;                 /* queries listed of a sample, at most */
	int64_t list;                 /* room for those of one */
	const int32_t *listed, *listed_count; /* [batch][list] tokens of a sample, ascending, then 0; [batch] */
};

/* One thread's packed copies; NULL where a step needs none. Score rows have room for one block more than the keys, as a
 * product with the keys on the left may read that far. Held are k and v in forward, q, dout, acc, first and second in
 * backward: tile after tile, `ready` telling which have been packed. */
struct buffers {
	float *staging, *q, *dout, *acc; /* acc: dq in backward */
	float *k, *v, *k_panels, *dk, *dv;
	float *p, *ds;
	float *first, *second; /* m and l, or lse and dots */
	int32_t *query_doc, *key_doc;
	uint16_t *half;
	char *ready;
};

/* A head's block of keys, tokens [first, first + n) of sample `b`, or of queries, the n listed ones at `token`. */
struct block {
	int64_t b, a, first, n, padded;
	const int32_t *token; /* NULL: keys */
	const int32_t *doc;   /* of the sample's tokens from `first` on; of queries first is 0 */
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

static int64_t count_listed(const struct sp_attention_shape *shape, int64_t b)
{
	int64_t n = 0;
	for (int64_t i = 0; i < shape->chunk; i++)
		n += shape->query_doc[b * shape->chunk + i] >= 0;
	return n;
}

static struct geometry geometry(const struct sp_cpu *cpu, const struct sp_attention_shape *shape)
{
	struct geometry g = { .shape = shape, .kernels = cpu->kernels, .kept = 65536.0f / (float)shape->dropout.keep };
	cpu->kernels->attention_block(&g.rows, &g.columns);
	g.width = sp_round_up(shape->head_dim, g.columns);
	g.list = sp_round_up(shape->chunk, g.rows);
	for (int64_t b = 0; b < shape->batch; b++)
		g.most = sp_max(g.most, count_listed(shape, b));
	return g;
}

/* Tiles of `rows` rows each, as many as may be held and there are. */
static void hold(struct geometry *g, int64_t rows, int64_t all)
{
	g->tiles = sp_max(sp_min(HELD_ELEMENTS / sp_max(rows * g->width, 1), sp_ceil_div(all, rows)), 1);
	g->held = g->tiles * rows;
}

static struct geometry forward_geometry(const struct sp_cpu *cpu, const struct sp_attention_shape *shape)
{
	struct geometry g = geometry(cpu, shape);
	const int64_t most_keys = sp_min(FORWARD_KEYS, FORWARD_ELEMENTS / sp_max(g.width, 1));
	const int64_t fewest_parts = sp_max(sp_ceil_div(g.most, FORWARD_PART), 1);
	g.parts = choose_parts(shape->batch * shape->heads, cpu->threads, fewest_parts,
	                       sp_max(g.most / SMALLEST_PART, fewest_parts));
	g.query_part = sp_round_up(sp_max(sp_ceil_div(g.most, g.parts), 1), g.rows);
	g.queries = even_size(g.query_part, FORWARD_QUERIES, g.rows);
	g.key_part = shape->keys;
	g.keys = g.key_rows = even_size(shape->keys, most_keys, g.columns);
	hold(&g, g.keys, shape->keys);
	g.stride = sp_round_up(g.keys + g.rows, g.columns);
	return g;
}

static struct geometry backward_geometry(const struct sp_cpu *cpu, const struct sp_attention_shape *shape)
{
	struct geometry g = geometry(cpu, shape);
	const int64_t most = BACKWARD_ELEMENTS / sp_max(g.width, 1);
	const int64_t most_parts = sp_max(sp_min(g.most, shape->keys) / SMALLEST_PART, 1);
	g.parts = choose_parts(shape->batch * shape->heads, cpu->threads, 1, most_parts);
	g.query_part = sp_round_up(sp_ceil_div(g.most, g.parts), g.rows);
	g.key_part = sp_round_up(sp_ceil_div(shape->keys, g.parts), g.columns);
	g.queries = even_size(g.query_part, sp_min(BACKWARD_QUERIES, most), g.rows);
	g.keys = even_size(g.key_part, sp_min(BACKWARD_KEYS, most), g.columns);
	g.key_rows = sp_round_up(g.keys, g.rows);
	hold(&g, g.queries, g.query_part);
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
	const int64_t query_rows = backward ? g->held : g->queries, queries = query_rows * g->width;
	const int64_t keys = g->key_rows * g->width, held_keys = backward ? keys : g->held * g->width;
	const int64_t score_rows = backward ? g->queries : g->rows;
	int status = SP_OK;
	b->staging = take(arena, keys, sizeof(float), &status);
	b->q = take(arena, queries, sizeof(float), &status);
	b->acc = take(arena, queries, sizeof(float), &status);
	b->k = take(arena, held_keys, sizeof(float), &status);
	b->v = take(arena, held_keys, sizeof(float), &status);
	b->p = take(arena, score_rows * g->stride, sizeof(float), &status);
	b->first = take(arena, query_rows, sizeof(float), &status);
	b->second = take(arena, query_rows, sizeof(float), &status);
	b->query_doc = take(arena, g->queries, sizeof(int32_t), &status);
	b->key_doc = take(arena, g->keys, sizeof(int32_t), &status);
	b->half = take(arena, g->keys + SP_CPU_ATTENTION_HALVES, sizeof(uint16_t), &status);
	b->ready = take(arena, g->tiles, sizeof(char), &status);
	if (backward) {
		b->dout = take(arena, queries, sizeof(float), &status);
		b->k_panels = take(arena, keys, sizeof(float), &status);
		b->dk = take(arena, keys, sizeof(float), &status);
		b->dv = take(arena, keys, sizeof(float), &status);
		b->ds = take(arena, score_rows * g->stride, sizeof(float), &status);
	}
	return status;
}

static int carve_lists(const struct geometry *g, struct sp_arena *arena, int32_t **listed, int32_t **count)
{
	int status = SP_OK;
	*listed = take(arena, g->shape->batch * g->list, sizeof(int32_t), &status);
	*count = take(arena, g->shape->batch, sizeof(int32_t), &status);
	return status;
}

static void list_queries(struct geometry *g, struct sp_arena *arena)
{
	int32_t *listed, *count;
	carve_lists(g, arena, &listed, &count);
	for (int64_t b = 0; b < g->shape->batch; b++) {
		const int32_t *doc = g->shape->query_doc + b * g->shape->chunk;
		int32_t *to = listed + b * g->list;
		memset(to, 0, (size_t)g->list * sizeof *to);
		count[b] = 0;
		for (int64_t i = 0; i < g->shape->chunk; i++)
			if (doc[i] >= 0)
				to[count[b]++] = (int32_t)i;
	}
	g->listed = listed;
	g->listed_count = count;
}

/* Memory for the lists, which are made, and the buffers of all threads; how much of it is one thread's. */
static int reserve(struct sp_cpu *cpu, struct geometry *g, int backward, char **memory, size_t *each)
{
	struct sp_arena count = { 0 }, lists = { 0 };
	struct buffers unused = { 0 };
	int32_t *none;
	size_t bytes;
	int status = carve(g, backward, &count, &unused);
	if (status == SP_OK)
		status = carve_lists(g, &lists, &none, &none);
	if (status != SP_OK)
		return status;
	if (sp_size_mul(count.used, (size_t)cpu->threads, &bytes) || sp_size_add(bytes, lists.used, &bytes))
		return SP_ERR_MEMORY;
	*each = count.used;
	*memory = sp_cpu_scratch(cpu, bytes);
	if (!*memory)
		return SP_ERR_MEMORY;
	list_queries(g, &(struct sp_arena){ .base = *memory + (size_t)cpu->threads * count.used, .size = lists.used });
	return SP_OK;
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

static int32_t document(const struct block *block, int64_t i)
{
	return block->doc[block->token ? block->token[i] : i];
}

static struct block look(struct block block)
{
	block.low = INT32_MAX, block.high = -1, block.whole = 1;
	for (int64_t i = 0; i < block.n; i++) {
		const int32_t id = document(&block, i);
		if (id < 0) {
			block.whole = 0;
			continue;
		}
		block.low = id < block.low ? id : block.low;
		block.high = id > block.high ? id : block.high;
	}
	return block;
}

/* Those listed at [first, first + n). */
static struct block query_block(const struct geometry *g, int64_t b, int64_t a, int64_t first, int64_t n)
{
	return look((struct block){ .b = b, .a = a, .n = n, .padded = sp_round_up(n, g->rows),
	                            .token = g->listed + b * g->list + first,
	                            .doc = g->shape->query_doc + b * g->shape->chunk });
}

static struct block key_block(const struct geometry *g, int64_t b, int64_t a, int64_t first, int64_t n)
{
	return look((struct block){ .b = b, .a = a, .first = first, .n = n, .padded = sp_round_up(n, g->columns),
	                            .doc = g->shape->key_doc + b * g->shape->keys + first });
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
		ids[i] = i < block->n && document(block, i) >= 0 ? document(block, i) : nobody;
}

/* Where the block's rows begin, or those of its sample if they are listed, in a matrix of (B tokens, A D), and in one of
 * (B A, tokens). */
static float *features(const struct geometry *g, const struct sp_matrix *m, int64_t tokens, const struct block *block)
{
	return (float *)m->data + (block->b * tokens + block->first) * m->stride + block->a * g->shape->head_dim;
}

static float *statistics(const struct geometry *g, const struct sp_matrix *m, const struct block *block)
{
	return (float *)m->data + (block->b * g->shape->heads + block->a) * m->stride + block->first;
}

static void pack(const struct geometry *g, const struct sp_matrix *m, int64_t tokens, const struct block *block,
                 float factor, float *y)
{
	const struct sp_cpu_attention_rows rows = {
		features(g, m, tokens, block), m->stride, block->n, g->shape->head_dim, block->token,
	};
	g->kernels->attention_pack(&rows, factor, block->whole ? NULL : block->doc, y, block->padded, g->width);
}

static void unpack(const struct geometry *g, const float *x, int64_t padded, float factor, int add,
                   const struct sp_matrix *m, int64_t tokens, const struct block *block)
{
	const struct sp_cpu_attention_rows rows = {
		features(g, m, tokens, block), m->stride, block->n, g->shape->head_dim, block->token,
	};
	g->kernels->attention_unpack(x, padded, factor, add, &rows);
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
		.first_row = shape->first_query,
		.row = q->token,
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

/* Rows of queries that are not listed, when they have met nothing: for the first time. */
static void forward_unlisted(const struct geometry *g, const struct sp_attention_forward *args, int64_t b, int64_t a)
{
	const struct sp_attention_shape *shape = g->shape;
	const struct block all = { .b = b, .a = a };
	const int32_t *doc = shape->query_doc + b * shape->chunk;
	float *acc = features(g, &args->acc, shape->chunk, &all);
	for (int64_t i = 0; g->listed_count[b] < shape->chunk && i < shape->chunk; i++) {
		if (doc[i] >= 0)
			continue;
		fill(acc + i * args->acc.stride, 0, shape->head_dim, 0.0f);
		statistics(g, &args->m, &all)[i] = -INFINITY;
		statistics(g, &args->l, &all)[i] = 0.0f;
	}
}

static void forward_load(const struct geometry *g, const struct sp_attention_forward *args, const struct block *q,
                         int first, const struct buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	const float *m = statistics(g, &args->m, q), *l = statistics(g, &args->l, q);
	pack(g, &args->q, shape->chunk, q, shape->scale * SP_CPU_LOG2_E, w->q);
	fill(w->first, first ? 0 : q->n, q->padded, -INFINITY);
	fill(w->second, first ? 0 : q->n, q->padded, 0.0f);
	if (first) {
		fill(w->acc, 0, q->padded * g->width, 0.0f);
		return;
	}
	pack(g, &args->acc, shape->chunk, q, 1.0f, w->acc);
	for (int64_t i = 0; i < q->n; i++) {
		w->first[i] = m[q->token[i]];
		w->second[i] = l[q->token[i]];
	}
}

static void forward_store(const struct geometry *g, const struct sp_attention_forward *args, const struct block *q,
                          const struct buffers *w)
{
	float *m = statistics(g, &args->m, q), *l = statistics(g, &args->l, q);
	unpack(g, w->acc, q->padded, 1.0f, 0, &args->acc, g->shape->chunk, q);
	for (int64_t i = 0; i < q->n; i++) {
		m[q->token[i]] = w->first[i];
		l[q->token[i]] = w->second[i];
	}
}

/* Against the keys whose place among those held is `at`. */
static void forward_tile(const struct geometry *g, const struct sp_attention_forward *args, const struct block *q,
                         const struct block *k, int64_t at, const struct buffers *w)
{
	float *keys = w->k + at * g->keys * g->width, *values = w->v + at * g->keys * g->width;
	const struct sp_cpu_attention_forward_tile t = {
		.tile = tile(g, w, q, k), .q = w->q, .k = keys, .v = values, .m = w->first, .l = w->second, .acc = w->acc,
		.p = w->p, .stride = g->stride,
	};
	if (!w->ready[at]) {
		pack(g, &args->k, g->shape->keys, k, 1.0f, w->staging);
		g->kernels->attention_turn(w->staging, k->padded, g->shape->head_dim, keys);
		pack(g, &args->v, g->shape->keys, k, g->kept, values);
		w->ready[at] = 1;
	}
	g->kernels->attention_forward(&t);
}

/* A block of queries against the keys [key, end_key), which may be held; those of `first` have met none before. */
static void forward_queries(const struct geometry *g, const struct sp_attention_forward *args, const struct block *q,
                            int64_t key, int64_t end_key, int first, const struct buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	int loaded = first;
	if (first)
		forward_load(g, args, q, 1, w);
	for (int64_t at = 0, j = key; j < end_key; at++, j += g->keys) {
		const struct block k = key_block(g, q->b, q->a, j, sp_min(g->keys, end_key - j));
		if (!can_meet(q, &k))
			continue;
		if (!loaded)
			forward_load(g, args, q, 0, w);
		loaded = 1;
		forward_tile(g, args, q, &k, at, w);
		poll(shape);
	}
	if (loaded)
		forward_store(g, args, q, w);
}

/* Unit: the query part `part` of a head, against all keys. */
static void forward_unit(const struct geometry *g, const struct sp_attention_forward *args, int64_t unit,
                         const struct buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	const int64_t part = unit % g->parts, head = unit / g->parts, b = head / shape->heads, a = head % shape->heads;
	const int64_t first = part * g->query_part, end = sp_min(first + g->query_part, g->listed_count[b]);
	int64_t key = 0;
	if (args->first && part == 0)
		forward_unlisted(g, args, b, a);
	do {
		memset(w->ready, 0, (size_t)g->tiles);
		for (int64_t i = first; i < end; i += g->queries) {
			const struct block q = query_block(g, b, a, i, sp_min(g->queries, end - i));
			forward_queries(g, args, &q, key, sp_min(key + g->held, shape->keys), args->first && key == 0, w);
		}
		key += g->held;
	} while (key < shape->keys);
}

int sp_cpu_attention_forward(void *ctx, const struct sp_attention_forward *args)
{
	struct sp_cpu *cpu = ctx;
	const struct sp_attention_shape *shape = &args->shape;
	struct geometry g = forward_geometry(cpu, shape);
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
                            float *to_lse, float *to_dots)
{
	const float *lse = statistics(g, &args->lse, q), *dots = statistics(g, &args->dots, q);
	for (int64_t i = 0; i < q->n; i++) {
		const int32_t token = q->token[i];
		const int none = lse[token] == -INFINITY;
		to_lse[i] = none ? INFINITY : lse[token] * SP_CPU_LOG2_E;
		to_dots[i] = none ? 0.0f : dots[token];
	}
	fill(to_lse, q->n, q->padded, INFINITY);
	fill(to_dots, q->n, q->padded, 0.0f);
}

/* What is held of the queries whose place is `at`. */
static struct sp_cpu_attention_backward_tile held_queries(const struct geometry *g, const struct buffers *w, int64_t at)
{
	const int64_t row = at * g->queries, element = row * g->width;
	return (struct sp_cpu_attention_backward_tile){
		.q = w->q + element, .dout = w->dout + element, .dq = w->acc + element,
		.lse = w->first + row, .dots = w->second + row,
	};
}

static void load_queries(const struct geometry *g, const struct sp_attention_backward *args, const struct block *q,
                         int64_t at, const struct buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	const int64_t row = at * g->queries, element = row * g->width;
	load_statistics(g, args, q, w->first + row, w->second + row);
	pack(g, &args->q, shape->chunk, q, shape->scale * SP_CPU_LOG2_E, w->q + element);
	pack(g, &args->dout, shape->chunk, q, g->kept, w->dout + element);
	fill(w->acc + element, 0, q->padded * g->width, 0.0f);
	w->ready[at] = 1;
}

static void backward_tile(const struct geometry *g, const struct sp_attention_backward *args, const struct block *q,
                          const struct block *k, int64_t at, const struct buffers *w)
{
	struct sp_cpu_attention_backward_tile t = held_queries(g, w, at);
	if (!w->ready[at])
		load_queries(g, args, q, at, w);
	t.tile = tile(g, w, q, k);
	t.k = w->k, t.v = w->v, t.k_panels = w->k_panels, t.dk = w->dk, t.dv = w->dv;
	t.p = w->p, t.ds = w->ds, t.stride = g->stride;
	g->kernels->attention_backward(&t);
}

static void load_keys(const struct geometry *g, const struct sp_attention_backward *args, const struct block *k,
                      const struct buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	pack(g, &args->v, shape->keys, k, 1.0f, w->staging);
	g->kernels->attention_turn(w->staging, k->padded, shape->head_dim, w->v);
	pack(g, &args->k, shape->keys, k, 1.0f, w->k_panels);
	g->kernels->attention_turn(w->k_panels, k->padded, shape->head_dim, w->k);
	fill(w->dk, 0, g->key_rows * g->width, 0.0f);
	fill(w->dv, 0, g->key_rows * g->width, 0.0f);
}

/* dk is the product with queries that were scaled by log2(e) more. */
static void store_keys(const struct geometry *g, const struct sp_attention_backward *args, const struct block *k, int add,
                       const struct buffers *w)
{
	const int64_t padded = sp_round_up(k->padded, g->rows);
	unpack(g, w->dk, padded, SP_CPU_LN_2, add, &args->dk, g->shape->keys, k);
	unpack(g, w->dv, padded, 1.0f, add, &args->dv, g->shape->keys, k);
}

/* A block of keys against queries [first, end) of its head, which may be held. */
static void backward_keys(const struct geometry *g, const struct sp_attention_backward *args, const struct block *k,
                          int64_t first, int64_t end, int overwrite, const struct buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	int loaded = 0;
	for (int64_t at = 0, i = first; i < end; at++, i += g->queries) {
		const struct block q = query_block(g, k->b, k->a, i, sp_min(g->queries, end - i));
		if (!can_meet(&q, k))
			continue;
		if (!loaded)
			load_keys(g, args, k, w);
		loaded = 1;
		backward_tile(g, args, &q, k, at, w);
		poll(shape);
	}
	if (!loaded && overwrite) {
		const int64_t padded = sp_round_up(k->padded, g->rows);
		fill(w->dk, 0, padded * g->width, 0.0f);
		fill(w->dv, 0, padded * g->width, 0.0f);
	}
	if (loaded || overwrite)
		store_keys(g, args, k, !overwrite, w);
}

static void zero_query(const struct geometry *g, const struct sp_attention_backward *args, int64_t b, int64_t a,
                       int64_t token)
{
	const struct block at = { .b = b, .a = a, .first = token };
	fill(features(g, &args->dq, g->shape->chunk, &at), 0, g->shape->head_dim, 0.0f);
}

/* dq of the queries listed at [first, end), so far as they are held. */
static void store_queries(const struct geometry *g, const struct sp_attention_backward *args, int64_t b, int64_t a,
                          int64_t first, int64_t end, int overwrite, const struct buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	for (int64_t at = 0, i = first; i < end; at++, i += g->queries) {
		const struct block q = query_block(g, b, a, i, sp_min(g->queries, end - i));
		if (w->ready[at])
			unpack(g, w->acc + at * g->queries * g->width, q.padded, shape->scale, !overwrite, &args->dq, shape->chunk, &q);
		else if (overwrite)
			for (int64_t row = 0; row < q.n; row++)
				zero_query(g, args, b, a, q.token[row]);
	}
}

static void zero_unlisted(const struct geometry *g, const struct sp_attention_backward *args, int64_t b, int64_t a)
{
	const struct sp_attention_shape *shape = g->shape;
	for (int64_t i = 0; g->listed_count[b] < shape->chunk && i < shape->chunk; i++)
		if (shape->query_doc[b * shape->chunk + i] < 0)
			zero_query(g, args, b, a, i);
}

/* Unit: the key part `part` of a head, against the query part that it meets in this phase. */
static void backward_unit(const struct geometry *g, const struct sp_attention_backward *args, int64_t unit,
                          int64_t phase, const struct buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	const int64_t part = unit % g->parts, head = unit / g->parts, b = head / shape->heads, a = head % shape->heads;
	const int64_t first = sp_min((part + phase) % g->parts * g->query_part, g->listed_count[b]);
	const int64_t end = sp_min(first + g->query_part, g->listed_count[b]);
	const int64_t first_key = sp_min(part * g->key_part, shape->keys);
	const int64_t end_key = sp_min(first_key + g->key_part, shape->keys);
	int64_t i = first;
	if (phase == 0 && part == 0 && args->overwrite_dq)
		zero_unlisted(g, args, b, a);
	do {
		const int64_t end_held = sp_min(i + g->held, end);
		memset(w->ready, 0, (size_t)g->tiles);
		for (int64_t j = first_key; j < end_key; j += g->keys) {
			const struct block k = key_block(g, b, a, j, sp_min(g->keys, end_key - j));
			backward_keys(g, args, &k, i, end_held, phase == 0 && args->overwrite_dkv && i == first, w);
		}
		store_queries(g, args, b, a, i, end_held, phase == 0 && args->overwrite_dq, w);
		i += g->held;
	} while (i < end);
}

int sp_cpu_attention_backward(void *ctx, const struct sp_attention_backward *args)
{
	struct sp_cpu *cpu = ctx;
	const struct sp_attention_shape *shape = &args->shape;
	struct geometry g = backward_geometry(cpu, shape);
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
