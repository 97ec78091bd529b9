/* Attention on whole rows of scores, a row at a time. */
#include "config.h"

#include "cpu/kernels.h"
#include "cpu/vmath.h"

#include <math.h>

enum { PART = 1024, SUM_PART = 2048 }; /* columns whose dropout is drawn at once; terms summed in fp32 lanes before fp64 */

/* Of row r of the scores: its sample, head and query. */
struct place {
	int64_t b, a, i;
};

static struct place place_of(const struct sp_attention_shape *s, int64_t r)
{
	const struct place p = { r / s->chunk / s->heads, r / s->chunk % s->heads, r % s->chunk };
	return p;
}

static float *row_of(const struct sp_matrix *m, int64_t r)
{
	return (float *)m->data + r * m->stride;
}

void SP_KERNEL(scores_mask)(const struct sp_scores_mask *args, int64_t first, int64_t end)
{
	const struct sp_attention_shape *shape = &args->shape;
	for (int64_t r = first; r < end; r++) {
		const struct place p = place_of(shape, r);
		const int32_t own = shape->query_doc[p.b * shape->chunk + p.i];
		const int32_t *doc = shape->key_doc + p.b * shape->keys;
		const float scale = shape->scale;
		float *s = row_of(&args->s, r);
#pragma omp simd
		for (int64_t j = 0; j < shape->keys; j++)
			s[j] = own >= 0 && doc[j] == own ? scale * s[j] : -INFINITY;
	}
}

static float largest(const float *x, int64_t n)
{
	float max = -INFINITY;
#pragma omp simd reduction(max : max)
	for (int64_t j = 0; j < n; j++)
		max = x[j] > max ? x[j] : max;
	return max;
}

/* x = e^(x - max); their sum. */
static double exponentials(float *x, int64_t n, float max)
{
	double total = 0;
	for (int64_t first = 0; first < n; first += SUM_PART) {
		const int64_t end = first + SUM_PART < n ? first + SUM_PART : n;
		float sum = 0;
#pragma omp simd reduction(+ : sum)
		for (int64_t j = first; j < end; j++) {
			x[j] = sp_exp(x[j] - max);
			sum += x[j];
		}
		total += (double)sum;
	}
	return total;
}

void SP_KERNEL(scores_softmax)(const struct sp_scores_softmax *args, int64_t first, int64_t end)
{
	const int64_t n = args->s.cols;
	for (int64_t r = first; r < end; r++) {
		float *s = row_of(&args->s, r);
		const float max = largest(s, n);
		const int none = max == -INFINITY;
		const double sum = exponentials(s, n, none ? 0.0f : max);
		const float factor = none ? 0.0f : (float)(1 / sum);
		((float *)args->lse.data)[r] = none ? -INFINITY : (float)((double)max + log(sum));
#pragma omp simd
		for (int64_t j = 0; j < n; j++)
			s[j] *= factor;
	}
}

/* The dropout numbers of columns [at, at + n) of a row; `half` has room for PART columns at any offset. */
static const uint16_t *draw(const struct sp_attention_shape *shape, struct place p, int64_t at, int64_t n, uint16_t *half)
{
	return sp_dropout_draw(&shape->dropout, shape->first_query + (uint32_t)p.i,
	                       sp_attention_line(shape, shape->sample[p.b], p.a), shape->first_key + (uint32_t)at, n, half);
}

static int64_t part_from(int64_t at, int64_t n)
{
	return n - at < PART ? n - at : PART;
}

void SP_KERNEL(scores_drop)(const struct sp_scores_drop *args, int64_t first, int64_t end)
{
	const struct sp_attention_shape *shape = &args->shape;
	const uint32_t keep = shape->dropout.keep;
	const float scale = sp_dropout_scale(&shape->dropout);
	uint16_t room[PART + 8 + SP_DROPOUT_BLOCK];
	for (int64_t r = first; r < end; r++)
		for (int64_t at = 0; at < shape->keys; at += PART) {
			const int64_t n = part_from(at, shape->keys);
			const float *p = row_of(&args->p, r) + at;
			float *y = row_of(&args->y, r) + at;
			if (keep == 65536) {
				for (int64_t j = 0; j < n; j++)
					y[j] = p[j];
				continue;
			}
			const uint16_t *half = draw(shape, place_of(shape, r), at, n, room);
#pragma omp simd
			for (int64_t j = 0; j < n; j++)
				y[j] = p[j] * sp_dropout_factor(half[j], keep, scale);
		}
}

void SP_KERNEL(scores_backward)(const struct sp_scores_backward *args, int64_t first, int64_t end)
{
	const struct sp_attention_shape *shape = &args->shape;
	const uint32_t keep = shape->dropout.keep;
	const float kept = sp_dropout_scale(&shape->dropout), scale = shape->scale;
	uint16_t room[PART + 8 + SP_DROPOUT_BLOCK];
	for (int64_t r = first; r < end; r++) {
		const struct place place = place_of(shape, r);
		const float dots = row_of(&args->dots, place.b * shape->heads + place.a)[place.i];
		for (int64_t at = 0; at < shape->keys; at += PART) {
			const int64_t n = part_from(at, shape->keys);
			const float *p = row_of(&args->p, r) + at;
			float *ds = row_of(&args->ds, r) + at;
			if (keep == 65536) {
#pragma omp simd
				for (int64_t j = 0; j < n; j++)
					ds[j] = scale * p[j] * (ds[j] - dots);
				continue;
			}
			const uint16_t *half = draw(shape, place, at, n, room);
#pragma omp simd
			for (int64_t j = 0; j < n; j++)
				ds[j] = scale * p[j] * (sp_dropout_factor(half[j], keep, kept) * ds[j] - dots);
		}
	}
}
