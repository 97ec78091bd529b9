/* Cross-entropy of one row of logits, the pooler's tanh, and moving rows. */
#include "config.h"

#include "cpu/elements.h"
#include "cpu/kernels.h"
#include "cpu/vmath.h"

#include <math.h>

enum { SUM_PART = 2048 }; /* summed in fp32 lanes, then in fp64: the sum of 30 000 exponentials keeps its digits */

/* Adding 0 does nothing and keeps the sign out of it; NaN logits never win, and reach the loss through the sum. */
static float row_max(const float *x, int64_t n)
{
	float max = -INFINITY;
#pragma omp simd reduction(max : max)
	for (int64_t j = 0; j < n; j++)
		max = x[j] > max ? x[j] : max;
	return max;
}

/* sum of e^(x - max); with `keep` the terms replace x. */
static double exp_sum(float *x, int64_t n, float max, int keep)
{
	double total = 0;
	for (int64_t first = 0; first < n; first += SUM_PART) {
		const int64_t end = first + SUM_PART < n ? first + SUM_PART : n;
		float sum = 0;
		if (keep) {
#pragma omp simd reduction(+ : sum)
			for (int64_t j = first; j < end; j++) {
				x[j] = sp_exp(x[j] - max);
				sum += x[j];
			}
		} else {
#pragma omp simd reduction(+ : sum)
			for (int64_t j = first; j < end; j++)
				sum += sp_exp(x[j] - max);
		}
		total += (double)sum;
	}
	return total;
}

static int first_of_largest(const float *x, int32_t label, float max)
{
	if (x[label] != max)
		return 0;
	int earlier = 0;
#pragma omp simd reduction(| : earlier)
	for (int32_t j = 0; j < label; j++)
		earlier |= x[j] == max;
	return !earlier;
}

void SP_KERNEL(cross_entropy_row)(float *x, int64_t n, int32_t label, float scale, int gradient, double *loss,
                                  int *correct)
{
	const float max = row_max(x, n), at_label = x[label];
	*correct = first_of_largest(x, label, max);
	const double sum = exp_sum(x, n, max, gradient);
	*loss = log(sum) + (double)max - (double)at_label;
	if (!gradient)
		return;
	const float factor = (float)(scale / sum);
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		x[j] *= factor;
	x[label] -= scale;
}

void SP_KERNEL(entropy_part_row)(const float *x, int64_t n, int64_t label, float *stats)
{
	const int here = label >= 0 && label < n;
	const float max = row_max(x, n);
	double total = 0;
	for (int64_t first = 0; first < n; first += SUM_PART) {
		const int64_t end = first + SUM_PART < n ? first + SUM_PART : n;
		float sum = 0;
#pragma omp simd reduction(+ : sum)
		for (int64_t j = first; j < end; j++)
			sum += sp_exp(x[j] - max);
		total += (double)sum;
	}
	stats[0] = max;
	stats[1] = (float)total;
	stats[2] = here ? x[label] : -INFINITY;
	stats[3] = here && first_of_largest(x, (int32_t)label, max) ? 1.0f : 0.0f;
}

void SP_KERNEL(entropy_whole_row)(float *x, int64_t n, int64_t label, float max, double sum, float scale)
{
	const float factor = (float)(scale / sum);
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		x[j] = sp_exp(x[j] - max) * factor;
	if (label >= 0 && label < n)
		x[label] -= scale;
}

static inline void add_to(const float *x, int64_t n, float *y)
{
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		y[j] += x[j];
}

void SP_KERNEL(words_backward)(const struct sp_words *a, int64_t first, int64_t end)
{
	float room[SP_ELEMENTS_PART];
	for (int64_t i = 0; i < a->y.rows; i++) {
		const int64_t id = (int64_t)a->token[i] - a->first;
		if (id < 0 || id >= a->word.rows)
			continue;
		for (int64_t j = first, n; j < end; j += n) {
			n = sp_elements_part(&a->y, end - j);
			add_to(sp_elements_read(&a->y, i, j, n, room), n, sp_float_at(&a->word, id, j));
		}
	}
}

void SP_KERNEL(tanh_forward)(const struct sp_matrix *m, int64_t i)
{
	float room[SP_ELEMENTS_PART];
	for (int64_t first = 0, n; first < m->cols; first += n) {
		n = sp_elements_part(m, m->cols - first);
		float *x = sp_elements_read(m, i, first, n, room);
#pragma omp simd
		for (int64_t j = 0; j < n; j++)
			x[j] = sp_tanh(x[j]);
		sp_elements_close(m, i, first, n, x);
	}
}

void SP_KERNEL(tanh_backward)(const struct sp_tanh_backward *a, int64_t i)
{
	float room[2][SP_ELEMENTS_PART];
	for (int64_t first = 0, n; first < a->dx.cols; first += n) {
		n = sp_elements_part(&a->dx, a->dx.cols - first);
		const float *y = sp_elements_read(&a->y, i, first, n, room[0]);
		float *dx = sp_elements_read(&a->dx, i, first, n, room[1]);
#pragma omp simd
		for (int64_t j = 0; j < n; j++)
			dx[j] *= 1.0f - y[j] * y[j];
		sp_elements_close(&a->dx, i, first, n, dx);
	}
}

void SP_KERNEL(add_rows)(const struct sp_row_move *a, int64_t first, int64_t end)
{
	float room[2][SP_ELEMENTS_PART];
	for (int64_t i = first; i < end; i++)
		for (int64_t j = 0, n; j < a->x.cols; j += n) {
			n = sp_elements_part(&a->x, a->x.cols - j);
			float *y = sp_elements_read(&a->y, a->index[i], j, n, room[1]);
			add_to(sp_elements_read(&a->x, i, j, n, room[0]), n, y);
			sp_elements_close(&a->y, a->index[i], j, n, y);
		}
}
