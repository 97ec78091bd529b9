/* The arithmetic of attention on packed tiles: register-blocked products with the softmax between them, so that scores
 * are used while they are in the first-level cache. Compiled once per instruction set (ISA); one thread.
 * May include: cpu/{attention,attention_pairs,attention_products,kernels,vmath}.h.
 *
 * Why not the BLAS: for products this small it packs and checks on every call and reaches about 70 % of its own best;
 * with keys and values packed once per tile the loops of attention_products.h reach all of it (doc/performance.md). */
#include "config.h"

#include "cpu/attention_products.h"

#include "cpu/attention_pairs.h"
#include "cpu/kernels.h"
#include "cpu/vmath.h"

#include <math.h>
#include <string.h>

INLINE vec vec_max(vec a, vec b)
{
#if defined __AVX512F__
	return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined __AVX2__
	return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined __SSE2__
	return (vec)_mm_max_ps((__m128)a, (__m128)b);
#else
	const ivec greater = a > b;
	return (vec)(((ivec)a & greater) | ((ivec)b & ~greater));
#endif
}

/* x where `meet` is all ones, else -inf. */
INLINE vec vec_allow(vec x, ivec meet)
{
	const ivec never = (ivec)((vec){ 0 } - INFINITY);
	return (vec)(((ivec)x & meet) | (never & ~meet));
}

/* Columns of a tile: first a multiple of COLUMNS, the end too. */
struct span {
	int64_t first, end;
};

INLINE int64_t between(int64_t low, int64_t x, int64_t high)
{
	return x < low ? low : x > high ? high : x;
}

/* How documents and window keep pairs apart: not at all, the first, both. */
enum masks { NO_MASK, DOCUMENTS, WINDOW };

/* What the window lets rows [row, row + ROWS) meet, each of them some of it. */
INLINE struct span span_of(const struct sp_cpu_attention_tile *t, int64_t row, enum masks masks)
{
	if (masks != WINDOW)
		return (struct span){ 0, t->keys };
	int64_t last = t->row[row]; /* what pads the tile is 0 */
	for (int i = 1; i < ROWS; i++)
		last = t->row[row + i] > last ? t->row[row + i] : last;
	const int64_t first = between(0, t->row[row] + t->ahead - t->window, t->keys);
	const int64_t end = between(0, last + t->ahead + t->window + 1, t->keys);
	return (struct span){ first / COLUMNS * COLUMNS, (end + COLUMNS - 1) / COLUMNS * COLUMNS };
}

/* All ones where a row may meet columns j .. j + LANES - 1. */
INLINE ivec meeting(const struct sp_cpu_attention_tile *t, int64_t row, int64_t j, enum masks masks)
{
	ivec meet = *(const ivec *)(t->key_doc + j) == t->query_doc[row];
	if (masks == WINDOW) {
		const int64_t middle = t->row[row] + t->ahead - j;
		const int32_t low = (int32_t)between(0, middle - t->window, LANES);
		const int32_t high = (int32_t)between(-1, middle + t->window, LANES);
		ivec column;
#pragma GCC unroll 16
		for (int i = 0; i < LANES; i++)
			column[i] = i;
		meet &= (column >= low) & (column <= high);
	}
	return meet;
}

/* ---- scores and their gradients ---- */

/* s (ROWS x keys, stride) = q k in some columns, -inf where the two may not meet, and the largest of each row's columns, lane by
 * lane. */
INLINE void scores(const struct sp_cpu_attention_tile *t, const float *q, const float *k, int64_t row, struct span span,
                   enum masks masks, int pairs, float *s, int64_t stride, vec largest[ROWS])
{
#pragma GCC unroll 12
	for (int i = 0; i < ROWS; i++)
		largest[i] = (vec){ 0 } - INFINITY;
	for (int64_t j = span.first; j < span.end; j += COLUMNS) {
		vec c[ROWS][2];
		multiply_features(t, q, row, k, j, pairs, c);
#pragma GCC unroll 12
		for (int i = 0; i < ROWS; i++) {
			if (pairs) {
				c[i][0] *= t->factor;
				c[i][1] *= t->factor;
			}
			if (masks != NO_MASK) {
				c[i][0] = vec_allow(c[i][0], meeting(t, row + i, j, masks));
				c[i][1] = vec_allow(c[i][1], meeting(t, row + i, j + LANES, masks));
			}
			*(vec *)(s + i * stride + j) = c[i][0];
			*(vec *)(s + i * stride + j + LANES) = c[i][1];
			largest[i] = vec_max(largest[i], vec_max(c[i][0], c[i][1]));
		}
	}
}

/* ds (ROWS x keys, stride) = dout v in some columns: the gradients of the probabilities. */
INLINE void probability_gradients(const struct sp_cpu_attention_tile *t, const float *dout, const float *v, int64_t row,
                                  struct span span, int pairs, float *ds, int64_t stride)
{
	for (int64_t j = span.first; j < span.end; j += COLUMNS) {
		vec c[ROWS][2];
		multiply_features(t, dout, row, v, j, pairs, c);
#pragma GCC unroll 12
		for (int i = 0; i < ROWS; i++) {
			if (pairs) {
				c[i][0] *= t->kept;
				c[i][1] *= t->kept;
			}
			*(vec *)(ds + i * stride + j) = c[i][0];
			*(vec *)(ds + i * stride + j + LANES) = c[i][1];
		}
	}
}

/* The dropout numbers of a row, from the first of these columns on. */
static const uint16_t *draw(const struct sp_cpu_attention_tile *t, int64_t row, struct span span)
{
	return sp_dropout_draw(&t->dropout, t->first_row + (uint32_t)t->row[row], t->head, t->first_column + (uint32_t)span.first,
	                       span.end - span.first, t->half);
}

/* ---- forward ---- */

static float lanes_max(vec x)
{
	float largest = x[0];
	for (int i = 1; i < LANES; i++)
		largest = x[i] > largest ? x[i] : largest;
	return largest;
}

/* s = 2^(s - base), of which the dropped ones become 0; returns the sum before dropping. */
static float exponentials(float *restrict s, int64_t n, float base)
{
	float sum = 0;
#pragma omp simd reduction(+ : sum)
	for (int64_t j = 0; j < n; j++) {
		s[j] = sp_exp2(s[j] - base);
		sum += s[j];
	}
	return sum;
}

static float exponentials_dropped(float *restrict s, int64_t n, float base, const uint16_t *restrict half,
                                  uint32_t keep)
{
	float sum = 0;
#pragma omp simd reduction(+ : sum)
	for (int64_t j = 0; j < n; j++) {
		const float p = sp_exp2(s[j] - base);
		sum += p;
		s[j] = half[j] < keep ? p : 0.0f;
	}
	return sum;
}

/* Row `row` of the tile: scores in s become probabilities relative to the new maximum; m, of scores that are exponents of e
 * and not of two, and l are updated. Returns by what the row's accumulator must be multiplied. A row that has met nothing keeps
 * m = -inf; its base is 0, so that scores that are NaN stay NaN and -inf gives 0. */
static float softmax_row(const struct sp_cpu_attention_forward_tile *f, int64_t row, struct span span, float largest, float *s)
{
	const struct sp_cpu_attention_tile *t = &f->tile;
	const float before = f->m[row], here = largest * SP_CPU_LN_2, after = here > before ? here : before;
	const float base = after == -INFINITY ? 0.0f : after * SP_CPU_LOG2_E;
	const float shrink = after > before ? sp_exp(before - after) : 1.0f;
	float sum;
	if (t->dropout.keep == 65536) {
		sum = exponentials(s + span.first, span.end - span.first, base);
	} else {
		sum = exponentials_dropped(s + span.first, span.end - span.first, base, draw(t, row, span), t->dropout.keep);
	}
	f->m[row] = after;
	f->l[row] = f->l[row] * shrink + sum;
	return shrink;
}

static void shrink_row(const struct sp_cpu_attention_tile *t, float *acc, int64_t row, float shrink)
{
	for (int64_t d = 0; d < t->width; d += COLUMNS) {
		float *out = acc + d * t->rows + row * COLUMNS;
		*(vec *)out *= shrink;
		*(vec *)(out + LANES) *= shrink;
	}
}

INLINE void forward_rows(const struct sp_cpu_attention_forward_tile *f, int64_t row, enum masks masks, int pairs)
{
	const struct sp_cpu_attention_tile *t = &f->tile;
	const struct span span = span_of(t, row, masks);
	const int64_t n = span.end - span.first, each = pairs ? 2 : 1;
	vec largest[ROWS];
	if (n <= 0)
		return;
	scores(t, f->q, f->k, row, span, masks, pairs, f->p, f->stride, largest);
	for (int i = 0; i < ROWS; i++) {
		float *p = f->p + i * f->stride;
		const float shrink = softmax_row(f, row + i, span, lanes_max(largest[i]), p);
		if (shrink != 1.0f)
			shrink_row(t, f->acc, row + i, shrink);
		if (pairs)
			pair_columns(p + span.first, n, t->kept);
	}
	product(n / each, f->p + span.first, f->stride, 1, f->v + span.first / each * COLUMNS, t->keys / each, t->width, f->acc,
	        t->rows, row, pairs);
}

static enum masks masks_of(const struct sp_cpu_attention_tile *t)
{
	return !t->query_doc ? NO_MASK : t->window ? WINDOW : DOCUMENTS;
}

INLINE void forward(const struct sp_cpu_attention_forward_tile *f, int pairs)
{
	const enum masks masks = masks_of(&f->tile);
	for (int64_t row = 0; row < f->tile.rows && masks == NO_MASK; row += ROWS)
		forward_rows(f, row, NO_MASK, pairs);
	for (int64_t row = 0; row < f->tile.rows && masks == DOCUMENTS; row += ROWS)
		forward_rows(f, row, DOCUMENTS, pairs);
	for (int64_t row = 0; row < f->tile.rows && masks == WINDOW; row += ROWS)
		forward_rows(f, row, WINDOW, pairs);
}

void SP_KERNEL(attention_forward)(const struct sp_cpu_attention_forward_tile *f)
{
	if (PAIRS && f->tile.pairs)
		forward(f, PAIRS);
	else
		forward(f, 0);
}

/* ---- backward ---- */

/* p: scores in, probabilities out; ds: gradients of the probabilities in, of the scores out. */
static void gradients(float *restrict p, float *restrict ds, int64_t n, float lse, float dots)
{
#pragma omp simd
	for (int64_t j = 0; j < n; j++) {
		p[j] = sp_exp2(p[j] - lse);
		ds[j] = p[j] * (ds[j] - dots);
	}
}

static void gradients_dropped(float *restrict p, float *restrict ds, int64_t n, float lse, float dots,
                              const uint16_t *restrict half, uint32_t keep)
{
#pragma omp simd
	for (int64_t j = 0; j < n; j++) {
		const float x = sp_exp2(p[j] - lse);
		ds[j] = x * ((half[j] < keep ? ds[j] : 0.0f) - dots);
		p[j] = half[j] < keep ? x : 0.0f;
	}
}

static void gradients_row(const struct sp_cpu_attention_backward_tile *b, int64_t row, struct span span, float *p, float *ds)
{
	const struct sp_cpu_attention_tile *t = &b->tile;
	const int64_t n = span.end - span.first;
	if (t->dropout.keep == 65536) {
		gradients(p, ds, n, b->lse[row], b->dots[row]);
		return;
	}
	gradients_dropped(p, ds, n, b->lse[row], b->dots[row], draw(t, row, span), t->dropout.keep);
}

/* Products with the keys on the left take ROWS of them together, some of which a row may not reach: less than ROWS columns
 * beside its span. */
static void clear_beside(float *x, struct span span, int64_t keys)
{
	const int64_t before = span.first < ROWS ? span.first : ROWS, behind = keys - span.end < ROWS ? keys - span.end : ROWS;
	memset(x + span.first - before, 0, (size_t)before * sizeof *x);
	memset(x + span.end, 0, (size_t)behind * sizeof *x);
}

/* Where p and ds of rows [row, row + ROWS) are made, as floats. Pairs of them take half the rows, the first ones; what follows is
 * room for the floats, the last rows of it for all blocks, so that they stay in the first-level cache. */
INLINE int64_t made_at(const struct sp_cpu_attention_tile *t, int64_t row, int pairs)
{
	return pairs ? t->rows - ROWS : row;
}

/* Where ds of these rows lies as pairs of columns: behind p's pairs, once p's floats are not needed any more. */
static float *ds_columns(const struct sp_cpu_attention_backward_tile *b)
{
	return b->p + (b->tile.rows - ROWS / 2) * b->stride;
}

/* p and ds of rows [row, row + ROWS) become pairs of rows, ds pairs of columns too. Rows are taken in order: their pairs may lie where
 * earlier ones were made. */
static void pair_gradients(const struct sp_cpu_attention_backward_tile *b, int64_t row, struct span span)
{
	const struct sp_cpu_attention_tile *t = &b->tile;
	const int64_t n = span.end - span.first, from = made_at(t, row, 1) * b->stride + span.first;
	const int64_t to = row / 2 * b->stride + span.first;
	for (int64_t i = 0; i < ROWS / 2; i++)
		pair_rows(b->p + from + 2 * i * b->stride, b->stride, n, t->kept, b->p + to + i * b->stride);
	for (int64_t i = 0; i < ROWS / 2; i++) {
		const float *ds = b->ds + from + 2 * i * b->stride;
		float *columns = ds_columns(b) + i * b->stride;
		pair_rows_and_columns(ds, b->stride, n, b->ds + to + i * b->stride, columns, b->stride / 2);
	}
}

INLINE void backward_rows(const struct sp_cpu_attention_backward_tile *b, int64_t row, enum masks masks, int pairs)
{
	const struct sp_cpu_attention_tile *t = &b->tile;
	const struct span span = span_of(t, row, masks);
	const int64_t n = span.end - span.first, each = pairs ? 2 : 1, at = made_at(t, row, pairs) * b->stride;
	float *p = b->p + at, *ds = b->ds + at;
	vec unused[ROWS];
	if (n <= 0)
		return;
	scores(t, b->q, b->k, row, span, masks, pairs, p, b->stride, unused);
	probability_gradients(t, b->dout, b->v, row, span, pairs, ds, b->stride);
	for (int i = 0; i < ROWS; i++)
		gradients_row(b, row + i, span, p + i * b->stride + span.first, ds + i * b->stride + span.first);
	if (pairs)
		pair_gradients(b, row, span);
	for (int64_t i = row / each; i < (row + ROWS) / each && masks == WINDOW; i++) {
		clear_beside(b->p + i * b->stride, span, t->keys);
		clear_beside(b->ds + i * b->stride, span, t->keys);
	}
	product(n / each, pairs ? ds_columns(b) : ds + span.first, b->stride / each, 1, b->k_panels + span.first / each * COLUMNS,
	        t->keys / each, t->width, b->dq, t->rows, row, pairs);
}

/* dk and dv of keys [key, key + ROWS), from rows [first, end), of pairs both even. */
INLINE void backward_columns(const struct sp_cpu_attention_backward_tile *b, int64_t key, int64_t key_rows, int64_t first,
                             int64_t end, int pairs)
{
	const struct sp_cpu_attention_tile *t = &b->tile;
	const int64_t each = pairs ? 2 : 1, n = (end - first) / each, rows = t->rows / each;
	const int64_t at = first / each * b->stride + key, from = first / each * COLUMNS;
	product(n, b->p + at, 1, b->stride, b->dout_panels + from, rows, t->width, b->dv, key_rows, key, pairs);
	product(n, b->ds + at, 1, b->stride, b->q_panels + from, rows, t->width, b->dk, key_rows, key, pairs);
}

/* Rows ascend, so those that a block of keys is reached by do too. The other row of a pair lies in the same block of ROWS, where p
 * and ds are 0 or cleared as far as this block of keys goes: what is not finite in a row of q or dout reaches the keys of either. */
INLINE void backward_columns_reached(const struct sp_cpu_attention_backward_tile *b, int64_t key_rows, int pairs)
{
	const struct sp_cpu_attention_tile *t = &b->tile;
	const int64_t odd = pairs ? 1 : 0;
	int64_t first = 0, end = 0;
	for (int64_t key = 0; key < key_rows; key += ROWS) {
		const int64_t last = key + ROWS < t->keys ? key + ROWS - 1 : t->keys - 1;
		while (first < t->rows && t->row[first] + t->ahead + t->window < key)
			first++;
		while (end < t->rows && t->row[end] + t->ahead - t->window <= last)
			end++;
		if (first < end)
			backward_columns(b, key, key_rows, first & ~odd, (end + odd) & ~odd, pairs);
	}
}

INLINE void backward(const struct sp_cpu_attention_backward_tile *b, int pairs)
{
	const struct sp_cpu_attention_tile *t = &b->tile;
	const enum masks masks = masks_of(t);
	const int64_t key_rows = (t->keys + ROWS - 1) / ROWS * ROWS;
	for (int64_t row = 0; row < t->rows && masks == NO_MASK; row += ROWS)
		backward_rows(b, row, NO_MASK, pairs);
	for (int64_t row = 0; row < t->rows && masks == DOCUMENTS; row += ROWS)
		backward_rows(b, row, DOCUMENTS, pairs);
	for (int64_t row = 0; row < t->rows && masks == WINDOW; row += ROWS)
		backward_rows(b, row, WINDOW, pairs);
	if (masks == WINDOW) {
		backward_columns_reached(b, key_rows, pairs);
		return;
	}
	for (int64_t key = 0; key < key_rows; key += ROWS)
		backward_columns(b, key, key_rows, 0, t->rows, pairs);
}

void SP_KERNEL(attention_backward)(const struct sp_cpu_attention_backward_tile *b)
{
	if (PAIRS && b->tile.pairs)
		backward(b, PAIRS);
	else
		backward(b, 0);
}

void SP_KERNEL(attention_block)(int *rows, int *columns, int *pairs)
{
	*rows = ROWS;
	*columns = COLUMNS;
	*pairs = PAIRS;
}
