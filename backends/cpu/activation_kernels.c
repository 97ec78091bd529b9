/* What follows or precedes a matrix product, on the block of rows and columns it has just left in the cache. */
#include "config.h"

#include "cpu/elements.h"
#include "cpu/kernels.h"
#include "cpu/vmath.h"

static inline const float *row_of(const struct sp_matrix *m, int64_t i)
{
	return (const float *)m->data + i * m->stride;
}

static inline float *row_to(const struct sp_matrix *m, int64_t i)
{
	return (float *)m->data + i * m->stride;
}

void SP_KERNEL(fill_rows)(const float *row, const struct sp_matrix *y)
{
	for (int64_t i = 0; i < y->rows; i++)
		if (row)
			memcpy(row_to(y, i), row, (size_t)y->cols * sizeof *row);
		else
			memset(row_to(y, i), 0, (size_t)y->cols * sizeof *row);
}

static void gelu_row(const float *pre, float *y, int64_t n)
{
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		y[j] = sp_gelu(pre[j]);
}

static void gelu_tanh_row(const float *pre, float *y, int64_t n)
{
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		y[j] = sp_gelu_tanh(pre[j]);
}

void SP_KERNEL(activate)(enum sp_activation act, const struct sp_matrix *pre, const struct sp_matrix *y)
{
	for (int64_t i = 0; i < y->rows; i++)
		if (act == SP_ACT_GELU)
			gelu_row(row_of(pre, i), row_to(y, i), y->cols);
		else if (act == SP_ACT_GELU_TANH)
			gelu_tanh_row(row_of(pre, i), row_to(y, i), y->cols);
		else
			memcpy(row_to(y, i), row_of(pre, i), (size_t)y->cols * sizeof(float));
}

static void gelu_slope_row(const float *pre, float *dx, int64_t n)
{
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		dx[j] *= sp_gelu_slope(pre[j]);
}

static void gelu_tanh_slope_row(const float *pre, float *dx, int64_t n)
{
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		dx[j] *= sp_gelu_tanh_slope(pre[j]);
}

enum { SUM_ROWS = 4 }; /* rows added before the running sums are touched: less traffic, and a smaller rounding error */

static void add_rows(const struct sp_matrix *x, int64_t first, int64_t end, float *sums)
{
	const float *row = row_of(x, first);
	if (end - first == SUM_ROWS) {
		const int64_t s = x->stride;
#pragma omp simd
		for (int64_t j = 0; j < x->cols; j++)
			sums[j] += (row[j] + row[j + s]) + (row[j + 2 * s] + row[j + 3 * s]);
		return;
	}
	for (int64_t i = first; i < end; i++, row += x->stride) {
#pragma omp simd
		for (int64_t j = 0; j < x->cols; j++)
			sums[j] += row[j];
	}
}

void SP_KERNEL(column_sums)(const struct sp_matrix *x, float *sums)
{
	memset(sums, 0, (size_t)x->cols * sizeof *sums);
	for (int64_t i = 0; i < x->rows; i += SUM_ROWS)
		add_rows(x, i, i + SUM_ROWS < x->rows ? i + SUM_ROWS : x->rows, sums);
}

/* Of 16 bits, a part of the row at a time: no element needs another. */
static void slope_row(enum sp_activation act, const struct sp_matrix *pre, const struct sp_matrix *dx, int64_t i)
{
	float room[2][SP_ELEMENTS_PART];
	for (int64_t j = 0, n; j < dx->cols && act != SP_ACT_NONE; j += n) {
		n = sp_elements_part(pre, dx->cols - j);
		const float *x = sp_elements_read(pre, i, j, n, room[0]);
		float *slope = sp_elements_read(dx, i, j, n, room[1]);
		if (act == SP_ACT_GELU)
			gelu_slope_row(x, slope, n);
		else
			gelu_tanh_slope_row(x, slope, n);
		sp_elements_close(dx, i, j, n, slope);
	}
}

void SP_KERNEL(activate_backward)(enum sp_activation act, const struct sp_matrix *pre, const struct sp_matrix *dx,
                                  float *sums)
{
	if (sums)
		memset(sums, 0, (size_t)dx->cols * sizeof *sums);
	for (int64_t i = 0; i < dx->rows; i += SUM_ROWS) {
		const int64_t end = i + SUM_ROWS < dx->rows ? i + SUM_ROWS : dx->rows;
		for (int64_t r = i; r < end; r++)
			slope_row(act, pre, dx, r);
		if (sums)
			add_rows(dx, i, end, sums);
	}
}
