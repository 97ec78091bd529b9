/* Around attention by a library: what it found becomes part of the online softmax, each thread folding eight columns in; and the
 * statistics that it reads in backward. */
#include "cuda/common.cuh"
#include "cuda/kernels.h"

enum { WARPS = 4, THREADS = WARPS * WARP, STATS_THREADS = 256 };

template <class E> struct found {
	int64_t heads, head_dim, chunk, count; /* count: tokens times heads */
	int across, in_warp;                   /* threads of a head's row; such rows of a warp */
	struct rows<E> o;
	struct rows<float> stats, acc, m, l;
	int first, wide_acc;
};

template <class E> static __global__ void __launch_bounds__(THREADS) attention_found(struct found<E> a)
{
	const int lane = (int)(threadIdx.x % WARP), of_warp = lane / a.across;
	const int64_t i = ((int64_t)blockIdx.x * WARPS + threadIdx.x / WARP) * a.in_warp + of_warp;
	const int there = of_warp < a.in_warp && i < a.count;
	const int64_t token = i / a.heads, head = i % a.heads, line = token / a.chunk * a.heads + head, query = token % a.chunk;
	const int64_t j = head * a.head_dim + lane % a.across * GROUP;
	float max = 0.0f, keep = 0.0f, add = 0.0f;
	if (there) {
		const float before = a.first ? -INFINITY : row_at(a.m, line)[query], other = row_at(a.stats, line)[query];
		max = fmaxf(before, other);
		keep = before > -INFINITY ? expf(before - max) : 0.0f;
		add = other > -INFINITY ? expf(other - max) : 0.0f;
		const struct eight o = read8(row_at(a.o, token) + j);
		float *acc = row_at(a.acc, token);
		struct eight sum = a.first ? zero8() : load8(acc, j, j + GROUP, a.wide_acc);
#pragma unroll
		for (int e = 0; e < GROUP; e++)
			sum.v[e] = keep * sum.v[e] + add * o.v[e];
		store8(acc, j, j + GROUP, a.wide_acc, sum);
	}
	__syncwarp(); /* all of a row's threads have read m */
	if (there && lane % a.across == 0) {
		float *l = row_at(a.l, line) + query;
		*l = (a.first ? 0.0f : keep * *l) + add;
		row_at(a.m, line)[query] = max;
	}
}

template <class E> static int queue(struct sp_cuda *cuda, const struct sp_cuda_found *f)
{
	const int across = (int)(f->head_dim / GROUP), in_warp = WARP / across;
	const struct found<E> a = { f->heads,
		                        f->head_dim,
		                        f->chunk,
		                        f->batch * f->chunk * f->heads,
		                        across,
		                        in_warp,
		                        rows_of<E>(f->o),
		                        rows_of(f->stats),
		                        rows_of(f->acc),
		                        rows_of(f->m),
		                        rows_of(f->l),
		                        f->first,
		                        is_wide(GROUP, &f->acc, 1) };
	return SP_LAUNCH(cuda, attention_found<E>, ceil_div(a.count, WARPS * in_warp), THREADS, 0, a);
}

extern "C" int sp_cuda_attention_found(struct sp_cuda *cuda, const struct sp_cuda_found *found)
{
	return found->o.dtype == SP_BF16 ? queue<__nv_bfloat16>(cuda, found) : queue<__half>(cuda, found);
}

struct statistics {
	struct rows<float> lse, stats;
	int64_t cols, count;
};

static __global__ void __launch_bounds__(STATS_THREADS) attention_stats(struct statistics a)
{
	const int64_t i = (int64_t)blockIdx.x * STATS_THREADS + threadIdx.x;
	if (i >= a.count)
		return;
	const float lse = row_at(a.lse, i / a.cols)[i % a.cols];
	row_at(a.stats, i / a.cols)[i % a.cols] = lse > -INFINITY ? lse : 1e30f;
}

extern "C" int sp_cuda_attention_stats(struct sp_cuda *cuda, struct sp_matrix lse, struct sp_matrix stats)
{
	const struct statistics a = { rows_of(lse), rows_of(stats), lse.cols, lse.rows * lse.cols };
	return SP_LAUNCH(cuda, attention_stats, ceil_div(a.count, STATS_THREADS), STATS_THREADS, 0, a);
}
