/* s = residual + dropout(x + bias), y = LayerNorm(s), and back. Forward: a warp a row. Backward: a block walks a part of the
 * rows, each thread over columns of its own, so that sums over rows need no exchange. */
#include "cuda/kernels.h"
#include "cuda/normal.cuh"

/* ---- forward ---- */

template <class E> struct forward {
	struct rows<E> x, residual, y;
	struct rows<float> bias, gamma, beta, mean, rstd;
	int64_t count, cols;
	float eps;
	struct dropout dropout;
	struct places places;
	int wide;
};

/* s of row i at columns j .. j + 7. */
template <class E> static __device__ __forceinline__ struct eight sum8(const struct forward<E> &a, int64_t i, int64_t j)
{
	struct eight s = load8(row_at(a.x, i), j, a.cols, a.wide);
	if (a.bias.data)
		s = add8(s, load8(a.bias.data, j, a.cols, a.wide));
	s = drop8(s, a.dropout, a.places, i, j);
	if (a.residual.data)
		s = add8(s, load8(row_at(a.residual, i), j, a.cols, a.wide));
	return s;
}

template <int GROUPS, class E> struct sum_again {
	const struct forward<E> &a;
	int64_t i;
	__device__ __forceinline__ struct eight operator()(int64_t j) const
	{
		return keeps_sum<GROUPS, E>() ? load8(row_at(a.x, i), j, a.cols, a.wide) : sum8(a, i, j);
	}
};

template <int GROUPS, class E>
static __global__ void __launch_bounds__(NORMAL_WARPS *WARP) norm_forward(struct forward<E> a)
{
	const int64_t i = (int64_t)blockIdx.x * NORMAL_WARPS + threadIdx.x / WARP;
	if (i >= a.count)
		return;
	a.dropout = with_key(a.dropout);
	const int at_once = keeps_sum<GROUPS, E>() || !a.y.data;
	struct warp_row<GROUPS, struct sum_again<GROUPS, E>> row({ a, i }, a.cols);
	float sum = 0.0f;
#pragma unroll
	for (int g = 0; g < row.groups(); g++) {
		const int64_t j = row.column(g);
		if (j >= a.cols)
			break;
		const struct eight s = sum8(a, i, j);
		if (at_once)
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
		const struct eight kept = row.get(g);
		if (!at_once)
			store8(row_at(a.x, i), j, a.cols, a.wide, kept);
		store8(row_at(a.y, i), j, a.cols, a.wide, normal8(kept, s, gamma, beta));
	}
	if (threadIdx.x % WARP == 0) {
		a.mean.data[i] = s.mean;
		a.rstd.data[i] = s.rstd;
	}
}

template <class E> static int queue(struct sp_cuda *cuda, const struct sp_norm_forward *args)
{
	const struct sp_matrix moved[] = { args->x, args->bias, args->residual, args->gamma, args->beta, args->y };
	const struct forward<E> a = { rows_of<E>(args->x),
		                          rows_of<E>(args->residual),
		                          rows_of<E>(args->y),
		                          rows_of(args->bias),
		                          rows_of(args->gamma),
		                          rows_of(args->beta),
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
	return SP_NORMAL_LAUNCH(cuda, norm_forward, E, a.count, a.cols, a);
}

extern "C" int sp_cuda_norm_forward(void *ctx, const struct sp_norm_forward *args)
{
	return SP_BY_ELEMENT(args->x.dtype, queue, static_cast<struct sp_cuda *>(ctx), args);
}

/* ---- backward ---- */

enum { FEWEST_ROWS = 4, MOST_PARTS = 512, MOST_SHARED = 48 << 10, KINDS = 3 };

template <class E> struct backward {
	struct rows<E> dy, dsum, s, dx, dresidual;
	struct rows<float> gamma, mean, rstd;
	int64_t count, cols, part; /* part: rows a block walks over */
	struct dropout dropout, behind; /* behind: of y */
	struct places places;
	float *sums; /* [blocks][KINDS][cols]: of dgamma, dbeta, dbias */
	int sums_shared, wide;
};

/* Gradient of y at columns j .. j + 7; BEHIND: a dropout of y comes between. */
template <int BEHIND, class E>
static __device__ __forceinline__ struct eight dy8(const struct backward<E> &a, int64_t i, int64_t j)
{
	const struct eight dy = load8(row_at(a.dy, i), j, a.cols, a.wide);
	return BEHIND ? drop8(dy, a.behind, a.places, i, j) : dy;
}

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
template <int BEHIND, class E>
static __device__ __forceinline__ struct two means(const struct backward<E> &a, int64_t i, float mean, float rstd, float *slots)
{
	struct two sum = { 0.0f, 0.0f };
	for (int64_t j = threadIdx.x * GROUP; j < a.cols; j += (int64_t)blockDim.x * GROUP) {
		const struct eight dy = dy8<BEHIND>(a, i, j), s = load8(row_at(a.s, i), j, a.cols, a.wide);
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
template <int BEHIND, class E>
static __device__ __forceinline__ struct eight gradient8(const struct backward<E> &a, int64_t i, int64_t j, float *sums,
                                                         float mean, float rstd, struct two lost)
{
	const struct eight dy = dy8<BEHIND>(a, i, j), s = load8(row_at(a.s, i), j, a.cols, a.wide);
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

template <int BEHIND, class E>
static __device__ __forceinline__ void backward_row(const struct backward<E> &a, int64_t i, float *sums, float *slots)
{
	const int normed = a.dy.data != NULL;
	const float mean = normed ? a.mean.data[i] : 0.0f, rstd = normed ? a.rstd.data[i] : 0.0f;
	struct two lost = { 0.0f, 0.0f };
	if (normed)
		lost = means<BEHIND>(a, i, mean, rstd, slots);
	for (int64_t j = threadIdx.x * GROUP; j < a.cols; j += (int64_t)blockDim.x * GROUP) {
		struct eight g = zero8();
		if (normed)
			g = gradient8<BEHIND>(a, i, j, sums, mean, rstd, lost);
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

template <int BEHIND, class E> static __global__ void norm_backward(struct backward<E> a)
{
	SP_SHARED(float, shared);
	float *slots = shared, *out = a.sums + (int64_t)blockIdx.x * KINDS * a.cols;
	float *sums = a.sums_shared ? shared + 4 * WARP : out;
	a.dropout = with_key(a.dropout);
	a.behind = with_key(a.behind);
	const int64_t first = blockIdx.x * a.part, end = first + a.part < a.count ? first + a.part : a.count;
	/* No barrier: a thread meets only columns of its own in the sums. */
	for (int64_t j = threadIdx.x * GROUP; j < a.cols; j += (int64_t)blockDim.x * GROUP)
		for (int64_t e = j; e < j + GROUP && e < a.cols; e++)
			sums[e] = sums[a.cols + e] = sums[2 * a.cols + e] = 0.0f;
	for (int64_t i = first; i < end; i++)
		backward_row<BEHIND>(a, i, sums, slots);
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

template <class E>
static int queue(struct sp_cuda *cuda, const struct sp_norm_backward *args, const struct sp_dropout *behind)
{
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
	const struct backward<E> a = { rows_of<E>(args->dy),
		                           rows_of<E>(args->dsum),
		                           rows_of<E>(args->s),
		                           rows_of<E>(args->dx),
		                           rows_of<E>(args->dresidual),
		                           rows_of(args->gamma),
		                           rows_of(args->mean),
		                           rows_of(args->rstd),
		                           count,
		                           cols,
		                           part,
		                           dropout_of(&args->dropout),
		                           dropout_of(behind),
		                           places_of(&args->rows),
		                           sums,
		                           sums_shared,
		                           is_wide(cols, moved, 6) };
	const size_t shared = slots + (sums_shared ? own : 0);
	int status = behind->keep < 65536 ? SP_LAUNCH(cuda, (norm_backward<1, E>), parts, threads_for(cols), shared, a)
	                                  : SP_LAUNCH(cuda, (norm_backward<0, E>), parts, threads_for(cols), shared, a);
	const struct sp_cuda_totals totals = { { args->dy.data ? static_cast<float *>(args->dgamma.data) : NULL,
		                                     args->dy.data ? static_cast<float *>(args->dbeta.data) : NULL,
		                                     static_cast<float *>(args->dbias.data) },
		                                   KINDS };
	return status ? status : sp_cuda_sum_up(cuda, sums, parts, cols, totals);
}

extern "C" int sp_cuda_norm_backward_behind(struct sp_cuda *cuda, const struct sp_norm_backward *args,
                                            const struct sp_dropout *behind)
{
	return SP_BY_ELEMENT(args->dx.dtype, queue, cuda, args, behind);
}

extern "C" int sp_cuda_norm_backward(void *ctx, const struct sp_norm_backward *args)
{
	const struct sp_dropout none = { { 0, 0 }, 65536, NULL };
	return sp_cuda_norm_backward_behind(static_cast<struct sp_cuda *>(ctx), args, &none);
}
