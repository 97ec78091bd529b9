/* Second stage of sums over rows: what blocks summed side by side is added up, always in the same order. */
#include "cuda/common.cuh"
#include "cuda/kernels.h"

enum { LANES = 16, NUMBER_THREADS = 256 };

/* A block takes 32 columns; 16 threads a column add every 16th part, then those sums are added in order. */
static __global__ void sum_parts(const float *sums, int64_t parts, int64_t n, struct sp_cuda_totals totals)
{
	SP_SHARED(float, partial); /* [LANES][WARP] */
	const unsigned across = threadIdx.x % WARP, down = threadIdx.x / WARP;
	const int64_t all = n * totals.kinds, j = (int64_t)blockIdx.x * WARP + across;
	float sum = 0.0f;
	for (int64_t p = down; p < parts && j < all; p += LANES)
		sum += sums[p * all + j];
	partial[down * WARP + across] = sum;
	__syncthreads();
	if (down > 0 || j >= all)
		return;
	for (int k = 1; k < LANES; k++)
		sum += partial[k * WARP + across];
	float *total = totals.total[j / n];
	if (total)
		total[j % n] += sum;
}

extern "C" int sp_cuda_sum_up(struct sp_cuda *cuda, const float *sums, int64_t parts, int64_t n, struct sp_cuda_totals totals)
{
	if (n == 0)
		return SP_OK;
	return SP_LAUNCH(cuda, sum_parts, ceil_div(n * totals.kinds, WARP), LANES * WARP, LANES * WARP * sizeof(float), sums, parts,
	                 n, totals);
}

/* One block. */
static __global__ void sum_numbers(const double *sums, const int *counts, int64_t n, double *total, int64_t *count)
{
	SP_SHARED(double, slots);
	double sum = 0;
	double counted = 0; /* exact up to 2^53 */
	for (int64_t i = threadIdx.x; i < n; i += NUMBER_THREADS) {
		sum += sums[i];
		counted += count ? counts[i] : 0;
	}
	sum = block_sum(sum, slots);
	counted = block_sum(counted, slots + NUMBER_THREADS / WARP);
	if (threadIdx.x > 0)
		return;
	*total += sum;
	if (count)
		*count += (int64_t)counted;
}

extern "C" int sp_cuda_sum_numbers(struct sp_cuda *cuda, const double *sums, const int *counts, int64_t n, double *total,
                                   int64_t *count)
{
	return SP_LAUNCH(cuda, sum_numbers, 1, NUMBER_THREADS, 2 * NUMBER_THREADS / WARP * sizeof(double), sums, counts, n, total,
	                 count);
}
