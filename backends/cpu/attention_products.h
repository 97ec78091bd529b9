/* Vectors, and the register-blocked products that attention is made of. May include: libc. Only for kernel sources, which are
 * compiled once per instruction set. The layouts are those of cpu/attention.h. */
#ifndef SP_CPU_ATTENTION_PRODUCTS_H
#define SP_CPU_ATTENTION_PRODUCTS_H

#include "cpu/attention.h"

#if defined __SSE2__
#include <immintrin.h>
#endif

/* LANES floats a vector; a product keeps ROWS x 2 vectors of sums in registers, and needs three more. */
#if defined __AVX512F__
#define LANES 16
#define ROWS 12
#elif defined __AVX2__
#define LANES 8
#define ROWS 6
#else
#define LANES 4
#define ROWS 6
#endif
#define COLUMNS (2 * LANES)

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

/* Two bfloat16, or a float to be copied. */
typedef uint32_t word __attribute__((may_alias));

/* Whether processors of this variant multiply pairs of bfloat16. `pairs` is a constant to all that follows, 0 without it. */
#ifdef SP_PAIRS /* this variant alone, whatever -march= lets the compiler use in the others */
#define PAIRS 1
/* c + a's pair times b's, sums of two products. */
INLINE vec add_pairs(vec c, word a, vec b)
{
	return (vec)_mm512_dpbf16_ps((__m512)c, (__m512bh)_mm512_set1_epi32((int)a), (__m512bh)b);
}
#else
#define PAIRS 0
INLINE vec add_pairs(vec c, word a, vec b)
{
	(void)a, (void)b;
	return c;
}
#endif

INLINE vec add_product(vec c, const float *a, vec b, int pairs)
{
	if (pairs)
		return add_pairs(c, *(const word *)a, b);
	return c + *a * b;
}

INLINE void clear(vec c[ROWS][2])
{
#pragma GCC unroll 12
	for (int i = 0; i < ROWS; i++)
		c[i][0] = c[i][1] = (vec){ 0 };
}

/* c += a b for ROWS rows and COLUMNS columns: a[i * row_step + k * k_step], b[k * COLUMNS + j], k < depth. */
INLINE void multiply(int64_t depth, const float *a, int64_t row_step, int64_t k_step, const float *b, int pairs, vec c[ROWS][2])
{
	for (int64_t k = 0; k < depth; k++, a += k_step, b += COLUMNS) {
		const vec b0 = *(const vec *)b, b1 = *(const vec *)(b + LANES);
#pragma GCC unroll 12
		for (int i = 0; i < ROWS; i++) {
			c[i][0] = add_product(c[i][0], a + i * row_step, b0, pairs);
			c[i][1] = add_product(c[i][1], a + i * row_step, b1, pairs);
		}
	}
}

/* c = a b, summed over the tile's depth: rows [row, row + ROWS) of a (panels, or rows of pairs), block j of b (turned). */
INLINE void multiply_features(const struct sp_cpu_attention_tile *t, const float *a, int64_t row, const float *b,
                              int64_t j, int pairs, vec c[ROWS][2])
{
	clear(c);
	if (pairs) {
		multiply(t->depth, a + row * t->depth, t->depth, 1, b + j * t->depth, 1, c);
		return;
	}
	for (int64_t d = 0; d < t->depth; d += COLUMNS) {
		const int64_t rest = t->depth - d;
		multiply(rest < COLUMNS ? rest : COLUMNS, a + d * t->rows + row * COLUMNS, COLUMNS, 1,
		         b + j * t->depth + d * COLUMNS, 0, c);
	}
}

/* Rows [row, row + ROWS) of y += a b, y panels of y_rows rows, b n rows of panels of b_rows, summed over n: rows, or pairs of
 * them. */
INLINE void product(int64_t n, const float *a, int64_t row_step, int64_t k_step, const float *b, int64_t b_rows,
                    int64_t width, float *y, int64_t y_rows, int64_t row, int pairs)
{
	for (int64_t j = 0; j < width; j += COLUMNS) {
		vec c[ROWS][2];
		float *out = y + j * y_rows + row * COLUMNS;
		clear(c);
		multiply(n, a, row_step, k_step, b + j * b_rows, pairs, c);
#pragma GCC unroll 12
		for (int i = 0; i < ROWS; i++, out += COLUMNS) {
			*(vec *)out += c[i][0];
			*(vec *)(out + LANES) += c[i][1];
		}
	}
}

#endif
