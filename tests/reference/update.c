#include "config.h"

#include "reference/reference.h"

#include <math.h>

void sp_reference_copy_rows(struct sp_matrix from, struct sp_matrix to)
{
	for (int64_t i = 0; i < to.rows; i++)
		for (int64_t j = 0; j < to.cols; j++)
			*sp_at(to, i, j) = *sp_at(from, i, j);
}

void sp_reference_sum_squares(const double *x, int64_t n, double *sum)
{
	for (int64_t i = 0; i < n; i++)
		*sum += x[i] * x[i];
}

double sp_reference_clip_factor(double sum, double max_norm)
{
	if (!isfinite(sum))
		return NAN;
	return max_norm > 0 ? fmin(1, max_norm / (sqrt(sum) + 1e-6)) : 1;
}

void sp_reference_adamw(const struct sp_adamw *args, double factor, const double *g, double *w, double *m, double *v)
{
	const double beta1 = args->beta1, beta2 = args->beta2;
	for (int64_t i = 0; i < args->n; i++) {
		const double gradient = g[i] * factor;
		m[i] = beta1 * m[i] + (1 - beta1) * gradient;
		v[i] = beta2 * v[i] + (1 - beta2) * gradient * gradient;
		const double direction = m[i] / args->correction1 / (sqrt(v[i] / args->correction2) + args->eps);
		w[i] -= args->lr * (direction + args->decay * w[i]);
	}
}

void sp_reference_add(double *y, const double *x, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] += x[i];
}
