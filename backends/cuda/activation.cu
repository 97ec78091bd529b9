/* GELU and its gradient, biases spread over rows, sums over rows. A block of 32 x 8 threads takes 256 columns of a part of the
 * rows: a thread eight columns of every eighth row. */
#include "cuda/common.cuh"
#include "cuda/kernels.h"

enum { DOWN = 8, THREADS = DOWN * WARP, ACROSS = WARP * GROUP, FEWEST_ROWS = 64, MOST_PARTS = 64 };

static __device__ __forceinline__ float gelu(float x)
{
	return 0.5f * x * (1.0f + erff(x * 0.70710678f));
}

static __device__ __forceinline__ float gelu_slope(float x)
{
	return 0.5f * (1.0f + erff(x * 0.70710678f)) + x * 0.39894228f * expf(-0.5f * x * x);
}

/* sqrt(2/pi) (x + 0.044715 x^3) */
static __device__ __forceinline__ float tanh_argument(float x)
{
	return 0.79788456f * (x + 0.044715f * x * x * x);
}

static __device__ __forceinline__ float gelu_tanh(float x)
{
	return 0.5f * x * (1.0f + tanhf(tanh_argument(x)));
}

/* By z = e^(-2 |u|): tanh u = (1 - z) / (1 + z) and 1 - tanh^2 u = 4 z / (1 + z)^2, which keeps its digits far out. */
static __device__ __forceinline__ float gelu_tanh_slope(float x)
{
	const float u = tanh_argument(x), z = expf(-2.0f * fabsf(u)), t = copysignf((1.0f - z) / (1.0f + z), u);
	const float bend = 4.0f * z / ((1.0f + z) * (1.0f + z)), slope = 0.79788456f * (1.0f + 3.0f * 0.044715f * x * x);
	/* far out z is 0, and the slope may be infinite */
	return 0.5f * (1.0f + t) + (z > 0.0f ? 0.5f * x * bend * slope : 0.0f);
}

static __device__ __forceinline__ float activate(float x, int act)
{
	return act == SP_ACT_GELU ? gelu(x) : act == SP_ACT_GELU_TANH ? gelu_tanh(x) : x;
}

static __device__ __forceinline__ float slope(float x, int act)
{
	return act == SP_ACT_GELU ? gelu_slope(x) : gelu_tanh_slope(x);
}

/* E: of the activations; OTHER: of what goes with them, an activation too or a float32 bias. */
template <class E, class OTHER> struct sweep {
	struct rows<E> x;
	struct rows<OTHER> other;
	int64_t count, cols, part, across; /* across: blocks beside each other */
	int act, wide;
	float *sums; /* [parts][cols], or NULL */
};

/* A block's columns, this thread's first column, and the rows of its part. */
struct area {
	int64_t column, row, end;
};

template <class E, class OTHER> static __device__ __forceinline__ struct area area_of(const struct sweep<E, OTHER> &a)
{
	const int64_t part = blockIdx.x / a.across, first = part * a.part, end = first + a.part;
	return { (blockIdx.x % a.across) * ACROSS + threadIdx.x % WARP * GROUP, first + threadIdx.x / WARP,
		     end < a.count ? end : a.count };
}

template <class E> static __global__ void __launch_bounds__(THREADS) activate_rows(struct sweep<E, E> a)
{
	const struct area at = area_of(a);
	if (at.column >= a.cols)
		return;
	for (int64_t i = at.row; i < at.end; i += DOWN) {
		struct eight x = load8(row_at(a.other, i), at.column, a.cols, a.wide);
#pragma unroll
		for (int e = 0; e < GROUP; e++)
			x.v[e] = activate(x.v[e], a.act);
		store8(row_at(a.x, i), at.column, a.cols, a.wide, x);
	}
}

template <class E> static __global__ void __launch_bounds__(THREADS) spread_bias(struct sweep<E, float> a, int add)
{
	const struct area at = area_of(a);
	if (at.column >= a.cols)
		return;
	struct eight bias = zero8();
	if (a.other.data)
		bias = load8(a.other.data, at.column, a.cols, a.wide);
	for (int64_t i = at.row; i < at.end; i += DOWN) {
		struct eight x = bias;
		if (add)
			x = add8(x, load8(row_at(a.x, i), at.column, a.cols, a.wide));
		store8(row_at(a.x, i), at.column, a.cols, a.wide, x);
	}
}

template <class E> static __global__ void __launch_bounds__(THREADS) sweep_rows(struct sweep<E, E> a)
{
	SP_SHARED(float, partial); /* [DOWN][ACROSS] */
	const struct area at = area_of(a);
	struct eight sum = zero8();
	for (int64_t i = at.row; i < at.end && at.column < a.cols; i += DOWN) {
		struct eight x = load8(row_at(a.x, i), at.column, a.cols, a.wide);
		if (a.act != SP_ACT_NONE) {
			const struct eight pre = load8(row_at(a.other, i), at.column, a.cols, a.wide);
#pragma unroll
			for (int e = 0; e < GROUP; e++)
				x.v[e] *= slope(pre.v[e], a.act);
			store8(row_at(a.x, i), at.column, a.cols, a.wide, x);
		}
		sum = add8(sum, x);
	}
	if (!a.sums)
		return;
#pragma unroll
	for (int e = 0; e < GROUP; e++)
		partial[(threadIdx.x / WARP) * ACROSS + e * WARP + threadIdx.x % WARP] = sum.v[e];
	__syncthreads();
	/* Thread t sums the column that lane t % 32 held as element t / 32. */
	const int64_t column = (blockIdx.x % a.across) * ACROSS + threadIdx.x % WARP * GROUP + threadIdx.x / WARP;
	if (column >= a.cols)
		return;
	float total = 0.0f;
	for (int k = 0; k < DOWN; k++)
		total += partial[k * ACROSS + threadIdx.x];
	a.sums[blockIdx.x / a.across * a.cols + column] = total;
}

template <class E, class OTHER> static struct sweep<E, OTHER> sweep_of(struct sp_matrix x, struct sp_matrix other)
{
	const struct sp_matrix moved[] = { x, other };
	const int64_t part = at_least(ceil_div(x.rows, MOST_PARTS), FEWEST_ROWS);
	return { rows_of<E>(x), rows_of<OTHER>(other), x.rows,      x.cols, part, ceil_div(x.cols, ACROSS),
		     SP_ACT_NONE,   is_wide(x.cols, moved, 2), NULL };
}

template <class E, class OTHER> static int64_t blocks_of(const struct sweep<E, OTHER> &a)
{
	return ceil_div(a.count, a.part) * a.across;
}

template <class E>
static int queue_activate(struct sp_cuda *cuda, struct sp_matrix pre, struct sp_matrix y, enum sp_activation act)
{
	struct sweep<E, E> a = sweep_of<E, E>(y, pre);
	a.act = act;
	return blocks_of(a) == 0 ? SP_OK : SP_LAUNCH(cuda, activate_rows<E>, blocks_of(a), THREADS, 0, a);
}

extern "C" int sp_cuda_activate(struct sp_cuda *cuda, struct sp_matrix pre, struct sp_matrix y, enum sp_activation act)
{
	return SP_BY_ELEMENT(y.dtype, queue_activate, cuda, pre, y, act);
}

template <class E> static int queue_bias(struct sp_cuda *cuda, struct sp_matrix bias, struct sp_matrix x, int add)
{
	const struct sweep<E, float> a = sweep_of<E, float>(x, bias);
	return blocks_of(a) == 0 ? SP_OK : SP_LAUNCH(cuda, spread_bias<E>, blocks_of(a), THREADS, 0, a, add);
}

extern "C" int sp_cuda_spread_bias(struct sp_cuda *cuda, struct sp_matrix bias, struct sp_matrix x, int add)
{
	return SP_BY_ELEMENT(x.dtype, queue_bias, cuda, bias, x, add);
}

template <class E>
static int queue_sweep(struct sp_cuda *cuda, struct sp_matrix x, struct sp_matrix pre, enum sp_activation act,
                       struct sp_matrix sums)
{
	struct sweep<E, E> a = sweep_of<E, E>(x, pre);
	const int64_t parts = ceil_div(a.count, a.part);
	if (blocks_of(a) == 0)
		return SP_OK;
	a.act = act;
	if (sums.data) {
		a.sums = static_cast<float *>(sp_cuda_scratch(cuda, (size_t)(parts * a.cols) * sizeof(float)));
		if (!a.sums)
			return SP_ERR_MEMORY;
	}
	int status = SP_LAUNCH(cuda, sweep_rows<E>, blocks_of(a), THREADS, DOWN * ACROSS * sizeof(float), a);
	if (status || !a.sums)
		return status;
	const struct sp_cuda_totals totals = { { static_cast<float *>(sums.data) }, 1 };
	return sp_cuda_sum_up(cuda, a.sums, parts, a.cols, totals);
}

extern "C" int sp_cuda_sweep(struct sp_cuda *cuda, struct sp_matrix x, struct sp_matrix pre, enum sp_activation act,
                             struct sp_matrix sums)
{
	return SP_BY_ELEMENT(x.dtype, queue_sweep, cuda, x, pre, act, sums);
}
