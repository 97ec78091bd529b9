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

void sp_reference_decide(struct sp_step *step, const struct sp_decide *args)
{
	const double scale = step->scale, limit = args->max_norm / (sqrt(step->sum) / scale + 1e-6);
	const int finite = isfinite(step->sum), full = finite && args->growth > 0 && step->since + 1 >= args->growth;
	step->take = finite;
	step->factor = finite ? (float)((args->max_norm > 0 ? fmin(1, limit) : 1) / scale) : 0;
	step->taken += finite;
	step->since = finite && !full ? step->since + 1 : 0;
	if (finite) {
		step->correction1 = (float)(1 - pow(args->beta1, (double)step->taken));
		step->correction2 = (float)(1 - pow(args->beta2, (double)step->taken));
	}
	if (args->growth > 0 && (full || !finite))
		step->scale = (float)fmin(16777216, fmax(1, full ? 2 * scale : scale / 2));
}

void sp_reference_adamw(const struct sp_adamw *args, const struct sp_step *step, const double *g, double *w, double *m, double *v)
{
	const double beta1 = args->beta1, beta2 = args->beta2;
	for (int64_t i = 0; i < (step->take ? args->n : 0); i++) {
		const double gradient = g[i] * step->factor;
		m[i] = beta1 * m[i] + (1 - beta1) * gradient;
		v[i] = beta2 * v[i] + (1 - beta2) * gradient * gradient;
		const double direction = m[i] / step->correction1 / (sqrt(v[i] / step->correction2) + args->eps);
		w[i] -= args->lr * (direction + args->decay * w[i]);
	}
}

void sp_reference_add(double *y, const double *x, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] += x[i];
}
