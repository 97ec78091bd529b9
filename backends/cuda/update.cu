/* Over flat arrays: sum of squares, clip coefficient, AdamW, addition. */
#include "cuda/common.cuh"
#include "cuda/kernels.h"

enum { THREADS = 256, SEGMENT = 1 << 15 }; /* SEGMENT: elements summed by one block; fixed, so sums do not depend on the device */

/* Elements in groups of eight from a pointer that may be anywhere. */
static int is_wide_array(const float *const *x, int n)
{
	int wide = 1;
	for (int i = 0; i < n; i++)
		wide = wide && reinterpret_cast<uintptr_t>(x[i]) % 16 == 0;
	return wide;
}

static __global__ void __launch_bounds__(THREADS) square_segments(const float *x, int64_t n, int wide, double *sums)
{
	SP_SHARED(double, slots);
	const int64_t first = (int64_t)blockIdx.x * SEGMENT, end = first + SEGMENT < n ? first + SEGMENT : n;
	double sum = 0;
	for (int64_t j = first + threadIdx.x * GROUP; j < end; j += THREADS * GROUP) {
		const struct eight v = load8(x, j, end, wide_at(wide, j, end));
#pragma unroll
		for (int e = 0; e < GROUP; e++)
			sum += (double)v.v[e] * (double)v.v[e];
	}
	sum = block_sum(sum, slots);
	if (threadIdx.x == 0)
		sums[blockIdx.x] = sum;
}

extern "C" int sp_cuda_sum_squares(void *ctx, const struct sp_sum_squares *args)
{
	struct sp_cuda *cuda = static_cast<struct sp_cuda *>(ctx);
	const int64_t segments = ceil_div(args->n, SEGMENT);
	if (segments == 0)
		return SP_OK;
	double *sums = static_cast<double *>(sp_cuda_scratch(cuda, (size_t)segments * sizeof(double)));
	if (!sums)
		return SP_ERR_MEMORY;
	const float *const arrays[] = { args->x };
	int status = SP_LAUNCH(cuda, square_segments, segments, THREADS, THREADS / WARP * sizeof(double), args->x, args->n,
	                       is_wide_array(arrays, 1), sums);
	return status ? status : sp_cuda_sum_numbers(cuda, sums, NULL, segments, args->sum, NULL);
}

static __device__ void take(struct sp_step *s, const struct sp_decide *a)
{
	const double clip = a->max_norm / (sqrt(s->sum) / s->scale + 1e-6);
	s->take = 1;
	s->taken++;
	s->since++;
	s->factor = (float)((a->max_norm > 0 && clip < 1 ? clip : 1) / s->scale);
	s->correction1 = (float)(1 - pow(a->beta1, (double)s->taken));
	s->correction2 = (float)(1 - pow(a->beta2, (double)s->taken));
	if (a->growth > 0 && s->since >= a->growth) {
		s->scale = fminf(2 * s->scale, SP_SCALE_MOST);
		s->since = 0;
	}
}

static __device__ void leave(struct sp_step *s, const struct sp_decide *a)
{
	s->take = s->since = 0;
	s->factor = 0;
	if (a->growth > 0)
		s->scale = fmaxf(s->scale / 2, SP_SCALE_LEAST);
}

static __global__ void decide(struct sp_decide a)
{
	if (isfinite(a.step->sum))
		take(a.step, &a);
	else
		leave(a.step, &a);
}

extern "C" int sp_cuda_decide(void *ctx, const struct sp_decide *args)
{
	return SP_LAUNCH(static_cast<struct sp_cuda *>(ctx), decide, 1, 1, 0, *args);
}

static __global__ void __launch_bounds__(THREADS) adamw(struct sp_adamw a, int wide)
{
	const int64_t j = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * GROUP;
	if (j >= a.n || !a.step->take)
		return;
	const int all = wide_at(wide, j, a.n);
	const float factor = a.step->factor, correction1 = a.step->correction1, correction2 = a.step->correction2;
	const struct eight g = load8(a.g, j, a.n, all);
	struct eight w = load8(a.w, j, a.n, all), m = load8(a.m, j, a.n, all), v = load8(a.v, j, a.n, all);
#pragma unroll
	for (int e = 0; e < GROUP; e++) {
		const float slope = g.v[e] * factor;
		m.v[e] = a.beta1 * m.v[e] + (1.0f - a.beta1) * slope;
		v.v[e] = a.beta2 * v.v[e] + (1.0f - a.beta2) * slope * slope;
		w.v[e] -= a.lr * (m.v[e] / correction1 / (sqrtf(v.v[e] / correction2) + a.eps) + a.decay * w.v[e]);
	}
	store8(a.w, j, a.n, all, w);
	store8(a.m, j, a.n, all, m);
	store8(a.v, j, a.n, all, v);
}

extern "C" int sp_cuda_adamw(void *ctx, const struct sp_adamw *args)
{
	const float *const arrays[] = { args->w, args->m, args->v, args->g };
	if (args->n == 0)
		return SP_OK;
	return SP_LAUNCH(static_cast<struct sp_cuda *>(ctx), adamw, ceil_div(args->n, THREADS * GROUP), THREADS, 0, *args,
	                 is_wide_array(arrays, 4));
}

static __global__ void __launch_bounds__(THREADS) add(float *y, const float *x, int64_t n, int wide)
{
	const int64_t j = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * GROUP;
	if (j >= n)
		return;
	const int all = wide_at(wide, j, n);
	store8(y, j, n, all, add8(load8(y, j, n, all), load8(x, j, n, all)));
}

extern "C" int sp_cuda_add(void *ctx, float *y, const float *x, int64_t n)
{
	const float *const arrays[] = { y, x };
	if (n == 0)
		return SP_OK;
	return SP_LAUNCH(static_cast<struct sp_cuda *>(ctx), add, ceil_div(n, THREADS * GROUP), THREADS, 0, y, x, n,
	                 is_wide_array(arrays, 2));
}
