/* A word table whose rows are shared out: a lookup of those that are here, a warp a row; and back. */
#include "cuda/common.cuh"
#include "cuda/kernels.h"

enum { WARPS = 4, THREADS = WARPS * WARP };

template <class E> struct lookup {
	const int32_t *token;
	struct rows<float> word;
	struct rows<E> y;
	int64_t count, cols, first, held;
	int wide;
};

template <class E> static __global__ void __launch_bounds__(THREADS) words_forward(struct lookup<E> a)
{
	const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP;
	if (i >= a.count)
		return;
	const int64_t row = a.token[i] - a.first;
	const int here = row >= 0 && row < a.held;
	for (int64_t j = threadIdx.x % WARP * GROUP; j < a.cols; j += WARP * GROUP)
		store8(row_at(a.y, i), j, a.cols, a.wide, here ? load8(row_at(a.word, row), j, a.cols, a.wide) : zero8());
}

template <class E> static int queue(void *ctx, const struct sp_words *args)
{
	const struct sp_matrix moved[] = { args->word, args->y };
	const struct lookup<E> a = { args->token,  rows_of(args->word), rows_of<E>(args->y), args->y.rows,
		                         args->y.cols, args->first,         args->word.rows,     is_wide(args->y.cols, moved, 2) };
	if (a.count == 0 || a.cols == 0)
		return SP_OK;
	return SP_LAUNCH(static_cast<struct sp_cuda *>(ctx), words_forward<E>, ceil_div(a.count, WARPS), THREADS, 0, a);
}

extern "C" int sp_cuda_words_forward(void *ctx, const struct sp_words *args)
{
	return SP_BY_ELEMENT(args->y.dtype, queue, ctx, args);
}

extern "C" int sp_cuda_words_backward(void *ctx, const struct sp_words *args)
{
	return sp_cuda_add_to_table(static_cast<struct sp_cuda *>(ctx), args->token, args->y, args->word, args->first);
}
