/* s = residual + dropout(x + bias), y = LayerNorm(s), and back. Forward: a warp a row. Backward: a block walks a part of the
 * rows, each thread over columns of its own, so that sums over rows need no exchange. */
#include "cuda/kernels.h"
#include "cuda/normal.cuh"

/* ---- forward ---- */

struct forward {
	struct rows x, bias, residual, gamma, beta, y, mean, rstd;
	int64_t count, cols;
	float eps;
	struct dropout dropout;
	struct places places;
	int wide;
};

template <int GROUPS> static __global__ void __launch_bounds__(NORMAL_WARPS *WARP) norm_forward(struct forward a)
{
	const int64_t i = (int64_t)blockIdx.x * NORMAL_WARPS + threadIdx.x / WARP;
	if (i >= a.count)
		return;
	struct warp_row<GROUPS> row;
	row.memory = row_at(a.x, i);
	row.cols = a.cols;
	row.wide = a.wide;
	float sum = 0.0f;
#pragma unroll
	for (int g = 0; g < row.groups(); g++) {
		const int64_t j = row.column(g);
		if (j >= a.cols)
			break;
		struct eight s = load8(row_at(a.x, i), j, a.cols, a.wide);
		if (a.bias.data)
			s = add8(s, load8(a.bias.data, j, a.cols, a.wide));
		s = drop8(s, a.dropout, a.places, i, j);
		if (a.residual.data)
			s = add8(s, load8(row_at(a.residual, i), j, a.cols, a.wide));
		store8(row_at(a.x, i), j, a.cols, a.wide, s);
		row.keep(g, s);
#pragma unroll
		for (int e = 0; e < GROUP; e++)
			sum += j + e < a.cols ? s.v[e] : 0.0f;
	}
	if (!a.y.data)
		return;
	const struct statistics s = statistics_of(row, sum, a.eps);
#pragma unroll
	for (int g = 0; g < row.groups(); g++) {
		const int64_t j = row.column(g);
		if (j >= a.cols)
			break;
		const struct eight gamma = load8(a.gamma.data, j, a.cols, a.wide), beta = load8(a.beta.data, j, a.cols, a.wide);
		store8(row_at(a.y, i), j, a.cols, a.wide, normal8(row.get(g), s, gamma, beta));
	}
	if (threadIdx.x % WARP == 0) {
		a.mean.data[i] = s.mean;
		a.rstd.data[i] = s.rstd;
	}
}

extern "C" int sp_cuda_norm_forward(void *ctx, const struct sp_norm_forward *args)
{
	struct sp_cuda *cuda = static_cast<struct sp_cuda *>(ctx);
	const struct sp_matrix moved[] = { args->x, args->bias, args->residual, args->gamma, args->beta, args->y };
	const struct forward a = { rows_of(args->x),
		                       rows_of(args->bias),
		                       rows_of(args->residual),
		                       rows_of(args->gamma),
		                       rows_of(args->beta),
		                       rows_of(args->y),
		                       rows_of(args->mean),
		                       rows_of(args->rstd),
		                       args->x.rows,
		                       args->x.cols,
		                       args->eps,
		                       dropout_of(&args->dropout),
		                       places_of(&args->rows),
		                       is_wide(args->x.cols, moved, 6) };
	if (a.count == 0)
		return SP_OK;
	return SP_NORMAL_LAUNCH(cuda, norm_forward, a.count, a.cols, a);
}

/* ---- backward ---- */

enum { FEWEST_ROWS = 4, MOST_PARTS = 512, MOST_SHARED = 48 << 10, KINDS = 3 };

struct backward {
	struct rows dy, dsum, s, gamma, mean, rstd, dx, dresidual;
	int64_t count, cols, part; /* part: rows a block walks over */
	struct dropout dropout;
	struct places places;
	float *sums; /* [blocks][KINDS][cols]: of dgamma, dbeta, dbias */
	int sums_shared, wide;
};

struct two {
	float a, b;
};

/* Two sums over the block. Rows alternate between two sets of slots, so that one barrier a row is enough: who writes a set
 * again has passed the barrier of the row between. */
static __device__ __forceinline__ struct two block_sum_two(struct two x, float *slots, int64_t row)
{
	const unsigned warps = blockDim.x / WARP;
	float *a = slots + (row & 1) * 2 * WARP, *b = a + WARP;
	x.a = warp_sum(x.a);
	x.b = warp_sum(x.b);
	if (threadIdx.x % WARP == 0) {
		a[threadIdx.x / WARP] = x.a;
		b[threadIdx.x / WARP] = x.b;
	}
	__syncthreads();
	struct two sum = { 0.0f, 0.0f };
	for (unsigned w = 0; w < warps; w++) {
		sum.a += a[w];
		sum.b += b[w];
	}
	return sum;
}

/* Means of gamma dy and gamma dy xhat: what LayerNorm's gradient loses (Ba et al. 2016). */
static __device__ __forceinline__ struct two means(const struct backward &a, int64_t i, float mean, float rstd, float *slots)
{
	struct two sum = { 0.0f, 0.0f };
	for (int64_t j = threadIdx.x * GROUP; j < a.cols; j += (int64_t)blockDim.x * GROUP) {
		const struct eight dy = load8(row_at(a.dy, i), j, a.cols, a.wide), s = load8(row_at(a.s, i), j, a.cols, a.wide);
		const struct eight gamma = load8(a.gamma.data, j, a.cols, a.wide);
#pragma unroll
		for (int e = 0; e < GROUP; e++) {
			sum.a += gamma.v[e] * dy.v[e];
			sum.b += gamma.v[e] * dy.v[e] * ((s.v[e] - mean) * rstd);
		}
	}
	sum = block_sum_two(sum, slots, i);
	return { sum.a / (float)a.cols, sum.b / (float)a.cols };
}

/* Gradient of s at columns j .. j + 7, and what the row adds to the sums. */
static __device__ __forceinline__ struct eight gradient8(const struct backward &a, int64_t i, int64_t j, float *sums, float mean,
                                                         float rstd, struct two lost)
{
	const struct eight dy = load8(row_at(a.dy, i), j, a.cols, a.wide), s = load8(row_at(a.s, i), j, a.cols, a.wide);
	const struct eight gamma = load8(a.gamma.data, j, a.cols, a.wide);
	struct eight g;
#pragma unroll
	for (int e = 0; e < GROUP; e++) {
		const float xhat = (s.v[e] - mean) * rstd;
		g.v[e] = rstd * (gamma.v[e] * dy.v[e] - lost.a - xhat * lost.b);
		if (j + e < a.cols) {
			sums[j + e] += dy.v[e] * xhat;
			sums[a.cols + j + e] += dy.v[e];
		}
	}
	return g;
}

static __device__ __forceinline__ void backward_row(const struct backward &a, int64_t i, float *sums, float *slots)
{
	const int normed = a.dy.data != NULL;
	const float mean = normed ? a.mean.data[i] : 0.0f, rstd = normed ? a.rstd.data[i] : 0.0f;
	struct two lost = { 0.0f, 0.0f };
	if (normed)
		lost = means(a, i, mean, rstd, slots);
	for (int64_t j = threadIdx.x * GROUP; j < a.cols; j += (int64_t)blockDim.x * GROUP) {
		struct eight g = zero8();
		if (normed)
			g = gradient8(a, i, j, sums, mean, rstd, lost);
		if (a.dsum.data)
			g = add8(g, load8(row_at(a.dsum, i), j, a.cols, a.wide));
		if (a.dresidual.data)
			store8(row_at(a.dresidual, i), j, a.cols, a.wide, g);
		g = drop8(g, a.dropout, a.places, i, j);
		store8(row_at(a.dx, i), j, a.cols, a.wide, g);
#pragma unroll
		for (int e = 0; e < GROUP; e++)
			if (j + e < a.cols)
				sums[2 * a.cols + j + e] += g.v[e];
	}
}

static __global__ void norm_backward(struct backward a)
{
	SP_SHARED(float, shared);
	float *slots = shared, *out = a.sums + (int64_t)blockIdx.x * KINDS * a.cols;
	float *sums = a.sums_shared ? shared + 4 * WARP : out;
	const int64_t first = blockIdx.x * a.part, end = first + a.part < a.count ? first + a.part : a.count;
	/* No barrier: a thread meets only columns of its own in the sums. */
	for (int64_t j = threadIdx.x * GROUP; j < a.cols; j += (int64_t)blockDim.x * GROUP)
		for (int64_t e = j; e < j + GROUP && e < a.cols; e++)
			sums[e] = sums[a.cols + e] = sums[2 * a.cols + e] = 0.0f;
	for (int64_t i = first; i < end; i++)
		backward_row(a, i, sums, slots);
	for (int64_t j = threadIdx.x * GROUP; a.sums_shared && j < a.cols; j += (int64_t)blockDim.x * GROUP)
		for (int64_t e = j; e < j + GROUP && e < a.cols; e++)
			for (int k = 0; k < KINDS; k++)
				out[k * a.cols + e] = sums[k * a.cols + e];
}

static unsigned threads_for(int64_t cols)
{
	const int64_t warps = ceil_div(cols, WARP * GROUP);
	return (unsigned)(warps < 8 ? warps : 8) * WARP;
}

extern "C" int sp_cuda_norm_backward(void *ctx, const struct sp_norm_backward *args)
{
	struct sp_cuda *cuda = static_cast<struct sp_cuda *>(ctx);
	const int64_t count = args->dx.rows, cols = args->dx.cols;
	if (count == 0 || cols == 0)
		return SP_OK;
	const int64_t part = at_least(ceil_div(count, MOST_PARTS), FEWEST_ROWS);
	const int64_t parts = ceil_div(count, part);
	float *sums = static_cast<float *>(sp_cuda_scratch(cuda, (size_t)(parts * KINDS * cols) * sizeof(float)));
	if (!sums)
		return SP_ERR_MEMORY;
	const struct sp_matrix moved[] = { args->dy, args->dsum, args->s, args->gamma, args->dx, args->dresidual };
	const size_t slots = 4 * WARP * sizeof(float), own = (size_t)(KINDS * cols) * sizeof(float);
	const int sums_shared = slots + own <= MOST_SHARED;
	const struct backward a = { rows_of(args->dy),
		                        rows_of(args->dsum),
		                        rows_of(args->s),
		                        rows_of(args->gamma),
		                        rows_of(args->mean),
		                        rows_of(args->rstd),
		                        rows_of(args->dx),
		                        rows_of(args->dresidual),
		                        count,
		                        cols,
		                        part,
		                        dropout_of(&args->dropout),
		                        places_of(&args->rows),
		                        sums,
		                        sums_shared,
		                        is_wide(cols, moved, 6) };
	int status = SP_LAUNCH(cuda, norm_backward, parts, threads_for(cols), slots + (sums_shared ? own : 0), a);
	const struct sp_cuda_totals totals = { { args->dy.data ? static_cast<float *>(args->dgamma.data) : NULL,
		                                     args->dy.data ? static_cast<float *>(args->dbeta.data) : NULL,
		                                     static_cast<float *>(args->dbias.data) },
		                                   KINDS };
	return status ? status : sp_cuda_sum_up(cuda, sums, parts, cols, totals);
}
