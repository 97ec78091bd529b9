/* Normalising one row held by one warp: LayerNorm (Ba et al. 2016), statistics from the values themselves in two passes.
 * May include: cuda/common.cuh. */
#ifndef SP_CUDA_NORMAL_CUH
#define SP_CUDA_NORMAL_CUH

#include "cuda/common.cuh"

/* A row of up to GROUPS * 256 columns in the registers of a warp, lane l holding groups l, l + 32, ...; GROUPS 0: a row of
 * any length, of which `again` gives columns j .. j + 7 whenever they are asked for. */
template <int GROUPS, class AGAIN> struct warp_row {
	AGAIN again;
	int64_t cols;
	struct eight kept[GROUPS ? GROUPS : 1];

	__device__ __forceinline__ warp_row(AGAIN source, int64_t n) : again(source), cols(n)
	{
	}
	__device__ __forceinline__ int groups() const
	{
		return GROUPS ? GROUPS : (int)((cols + WARP * GROUP - 1) / (WARP * GROUP));
	}
	__device__ __forceinline__ int64_t column(int g) const
	{
		return ((int64_t)g * WARP + threadIdx.x % WARP) * GROUP;
	}
	__device__ __forceinline__ struct eight get(int g) const
	{
		return GROUPS ? kept[GROUPS ? g : 0] : again(column(g));
	}
	__device__ __forceinline__ void keep(int g, const struct eight &x)
	{
		if (GROUPS)
			kept[GROUPS ? g : 0] = x;
	}
};

struct statistics {
	float mean, rstd;
};

/* `sum`: of the columns that this lane holds. */
template <int GROUPS, class AGAIN>
static __device__ __forceinline__ struct statistics statistics_of(const struct warp_row<GROUPS, AGAIN> &row, float sum,
                                                                  float eps)
{
	const float mean = warp_sum(sum) / (float)row.cols;
	float squares = 0.0f;
#pragma unroll
	for (int g = 0; g < row.groups(); g++) {
		const int64_t j = row.column(g);
		if (j >= row.cols)
			break;
		const struct eight x = row.get(g);
#pragma unroll
		for (int e = 0; e < GROUP; e++)
			squares += j + e < row.cols ? (x.v[e] - mean) * (x.v[e] - mean) : 0.0f;
	}
	return { mean, 1.0f / sqrtf(warp_sum(squares) / (float)row.cols + eps) };
}

static __device__ __forceinline__ struct eight normal8(struct eight x, struct statistics s, const struct eight &gamma,
                                                       const struct eight &beta)
{
#pragma unroll
	for (int e = 0; e < GROUP; e++)
		x.v[e] = (x.v[e] - s.mean) * s.rstd * gamma.v[e] + beta.v[e];
	return x;
}

/* Whether a sum that has just been formed can be written at once and read back when it is needed again: rounded to 16 bits it
 * is no longer what is to be normalised, so a row too long for registers is formed again from what it is the sum of, which may
 * lie where it is written. */
template <int GROUPS, class E> static __device__ __forceinline__ constexpr int keeps_sum()
{
	return GROUPS > 0 || sizeof(E) == sizeof(float);
}

/* How many of `rows` a block takes, and launches the kernel with GROUPS that fits `cols` and E as template arguments. */
enum { NORMAL_WARPS = 4 };

#define SP_NORMAL_LAUNCH(cuda, kernel, E, rows, cols, args)                                                              \
	((cols) <= 1 * WARP * GROUP   ? SP_NORMAL_LAUNCH_OF(cuda, kernel, 1, E, rows, args)                                  \
	 : (cols) <= 2 * WARP * GROUP ? SP_NORMAL_LAUNCH_OF(cuda, kernel, 2, E, rows, args)                                  \
	 : (cols) <= 3 * WARP * GROUP ? SP_NORMAL_LAUNCH_OF(cuda, kernel, 3, E, rows, args)                                  \
	 : (cols) <= 4 * WARP * GROUP ? SP_NORMAL_LAUNCH_OF(cuda, kernel, 4, E, rows, args)                                  \
	                              : SP_NORMAL_LAUNCH_OF(cuda, kernel, 0, E, rows, args))
#define SP_NORMAL_LAUNCH_OF(cuda, kernel, groups, E, rows, args)                                                         \
	SP_LAUNCH(cuda, (kernel<groups, E>), ceil_div(rows, NORMAL_WARPS), NORMAL_WARPS *WARP, 0, args)

#endif
