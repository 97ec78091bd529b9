/* Rotary positions: a warp a row, each lane some angles, whose sines serve all heads. In float64 as far as the angle: a
 * position of 10^5 leaves float32 two digits of it. */
#include "cuda/common.cuh"

enum { WARPS = 4, THREADS = WARPS * WARP };

struct turns {
	const int32_t *position;
	struct rows x;
	int64_t count, cols, head_dim;
	double slope; /* log2 base^(-2 / D) */
	float sign;
};

static __global__ void __launch_bounds__(THREADS) rotate(struct turns a)
{
	const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP, half = a.head_dim / 2;
	for (int64_t j = threadIdx.x % WARP; i < a.count && j < half; j += WARP) {
		double exact_sine, exact_cosine;
		sincos((double)a.position[i] * exp2(a.slope * (double)j), &exact_sine, &exact_cosine);
		const float sine = a.sign * (float)exact_sine, cosine = (float)exact_cosine;
		for (int64_t head = 0; head < a.cols; head += a.head_dim) {
			float *u = row_at(a.x, i) + head + j, *v = u + half;
			const float low = *u, high = *v;
			*u = low * cosine - high * sine;
			*v = high * cosine + low * sine;
		}
	}
}

extern "C" int sp_cuda_rotate(void *ctx, const struct sp_rotate *args)
{
	struct sp_cuda *cuda = static_cast<struct sp_cuda *>(ctx);
	const struct turns a = { args->position,
		                     rows_of(args->x),
		                     args->x.rows,
		                     args->x.cols,
		                     args->head_dim,
		                     -2.0 * log2(args->base) / (double)args->head_dim,
		                     args->inverse ? -1.0f : 1.0f };
	if (a.count == 0 || a.cols == 0)
		return SP_OK;
	return SP_LAUNCH(cuda, rotate, ceil_div(a.count, WARPS), THREADS, 0, a);
}
