/* LayerNorm with the bias, dropout and residual around it, a row at a time so that each pass after the first finds the
 * row in the first-level cache. */
#include "config.h"

#include "cpu/elements.h"
#include "cpu/kernels.h"
#include "cpu/rows.h"
#include "cpu/vmath.h"

#include <math.h>

/* Inlined with constant NULL pointers, so that each combination of what is given has a loop of its own. */
#define SPECIALISED static inline __attribute__((always_inline))

static inline const float *row_or_null(const struct sp_matrix *m, int64_t i, float *room)
{
	return m->data ? sp_elements_read(m, i, 0, m->cols, room) : NULL;
}

static inline const float *at(const float *x, int64_t j)
{
	return x ? x + j : NULL;
}

/* x = residual + mask * (x + bias) for a part of a row. */
SPECIALISED void form(float *x, const float *bias, const float *residual, const uint16_t *half, uint32_t keep, float scale,
                      int64_t n)
{
#pragma omp simd
	for (int64_t j = 0; j < n; j++) {
		float v = x[j];
		if (bias)
			v += bias[j];
		if (half)
			v *= sp_dropout_factor(half[j], keep, scale);
		if (residual)
			v += residual[j];
		x[j] = v;
	}
}

SPECIALISED void form_any(float *x, const float *bias, const float *residual, const uint16_t *half, uint32_t keep,
                          float scale, int64_t n)
{
	if (bias && residual)
		form(x, bias, residual, half, keep, scale, n);
	else if (bias)
		form(x, bias, NULL, half, keep, scale, n);
	else if (residual)
		form(x, NULL, residual, half, keep, scale, n);
	else if (half)
		form(x, NULL, NULL, half, keep, scale, n);
}

static void form_masked(const struct sp_norm_forward *a, int64_t i, float *x, const float *residual)
{
	const float *bias = a->bias.data;
	struct sp_row_dropout d;
	sp_row_dropout_start(&d, &a->dropout, &a->rows, i);
	for (int64_t j = 0; j < a->x.cols; j += SP_ROW_PART) {
		const int64_t n = a->x.cols - j < SP_ROW_PART ? a->x.cols - j : SP_ROW_PART;
		form_any(x + j, at(bias, j), at(residual, j), sp_row_dropout_draw(&d, j, n), d.keep, d.scale, n);
	}
}

/* One function for all rows, however they were formed: normed again, a row gives the same bits. In four sums at once, as
 * sp_row_squares. */
static __attribute__((noinline)) float row_sum(const float *x, int64_t n)
{
	const int64_t q = n / 4;
	float a = 0, b = 0, c = 0, d = 0;
#pragma omp simd reduction(+ : a, b, c, d)
	for (int64_t j = 0; j < q; j++) {
		a += x[j];
		b += x[q + j];
		c += x[2 * q + j];
		d += x[3 * q + j];
	}
	for (int64_t j = 4 * q; j < n; j++)
		a += x[j];
	return (a + b) + (c + d);
}

void SP_KERNEL(norm_forward)(const struct sp_norm_forward *a, int64_t first, int64_t end, float *room)
{
	const int64_t n = a->x.cols, row = sp_room_row(n);
	for (int64_t i = first; i < end; i++) {
		float *x = sp_elements_read(&a->x, i, 0, n, room);
		const float *residual = row_or_null(&a->residual, i, room + row);
		if (sp_dropout_on(&a->dropout))
			form_masked(a, i, x, residual);
		else
			form_any(x, a->bias.data, residual, NULL, 0, 0, n);
		if (a->y.data) {
			float *y = sp_elements_open(&a->y, i, 0, room + 2 * row);
			sp_norm_row(x, row_sum(x, n), n, a->gamma.data, a->beta.data, a->eps, y, (float *)a->mean.data + i,
			            (float *)a->rstd.data + i);
			sp_elements_close(&a->y, i, 0, n, y);
		}
		sp_elements_close(&a->x, i, 0, n, x);
	}
}

/* A part of a row: dresidual = g, dx = mask * g, dbias += dx. Where no dresidual is wanted it is dx, written twice. */
SPECIALISED void spread(const struct sp_norm_means *means, const float *dy, const float *s, const float *gamma,
                        const float *dsum, const uint16_t *half, uint32_t keep, float scale, int64_t n,
                        float *dresidual, float *dx, float *dbias)
{
	const struct sp_norm_means m = *means;
#pragma omp simd
	for (int64_t j = 0; j < n; j++) {
		float g = 0;
		if (dy)
			g = sp_norm_slope(&m, dy[j], gamma[j], s[j]);
		if (dsum)
			g += dsum[j];
		dresidual[j] = g;
		if (half)
			g *= sp_dropout_factor(half[j], keep, scale);
		dx[j] = g;
		dbias[j] += g;
	}
}

SPECIALISED void spread_any(const struct sp_norm_means *m, const float *dy, const float *s, const float *gamma,
                            const float *dsum, const uint16_t *half, uint32_t keep, float scale, int64_t n,
                            float *dresidual, float *dx, float *dbias)
{
	if (dy && dsum)
		spread(m, dy, s, gamma, dsum, half, keep, scale, n, dresidual, dx, dbias);
	else if (dy)
		spread(m, dy, s, gamma, NULL, half, keep, scale, n, dresidual, dx, dbias);
	else
		spread(m, NULL, NULL, NULL, dsum, half, keep, scale, n, dresidual, dx, dbias);
}

/* What a row's gradient is made of and where it goes. */
struct row {
	const float *dy, *s, *dsum;
	float *dx, *dresidual;
};

static void spread_row(const struct sp_norm_backward *a, int64_t i, const struct sp_norm_means *m, const struct row *r, float *dbias)
{
	const int64_t n = a->dx.cols;
	const float *dy = r->dy, *s = r->s, *dsum = r->dsum, *gamma = a->gamma.data;
	float *dx = r->dx, *dresidual = r->dresidual;
	if (!dy && !dsum) {
		memset(dx, 0, (size_t)n * sizeof *dx);
		memset(dresidual, 0, (size_t)n * sizeof *dx);
		return;
	}
	if (!sp_dropout_on(&a->dropout)) {
		spread_any(m, dy, s, gamma, dsum, NULL, 0, 0, n, dresidual, dx, dbias);
		return;
	}
	struct sp_row_dropout d;
	sp_row_dropout_start(&d, &a->dropout, &a->rows, i);
	for (int64_t j = 0; j < n; j += SP_ROW_PART) {
		const int64_t count = n - j < SP_ROW_PART ? n - j : SP_ROW_PART;
		spread_any(m, at(dy, j), at(s, j), at(gamma, j), at(dsum, j), sp_row_dropout_draw(&d, j, count), d.keep,
		           d.scale, count, dresidual + j, dx + j, dbias + j);
	}
}

/* Row i is wanted soon. Two passes over each short row keep the hardware from running ahead by itself. */
static void fetch_row(const struct sp_norm_backward *a, int64_t i)
{
	if (a->dy.data) {
		sp_fetch_row(&a->dy, i);
		sp_fetch_row(&a->s, i);
	}
	if (a->dsum.data)
		sp_fetch_row(&a->dsum, i);
	sp_fetch_row(&a->dx, i);
	if (a->dresidual.data)
		sp_fetch_row(&a->dresidual, i);
}

/* Gradients may take the place of what they are made of: in bfloat16 that has been read by the time they are put there. */
static struct row open_row(const struct sp_norm_backward *a, int64_t i, float *room)
{
	const int64_t row = sp_room_row(a->dx.cols);
	struct row r = { row_or_null(&a->dy, i, room), row_or_null(&a->s, i, room + row), row_or_null(&a->dsum, i, room + 2 * row),
		             sp_elements_open(&a->dx, i, 0, room + 3 * row), NULL };
	r.dresidual = a->dresidual.data ? sp_elements_open(&a->dresidual, i, 0, room + 4 * row) : r.dx;
	return r;
}

static void close_row(const struct sp_norm_backward *a, int64_t i, const struct row *r)
{
	if (a->dresidual.data)
		sp_elements_close(&a->dresidual, i, 0, a->dx.cols, r->dresidual);
	sp_elements_close(&a->dx, i, 0, a->dx.cols, r->dx);
}

void SP_KERNEL(norm_backward)(const struct sp_norm_backward *a, int64_t first, int64_t end, float *dgamma, float *dbeta,
                              float *dbias, float *room)
{
	const size_t bytes = (size_t)a->dx.cols * sizeof(float);
	memset(dgamma, 0, bytes);
	memset(dbeta, 0, bytes);
	memset(dbias, 0, bytes);
	for (int64_t i = first; i < end; i++) {
		struct sp_norm_means m = { 0, 0, 0, 0 };
		const struct row r = open_row(a, i, room);
		if (a->dy.data) {
			m.mean = ((const float *)a->mean.data)[i];
			m.rstd = ((const float *)a->rstd.data)[i];
			sp_norm_row_means(r.dy, r.s, a->dx.cols, a->gamma.data, &m, dgamma, dbeta);
		}
		if (i + 1 < end)
			fetch_row(a, i + 1);
		spread_row(a, i, &m, &r, dbias);
		close_row(a, i, &r);
	}
}
