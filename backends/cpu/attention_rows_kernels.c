/* What surrounds the two steps of attention, token by token. Compiled once per instruction set (ISA); one thread.
 * May include: cpu/{bf16,kernels}.h. */
#include "config.h"

#include "cpu/bf16.h"
#include "cpu/kernels.h"

#include <math.h>

#define INLINE static inline __attribute__((always_inline))

void SP_KERNEL(attention_finish)(const struct sp_attention_finish *args, int64_t b, int64_t first, int64_t end)
{
	for (int64_t i = first; i < end; i++)
		for (int64_t a = 0; a < args->heads; a++) {
			const int64_t row = b * args->chunk + i, head = b * args->heads + a, column = a * args->head_dim;
			const float *acc = (const float *)args->acc.data + row * args->acc.stride + column;
			const int64_t at = row * args->o.stride + column;
			float *o = (float *)args->o.data + at;
			uint16_t *narrow = (uint16_t *)args->o.data + at;
			const float m = ((const float *)args->m.data)[head * args->m.stride + i];
			const float l = ((const float *)args->l.data)[head * args->l.stride + i];
			const float inverse = l == 0.0f ? 0.0f : 1.0f / l;
			if (args->o.dtype == SP_F32)
#pragma omp simd
				for (int64_t d = 0; d < args->head_dim; d++)
					o[d] = acc[d] * inverse;
			else
#pragma omp simd
				for (int64_t d = 0; d < args->head_dim; d++)
					narrow[d] = sp_bf16_round(acc[d] * inverse);
			((float *)args->lse.data)[head * args->lse.stride + i] = l == 0.0f ? -INFINITY : m + logf(l);
		}
}

void SP_KERNEL(attention_merge)(const struct sp_attention_merge *args, int64_t b, int64_t first, int64_t end)
{
	for (int64_t i = first; i < end; i++)
		for (int64_t a = 0; a < args->heads; a++) {
			const int64_t row = b * args->chunk + i, head = b * args->heads + a, column = a * args->head_dim;
			float *acc = (float *)args->acc.data + row * args->acc.stride + column;
			const float *from = (const float *)args->from_acc.data + row * args->from_acc.stride + column;
			float *m = (float *)args->m.data + head * args->m.stride + i, *l = (float *)args->l.data + head * args->l.stride + i;
			const float from_m = ((const float *)args->from_m.data)[head * args->from_m.stride + i];
			const float from_l = ((const float *)args->from_l.data)[head * args->from_l.stride + i];
			const float max = *m > from_m ? *m : from_m;
			const float keep = *m > -INFINITY ? expf(*m - max) : 0.0f, add = from_m > -INFINITY ? expf(from_m - max) : 0.0f;
#pragma omp simd
			for (int64_t d = 0; d < args->head_dim; d++)
				acc[d] = keep * acc[d] + add * from[d];
			*l = keep * *l + add * from_l;
			*m = max;
		}
}

INLINE float dot(const float *x, const float *y, int64_t n)
{
	float sum = 0;
#pragma omp simd reduction(+ : sum)
	for (int64_t d = 0; d < n; d++)
		sum += x[d] * y[d];
	return sum;
}

INLINE float dot_bf16(const uint16_t *x, const uint16_t *y, int64_t n)
{
	float sum = 0;
#pragma omp simd reduction(+ : sum)
	for (int64_t d = 0; d < n; d++)
		sum += sp_bf16_wide(x[d]) * sp_bf16_wide(y[d]);
	return sum;
}

void SP_KERNEL(attention_dots)(const struct sp_attention_dots *args, int64_t b, int64_t first, int64_t end)
{
	for (int64_t i = first; i < end; i++)
		for (int64_t a = 0; a < args->heads; a++) {
			const int64_t row = b * args->chunk + i, head = b * args->heads + a, column = a * args->head_dim;
			const int64_t n = args->head_dim, dout = row * args->dout.stride + column, o = row * args->o.stride + column;
			((float *)args->dots.data)[head * args->dots.stride + i] =
				args->o.dtype == SP_F32 ? dot((const float *)args->dout.data + dout, (const float *)args->o.data + o, n) :
			                              dot_bf16((const uint16_t *)args->dout.data + dout, (const uint16_t *)args->o.data + o, n);
		}
}
