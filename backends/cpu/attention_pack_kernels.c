/* Packed copies of attention's operands, and back. Compiled once per instruction set (ISA); one thread.
 * May include: cpu/{attention,attention_products,bf16,kernels}.h. */
#include "config.h"

#include "cpu/attention_products.h"

#include "cpu/bf16.h"
#include "cpu/kernels.h"

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

void SP_KERNEL(attention_turn)(const float *x, int64_t n, int64_t depth, float *y)
{
	const int64_t whole = depth - depth % 4;
	for (int64_t j = 0; j < n; j += COLUMNS, y += depth * COLUMNS)
		for (int64_t d = 0; d < depth; d += d < whole ? 4 : 1) {
			const float *in = x + d / COLUMNS * COLUMNS * n + j * COLUMNS + d % COLUMNS;
			if (d < whole)
				for (int i = 0; i < COLUMNS; i += 4)
					turn4(in + i * COLUMNS, COLUMNS, y + d * COLUMNS + i, COLUMNS);
			else
				for (int i = 0; i < COLUMNS; i++)
					y[d * COLUMNS + i] = in[i * COLUMNS];
		}
}

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
