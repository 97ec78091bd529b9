/* Rotary positions: the sines of a row are found once, for all of its heads. */
#include "config.h"

#include "cpu/elements.h"
#include "cpu/kernels.h"
#include "cpu/vmath.h"

enum { ANGLES = 64 }; /* at a time: of a head of 128 columns */

static void rotate_row(const struct sp_rotate *a, int64_t i, int64_t first, int64_t n, const float *cosine, const float *sine)
{
	const int64_t half = a->head_dim / 2;
	float room[2][ANGLES];
	for (int64_t at = first; at < a->x.cols; at += a->head_dim) {
		float *u = sp_elements_read(&a->x, i, at, n, room[0]), *v = sp_elements_read(&a->x, i, at + half, n, room[1]);
#pragma omp simd
		for (int64_t j = 0; j < n; j++) {
			const float low = u[j], high = v[j];
			u[j] = low * cosine[j] - high * sine[j];
			v[j] = high * cosine[j] + low * sine[j];
		}
		sp_elements_close(&a->x, i, at, n, u);
		sp_elements_close(&a->x, i, at + half, n, v);
	}
}

void SP_KERNEL(rotate)(const struct sp_rotate *a, const double *frequency, int64_t first, int64_t end)
{
	const int64_t half = a->head_dim / 2;
	for (int64_t i = first; i < end; i++)
		for (int64_t at = 0; at < half; at += ANGLES) {
			const int64_t n = half - at < ANGLES ? half - at : ANGLES;
			const double position = a->position[i];
			const float sign = a->inverse ? -1.0f : 1.0f;
			float sine[ANGLES], cosine[ANGLES];
#pragma omp simd
			for (int64_t j = 0; j < n; j++) {
				sp_sine_cosine(position * frequency[at + j], &sine[j], &cosine[j]);
				sine[j] *= sign;
			}
			rotate_row(a, i, at, n, cosine, sine);
		}
}
