/* Packed copies of attention's operands, and back. Compiled once per instruction set (ISA); one thread.
 * May include: cpu/{attention,attention_products,bf16,kernels}.h. */
#include "config.h"

#include "cpu/attention_products.h"

#include "cpu/bf16.h"
#include "cpu/kernels.h"

#include <string.h>

/* Columns [d, d + COLUMNS) of a row of x; what lies beyond depth is 0. */
INLINE void pack_bf16(const uint16_t *x, int64_t d, int64_t depth, float factor, float *y)
{
	for (int64_t i = 0; i < COLUMNS; i++)
		y[i] = d + i < depth ? factor * sp_bf16_wide(x[d + i]) : 0.0f;
}

INLINE void pack_panel(const float *x, int64_t d, int64_t depth, float factor, float *y)
{
	if (d + COLUMNS <= depth) {
		*(vec *)y = factor * *(const vec *)(x + d);
		*(vec *)(y + LANES) = factor * *(const vec *)(x + d + LANES);
		return;
	}
	for (int64_t i = 0; i < COLUMNS; i++)
		y[i] = d + i < depth ? factor * x[d + i] : 0.0f;
}

INLINE void *row_of(const struct sp_cpu_attention_rows *x, int64_t i, int64_t size)
{
	return (char *)x->data + (x->row ? x->row[i] : i) * x->stride * size;
}

/* `wide`: of float32; else of bfloat16. */
INLINE void pack(const struct sp_cpu_attention_rows *x, int wide, float factor, const int32_t *doc, float *y, int64_t padded,
                 int64_t width)
{
	const int64_t ahead = 8; /* rows lie on pages of their own, where no hardware looks ahead */
	const int64_t size = wide ? sizeof(float) : sizeof(uint16_t);
	for (int64_t i = 0; i < padded; i++) {
		if (i + ahead < x->n)
			for (int64_t at = 0; at < x->depth * size; at += 64)
				__builtin_prefetch((const char *)row_of(x, i + ahead, size) + at);
		const int64_t columns = i >= x->n || (doc && doc[i] < 0) ? 0 : x->depth;
		const void *row = i < x->n ? row_of(x, i, size) : x->data;
		for (int64_t d = 0; d < width; d += COLUMNS) {
			float *to = y + d * padded + i * COLUMNS;
			if (wide)
				pack_panel(row, d, columns, factor, to);
			else if (d + COLUMNS <= columns)
				pack_bf16(row, d, d + COLUMNS, factor, to);
			else
				pack_bf16(row, d, columns, factor, to);
		}
	}
}

void SP_KERNEL(attention_pack)(const struct sp_cpu_attention_rows *x, float factor, const int32_t *doc, float *y,
                               int64_t padded, int64_t width)
{
	if (x->dtype == SP_F32)
		pack(x, 1, factor, doc, y, padded, width);
	else
		pack(x, 0, factor, doc, y, padded, width);
}

/* ---- pairs of bfloat16 ---- */

/* Elements of row i that are there: none of what pads, nor of a row whose document is negative. */
INLINE int64_t length_of(const struct sp_cpu_attention_rows *x, const int32_t *doc, int64_t i)
{
	return i >= x->n || (doc && doc[i] < 0) ? 0 : x->depth;
}

void SP_KERNEL(attention_pack_rows)(const struct sp_cpu_attention_rows *x, const int32_t *doc, float *y, int64_t padded,
                                    int64_t depth)
{
	for (int64_t i = 0; i < padded; i++) {
		const size_t bytes = (size_t)length_of(x, doc, i) * sizeof(uint16_t);
		char *to = (char *)(y + i * depth);
		if (bytes)
			memcpy(to, row_of(x, i, sizeof(uint16_t)), bytes);
		memset(to + bytes, 0, (size_t)depth * sizeof(float) - bytes);
	}
}

/* Columns [d, d + COLUMNS) of two rows of a and b elements. */
INLINE void pack_pairs(const uint16_t *x, int64_t a, const uint16_t *y, int64_t b, int64_t d, uint32_t *to)
{
	for (int64_t i = 0; i < COLUMNS; i++)
		to[i] = (uint32_t)(d + i < a ? x[d + i] : 0) | (uint32_t)(d + i < b ? y[d + i] : 0) << 16;
}

void SP_KERNEL(attention_pack_pairs)(const struct sp_cpu_attention_rows *x, const int32_t *doc, float *y, int64_t padded,
                                     int64_t width)
{
	for (int64_t i = 0; i < padded; i += 2) {
		const int64_t a = length_of(x, doc, i), b = length_of(x, doc, i + 1);
		const uint16_t *first = a ? row_of(x, i, sizeof(uint16_t)) : x->data;
		const uint16_t *second = b ? row_of(x, i + 1, sizeof(uint16_t)) : x->data;
		for (int64_t d = 0; d < width; d += COLUMNS) {
			uint32_t *to = (uint32_t *)y + d * (padded / 2) + i / 2 * COLUMNS;
			if (d + COLUMNS <= a && d + COLUMNS <= b)
				pack_pairs(first, d + COLUMNS, second, d + COLUMNS, d, to);
			else
				pack_pairs(first, a, second, b, d, to);
		}
	}
}

/* ---- turned ---- */

typedef float vec4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t ivec4 __attribute__((vector_size(16)));

/* Four rows x four columns, transposed. */
INLINE void turn4(const float *x, int64_t x_stride, float *y, int64_t y_stride)
{
	const vec4 a = *(const vec4 *)x, b = *(const vec4 *)(x + x_stride), c = *(const vec4 *)(x + 2 * x_stride),
	           d = *(const vec4 *)(x + 3 * x_stride);
	const ivec4 low = { 0, 4, 1, 5 }, high = { 2, 6, 3, 7 }, first = { 0, 1, 4, 5 }, second = { 2, 3, 6, 7 };
	const vec4 ab = __builtin_shuffle(a, b, low), cd = __builtin_shuffle(c, d, low);
	const vec4 ef = __builtin_shuffle(a, b, high), gh = __builtin_shuffle(c, d, high);
	*(vec4 *)y = __builtin_shuffle(ab, cd, first);
	*(vec4 *)(y + y_stride) = __builtin_shuffle(ab, cd, second);
	*(vec4 *)(y + 2 * y_stride) = __builtin_shuffle(ef, gh, first);
	*(vec4 *)(y + 3 * y_stride) = __builtin_shuffle(ef, gh, second);
}

/* From panels of `columns`: d / columns whole blocks of n rows lie before column d. */
INLINE void turn(const float *x, int64_t n, int64_t depth, int64_t columns, float *y)
{
	const int64_t whole = depth - depth % 4;
	for (int64_t j = 0; j < n; j += COLUMNS, y += depth * COLUMNS)
		for (int64_t d = 0; d < depth; d += d < whole ? 4 : 1) {
			const float *in = x + d / columns * columns * n + j * columns + d % columns;
			if (d < whole)
				for (int i = 0; i < COLUMNS; i += 4)
					turn4(in + i * columns, columns, y + d * COLUMNS + i, COLUMNS);
			else
				for (int i = 0; i < COLUMNS; i++)
					y[d * COLUMNS + i] = in[i * columns];
		}
}

void SP_KERNEL(attention_turn)(const float *x, int64_t n, int64_t depth, float *y)
{
	turn(x, n, depth, COLUMNS, y);
}

void SP_KERNEL(attention_turn_rows)(const float *x, int64_t n, int64_t depth, float *y)
{
	turn(x, n, depth, depth, y);
}

/* ---- back ---- */

void SP_KERNEL(attention_unpack)(const float *x, int64_t padded, float factor, int add,
                                 const struct sp_cpu_attention_rows *y)
{
	for (int64_t d = 0; d < y->depth; d += COLUMNS) {
		const int64_t columns = y->depth - d < COLUMNS ? y->depth - d : COLUMNS;
		for (int64_t i = 0; i < y->n; i++) {
			const float *restrict in = x + d * padded + i * COLUMNS;
			float *restrict out = (float *)row_of(y, i, sizeof(float)) + d;
			if (columns == COLUMNS) {
				vec low = factor * *(const vec *)in, high = factor * *(const vec *)(in + LANES);
				if (add) {
					low += *(const vec *)out;
					high += *(const vec *)(out + LANES);
				}
				*(vec *)out = low;
				*(vec *)(out + LANES) = high;
			} else {
				for (int64_t c = 0; c < columns; c++)
					out[c] = factor * in[c] + (add ? out[c] : 0.0f);
			}
		}
	}
}
