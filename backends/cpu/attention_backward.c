/* Attention backward on the processor: a unit of work is (sample, head, part of the keys), which owns dk and dv of its
 * part. If there are fewer samples times heads than threads, or not a multiple, keys and queries are cut into n parts
 * each, and the work is done in n phases: in phase t, key part s meets query part (s + t) mod n. So no two units write
 * the same dq at once, each dq gets its parts in the same order every time, and no partial sums need memory. Queries
 * are packed once and held, with their dq. */
#include "config.h"

#include "cpu/attention_tiles.h"

#include "base/size.h"
#include "cpu/cpu.h"

#include <seqpar/status.h>
#include <math.h>
#include <string.h>

/* Rows that attended to nothing: with lse = +inf all their probabilities come out as 0. */
static void load_statistics(const struct sp_cpu_tiling *g, const struct sp_attention_backward *args,
                            const struct sp_cpu_block *q, float *to_lse, float *to_dots)
{
	const float *lse = sp_cpu_block_statistics(g, &args->lse, q), *dots = sp_cpu_block_statistics(g, &args->dots, q);
	for (int64_t i = 0; i < q->n; i++) {
		const int32_t token = q->token[i];
		const int none = lse[token] == -INFINITY;
		to_lse[i] = none ? INFINITY : lse[token] * SP_CPU_LOG2_E;
		to_dots[i] = none ? 0.0f : dots[token];
	}
	sp_cpu_fill(to_lse, q->n, q->padded, INFINITY);
	sp_cpu_fill(to_dots, q->n, q->padded, 0.0f);
}

/* Queries stand on both sides of products: panels serve both, of pairs panels follow the rows, in no more memory. */
static int64_t panels_behind(const struct sp_cpu_tiling *g)
{
	return g->pairs ? g->queries * g->depth : 0;
}

/* What is held of the queries whose place is `at`. */
static struct sp_cpu_attention_backward_tile held_queries(const struct sp_cpu_tiling *g,
                                                          const struct sp_cpu_tile_buffers *w, int64_t at)
{
	const int64_t row = at * g->queries, element = row * g->width, panels = element + panels_behind(g);
	return (struct sp_cpu_attention_backward_tile){
		.q = w->q + element,
		.dout = w->dout + element,
		.q_panels = w->q + panels,
		.dout_panels = w->dout + panels,
		.dq = w->acc + element,
		.lse = w->first + row,
		.dots = w->second + row,
	};
}

static void load_queries(const struct sp_cpu_tiling *g, const struct sp_attention_backward *args,
                         const struct sp_cpu_block *q, int64_t at, const struct sp_cpu_tile_buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	const int64_t row = at * g->queries, element = row * g->width;
	load_statistics(g, args, q, w->first + row, w->second + row);
	sp_cpu_block_pack_left(g, &args->q, shape->chunk, q, shape->scale * SP_CPU_LOG2_E, w->q + element);
	sp_cpu_block_pack_left(g, &args->dout, shape->chunk, q, g->kept, w->dout + element);
	if (g->pairs) {
		sp_cpu_block_pack_right(g, &args->q, shape->chunk, q, 1.0f, w->q + element + panels_behind(g));
		sp_cpu_block_pack_right(g, &args->dout, shape->chunk, q, 1.0f, w->dout + element + panels_behind(g));
	}
	sp_cpu_fill(w->acc + element, 0, q->padded * g->width, 0.0f);
	w->ready[at] = 1;
}

static void backward_tile(const struct sp_cpu_tiling *g, const struct sp_attention_backward *args,
                          const struct sp_cpu_block *q, const struct sp_cpu_block *k, int64_t at,
                          const struct sp_cpu_tile_buffers *w)
{
	struct sp_cpu_attention_backward_tile t = held_queries(g, w, at);
	if (!w->ready[at])
		load_queries(g, args, q, at, w);
	t.tile = sp_cpu_block_tile(g, w, q, k);
	t.k = w->k, t.v = w->v, t.k_panels = w->k_panels, t.dk = w->dk, t.dv = w->dv;
	t.p = w->p, t.ds = w->ds, t.stride = g->stride;
	g->kernels->attention_backward(&t);
}

static void load_keys(const struct sp_cpu_tiling *g, const struct sp_attention_backward *args,
                      const struct sp_cpu_block *k, const struct sp_cpu_tile_buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	sp_cpu_block_pack_turned(g, &args->v, shape->keys, k, w->staging, w->v);
	sp_cpu_block_pack_turned(g, &args->k, shape->keys, k, w->k_panels, w->k);
	if (g->pairs)
		sp_cpu_block_pack_right(g, &args->k, shape->keys, k, 1.0f, w->k_panels);
	sp_cpu_fill(w->dk, 0, g->key_rows * g->width, 0.0f);
	sp_cpu_fill(w->dv, 0, g->key_rows * g->width, 0.0f);
}

/* dk is the product with queries that were scaled by log2(e) more, or as pairs not at all. */
static void store_keys(const struct sp_cpu_tiling *g, const struct sp_attention_backward *args,
                       const struct sp_cpu_block *k, int add, const struct sp_cpu_tile_buffers *w)
{
	const int64_t padded = sp_round_up(k->padded, g->rows);
	sp_cpu_block_unpack(g, w->dk, padded, g->pairs ? g->shape->scale : SP_CPU_LN_2, add, &args->dk, g->shape->keys, k);
	sp_cpu_block_unpack(g, w->dv, padded, 1.0f, add, &args->dv, g->shape->keys, k);
}

/* A block of keys against queries [first, end) of its head, which may be held. */
static void backward_keys(const struct sp_cpu_tiling *g, const struct sp_attention_backward *args,
                          const struct sp_cpu_block *k, int64_t first, int64_t end, int overwrite,
                          const struct sp_cpu_tile_buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	const struct sp_cpu_reach reach = sp_cpu_reach_queries(g, k->b, first, end, k->first, k->first + k->n);
	const int64_t begin = (reach.first - first) / g->queries;
	int loaded = 0;
	for (int64_t at = begin, i = first + at * g->queries; i < reach.end; at++, i += g->queries) {
		const struct sp_cpu_block q = sp_cpu_block_queries(g, k->b, k->a, i, sp_min(g->queries, end - i));
		if (!sp_cpu_block_can_meet(g, &q, k))
			continue;
		if (!loaded)
			load_keys(g, args, k, w);
		loaded = 1;
		backward_tile(g, args, &q, k, at, w);
		sp_cpu_tiling_poll(shape);
	}
	if (!loaded && overwrite) {
		const int64_t padded = sp_round_up(k->padded, g->rows);
		sp_cpu_fill(w->dk, 0, padded * g->width, 0.0f);
		sp_cpu_fill(w->dv, 0, padded * g->width, 0.0f);
	}
	if (loaded || overwrite)
		store_keys(g, args, k, !overwrite, w);
}

static void zero_query(const struct sp_cpu_tiling *g, const struct sp_attention_backward *args, int64_t b, int64_t a,
                       int64_t token)
{
	const struct sp_cpu_block at = { .b = b, .a = a, .first = token };
	sp_cpu_fill(sp_cpu_block_features(g, &args->dq, g->shape->chunk, &at), 0, g->shape->head_dim, 0.0f);
}

/* dq of the queries listed at [first, end), so far as they are held. */
static void store_queries(const struct sp_cpu_tiling *g, const struct sp_attention_backward *args, int64_t b, int64_t a,
                          int64_t first, int64_t end, int overwrite, const struct sp_cpu_tile_buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	for (int64_t at = 0, i = first; i < end; at++, i += g->queries) {
		const struct sp_cpu_block q = sp_cpu_block_queries(g, b, a, i, sp_min(g->queries, end - i));
		if (w->ready[at])
			sp_cpu_block_unpack(g, w->acc + at * g->queries * g->width, q.padded, shape->scale, !overwrite, &args->dq,
			                    shape->chunk, &q);
		else if (overwrite)
			for (int64_t row = 0; row < q.n; row++)
				zero_query(g, args, b, a, q.token[row]);
	}
}

static void zero_unlisted(const struct sp_cpu_tiling *g, const struct sp_attention_backward *args, int64_t b, int64_t a)
{
	const struct sp_attention_shape *shape = g->shape;
	for (int64_t i = 0; g->listed_count[b] < shape->chunk && i < shape->chunk; i++)
		if (shape->query_doc[b * shape->chunk + i] < 0)
			zero_query(g, args, b, a, i);
}

/* Unit: the key part `part` of a head, against the query part that it meets in this phase. */
static void backward_unit(const struct sp_cpu_tiling *g, const struct sp_attention_backward *args, int64_t unit,
                          int64_t phase, const struct sp_cpu_tile_buffers *w)
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
		const struct sp_cpu_reach reach = sp_cpu_reach_keys(g, b, i, end_held);
		const int overwrite = phase == 0 && args->overwrite_dkv && i == first;
		memset(w->ready, 0, (size_t)g->tiles);
		for (int64_t j = first_key; j < end_key; j += g->keys) {
			if (!overwrite && (j >= reach.end || j + g->keys <= reach.first))
				continue;
			const struct sp_cpu_block k = sp_cpu_block_keys(g, b, a, j, sp_min(g->keys, end_key - j));
			backward_keys(g, args, &k, i, end_held, overwrite, w);
		}
		store_queries(g, args, b, a, i, end_held, phase == 0 && args->overwrite_dq, w);
		i += g->held;
	} while (i < end);
}

int sp_cpu_attention_backward(void *ctx, const struct sp_attention_backward *args)
{
	struct sp_cpu *cpu = ctx;
	const struct sp_attention_shape *shape = &args->shape;
	const int narrow = args->q.dtype == SP_BF16 && args->k.dtype == SP_BF16 && args->v.dtype == SP_BF16 &&
	                   args->dout.dtype == SP_BF16;
	struct sp_cpu_tiling g = sp_cpu_tiling_backward(cpu, shape, narrow);
	const int64_t units = shape->batch * shape->heads * g.parts;
	const int status = units > 0 ? sp_cpu_tiling_reserve(cpu, &g) : SP_OK;
	if (status != SP_OK || units == 0)
		return status;
#pragma omp parallel num_threads(cpu->threads)
	{
		const struct sp_cpu_tile_buffers w = sp_cpu_tiling_buffers(&g);
		for (int64_t phase = 0; phase < g.parts; phase++)
#pragma omp for schedule(dynamic)
			for (int64_t unit = 0; unit < units; unit++)
				backward_unit(&g, args, unit, phase, &w);
	}
	return SP_OK;
}
