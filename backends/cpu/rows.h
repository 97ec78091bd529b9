/* One row of LayerNorm and of hidden dropout, for the kernels that contain them. May include: cpu/vmath.h. */
#ifndef SP_CPU_ROWS_H
#define SP_CPU_ROWS_H

#include "cpu/vmath.h"

#include <math.h>
#include <string.h>

static inline int sp_dropout_on(const struct sp_dropout *dropout)
{
	return dropout->keep < 65536;
}

/* y = mask * x for row i of the rank's rows; in place allowed. */
static void sp_dropout_row(const struct sp_dropout *dropout, const struct sp_rows *rows, int64_t i, int64_t n,
                           const float *x, float *y)
{
	enum { PART = 1024 };
	uint16_t half[PART + SP_DROPOUT_BLOCK];
	const uint32_t keep = dropout->keep, token = rows->first + (uint32_t)(i % rows->chunk);
	const uint32_t sample = rows->sample[i / rows->chunk];
	const float scale = sp_dropout_scale(dropout);
	for (int64_t first = 0; first < n; first += PART) {
		const int64_t count = n - first < PART ? n - first : PART;
		sp_dropout_draw(dropout, token, sample, (uint32_t)first, count, half);
#pragma omp simd
		for (int64_t j = 0; j < count; j++)
			y[first + j] = x[first + j] * sp_dropout_factor(half[j], keep, scale);
	}
}

/* y = (s - mean) * rstd * gamma + beta. Two passes for the variance: one loses all digits when |mean| >> deviation. */
static void sp_norm_row(const float *s, int64_t n, const float *gamma, const float *beta, float eps, float *y,
                        float *mean_out, float *rstd_out)
{
	float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
	for (int64_t j = 0; j < n; j++)
		sum += s[j];
	const float mean = sum / (float)n;
#pragma omp simd reduction(+ : squares)
	for (int64_t j = 0; j < n; j++)
		squares += (s[j] - mean) * (s[j] - mean);
	const float rstd = 1.0f / sqrtf(squares / (float)n + eps);
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		y[j] = (s[j] - mean) * rstd * gamma[j] + beta[j];
	*mean_out = mean;
	*rstd_out = rstd;
}

/* ds = rstd (g - mean(g) - xhat mean(g xhat)) [+ dsum] with g = dy gamma; dgamma += dy xhat, dbeta += dy. ds may be dy or
 * dsum. */
static void sp_norm_row_backward(const float *dy, const float *s, const float *dsum, int64_t n, const float *gamma,
                                 float mean, float rstd, float *ds, float *dgamma, float *dbeta)
{
	float g_sum = 0, gx_sum = 0;
#pragma omp simd reduction(+ : g_sum, gx_sum)
	for (int64_t j = 0; j < n; j++) {
		const float xhat = (s[j] - mean) * rstd, g = dy[j] * gamma[j];
		g_sum += g;
		gx_sum += g * xhat;
		dgamma[j] += dy[j] * xhat;
		dbeta[j] += dy[j];
	}
	const float g_mean = g_sum / (float)n, gx_mean = gx_sum / (float)n;
	if (dsum) {
#pragma omp simd
		for (int64_t j = 0; j < n; j++)
			ds[j] = dsum[j] + rstd * (dy[j] * gamma[j] - g_mean - (s[j] - mean) * rstd * gx_mean);
	} else {
#pragma omp simd
		for (int64_t j = 0; j < n; j++)
			ds[j] = rstd * (dy[j] * gamma[j] - g_mean - (s[j] - mean) * rstd * gx_mean);
	}
}

#endif
