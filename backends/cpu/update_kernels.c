/* The optimiser's sweeps over flat arrays. */
#include "config.h"

#include "cpu/kernels.h"

#include <math.h>

void SP_KERNEL(sum_squares)(const float *x, int64_t n, double *sum)
{
	double total = 0;
#pragma omp simd reduction(+ : total)
	for (int64_t j = 0; j < n; j++)
		total += (double)x[j] * (double)x[j];
	*sum = total;
}

void SP_KERNEL(adamw)(const struct sp_adamw *a, int64_t first, int64_t end)
{
	float *w = a->w, *m = a->m, *v = a->v;
	const float *g = a->g;
	const float factor = *a->factor, beta1 = a->beta1, beta2 = a->beta2, eps = a->eps;
	const float step = a->lr / a->correction1, shrink = a->lr * a->decay, root = 1.0f / sqrtf(a->correction2);
	const float new1 = 1.0f - beta1, new2 = 1.0f - beta2;
#pragma omp simd
	for (int64_t j = first; j < end; j++) {
		const float gradient = g[j] * factor;
		const float mj = beta1 * m[j] + new1 * gradient, vj = beta2 * v[j] + new2 * gradient * gradient;
		m[j] = mj;
		v[j] = vj;
		w[j] -= step * mj / (sqrtf(vj) * root + eps) + shrink * w[j];
	}
}

void SP_KERNEL(add)(float *y, const float *x, int64_t n)
{
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		y[j] += x[j];
}
