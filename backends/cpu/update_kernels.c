/* The optimiser's sweeps over flat arrays. */
#include "config.h"

#include "cpu/kernels.h"

#include <math.h>

void SP_KERNEL(sum_squares)(const float *x, int64_t n, double *sum)
{
	/* Four sums at once: a single one would wait for its own additions. */
	const int64_t q = n / 4;
	const float *x1 = x + q, *x2 = x1 + q, *x3 = x2 + q;
	double a = 0, b = 0, c = 0, d = 0;
#pragma omp simd reduction(+ : a, b, c, d)
	for (int64_t j = 0; j < q; j++) {
		a += (double)x[j] * (double)x[j];
		b += (double)x1[j] * (double)x1[j];
		c += (double)x2[j] * (double)x2[j];
		d += (double)x3[j] * (double)x3[j];
	}
	for (int64_t j = 4 * q; j < n; j++)
		a += (double)x[j] * (double)x[j];
	*sum = (a + b) + (c + d);
}

void SP_KERNEL(adamw)(const struct sp_adamw *a, int64_t first, int64_t end)
{
	float *w = a->w, *m = a->m, *v = a->v;
	const float *g = a->g;
	const float factor = a->step->factor, beta1 = a->beta1, beta2 = a->beta2, eps = a->eps;
	const float step = a->lr / a->step->correction1, shrink = a->lr * a->decay, root = 1.0f / sqrtf(a->step->correction2);
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
