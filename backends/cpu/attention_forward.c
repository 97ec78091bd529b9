/* Attention forward on the processor: one unit of work is (sample, head, part of the queries); a block of queries keeps
 * its accumulator packed while blocks of keys pass, which are packed once and held. */
#include "config.h"

#include "cpu/attention_tiles.h"

#include "base/size.h"
#include "cpu/cpu.h"

#include <seqpar/status.h>
#include <math.h>
#include <string.h>

/* Rows of queries that are not listed, when they have met nothing: for the first time. */
static void forward_unlisted(const struct sp_cpu_tiling *g, const struct sp_attention_forward *args, int64_t b,
                             int64_t a)
{
	const struct sp_attention_shape *shape = g->shape;
	const struct sp_cpu_block all = { .b = b, .a = a };
	const int32_t *doc = shape->query_doc + b * shape->chunk;
	float *acc = sp_cpu_block_features(g, &args->acc, shape->chunk, &all);
	for (int64_t i = 0; g->listed_count[b] < shape->chunk && i < shape->chunk; i++) {
		if (doc[i] >= 0)
			continue;
		sp_cpu_fill(acc + i * args->acc.stride, 0, shape->head_dim, 0.0f);
		sp_cpu_block_statistics(g, &args->m, &all)[i] = -INFINITY;
		sp_cpu_block_statistics(g, &args->l, &all)[i] = 0.0f;
	}
}

static void forward_load(const struct sp_cpu_tiling *g, const struct sp_attention_forward *args,
                         const struct sp_cpu_block *q, int first, const struct sp_cpu_tile_buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	const float *m = sp_cpu_block_statistics(g, &args->m, q), *l = sp_cpu_block_statistics(g, &args->l, q);
	sp_cpu_block_pack_left(g, &args->q, shape->chunk, q, shape->scale * SP_CPU_LOG2_E, w->q);
	sp_cpu_fill(w->first, first ? 0 : q->n, q->padded, -INFINITY);
	sp_cpu_fill(w->second, first ? 0 : q->n, q->padded, 0.0f);
	if (first) {
		sp_cpu_fill(w->acc, 0, q->padded * g->width, 0.0f);
		return;
	}
	sp_cpu_block_pack(g, &args->acc, shape->chunk, q, 1.0f, w->acc);
	for (int64_t i = 0; i < q->n; i++) {
		w->first[i] = m[q->token[i]];
		w->second[i] = l[q->token[i]];
	}
}

static void forward_store(const struct sp_cpu_tiling *g, const struct sp_attention_forward *args,
                          const struct sp_cpu_block *q, const struct sp_cpu_tile_buffers *w)
{
	float *m = sp_cpu_block_statistics(g, &args->m, q), *l = sp_cpu_block_statistics(g, &args->l, q);
	sp_cpu_block_unpack(g, w->acc, q->padded, 1.0f, 0, &args->acc, g->shape->chunk, q);
	for (int64_t i = 0; i < q->n; i++) {
		m[q->token[i]] = w->first[i];
		l[q->token[i]] = w->second[i];
	}
}

/* Against the keys whose place among those held is `at`. */
static void forward_tile(const struct sp_cpu_tiling *g, const struct sp_attention_forward *args,
                         const struct sp_cpu_block *q, const struct sp_cpu_block *k, int64_t at,
                         const struct sp_cpu_tile_buffers *w)
{
	float *keys = w->k + at * g->keys * g->width, *values = w->v + at * g->keys * g->width;
	const struct sp_cpu_attention_forward_tile t = {
		.tile = sp_cpu_block_tile(g, w, q, k),
		.q = w->q,
		.k = keys,
		.v = values,
		.m = w->first,
		.l = w->second,
		.acc = w->acc,
		.p = w->p,
		.stride = g->stride,
	};
	if (!w->ready[at]) {
		sp_cpu_block_pack_turned(g, &args->k, g->shape->keys, k, w->staging, keys);
		sp_cpu_block_pack_right(g, &args->v, g->shape->keys, k, g->kept, values);
		w->ready[at] = 1;
	}
	g->kernels->attention_forward(&t);
}

/* A block of queries against the keys [key, end_key), which may be held; those of `first` have met none before. */
static void forward_queries(const struct sp_cpu_tiling *g, const struct sp_attention_forward *args,
                            const struct sp_cpu_block *q, int64_t key, int64_t end_key, int first,
                            const struct sp_cpu_tile_buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	const int64_t listed = q->token - (g->listed + q->b * g->list);
	const struct sp_cpu_reach reach = sp_cpu_reach_keys(g, q->b, listed, listed + q->n);
	const int64_t begin = sp_max(0, reach.first - key) / g->keys;
	int loaded = first;
	if (first)
		forward_load(g, args, q, 1, w);
	for (int64_t at = begin, j = key + at * g->keys; j < sp_min(end_key, reach.end); at++, j += g->keys) {
		const struct sp_cpu_block k = sp_cpu_block_keys(g, q->b, q->a, j, sp_min(g->keys, end_key - j));
		if (!sp_cpu_block_can_meet(g, q, &k))
			continue;
		if (!loaded)
			forward_load(g, args, q, 0, w);
		loaded = 1;
		forward_tile(g, args, q, &k, at, w);
		sp_cpu_tiling_poll(shape);
	}
	if (loaded)
		forward_store(g, args, q, w);
}

/* Unit: the query part `part` of a head, against all keys that it can reach. */
static void forward_unit(const struct sp_cpu_tiling *g, const struct sp_attention_forward *args, int64_t unit,
                         const struct sp_cpu_tile_buffers *w)
{
	const struct sp_attention_shape *shape = g->shape;
	const int64_t part = unit % g->parts, head = unit / g->parts, b = head / shape->heads, a = head % shape->heads;
	const int64_t first = part * g->query_part, end = sp_min(first + g->query_part, g->listed_count[b]);
	const struct sp_cpu_reach reach = sp_cpu_reach_keys(g, b, first, end);
	const int64_t begin = reach.first / g->keys * g->keys;
	int64_t key = begin;
	if (args->first && part == 0)
		forward_unlisted(g, args, b, a);
	do {
		memset(w->ready, 0, (size_t)g->tiles);
		for (int64_t i = first; i < end; i += g->queries) {
			const struct sp_cpu_block q = sp_cpu_block_queries(g, b, a, i, sp_min(g->queries, end - i));
			forward_queries(g, args, &q, key, sp_min(key + g->held, shape->keys), args->first && key == begin, w);
		}
		key += g->held;
	} while (key < reach.end);
}

int sp_cpu_attention_forward(void *ctx, const struct sp_attention_forward *args)
{
	struct sp_cpu *cpu = ctx;
	const struct sp_attention_shape *shape = &args->shape;
	const int narrow = args->q.dtype == SP_BF16 && args->k.dtype == SP_BF16 && args->v.dtype == SP_BF16;
	struct sp_cpu_tiling g = sp_cpu_tiling_forward(cpu, shape, narrow);
	const int64_t units = shape->batch * shape->heads * g.parts;
	const int status = units > 0 ? sp_cpu_tiling_reserve(cpu, &g) : SP_OK;
	if (status != SP_OK || units == 0)
		return status;
#pragma omp parallel num_threads(cpu->threads)
	{
		const struct sp_cpu_tile_buffers w = sp_cpu_tiling_buffers(&g);
#pragma omp for schedule(dynamic)
		for (int64_t unit = 0; unit < units; unit++)
			forward_unit(&g, args, unit, &w);
	}
	return SP_OK;
}
