/* Rotary positions: a warp a row, each lane some angles, whose sines serve all heads. In float64 as far as the angle: a
 * position of 10^5 leaves float32 two digits of it. */
#include "cuda/common.cuh"

enum { WARPS = 4, THREADS = WARPS * WARP };

template <class E> struct turns {
	const int32_t *position;
	struct rows<E> x;
	int64_t count, cols, head_dim;
	double slope; /* log2 base^(-2 / D) */
	float sign;
};

template <class E> static __global__ void __launch_bounds__(THREADS) rotate(struct turns<E> a)
{
	const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP, half = a.head_dim / 2;
	for (int64_t j = threadIdx.x % WARP; i < a.count && j < half; j += WARP) {
		double exact_sine, exact_cosine;
		sincos((double)a.position[i] * exp2(a.slope * (double)j), &exact_sine, &exact_cosine);
		const float sine = a.sign * (float)exact_sine, cosine = (float)exact_cosine;
		for (int64_t head = 0; head < a.cols; head += a.head_dim) {
			E *u = row_at(a.x, i) + head + j, *v = u + half;
			const float low = read1(u), high = read1(v);
			write1(u, low * cosine - high * sine);
			write1(v, high * cosine + low * sine);
		}
	}
}

template <class E> static int queue(struct sp_cuda *cuda, const struct sp_rotate *args)
{
	const struct turns<E> a = { args->position,
		                        rows_of<E>(args->x),
		                        args->x.rows,
		                        args->x.cols,
		                        args->head_dim,
		                        -2.0 * log2(args->base) / (double)args->head_dim,
		                        args->inverse ? -1.0f : 1.0f };
	if (a.count == 0 || a.cols == 0)
		return SP_OK;
	return SP_LAUNCH(cuda, rotate<E>, ceil_div(a.count, WARPS), THREADS, 0, a);
}

extern "C" int sp_cuda_rotate(void *ctx, const struct sp_rotate *args)
{
	return SP_BY_ELEMENT(args->x.dtype, queue, static_cast<struct sp_cuda *>(ctx), args);
}
