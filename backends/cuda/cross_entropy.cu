/* Cross-entropy, of whole rows or of rows whose columns are shared out: a block a row. The first pass over a row keeps a running maximum and sum (Milakov & Gimelshein 2018) and
 * where the maximum is; the second turns the logits into their gradient in place. */
#include "cuda/common.cuh"
#include "cuda/kernels.h"

enum { THREADS = 256, WARPS = THREADS / WARP };

/* Of some logits: the largest, the first place of it, and the sum of e^(logit - largest). */
struct partial {
	float max, sum;
	int64_t at;
};

static __device__ __forceinline__ struct partial join(struct partial a, struct partial b)
{
	struct partial r = a;
	if (b.max > a.max || (b.max == a.max && b.at < a.at)) {
		r.max = b.max;
		r.at = b.at;
	}
	r.sum = (a.sum > 0.0f ? a.sum * expf(a.max - r.max) : a.sum) + (b.sum > 0.0f ? b.sum * expf(b.max - r.max) : b.sum);
	return r;
}

template <class E> static __device__ __forceinline__ struct partial row_partial(const E *x, int64_t n, int wide)
{
	struct partial p = { -INFINITY, 0.0f, n };
	for (int64_t j = threadIdx.x * GROUP; j < n; j += THREADS * GROUP) {
		const struct eight v = load8(x, j, n, wide);
		float max = p.max;
#pragma unroll
		for (int e = 0; e < GROUP; e++)
			if (j + e < n && v.v[e] > max) {
				max = v.v[e];
				p.at = j + e;
			}
		p.sum = p.sum > 0.0f ? p.sum * expf(p.max - max) : p.sum;
		p.max = max;
#pragma unroll
		for (int e = 0; e < GROUP; e++)
			p.sum += j + e < n ? expf(v.v[e] - max) : 0.0f;
	}
	return p;
}

/* Over the block, every thread gets it. */
static __device__ __forceinline__ struct partial block_partial(struct partial p, struct partial *slots)
{
#pragma unroll
	for (int o = WARP / 2; o > 0; o /= 2) {
		const struct partial other = { __shfl_xor_sync(ALL_LANES, p.max, o), __shfl_xor_sync(ALL_LANES, p.sum, o),
			                           __shfl_xor_sync(ALL_LANES, p.at, o) };
		p = threadIdx.x & o ? join(other, p) : join(p, other);
	}
	if (threadIdx.x % WARP == 0)
		slots[threadIdx.x / WARP] = p;
	__syncthreads();
	p = slots[0];
	for (int w = 1; w < WARPS; w++)
		p = join(p, slots[w]);
	return p;
}

template <class E> struct entropy {
	struct rows<E> logits;
	const int32_t *label;
	int64_t cols;
	float scale;
	int gradient, wide;
	double *losses; /* [rows] */
	int *correct;   /* [rows] */
};

template <class E> static __global__ void __launch_bounds__(THREADS) cross_entropy(struct entropy<E> a)
{
	SP_SHARED(struct partial, slots);
	E *x = row_at(a.logits, blockIdx.x);
	const int32_t label = a.label[blockIdx.x];
	const float at_label = read1(x + label); /* read by all before the barrier, written by one after it */
	const struct partial p = block_partial(row_partial(x, a.cols, a.wide), slots);
	if (threadIdx.x == 0) {
		a.losses[blockIdx.x] = log((double)p.sum) + ((double)p.max - (double)at_label);
		a.correct[blockIdx.x] = p.at == label;
	}
	if (!a.gradient)
		return;
	const float share = a.scale / p.sum;
	for (int64_t j = threadIdx.x * GROUP; j < a.cols; j += THREADS * GROUP) {
		struct eight v = load8(x, j, a.cols, a.wide);
#pragma unroll
		for (int e = 0; e < GROUP; e++)
			v.v[e] = expf(v.v[e] - p.max) * share - (j + e == label ? a.scale : 0.0f);
		store8(x, j, a.cols, a.wide, v);
	}
}

template <class E> static int queue(struct sp_cuda *cuda, const struct sp_cross_entropy *args)
{
	const int64_t n = args->logits.rows;
	if (n == 0)
		return SP_OK;
	double *losses = static_cast<double *>(sp_cuda_scratch(cuda, (size_t)n * (sizeof(double) + sizeof(int))));
	if (!losses)
		return SP_ERR_MEMORY;
	int *correct = reinterpret_cast<int *>(losses + n);
	const struct entropy<E> a = { rows_of<E>(args->logits), args->label, args->logits.cols, args->scale, args->gradient,
		                          is_wide(args->logits.cols, &args->logits, 1), losses, correct };
	int status = SP_LAUNCH(cuda, cross_entropy<E>, n, THREADS, WARPS * sizeof(struct partial), a);
	return status ? status : sp_cuda_sum_numbers(cuda, losses, correct, n, args->loss, args->correct);
}

extern "C" int sp_cuda_cross_entropy(void *ctx, const struct sp_cross_entropy *args)
{
	return SP_BY_ELEMENT(args->logits.dtype, queue, static_cast<struct sp_cuda *>(ctx), args);
}

/* ---- columns that are shared out ---- */

enum { STATS = 4 }; /* of a row: maximum, sum, the label's logit, whether that is the first of the largest */

template <class E> struct part {
	struct rows<E> logits;
	struct rows<float> stats;
	const int32_t *label;
	int64_t cols, first;
	int wide;
};

template <class E> static __global__ void __launch_bounds__(THREADS) entropy_part(struct part<E> a)
{
	SP_SHARED(struct partial, slots);
	const E *x = row_at(a.logits, blockIdx.x);
	const struct partial p = block_partial(row_partial(x, a.cols, a.wide), slots);
	if (threadIdx.x > 0)
		return;
	const int64_t label = a.label[blockIdx.x] - a.first;
	const int here = label >= 0 && label < a.cols;
	float *stats = row_at(a.stats, blockIdx.x);
	stats[0] = p.max;
	stats[1] = p.sum;
	stats[2] = here ? read1(x + label) : -INFINITY;
	stats[3] = here && p.at == label ? 1.0f : 0.0f;
}

template <class E> static int queue(struct sp_cuda *cuda, const struct sp_entropy_part *args)
{
	const struct part<E> a = { rows_of<E>(args->logits), rows_of(args->stats), args->label, args->logits.cols, args->first,
		                       is_wide(args->logits.cols, &args->logits, 1) };
	if (args->logits.rows == 0)
		return SP_OK;
	return SP_LAUNCH(cuda, entropy_part<E>, args->logits.rows, THREADS, WARPS * sizeof(struct partial), a);
}

extern "C" int sp_cuda_entropy_part(void *ctx, const struct sp_entropy_part *args)
{
	return SP_BY_ELEMENT(args->logits.dtype, queue, static_cast<struct sp_cuda *>(ctx), args);
}

template <class E> struct whole {
	struct rows<E> logits;
	struct rows<float> stats;
	const int32_t *label;
	int64_t count, cols, first, parts;
	float scale;
	int gradient, wide;
	double *losses; /* [count] */
	int *correct;   /* [count] */
};

/* All parts' numbers of a row put together. The label's logit is the first of the largest if it is that of its part, no part
 * before reaches it and none after exceeds it. */
struct row_whole {
	float max, at_label;
	double sum;
	int correct;
};

template <class E> static __device__ __forceinline__ struct row_whole combine(const struct whole<E> &a, int64_t row)
{
	struct row_whole w = { -INFINITY, -INFINITY, 0.0, 0 };
	for (int64_t p = 0; p < a.parts; p++) {
		const float *s = row_at(a.stats, p * a.count + row);
		if (s[0] > w.max) {
			w.max = s[0];
			w.correct = s[3] != 0.0f;
		}
		w.at_label = s[2] > w.at_label ? s[2] : w.at_label;
	}
	for (int64_t p = 0; p < a.parts; p++) {
		const float *s = row_at(a.stats, p * a.count + row);
		w.sum += (double)s[1] * exp((double)s[0] - (double)w.max);
	}
	return w;
}

template <class E> static __global__ void __launch_bounds__(THREADS) entropy_whole(struct whole<E> a)
{
	const struct row_whole w = combine(a, blockIdx.x);
	const int64_t label = a.label[blockIdx.x] - a.first;
	if (threadIdx.x == 0) {
		a.losses[blockIdx.x] = log(w.sum) + ((double)w.max - (double)w.at_label);
		a.correct[blockIdx.x] = w.correct;
	}
	const float share = (float)((double)a.scale / w.sum);
	E *x = row_at(a.logits, blockIdx.x);
	for (int64_t j = threadIdx.x * GROUP; a.gradient && j < a.cols; j += THREADS * GROUP) {
		struct eight v = load8(x, j, a.cols, a.wide);
#pragma unroll
		for (int e = 0; e < GROUP; e++)
			v.v[e] = expf(v.v[e] - w.max) * share - (j + e == label ? a.scale : 0.0f);
		store8(x, j, a.cols, a.wide, v);
	}
}

template <class E> static int queue(struct sp_cuda *cuda, const struct sp_entropy_whole *args)
{
	const int64_t n = args->logits.rows;
	if (n == 0)
		return SP_OK;
	double *losses = static_cast<double *>(sp_cuda_scratch(cuda, (size_t)n * (sizeof(double) + sizeof(int))));
	if (!losses)
		return SP_ERR_MEMORY;
	int *correct = reinterpret_cast<int *>(losses + n);
	const struct whole<E> a = { rows_of<E>(args->logits),
		                        rows_of(args->stats),
		                        args->label,
		                        n,
		                        args->logits.cols,
		                        args->first,
		                        args->parts,
		                        args->scale,
		                        args->gradient,
		                        is_wide(args->logits.cols, &args->logits, 1),
		                        losses,
		                        correct };
	int status = SP_LAUNCH(cuda, entropy_whole<E>, n, THREADS, 0, a);
	return status ? status : sp_cuda_sum_numbers(cuda, losses, correct, n, args->loss, args->correct);
}

extern "C" int sp_cuda_entropy_whole(void *ctx, const struct sp_entropy_whole *args)
{
	return SP_BY_ELEMENT(args->logits.dtype, queue, static_cast<struct sp_cuda *>(ctx), args);
}
