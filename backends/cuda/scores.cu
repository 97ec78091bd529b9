/* Attention on whole rows of scores: masks, dropout and the gradient a warp a row, the softmax a block a row. */
#include "cuda/common.cuh"

enum { WARPS = 4, THREADS = WARPS * WARP, SOFTMAX_THREADS = 256, SOFTMAX_WARPS = SOFTMAX_THREADS / WARP };

/* ---- a block of keys ---- */

struct block {
	int64_t heads, chunk, keys, count; /* count: rows */
	const int32_t *query_doc, *key_doc;
	const uint32_t *sample;
	uint32_t first_query, first_key, all_heads, first_head;
	float scale;
	struct dropout dropout;
	struct rows<float> x, y, dots; /* y is written */
	int wide;
};

/* Of row r of the scores: its sample, head and query. */
struct place {
	int64_t b, a, i;
};

static __device__ __forceinline__ struct place place_of(const struct block &s, int64_t r)
{
	return { r / s.chunk / s.heads, r / s.chunk % s.heads, r % s.chunk };
}

/* Bit e: key j + e is kept. The first key need not begin a group of the generator's. */
static __device__ __forceinline__ unsigned kept_keys(const struct block &s, struct place p, int64_t j)
{
	const uint32_t key = s.first_key + (uint32_t)j, over = key % GROUP, query = s.first_query + (uint32_t)p.i;
	const uint32_t line = s.sample[p.b] * s.all_heads + s.first_head + (uint32_t)p.a;
	const unsigned low = kept8(s.dropout, key / GROUP, query, line);
	return over == 0 ? low : low >> over | kept8(s.dropout, key / GROUP + 1, query, line) << (GROUP - over);
}

static __device__ __forceinline__ float factor(const struct block &s, unsigned kept, int e)
{
	return !drops(s.dropout) ? 1.0f : kept >> e & 1 ? s.dropout.scale : 0.0f;
}

enum job { MASK, DROP, BACKWARD };

template <int JOB> static __global__ void __launch_bounds__(THREADS) each_row(struct block s)
{
	const int64_t r = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP;
	if (r >= s.count)
		return;
	s.dropout = with_key(s.dropout);
	const struct place p = place_of(s, r);
	const int32_t doc = JOB == MASK ? s.query_doc[p.b * s.chunk + p.i] : 0;
	const float dots = JOB == BACKWARD ? row_at(s.dots, p.b * s.heads + p.a)[p.i] : 0.0f;
	for (int64_t j = threadIdx.x % WARP * GROUP; j < s.keys; j += WARP * GROUP) {
		const unsigned kept = JOB != MASK && drops(s.dropout) ? kept_keys(s, p, j) : 0;
		const struct eight x = load8(row_at(s.x, r), j, s.keys, s.wide);
		struct eight y = JOB == BACKWARD ? load8(row_at(s.y, r), j, s.keys, s.wide) : x;
#pragma unroll
		for (int e = 0; e < GROUP; e++) {
			if (JOB == MASK)
				y.v[e] = j + e < s.keys && doc >= 0 && s.key_doc[p.b * s.keys + j + e] == doc ? s.scale * x.v[e] : -INFINITY;
			if (JOB == DROP)
				y.v[e] = x.v[e] * factor(s, kept, e);
			if (JOB == BACKWARD)
				y.v[e] = s.scale * x.v[e] * (factor(s, kept, e) * y.v[e] - dots);
		}
		store8(row_at(s.y, r), j, s.keys, s.wide, y);
	}
}

static struct block block_of(const struct sp_attention_shape *s, struct sp_matrix x, struct sp_matrix y, struct sp_matrix dots)
{
	const struct sp_matrix moved[] = { x, y };
	return { s->heads,
		     s->chunk,
		     s->keys,
		     s->batch * s->heads * s->chunk,
		     s->query_doc,
		     s->key_doc,
		     s->sample,
		     s->first_query,
		     s->first_key,
		     s->all_heads ? s->all_heads : (uint32_t)s->heads,
		     s->first_head,
		     s->scale,
		     dropout_of(&s->dropout),
		     rows_of(x),
		     rows_of(y),
		     rows_of(dots),
		     is_wide(s->keys, moved, 2) };
}

template <int JOB> static int queue(void *ctx, const struct block &s)
{
	if (s.count == 0 || s.keys == 0)
		return SP_OK;
	return SP_LAUNCH(static_cast<struct sp_cuda *>(ctx), (each_row<JOB>), ceil_div(s.count, WARPS), THREADS, 0, s);
}

extern "C" int sp_cuda_scores_mask(void *ctx, const struct sp_scores_mask *args)
{
	return queue<MASK>(ctx, block_of(&args->shape, args->s, args->s, args->s));
}

extern "C" int sp_cuda_scores_drop(void *ctx, const struct sp_scores_drop *args)
{
	return queue<DROP>(ctx, block_of(&args->shape, args->p, args->y, args->p));
}

extern "C" int sp_cuda_scores_backward(void *ctx, const struct sp_scores_backward *args)
{
	return queue<BACKWARD>(ctx, block_of(&args->shape, args->p, args->ds, args->dots));
}

/* ---- whole rows ---- */

struct softmax {
	struct rows<float> s;
	float *lse;
	int64_t cols;
	int wide;
};

static __device__ __forceinline__ float block_max(float x, float *slots)
{
#pragma unroll
	for (int o = WARP / 2; o > 0; o /= 2)
		x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, o));
	if (threadIdx.x % WARP == 0)
		slots[threadIdx.x / WARP] = x;
	__syncthreads();
	x = slots[0];
	for (int w = 1; w < SOFTMAX_WARPS; w++)
		x = slots[w] > x ? slots[w] : x;
	return x;
}

static __global__ void __launch_bounds__(SOFTMAX_THREADS) softmax_rows(struct softmax a)
{
	SP_SHARED(float, slots); /* for the maximum, then for the sum */
	float *s = row_at(a.s, blockIdx.x);
	float max = -INFINITY, sum = 0.0f;
	for (int64_t j = threadIdx.x * GROUP; j < a.cols; j += SOFTMAX_THREADS * GROUP) {
		const struct eight v = load8(s, j, a.cols, a.wide);
#pragma unroll
		for (int e = 0; e < GROUP; e++)
			max = j + e < a.cols ? fmaxf(max, v.v[e]) : max;
	}
	max = block_max(max, slots);
	const int none = max == -INFINITY;
	for (int64_t j = threadIdx.x * GROUP; j < a.cols; j += SOFTMAX_THREADS * GROUP) {
		struct eight v = load8(s, j, a.cols, a.wide);
#pragma unroll
		for (int e = 0; e < GROUP; e++) {
			v.v[e] = none ? 0.0f : expf(v.v[e] - max);
			sum += j + e < a.cols ? v.v[e] : 0.0f;
		}
		store8(s, j, a.cols, a.wide, v);
	}
	const double total = block_sum((double)sum, reinterpret_cast<double *>(slots + SOFTMAX_WARPS));
	const float share = none ? 0.0f : (float)(1.0 / total);
	if (threadIdx.x == 0)
		a.lse[blockIdx.x] = none ? -INFINITY : (float)((double)max + log(total));
	for (int64_t j = threadIdx.x * GROUP; j < a.cols; j += SOFTMAX_THREADS * GROUP) {
		struct eight v = load8(s, j, a.cols, a.wide);
#pragma unroll
		for (int e = 0; e < GROUP; e++)
			v.v[e] *= share;
		store8(s, j, a.cols, a.wide, v);
	}
}

extern "C" int sp_cuda_scores_softmax(void *ctx, const struct sp_scores_softmax *args)
{
	const struct softmax a = { rows_of(args->s), static_cast<float *>(args->lse.data), args->s.cols,
		                       is_wide(args->s.cols, &args->s, 1) };
	if (args->s.rows == 0)
		return SP_OK;
	return SP_LAUNCH(static_cast<struct sp_cuda *>(ctx), softmax_rows, args->s.rows, SOFTMAX_THREADS,
	                 SOFTMAX_WARPS * (sizeof(float) + sizeof(double)), a);
}
