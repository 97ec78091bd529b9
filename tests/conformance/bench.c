#include "config.h"

#include "conformance/bench.h"

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 24 };

/* ---- numbers ---- */

static void draw(uint32_t stream, uint32_t index, uint32_t out[4])
{
	const uint32_t key[2] = { 0x5eed, stream }, counter[4] = { index, 0, 0, 0 };
	sp_reference_philox(key, counter, out);
}

static double box_muller(uint32_t index)
{
	uint32_t out[4];
	draw(0, index, out);
	const double radius = sqrt(-2 * log((out[0] + 1.0) / 4294967296.0));
	return radius * cos(6.283185307179586 * out[1] / 4294967296.0);
}

/* Streams begin at different places of one pool: most of the time would otherwise go into drawing. */
double bench_normal(uint32_t stream, uint32_t index)
{
	enum { POOL = 65521 };
	static double pool[POOL];
	if (pool[0] == 0)
		for (uint32_t i = 0; i < POOL; i++)
			pool[i] = box_muller(i);
	return pool[((uint64_t)stream * 7919 + index) % POOL];
}

uint32_t bench_below(uint32_t stream, uint32_t index, uint32_t n)
{
	uint32_t out[4];
	draw(stream, index, out);
	return out[0] % n;
}

/* ---- making a case ---- */

static const struct bench *last; /* that was opened */
static uint32_t opened;
static const uint32_t dropout_key[] = { 77, 78 };

void bench_open(struct bench *b, struct sp_compute *compute, int strided, const char *format, ...)
{
	memset(b, 0, sizeof *b);
	b->compute = compute;
	b->strided = strided;
	va_list args;
	va_start(args, format);
	vsnprintf(b->label, sizeof b->label, format, args);
	va_end(args);
	if (bench_below(4711, opened++, 2))
		b->key = bench_bytes(b, IN, dropout_key, sizeof dropout_key);
	last = b;
}

static void *take(size_t bytes)
{
	void *memory = calloc(1, bytes ? bytes : 1);
	assert_non_null(memory);
	return memory;
}

static enum sp_dtype element = SP_F32;
static int by_library;

void bench_set_element(enum sp_dtype dtype)
{
	element = dtype;
}

void bench_set_library(int by)
{
	by_library = by;
}

int bench_by_library(void)
{
	return by_library;
}

enum sp_dtype bench_dtype(void)
{
	return element;
}

double bench_largest(void)
{
	return sp_reference_largest(element);
}

double bench_least(void)
{
	return sp_reference_least(element);
}

static double *cell(const struct tensor *t, int64_t i, int64_t j)
{
	return &t->value[i * t->cols + j];
}

static size_t place(const struct tensor *t, int64_t i, int64_t j)
{
	return (size_t)(t->lead + i * t->stride + j);
}

void tensor_set(struct tensor *t, int64_t i, int64_t j, double value)
{
	sp_reference_store(t->dtype, value, t->before, place(t, i, j));
	*cell(t, i, j) = sp_reference_load(t->dtype, t->before, place(t, i, j));
}

double tensor_got(const struct tensor *t, int64_t i, int64_t j)
{
	return sp_reference_load(t->dtype, t->after, place(t, i, j));
}

static size_t bytes_of(const struct tensor *t, size_t elements)
{
	return elements * sp_dtype_size(t->dtype);
}

static struct tensor *take_tensor(struct bench *b, enum sp_dtype dtype, enum role role, int64_t rows, int64_t cols)
{
	assert_true(b->tensors < BENCH_TENSORS);
	const uint32_t stream = (uint32_t)b->tensors;
	struct tensor *t = &b->tensor[b->tensors++];
	t->role = role;
	t->dtype = dtype;
	t->rows = rows;
	t->cols = cols;
	t->stride = b->strided ? cols + 1 + stream % 5 : cols;
	t->lead = b->strided ? 17 + stream % 3 : GUARD - GUARD % 16;
	t->elements = (size_t)(t->lead + rows * t->stride + GUARD);
	t->before = take(bytes_of(t, t->elements));
	t->after = take(bytes_of(t, t->elements));
	t->again = take(bytes_of(t, t->elements));
	t->value = take((size_t)(rows * cols) * sizeof(double));
	assert_int_equal(sp_compute_alloc(b->compute, bytes_of(t, t->elements), &t->device), SP_OK);
	for (size_t i = 0; i < t->elements; i++)
		sp_reference_store(dtype, (double)(1000 + i % 100), t->before, i);
	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < cols; j++)
			tensor_set(t, i, j, role == OUT ? NAN : bench_normal(stream, (uint32_t)(i * cols + j)));
	return t;
}

struct tensor *bench_tensor(struct bench *b, enum role role, int64_t rows, int64_t cols)
{
	return take_tensor(b, SP_F32, role, rows, cols);
}

struct tensor *bench_element(struct bench *b, enum role role, int64_t rows, int64_t cols)
{
	return take_tensor(b, element, role, rows, cols);
}

struct tensor *bench_optional_element(struct bench *b, int given, enum role role, int64_t rows, int64_t cols)
{
	return given ? bench_element(b, role, rows, cols) : NULL;
}

struct tensor *bench_optional(struct bench *b, int given, enum role role, int64_t rows, int64_t cols)
{
	return given ? bench_tensor(b, role, rows, cols) : NULL;
}

struct bytes *bench_bytes(struct bench *b, enum role role, const void *content, size_t size)
{
	assert_true(b->byte_arrays < BENCH_BYTES);
	struct bytes *a = &b->bytes[b->byte_arrays++];
	a->role = role;
	a->size = size;
	a->before = take(size);
	a->after = take(size);
	a->again = take(size);
	a->reference = take(size);
	if (size) {
		memcpy(a->before, content, size);
		memcpy(a->reference, content, size);
	}
	assert_int_equal(sp_compute_alloc(b->compute, size, &a->device), SP_OK);
	return a;
}

void bench_close(struct bench *b)
{
	for (int i = 0; i < b->tensors; i++) {
		struct tensor *t = &b->tensor[i];
		free(t->before);
		free(t->after);
		free(t->again);
		free(t->value);
		sp_compute_free(b->compute, t->device);
	}
	for (int i = 0; i < b->byte_arrays; i++) {
		struct bytes *a = &b->bytes[i];
		free(a->before);
		free(a->after);
		free(a->again);
		free(a->reference);
		sp_compute_free(b->compute, a->device);
	}
}

void tensor_scale(struct tensor *t, double factor, double offset)
{
	for (int64_t i = 0; i < t->rows; i++)
		for (int64_t j = 0; j < t->cols; j++)
			tensor_set(t, i, j, *cell(t, i, j) * factor + offset);
}

void tensor_round(struct tensor *t)
{
	tensor_scale(t, 1, 0);
}

void tensor_statistics(const struct tensor *s, struct tensor *mean, struct tensor *rstd)
{
	for (int64_t i = 0; i < s->rows; i++) {
		double average = 0, variance = 0;
		for (int64_t h = 0; h < s->cols; h++)
			average += *cell(s, i, h) / (double)s->cols;
		for (int64_t h = 0; h < s->cols; h++)
			variance += pow(*cell(s, i, h) - average, 2) / (double)s->cols;
		tensor_set(mean, 0, i, average);
		tensor_set(rstd, 0, i, 1 / sqrt(variance + 1e-3));
	}
}

struct sp_matrix view(const struct tensor *t, enum side side)
{
	const struct sp_matrix none = { 0 };
	if (!t)
		return none;
	if (side == REFERENCE)
		return sp_matrix_f64(t->value, t->rows, t->cols);
	const struct sp_matrix m = { (char *)t->device + bytes_of(t, (size_t)t->lead), t->rows, t->cols, t->stride, t->dtype };
	return m;
}

float *floats(const struct tensor *t)
{
	return t ? (float *)t->device + t->lead : NULL;
}

void *at(const struct bytes *a, enum side side)
{
	return a ? side == DEVICE ? a->device : a->reference : NULL;
}

struct sp_dropout bench_dropout(uint32_t keep, enum side side)
{
	if (side == DEVICE && last->key)
		return (struct sp_dropout){ .keep = keep, .key_at = at(last->key, DEVICE) };
	return (struct sp_dropout){ .key = { dropout_key[0], dropout_key[1] }, .keep = keep };
}

/* ---- running ---- */

static void load(struct bench *b)
{
	for (int i = 0; i < b->tensors; i++) {
		const struct tensor *t = &b->tensor[i];
		assert_int_equal(sp_compute_copy_in(b->compute, t->device, t->before, bytes_of(t, t->elements)), SP_OK);
	}
	for (int i = 0; i < b->byte_arrays; i++) {
		const struct bytes *a = &b->bytes[i];
		assert_int_equal(sp_compute_copy_in(b->compute, a->device, a->before, a->size), SP_OK);
	}
}

static void store(struct bench *b)
{
	for (int i = 0; i < b->tensors; i++) {
		struct tensor *t = &b->tensor[i];
		void *to = b->runs == 1 ? t->after : t->again;
		assert_int_equal(sp_compute_copy_out(b->compute, to, t->device, bytes_of(t, t->elements)), SP_OK);
	}
	for (int i = 0; i < b->byte_arrays; i++) {
		struct bytes *a = &b->bytes[i];
		unsigned char *to = b->runs == 1 ? a->after : a->again;
		assert_int_equal(sp_compute_copy_out(b->compute, to, a->device, a->size), SP_OK);
	}
}

/* Bit for bit, so that NaN equals itself and 0 is not -0. */
static int same(const struct tensor *t, const void *x, const void *y, size_t from, size_t n)
{
	const size_t at = bytes_of(t, from);
	return memcmp((const char *)x + at, (const char *)y + at, bytes_of(t, n)) == 0;
}

static void expect_untouched(struct bench *b, int number, const struct tensor *t)
{
	size_t from = 0;
	for (int64_t i = 0; i < t->rows && t->cols; i++) {
		const size_t row = place(t, i, 0);
		if (!same(t, t->before, t->after, from, row - from))
			fail_msg("%s: tensor %d: elements before row %lld were written", b->label, number, (long long)i);
		if (t->role == IN && !same(t, t->before, t->after, row, (size_t)t->cols))
			fail_msg("%s: tensor %d: input row %lld was written", b->label, number, (long long)i);
		from = row + (size_t)t->cols;
	}
	if (!same(t, t->before, t->after, from, t->elements - from))
		fail_msg("%s: tensor %d: elements after the last row were written", b->label, number);
}

static void expect_repeated(struct bench *b, int number, const struct tensor *t)
{
	for (int64_t i = 0; i < t->rows && t->role != SCRATCH && !b->wavers; i++)
		if (!same(t, t->after, t->again, place(t, i, 0), (size_t)t->cols))
			fail_msg("%s: tensor %d: row %lld differs between two runs", b->label, number, (long long)i);
}

static void check_runs(struct bench *b)
{
	for (int i = 0; i < b->tensors; i++) {
		expect_untouched(b, i, &b->tensor[i]);
		expect_repeated(b, i, &b->tensor[i]);
	}
	for (int i = 0; i < b->byte_arrays; i++) {
		const struct bytes *a = &b->bytes[i];
		if (memcmp(a->after, a->again, a->size) != 0)
			fail_msg("%s: array %d differs between two runs", b->label, i);
		if (a->role == IN && memcmp(a->before, a->after, a->size) != 0)
			fail_msg("%s: input array %d was written", b->label, i);
	}
}

int bench_again(struct bench *b)
{
	if (b->runs > 0)
		store(b);
	if (b->runs == 2) {
		check_runs(b);
		return 0;
	}
	load(b);
	b->runs++;
	return 1;
}

/* ---- verdicts ---- */

/* What is held to the bound: a tensor or number of this dtype; of roundings to it, so many. */
struct verdict {
	enum bound bound;
	enum sp_dtype dtype;
	double times;
};

static void judge(struct bench *b, double wrong, double right, struct verdict v, const char *name, double floor)
{
	const double size = fmax(right, floor), limit = v.times * bound_limit(v.bound, v.dtype);
	if (wrong > 0 && size > 0)
		bound_seen(v.bound, v.dtype, wrong / size);
	if (!(wrong <= limit * size))
		fail_msg("%s: %s of %s: error %g, size %g, relative %g, bound %g", b->label, name, bound_name(v.bound), wrong, size,
		         wrong / size, limit);
}

static void expect(struct bench *b, const struct tensor *t, struct verdict v, const char *name, double floor)
{
	double wrong = 0, right = 0;
	for (int64_t i = 0; t && i < t->rows; i++)
		for (int64_t j = 0; j < t->cols; j++) {
			const double got = tensor_got(t, i, j), want = *cell(t, i, j);
			if (isfinite(want) && isfinite(got)) {
				wrong += (got - want) * (got - want);
				right += want * want;
			} else if (!(got == want || (isnan(got) && isnan(want)))) {
				fail_msg("%s: %s of %s: element (%lld, %lld) is %g instead of %g", b->label, name, bound_name(v.bound),
				         (long long)i, (long long)j, got, want);
			}
		}
	judge(b, sqrt(wrong), sqrt(right), v, name, floor);
}

void bench_expect_near(struct bench *b, const struct tensor *t, enum bound bound, const char *name, double floor)
{
	expect(b, t, (struct verdict){ bound, t ? t->dtype : SP_F32, 1 }, name, floor);
}

void bench_expect(struct bench *b, const struct tensor *t, enum bound bound, const char *name)
{
	bench_expect_near(b, t, bound, name, 0);
}

void bench_expect_factors(struct bench *b, const struct tensor *t, enum bound bound, const char *name)
{
	expect(b, t, (struct verdict){ bound, element, 1 }, name, 0);
}

void bench_expect_rounded(struct bench *b, const struct tensor *t, enum bound bound, const char *name, int times)
{
	expect(b, t, (struct verdict){ bound, t ? t->dtype : SP_F32, element == SP_F32 ? 1 : times }, name, 0);
}

/* What roundings of few rows add up to may be twice what their L2 norm is. */
void bench_expect_sums(struct bench *b, const struct tensor *t, enum bound bound, const char *name, double floor)
{
	expect(b, t, (struct verdict){ bound, element, element == SP_F32 ? 1 : 2 }, name, floor);
}

void bench_expect_point(struct bench *b, const struct tensor *t, int64_t j, double want, enum bound bound, const char *name,
                        double floor)
{
	judge(b, fabs(tensor_got(t, 0, j) - want), fabs(want), (struct verdict){ bound, t->dtype, 1 }, name, floor);
}

void bench_expect_number(struct bench *b, double got, double want, enum bound bound, const char *name, double floor)
{
	judge(b, fabs(got - want), fabs(want), (struct verdict){ bound, SP_F32, 1 }, name, floor);
}

double tensor_norm(const struct tensor *t)
{
	double sum = 0;
	for (int64_t i = 0; i < t->rows * t->cols; i++)
		sum += t->value[i] * t->value[i];
	return sqrt(sum);
}
