/* Pairs of bfloat16 made of what attention computes in float32: probabilities and their gradients, which are factors of the next
 * product. All lengths are multiples of COLUMNS. May include: cpu/attention_products.h. Only for kernel sources. */
#ifndef SP_CPU_ATTENTION_PAIRS_H
#define SP_CPU_ATTENTION_PAIRS_H

#include "cpu/attention_products.h"

#if PAIRS
typedef __m512i words __attribute__((aligned(4), may_alias));
typedef __m256i half_words __attribute__((aligned(4), may_alias));

/* 16 floats of each, rounded: those of `low`, then those of `high`. */
INLINE __m512i rounded(vec low, vec high)
{
	return (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
}

/* Of 16 and 16 elements, words of the i-th of both. */
INLINE __m512i interleaved(__m512i x)
{
	const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20,
	                                       4, 19, 3, 18, 2, 17, 1, 16, 0);
	return _mm512_permutexvar_epi16(order, x);
}

/* x times the factor, in its first half. */
INLINE void pair_columns(float *x, int64_t n, float factor)
{
	for (int64_t j = 0; j < n; j += COLUMNS)
		*(words *)(x + j / 2) = rounded(factor * *(const vec *)(x + j), factor * *(const vec *)(x + j + LANES));
}

/* Two rows of x, one `stride` behind the other, times the factor; y may be the first. */
INLINE void pair_rows(const float *x, int64_t stride, int64_t n, float factor, float *y)
{
	for (int64_t j = 0; j < n; j += LANES)
		*(words *)(y + j) = interleaved(rounded(factor * *(const vec *)(x + j), factor * *(const vec *)(x + stride + j)));
}

/* The same without a factor, and each of them as pairs of columns, one `half` behind the other. */
INLINE void pair_rows_and_columns(const float *x, int64_t stride, int64_t n, float *y, float *columns, int64_t half)
{
	for (int64_t j = 0; j < n; j += LANES) {
		const __m512i both = rounded(*(const vec *)(x + j), *(const vec *)(x + stride + j));
		*(words *)(y + j) = interleaved(both);
		*(half_words *)(columns + j / 2) = _mm512_castsi512_si256(both);
		*(half_words *)(columns + half + j / 2) = _mm512_extracti64x4_epi64(both, 1);
	}
}
#else
INLINE void pair_columns(float *x, int64_t n, float factor)
{
	(void)x, (void)n, (void)factor;
}

INLINE void pair_rows(const float *x, int64_t stride, int64_t n, float factor, float *y)
{
	(void)x, (void)stride, (void)n, (void)factor, (void)y;
}

INLINE void pair_rows_and_columns(const float *x, int64_t stride, int64_t n, float *y, float *columns, int64_t half)
{
	(void)x, (void)stride, (void)n, (void)y, (void)columns, (void)half;
}
#endif

#endif
