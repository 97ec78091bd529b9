/* How attention's work is cut into tiles, and what a thread holds of it. See attention_tiles.h. */
#include "config.h"

#include "cpu/attention_tiles.h"

#include "backend/arena.h"
#include "base/size.h"
#include "cpu/cpu.h"

#include <seqpar/status.h>
#include <math.h>
#include <string.h>

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

static struct sp_cpu_tiling tiling(const struct sp_cpu *cpu, const struct sp_attention_shape *shape, int narrow)
{
	int pairs;
	struct sp_cpu_tiling g = { .shape = shape, .kernels = cpu->kernels, .kept = 65536.0f / (float)shape->dropout.keep };
	cpu->kernels->attention_block(&g.rows, &g.columns, &pairs);
	g.pairs = narrow && pairs;
	g.depth = g.pairs ? sp_ceil_div(shape->head_dim, 2) : shape->head_dim;
	g.width = sp_round_up(shape->head_dim, g.columns);
	g.ahead = (int64_t)shape->first_query - (int64_t)shape->first_key;
	g.list = sp_round_up(shape->chunk, g.rows);
	for (int64_t b = 0; b < shape->batch; b++)
		g.most = sp_max(g.most, count_listed(shape, b));
	return g;
}

/* Tiles of `rows` rows each, as many as may be held and there are. */
static void hold(struct sp_cpu_tiling *g, int64_t rows, int64_t all)
{
	g->tiles = sp_max(sp_min(HELD_ELEMENTS / sp_max(rows * g->width, 1), sp_ceil_div(all, rows)), 1);
	g->held = g->tiles * rows;
}

struct sp_cpu_tiling sp_cpu_tiling_forward(const struct sp_cpu *cpu, const struct sp_attention_shape *shape, int narrow)
{
	struct sp_cpu_tiling g = tiling(cpu, shape, narrow);
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

struct sp_cpu_tiling sp_cpu_tiling_backward(const struct sp_cpu *cpu, const struct sp_attention_shape *shape, int narrow)
{
	struct sp_cpu_tiling g = tiling(cpu, shape, narrow);
	g.backward = 1;
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

static int carve(const struct sp_cpu_tiling *g, struct sp_arena *arena, struct sp_cpu_tile_buffers *b)
{
	const int64_t query_rows = g->backward ? g->held : g->queries, queries = query_rows * g->width;
	const int64_t keys = g->key_rows * g->width, held_keys = g->backward ? keys : g->held * g->width;
	const int64_t score_rows = g->backward ? g->queries : g->rows;
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
	if (g->backward) {
		b->dout = take(arena, queries, sizeof(float), &status);
		b->k_panels = take(arena, keys, sizeof(float), &status);
		b->dk = take(arena, keys, sizeof(float), &status);
		b->dv = take(arena, keys, sizeof(float), &status);
		b->ds = take(arena, score_rows * g->stride, sizeof(float), &status);
	}
	return status;
}

static int carve_lists(const struct sp_cpu_tiling *g, struct sp_arena *arena, int32_t **listed, int32_t **count)
{
	int status = SP_OK;
	*listed = take(arena, g->shape->batch * g->list, sizeof(int32_t), &status);
	*count = take(arena, g->shape->batch, sizeof(int32_t), &status);
	return status;
}

static void list_queries(struct sp_cpu_tiling *g, struct sp_arena *arena)
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

int sp_cpu_tiling_reserve(struct sp_cpu *cpu, struct sp_cpu_tiling *g)
{
	struct sp_arena count = { 0 }, lists = { 0 };
	struct sp_cpu_tile_buffers unused = { 0 };
	int32_t *none;
	size_t bytes;
	int status = carve(g, &count, &unused);
	if (status == SP_OK)
		status = carve_lists(g, &lists, &none, &none);
	if (status != SP_OK)
		return status;
	if (sp_size_mul(count.used, (size_t)cpu->threads, &bytes) || sp_size_add(bytes, lists.used, &bytes))
		return SP_ERR_MEMORY;
	g->each = count.used;
	g->memory = sp_cpu_scratch(cpu, bytes);
	if (!g->memory)
		return SP_ERR_MEMORY;
	list_queries(g, &(struct sp_arena){ .base = g->memory + (size_t)cpu->threads * g->each, .size = lists.used });
	return SP_OK;
}

struct sp_cpu_tile_buffers sp_cpu_tiling_buffers(const struct sp_cpu_tiling *g)
{
	struct sp_arena arena = { .base = g->memory + (size_t)sp_cpu_thread() * g->each, .size = g->each };
	struct sp_cpu_tile_buffers buffers = { 0 };
	carve(g, &arena, &buffers);
	return buffers;
}

/* ---- blocks ---- */

static int32_t document(const struct sp_cpu_block *block, int64_t i)
{
	return block->doc[block->token ? block->token[i] : i];
}

static struct sp_cpu_block look(struct sp_cpu_block block)
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

struct sp_cpu_block sp_cpu_block_queries(const struct sp_cpu_tiling *g, int64_t b, int64_t a, int64_t first, int64_t n)
{
	return look((struct sp_cpu_block){ .b = b,
	                                   .a = a,
	                                   .n = n,
	                                   .padded = sp_round_up(n, g->rows),
	                                   .token = g->listed + b * g->list + first,
	                                   .doc = g->shape->query_doc + b * g->shape->chunk });
}

struct sp_cpu_block sp_cpu_block_keys(const struct sp_cpu_tiling *g, int64_t b, int64_t a, int64_t first, int64_t n)
{
	return look((struct sp_cpu_block){ .b = b,
	                                   .a = a,
	                                   .first = first,
	                                   .n = n,
	                                   .padded = sp_round_up(n, g->columns),
	                                   .doc = g->shape->key_doc + b * g->shape->keys + first });
}

struct sp_cpu_reach sp_cpu_reach_keys(const struct sp_cpu_tiling *g, int64_t b, int64_t first, int64_t end)
{
	const struct sp_attention_shape *s = g->shape;
	const int32_t *token = g->listed + b * g->list;
	if (s->window == 0 || first >= end)
		return (struct sp_cpu_reach){ 0, s->window == 0 ? s->keys : 0 };
	return (struct sp_cpu_reach){ sp_max(0, token[first] + g->ahead - s->window),
		                          sp_min(s->keys, token[end - 1] + g->ahead + s->window + 1) };
}

/* The first of the queries listed at [first, end) that is at token `least` or behind it. */
static int64_t find_listed(const int32_t *token, int64_t first, int64_t end, int64_t least)
{
	while (first < end) {
		const int64_t middle = first + (end - first) / 2;
		if (token[middle] < least)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

struct sp_cpu_reach sp_cpu_reach_queries(const struct sp_cpu_tiling *g, int64_t b, int64_t first, int64_t end, int64_t key,
                                         int64_t end_key)
{
	const int64_t window = g->shape->window;
	const int32_t *token = g->listed + b * g->list;
	if (window == 0)
		return (struct sp_cpu_reach){ first, end };
	return (struct sp_cpu_reach){ find_listed(token, first, end, key - g->ahead - window),
		                          find_listed(token, first, end, end_key - g->ahead + window) };
}

/* Key numbers of a block's queries, least and largest. */
static int64_t least_of(const struct sp_cpu_tiling *g, const struct sp_cpu_block *q)
{
	return q->token[0] + g->ahead;
}

static int64_t largest_of(const struct sp_cpu_tiling *g, const struct sp_cpu_block *q)
{
	return q->token[q->n - 1] + g->ahead;
}

int sp_cpu_block_can_meet(const struct sp_cpu_tiling *g, const struct sp_cpu_block *q, const struct sp_cpu_block *k)
{
	const int64_t window = g->shape->window;
	return q->low <= k->high && k->low <= q->high &&
	       (window == 0 || (largest_of(g, q) + window >= k->first && least_of(g, q) - window < k->first + k->n));
}

/* Nothing of the two is too far apart. */
static int all_near(const struct sp_cpu_tiling *g, const struct sp_cpu_block *q, const struct sp_cpu_block *k)
{
	const int64_t window = g->shape->window;
	return window == 0 || (largest_of(g, q) - window <= k->first && least_of(g, q) + window >= k->first + k->n - 1);
}

/* One and the same document throughout, and no key is padding of ours. */
static int all_meet(const struct sp_cpu_block *q, const struct sp_cpu_block *k)
{
	return q->whole && k->whole && k->n == k->padded && q->low == q->high && k->low == k->high && q->low == k->low;
}

/* Ids for comparison: whatever is negative, and the padding of the block, becomes `nobody`. */
static void copy_ids(const struct sp_cpu_block *block, int32_t nobody, int32_t *ids)
{
	for (int64_t i = 0; i < block->padded; i++)
		ids[i] = i < block->n && document(block, i) >= 0 ? document(block, i) : nobody;
}

void *sp_cpu_block_features(const struct sp_cpu_tiling *g, const struct sp_matrix *m, int64_t tokens,
                            const struct sp_cpu_block *block)
{
	const int64_t at = (block->b * tokens + block->first) * m->stride + block->a * g->shape->head_dim;
	return (char *)m->data + (size_t)at * sp_dtype_size(m->dtype);
}

float *sp_cpu_block_statistics(const struct sp_cpu_tiling *g, const struct sp_matrix *m,
                               const struct sp_cpu_block *block)
{
	return (float *)m->data + (block->b * g->shape->heads + block->a) * m->stride + block->first;
}

static struct sp_cpu_attention_rows rows_of(const struct sp_cpu_tiling *g, const struct sp_matrix *m, int64_t tokens,
                                            const struct sp_cpu_block *block)
{
	return (struct sp_cpu_attention_rows){
		sp_cpu_block_features(g, m, tokens, block), m->stride, block->n, g->shape->head_dim, block->token, m->dtype,
	};
}

void sp_cpu_block_pack(const struct sp_cpu_tiling *g, const struct sp_matrix *m, int64_t tokens,
                       const struct sp_cpu_block *block, float factor, float *y)
{
	const struct sp_cpu_attention_rows rows = rows_of(g, m, tokens, block);
	g->kernels->attention_pack(&rows, factor, block->whole ? NULL : block->doc, y, block->padded, g->width);
}

void sp_cpu_block_pack_left(const struct sp_cpu_tiling *g, const struct sp_matrix *m, int64_t tokens,
                            const struct sp_cpu_block *block, float factor, float *y)
{
	const struct sp_cpu_attention_rows rows = rows_of(g, m, tokens, block);
	if (g->pairs)
		g->kernels->attention_pack_rows(&rows, block->whole ? NULL : block->doc, y, block->padded, g->depth);
	else
		sp_cpu_block_pack(g, m, tokens, block, factor, y);
}

void sp_cpu_block_pack_turned(const struct sp_cpu_tiling *g, const struct sp_matrix *m, int64_t tokens,
                              const struct sp_cpu_block *block, float *room, float *y)
{
	sp_cpu_block_pack_left(g, m, tokens, block, 1.0f, room);
	if (g->pairs)
		g->kernels->attention_turn_rows(room, block->padded, g->depth, y);
	else
		g->kernels->attention_turn(room, block->padded, g->depth, y);
}

void sp_cpu_block_pack_right(const struct sp_cpu_tiling *g, const struct sp_matrix *m, int64_t tokens,
                             const struct sp_cpu_block *block, float factor, float *y)
{
	const struct sp_cpu_attention_rows rows = rows_of(g, m, tokens, block);
	if (g->pairs)
		g->kernels->attention_pack_pairs(&rows, block->whole ? NULL : block->doc, y, block->padded, g->width);
	else
		sp_cpu_block_pack(g, m, tokens, block, factor, y);
}

void sp_cpu_block_unpack(const struct sp_cpu_tiling *g, const float *x, int64_t padded, float factor, int add,
                         const struct sp_matrix *m, int64_t tokens, const struct sp_cpu_block *block)
{
	const struct sp_cpu_attention_rows rows = rows_of(g, m, tokens, block);
	g->kernels->attention_unpack(x, padded, factor, add, &rows);
}

void sp_cpu_fill(float *x, int64_t first, int64_t end, float value)
{
	for (int64_t i = first; i < end; i++)
		x[i] = value;
}

struct sp_cpu_attention_tile sp_cpu_block_tile(const struct sp_cpu_tiling *g, const struct sp_cpu_tile_buffers *w,
                                               const struct sp_cpu_block *q, const struct sp_cpu_block *k)
{
	const struct sp_attention_shape *shape = g->shape;
	struct sp_cpu_attention_tile t = {
		.rows = q->padded,
		.keys = k->padded,
		.depth = g->depth,
		.width = g->width,
		.pairs = g->pairs,
		.factor = shape->scale * SP_CPU_LOG2_E,
		.kept = g->kept,
		.dropout = shape->dropout,
		.first_row = shape->first_query,
		.row = q->token,
		.first_column = shape->first_key + (uint32_t)k->first,
		.half = w->half,
	};
	if (shape->dropout.keep != 65536)
		t.head = sp_attention_line(shape, shape->sample[q->b], q->a);
	if (!all_near(g, q, k)) {
		t.window = shape->window;
		t.ahead = g->ahead - k->first;
	}
	if (t.window || !all_meet(q, k)) {
		copy_ids(q, -2, w->query_doc);
		copy_ids(k, -1, w->key_doc);
		t.query_doc = w->query_doc;
		t.key_doc = w->key_doc;
	}
	return t;
}

void sp_cpu_tiling_poll(const struct sp_attention_shape *shape)
{
	if (shape->poll && sp_cpu_thread() == 0)
		shape->poll(shape->poll_ctx);
}
