/* One row of LayerNorm and of hidden dropout, for the kernels that contain them. May include: cpu/vmath.h. */
#ifndef SP_CPU_ROWS_H
#define SP_CPU_ROWS_H

#include "cpu/vmath.h"

#include <math.h>
#include <string.h>

/* Asks for row i of m ahead of its use. */
static inline void sp_fetch_row(const struct sp_matrix *m, int64_t i)
{
	const int64_t size = m->dtype == SP_F32 ? 4 : 2;
	const char *row = (const char *)m->data + i * m->stride * size;
	for (int64_t at = 0; at < m->cols * size; at += 64)
		__builtin_prefetch(row + at);
}

static inline int sp_dropout_on(const struct sp_dropout *dropout)
{
	return dropout->keep < 65536;
}

/* Dropout of row i, drawn a part of the row at a time. */
enum { SP_ROW_PART = 1024 };

struct sp_row_dropout {
	const struct sp_dropout *dropout;
	uint32_t token, sample, keep;
	float scale;
	uint16_t room[SP_ROW_PART + SP_DROPOUT_BLOCK];
};

static inline void sp_row_dropout_start(struct sp_row_dropout *d, const struct sp_dropout *dropout,
                                        const struct sp_rows *rows, int64_t i)
{
	d->dropout = dropout;
	d->token = rows->first + (uint32_t)(i % rows->chunk);
	d->sample = rows->sample[i / rows->chunk];
	d->keep = dropout->keep;
	d->scale = sp_dropout_scale(dropout);
}

/* The numbers of columns [first, first + n), n <= SP_ROW_PART and first a multiple of it. */
static inline const uint16_t *sp_row_dropout_draw(struct sp_row_dropout *d, int64_t first, int64_t n)
{
	return sp_dropout_draw(d->dropout, d->token, d->sample, (uint32_t)first, n, d->room);
}

/* y = mask * x for row i of the rank's rows; in place allowed. */
static inline void sp_dropout_row(const struct sp_dropout *dropout, const struct sp_rows *rows, int64_t i, int64_t n,
                                  const float *x, float *y)
{
	struct sp_row_dropout d;
	sp_row_dropout_start(&d, dropout, rows, i);
	for (int64_t first = 0; first < n; first += SP_ROW_PART) {
		const int64_t count = n - first < SP_ROW_PART ? n - first : SP_ROW_PART;
		const uint16_t *half = sp_row_dropout_draw(&d, first, count);
#pragma omp simd
		for (int64_t j = 0; j < count; j++)
			y[first + j] = x[first + j] * sp_dropout_factor(half[j], d.keep, d.scale);
	}
}


/* sum of (s - mean)^2, in four sums at once: a single one would wait for its own additions. */
static inline float sp_row_squares(const float *s, int64_t n, float mean)
{
	const int64_t q = n / 4;
	const float *s1 = s + q, *s2 = s1 + q, *s3 = s2 + q;
	float a = 0, b = 0, c = 0, d = 0;
#pragma omp simd reduction(+ : a, b, c, d)
	for (int64_t j = 0; j < q; j++) {
		a += (s[j] - mean) * (s[j] - mean);
		b += (s1[j] - mean) * (s1[j] - mean);
		c += (s2[j] - mean) * (s2[j] - mean);
		d += (s3[j] - mean) * (s3[j] - mean);
	}
	for (int64_t j = 4 * q; j < n; j++)
		a += (s[j] - mean) * (s[j] - mean);
	return (a + b) + (c + d);
}

/* y = (s - mean) * rstd * gamma + beta, given the sum of s. Two passes for the variance: one loses all digits when
 * |mean| >> deviation. */
static inline void sp_norm_row(const float *s, float sum, int64_t n, const float *gamma, const float *beta, float eps,
                               float *y, float *mean_out, float *rstd_out)
{
	const float mean = sum / (float)n;
	const float rstd = 1.0f / sqrtf(sp_row_squares(s, n, mean) / (float)n + eps);
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		y[j] = (s[j] - mean) * rstd * gamma[j] + beta[j];
	*mean_out = mean;
	*rstd_out = rstd;
}

/* What the backward of a row needs to know of the whole row: means of g = dy gamma and of g xhat. */
struct sp_norm_means {
	float mean, rstd, g, gx;
};

/* Sets g and gx, and dgamma += dy xhat, dbeta += dy. */
static inline void sp_norm_row_means(const float *dy, const float *s, int64_t n, const float *gamma,
                                     struct sp_norm_means *m, float *dgamma, float *dbeta)
{
	const float mean = m->mean, rstd = m->rstd;
	float g_sum = 0, gx_sum = 0;
#pragma omp simd reduction(+ : g_sum, gx_sum)
	for (int64_t j = 0; j < n; j++) {
		const float xhat = (s[j] - mean) * rstd, g = dy[j] * gamma[j];
		g_sum += g;
		gx_sum += g * xhat;
		dgamma[j] += dy[j] * xhat;
		dbeta[j] += dy[j];
	}
	m->g = g_sum / (float)n;
	m->gx = gx_sum / (float)n;
}

/* One element of ds = rstd (g - mean(g) - xhat mean(g xhat)). */
static inline float sp_norm_slope(const struct sp_norm_means *m, float dy, float gamma, float s)
{
	return m->rstd * (dy * gamma - m->g - (s - m->mean) * m->rstd * m->gx);
}

#endif
