/* LayerNorm with the bias, dropout and residual before it, a row at a time so that each pass after the first finds the
 * row in the first-level cache. */
#include "config.h"

#include "cpu/kernels.h"
#include "cpu/rows.h"
#include "cpu/vmath.h"

#include <math.h>

static inline const float *row_or_null(const struct sp_matrix *m, int64_t i)
{
	return m->data ? (const float *)m->data + i * m->stride : NULL;
}

/* s = residual + dropout(x + bias), in place. */
static void form_sum(const struct sp_norm_forward *a, int64_t i, float *x)
{
	const float *bias = a->bias.data, *residual = row_or_null(&a->residual, i);
	const int64_t n = a->x.cols;
	if (bias) {
#pragma omp simd
		for (int64_t j = 0; j < n; j++)
			x[j] += bias[j];
	}
	if (sp_dropout_on(&a->dropout))
		sp_dropout_row(&a->dropout, &a->rows, i, n, x, x);
	if (residual) {
#pragma omp simd
		for (int64_t j = 0; j < n; j++)
			x[j] += residual[j];
	}
}

void SP_KERNEL(norm_forward)(const struct sp_norm_forward *a, int64_t first, int64_t end)
{
	for (int64_t i = first; i < end; i++) {
		float *x = (float *)a->x.data + i * a->x.stride;
		form_sum(a, i, x);
		if (a->y.data)
			sp_norm_row(x, a->x.cols, a->gamma.data, a->beta.data, a->eps, (float *)a->y.data + i * a->y.stride,
			            (float *)a->mean.data + i, (float *)a->rstd.data + i);
	}
}

static void add_sums(const float *x, int64_t n, float *sums)
{
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		sums[j] += x[j];
}

/* dresidual = g and dx = mask * g, from a row g that is already in dx. */
static void spread(const struct sp_norm_backward *a, int64_t i, float *dx, float *dbias)
{
	const int64_t n = a->dx.cols;
	float *dresidual = a->dresidual.data ? (float *)a->dresidual.data + i * a->dresidual.stride : NULL;
	if (dresidual && dresidual != dx)
		memcpy(dresidual, dx, (size_t)n * sizeof *dx);
	if (sp_dropout_on(&a->dropout))
		sp_dropout_row(&a->dropout, &a->rows, i, n, dx, dx);
	if (a->dbias.data)
		add_sums(dx, n, dbias);
}

void SP_KERNEL(norm_backward)(const struct sp_norm_backward *a, int64_t first, int64_t end, float *dgamma, float *dbeta,
                              float *dbias)
{
	const int64_t n = a->dx.cols;
	const size_t bytes = (size_t)n * sizeof(float);
	memset(dgamma, 0, bytes);
	memset(dbeta, 0, bytes);
	memset(dbias, 0, bytes);
	for (int64_t i = first; i < end; i++) {
		float *dx = (float *)a->dx.data + i * a->dx.stride;
		const float *dsum = row_or_null(&a->dsum, i);
		if (a->dy.data)
			sp_norm_row_backward(row_or_null(&a->dy, i), row_or_null(&a->s, i), dsum, n, a->gamma.data,
			                     ((const float *)a->mean.data)[i], ((const float *)a->rstd.data)[i], dx, dgamma, dbeta);
		else if (dsum && dsum != dx)
			memcpy(dx, dsum, bytes);
		else if (!dsum)
			memset(dx, 0, bytes);
		spread(a, i, dx, dbias);
	}
}
