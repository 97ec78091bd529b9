/* From one dtype of activations to another, bit for bit. */
#include "config.h"

#include "conformance/bench.h"
#include "conformance/cases.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { PATTERNS = 1 << 16 };

static const enum sp_dtype elements[] = { SP_F32, SP_BF16, SP_F16 };

/* What is converted: n elements of a dtype, (rows, cols) of them in rows with gaps. */
struct content {
	enum sp_dtype dtype;
	unsigned char *data;
	size_t n;
};

static struct content content_of(enum sp_dtype dtype, size_t n)
{
	const struct content c = { dtype, calloc(n + 1, sp_dtype_size(dtype)), n };
	assert_non_null(c.data);
	return c;
}

/* Float32 numbers that decide how one is rounded to `to`: each that it has, the middle between it and the next larger one, and
 * the middle's two neighbours. What would be the next after the largest is where numbers become infinite. */
static struct content around_every(enum sp_dtype to)
{
	const struct content c = content_of(SP_F32, 4 * (size_t)PATTERNS);
	float *x = (float *)(void *)c.data;
	for (uint32_t h = 0; h < PATTERNS; h++, x += 4) {
		const uint16_t bits[] = { (uint16_t)h, (uint16_t)(h + 1), (uint16_t)(h - 1) };
		const double here = sp_reference_load(to, bits, 0), after = sp_reference_load(to, bits, 1);
		double middle = (here + after) / 2;
		if (isfinite(here) && !isfinite(after))
			middle = here + (here - sp_reference_load(to, bits, 2)) / 2;
		x[0] = (float)here;
		x[1] = isfinite(here) ? (float)middle : (float)here;
		x[2] = isfinite(here) ? nextafterf(x[1], 0) : (float)here;
		x[3] = isfinite(here) ? nextafterf(x[1], copysignf(INFINITY, x[1])) : (float)here;
	}
	return c;
}

/* Any bits: numbers far beyond and below what another dtype has. What is not a number may say so in its last bit alone, or in so
 * many that adding to them overflows. */
static struct content any_floats(void)
{
	static const uint32_t odd[] = { 0x7f800000, 0xff800000, 0x7f800001, 0xff800001, 0x7fffffff, 0xffffffff, 0x7f808000, 0x80000000 };
	const struct content c = content_of(SP_F32, PATTERNS);
	for (uint32_t i = 0; i < PATTERNS; i++) {
		const uint32_t bits = i < 64 ? odd[i % 8] : bench_below(8, i, 0xffffffff);
		memcpy(c.data + i * sizeof bits, &bits, sizeof bits);
	}
	return c;
}

static struct content every_pattern(enum sp_dtype dtype)
{
	const struct content c = content_of(dtype, PATTERNS);
	for (uint32_t h = 0; h < PATTERNS; h++) {
		const uint16_t bits = (uint16_t)h;
		memcpy(c.data + h * sizeof bits, &bits, sizeof bits);
	}
	return c;
}

static void expect_same(enum sp_dtype from, enum sp_dtype to, double x, const void *got, const void *want, size_t at)
{
	const size_t e = sp_dtype_size(to);
	const double result = sp_reference_load(to, got, at);
	if (isnan(x) ? !isnan(result) : memcmp((const char *)got + at * e, (const char *)want + at * e, e) != 0)
		fail_msg("%s %a to %s: %a", sp_dtype_name(from), x, sp_dtype_name(to), result);
}

/* Where matrices lie: elements before each; from a row to the next its columns, rounded up to a multiple, and a gap. */
struct room {
	size_t from_lead, to_lead, multiple, from_gap, to_gap;
};

/* Off any alignment; aligned; without gaps; aligned in the first row alone. */
static const struct room rooms[] = { { 3, 1, 1, 5, 10 }, { 64, 64, 32, 32, 64 }, { 64, 64, 1, 0, 0 }, { 64, 64, 8, 4, 4 } };

static size_t stride_of(size_t cols, size_t multiple, size_t gap)
{
	return (cols + multiple - 1) / multiple * multiple + gap;
}

/* The first rows * cols elements; what lies around them stays. */
static void convert_case(struct sp_compute *c, const struct content *content, enum sp_dtype to, size_t rows, size_t cols,
                         const struct room *room)
{
	const enum sp_dtype from = content->dtype;
	const size_t e = sp_dtype_size(from), f = sp_dtype_size(to);
	const size_t stride = stride_of(cols, room->multiple, room->from_gap), wide = stride_of(cols, room->multiple, room->to_gap);
	const size_t bytes = (64 + (rows + 1) * (wide > stride ? wide : stride)) * (e > f ? e : f);
	unsigned char *source = calloc(1, bytes), *got = malloc(bytes), *want = malloc(bytes);
	void *device[2];
	assert_true(source && got && want);
	for (size_t i = 0; i < bytes; i++)
		got[i] = want[i] = (unsigned char)(i * 7 + 1);
	for (size_t i = 0; i < rows; i++) {
		memcpy(source + (room->from_lead + i * stride) * e, content->data + i * cols * e, cols * e);
		for (size_t j = 0; j < cols; j++)
			sp_reference_store(to, sp_reference_load(from, content->data, i * cols + j), want, room->to_lead + i * wide + j);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(sp_compute_alloc(c, bytes, &device[i]), SP_OK);
	assert_int_equal(sp_compute_copy_in(c, device[0], source, bytes), SP_OK);
	assert_int_equal(sp_compute_copy_in(c, device[1], got, bytes), SP_OK);
	const struct sp_matrix x = { (char *)device[0] + room->from_lead * e, (int64_t)rows, (int64_t)cols, (int64_t)stride, from };
	const struct sp_matrix y = { (char *)device[1] + room->to_lead * f, (int64_t)rows, (int64_t)cols, (int64_t)wide, to };
	assert_int_equal(sp_compute_convert(c, x, y), SP_OK);
	assert_int_equal(sp_compute_copy_out(c, got, device[1], bytes), SP_OK);
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < cols; j++) {
			const size_t at = room->to_lead + i * wide + j;
			expect_same(from, to, sp_reference_load(from, content->data, i * cols + j), got, want, at);
			memcpy(got + at * f, want + at * f, f); /* seen */
		}
	assert_memory_equal(got, want, bytes);
	sp_compute_free(c, device[0]);
	sp_compute_free(c, device[1]);
	free(source);
	free(got);
	free(want);
}

static void convert_content(struct sp_compute *c, struct content content, enum sp_dtype to)
{
	static const size_t shapes[][2] = { { 1, 1 }, { 0, 5 }, { 5, 0 }, { 7, 13 }, { 300, 65 }, { 64, 64 }, { 9, 47 } };
	for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
		for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
			convert_case(c, &content, to, shapes[k][0], shapes[k][1], &rooms[i]);
		convert_case(c, &content, to, content.n / 256, 256, &rooms[i]);
		convert_case(c, &content, to, 1, content.n, &rooms[i]);
	}
	free(content.data);
}

static int knows(struct sp_compute *c, enum sp_dtype dtype)
{
	const struct sp_compute_needs needs = { dtype, 64, 0, 0, 0, 0 };
	return sp_compute_supports(c, &needs) == SP_OK;
}

void convert_rounds_to_nearest_between_all_dtypes(void **state)
{
	int known[3];
	if (!sp_compute_has_convert(*state))
		skip();
	for (int i = 0; i < 3; i++)
		known[i] = knows(*state, elements[i]);
	for (int i = 0; i < 9; i++) {
		const enum sp_dtype from = elements[i / 3], to = elements[i % 3];
		if (!known[i / 3] || !known[i % 3])
			continue;
		convert_content(*state, from == SP_F32 ? any_floats() : every_pattern(from), to);
		if (from == SP_F32 && to != SP_F32)
			convert_content(*state, around_every(to), to);
	}
}
