/* Normalising one row held by one warp: LayerNorm (Ba et al. 2016), statistics from the values themselves in two passes.
 * May include: cuda/common.cuh. */
#ifndef SP_CUDA_NORMAL_CUH
#define SP_CUDA_NORMAL_CUH

#include "cuda/common.cuh"

/* A row of up to GROUPS * 256 columns in the registers of a warp, lane l holding groups l, l + 32, ...; GROUPS 0: a row of
 * any length that stays in memory. */
template <int GROUPS> struct warp_row {
	struct eight kept[GROUPS ? GROUPS : 1];
	const float *memory;
	int64_t cols;
	int wide;

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
		return GROUPS ? kept[GROUPS ? g : 0] : load8(memory, column(g), cols, wide);
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
template <int GROUPS>
static __device__ __forceinline__ struct statistics statistics_of(const struct warp_row<GROUPS> &row, float sum, float eps)
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

/* How many of `rows` a block takes, and calls F with GROUPS as the template argument that fits `cols`. */
enum { NORMAL_WARPS = 4 };

#define SP_NORMAL_LAUNCH(cuda, kernel, rows, cols, args)                                                                 \
	((cols) <= 1 * WARP * GROUP   ? SP_NORMAL_LAUNCH_OF(cuda, kernel, 1, rows, args)                                     \
	 : (cols) <= 2 * WARP * GROUP ? SP_NORMAL_LAUNCH_OF(cuda, kernel, 2, rows, args)                                     \
	 : (cols) <= 3 * WARP * GROUP ? SP_NORMAL_LAUNCH_OF(cuda, kernel, 3, rows, args)                                     \
	 : (cols) <= 4 * WARP * GROUP ? SP_NORMAL_LAUNCH_OF(cuda, kernel, 4, rows, args)                                     \
	                              : SP_NORMAL_LAUNCH_OF(cuda, kernel, 0, rows, args))
#define SP_NORMAL_LAUNCH_OF(cuda, kernel, groups, rows, args)                                                            \
	SP_LAUNCH(cuda, (kernel<groups>), ceil_div(rows, NORMAL_WARPS), NORMAL_WARPS *WARP, 0, args)

#endif
