/* Rows gathered and scattered, the pooler's tanh: a warp a row. */
#include "cuda/common.cuh"

enum { WARPS = 4, THREADS = WARPS * WARP };

enum job { GATHER, SCATTER_ADD, TANH, TANH_BACKWARD };

template <class E> struct lines {
	struct rows<E> x, y; /* y is written */
	const int32_t *index;
	int64_t count, cols;
	int wide;
};

template <int JOB, class E> static __global__ void __launch_bounds__(THREADS) each_row(struct lines<E> a)
{
	const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP;
	if (i >= a.count)
		return;
	const E *from = row_at(a.x, JOB == GATHER ? a.index[i] : i);
	E *to = row_at(a.y, JOB == SCATTER_ADD ? a.index[i] : i);
	for (int64_t j = threadIdx.x % WARP * GROUP; j < a.cols; j += WARP * GROUP) {
		struct eight x = load8(from, j, a.cols, a.wide);
		if (JOB == SCATTER_ADD)
			x = add8(load8(to, j, a.cols, a.wide), x);
		if (JOB == TANH_BACKWARD) {
			const struct eight d = load8(to, j, a.cols, a.wide);
#pragma unroll
			for (int e = 0; e < GROUP; e++)
				x.v[e] = d.v[e] * (1.0f - x.v[e] * x.v[e]);
		}
		if (JOB == TANH)
#pragma unroll
			for (int e = 0; e < GROUP; e++)
				x.v[e] = tanhf(x.v[e]);
		store8(to, j, a.cols, a.wide, x);
	}
}

template <int JOB> struct job_of {
	template <class E>
	static int queue(void *ctx, struct sp_matrix x, struct sp_matrix y, const int32_t *index, int64_t count)
	{
		const struct sp_matrix moved[] = { x, y };
		const struct lines<E> a = { rows_of<E>(x), rows_of<E>(y), index, count, x.cols, is_wide(x.cols, moved, 2) };
		if (a.count == 0 || a.cols == 0)
			return SP_OK;
		return SP_LAUNCH(static_cast<struct sp_cuda *>(ctx), (each_row<JOB, E>), ceil_div(a.count, WARPS), THREADS, 0, a);
	}
};

extern "C" int sp_cuda_gather_rows(void *ctx, const struct sp_row_move *args)
{
	return SP_BY_ELEMENT(args->x.dtype, job_of<GATHER>::queue, ctx, args->x, args->y, args->index, args->n);
}

extern "C" int sp_cuda_scatter_add_rows(void *ctx, const struct sp_row_move *args)
{
	return SP_BY_ELEMENT(args->x.dtype, job_of<SCATTER_ADD>::queue, ctx, args->x, args->y, args->index, args->n);
}

extern "C" int sp_cuda_tanh_forward(void *ctx, struct sp_matrix x)
{
	return SP_BY_ELEMENT(x.dtype, job_of<TANH>::queue, ctx, x, x, NULL, x.rows);
}

extern "C" int sp_cuda_tanh_backward(void *ctx, const struct sp_tanh_backward *args)
{
	return SP_BY_ELEMENT(args->dx.dtype, job_of<TANH_BACKWARD>::queue, ctx, args->y, args->dx, NULL, args->dx.rows);
}
