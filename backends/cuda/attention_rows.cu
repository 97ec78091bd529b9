/* The end of the online softmax, two of them folded into one, and the row term of its backward: a warp per token and head. */
#include "cuda/common.cuh"

enum { WARPS = 4, THREADS = WARPS * WARP };

/* X, Y: types of what goes in and of what comes out, or goes in too. */
template <class X, class Y> struct heads {
	int64_t heads, head_dim, chunk, count; /* count: tokens times heads */
	struct rows<X> x;
	struct rows<Y> y;
	struct rows<float> m, l, out;
};

/* Token and head of a warp: row and first column in (tokens, A D), row and column in (B A, C). */
struct place {
	int64_t token, column, line, query;
};

template <class X, class Y> static __device__ __forceinline__ struct place place_of(const struct heads<X, Y> &a, int64_t i)
{
	const int64_t token = i / a.heads, head = i % a.heads;
	return { token, head * a.head_dim, token / a.chunk * a.heads + head, token % a.chunk };
}

template <class E> static __global__ void __launch_bounds__(THREADS) attention_finish(struct heads<float, E> a)
{
	const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP;
	if (i >= a.count)
		return;
	const struct place at = place_of(a, i);
	const float m = row_at(a.m, at.line)[at.query], l = row_at(a.l, at.line)[at.query];
	const float *acc = row_at(a.x, at.token) + at.column;
	E *o = row_at(a.y, at.token) + at.column;
	for (int64_t d = threadIdx.x % WARP; d < a.head_dim; d += WARP)
		write1(o + d, l > 0.0f ? acc[d] / l : 0.0f);
	__syncwarp(); /* lse may take the place of m or l */
	if (threadIdx.x % WARP == 0)
		row_at(a.out, at.line)[at.query] = l > 0.0f ? m + logf(l) : -INFINITY;
}

struct fold {
	struct heads<float, float> of; /* x: acc */
	struct rows<float> from, from_m, from_l;
};

static __global__ void __launch_bounds__(THREADS) attention_merge(struct fold f)
{
	const struct heads<float, float> &a = f.of;
	const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP;
	if (i >= a.count)
		return;
	const struct place at = place_of(a, i);
	float *m = row_at(a.m, at.line) + at.query, *l = row_at(a.l, at.line) + at.query;
	const float before = *m, other = row_at(f.from_m, at.line)[at.query], max = fmaxf(before, other);
	const float keep = before > -INFINITY ? expf(before - max) : 0.0f, add = other > -INFINITY ? expf(other - max) : 0.0f;
	float *acc = row_at(a.x, at.token) + at.column;
	const float *from = row_at(f.from, at.token) + at.column;
	for (int64_t d = threadIdx.x % WARP; d < a.head_dim; d += WARP)
		acc[d] = keep * acc[d] + add * from[d];
	__syncwarp(); /* all lanes have read m */
	if (threadIdx.x % WARP == 0) {
		*l = keep * *l + add * row_at(f.from_l, at.line)[at.query];
		*m = max;
	}
}

template <class E> static __global__ void __launch_bounds__(THREADS) attention_dots(struct heads<E, E> a)
{
	const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP;
	if (i >= a.count)
		return;
	const struct place at = place_of(a, i);
	const E *dout = row_at(a.x, at.token) + at.column, *o = row_at(a.y, at.token) + at.column;
	float sum = 0.0f;
	for (int64_t d = threadIdx.x % WARP; d < a.head_dim; d += WARP)
		sum += read1(dout + d) * read1(o + d);
	sum = warp_sum(sum);
	if (threadIdx.x % WARP == 0)
		row_at(a.out, at.line)[at.query] = sum;
}

template <class E> static int queue(struct sp_cuda *cuda, const struct sp_attention_finish *args)
{
	const struct heads<float, E> a = { args->heads,
		                               args->head_dim,
		                               args->chunk,
		                               args->batch * args->chunk * args->heads,
		                               rows_of(args->acc),
		                               rows_of<E>(args->o),
		                               rows_of(args->m),
		                               rows_of(args->l),
		                               rows_of(args->lse) };
	if (a.count == 0)
		return SP_OK;
	return SP_LAUNCH(cuda, attention_finish<E>, ceil_div(a.count, WARPS), THREADS, 0, a);
}

extern "C" int sp_cuda_attention_finish(void *ctx, const struct sp_attention_finish *args)
{
	return SP_BY_ELEMENT(args->o.dtype, queue, static_cast<struct sp_cuda *>(ctx), args);
}

extern "C" int sp_cuda_attention_merge(void *ctx, const struct sp_attention_merge *args)
{
	const struct fold f = { { args->heads, args->head_dim, args->chunk, args->batch * args->chunk * args->heads,
		                      rows_of(args->acc), { NULL, 0 }, rows_of(args->m), rows_of(args->l), { NULL, 0 } },
		                    rows_of(args->from_acc), rows_of(args->from_m), rows_of(args->from_l) };
	if (f.of.count == 0)
		return SP_OK;
	return SP_LAUNCH(static_cast<struct sp_cuda *>(ctx), attention_merge, ceil_div(f.of.count, WARPS), THREADS, 0, f);
}

template <class E> static int queue(struct sp_cuda *cuda, const struct sp_attention_dots *args)
{
	const struct heads<E, E> a = { args->heads,
		                           args->head_dim,
		                           args->chunk,
		                           args->batch * args->chunk * args->heads,
		                           rows_of<E>(args->dout),
		                           rows_of<E>(args->o),
		                           { NULL, 0 },
		                           { NULL, 0 },
		                           rows_of(args->dots) };
	if (a.count == 0)
		return SP_OK;
	return SP_LAUNCH(cuda, attention_dots<E>, ceil_div(a.count, WARPS), THREADS, 0, a);
}

extern "C" int sp_cuda_attention_dots(void *ctx, const struct sp_attention_dots *args)
{
	return SP_BY_ELEMENT(args->dout.dtype, queue, static_cast<struct sp_cuda *>(ctx), args);
}
