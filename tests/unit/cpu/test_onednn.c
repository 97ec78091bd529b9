/* oneDNN's products as the cpu backend asks for them, against float64 loops: float32 anywhere, bfloat16 where oneDNN has it. */
#include "config.h"

#include "base/log.h"
#include "cpu/bf16.h"
#include "cpu/onednn.h"
#include "support.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

enum { THREADS = 2, GAP = 5 };

static struct sp_onednn *o;
static char why[256];

/* ---- matrices ---- */

static uint32_t state = 1;

static float draw(void)
{
	state = state * 1664525u + 1013904223u;
	return (float)(state >> 8) * 0x1p-23f - 1;
}

/* As many elements of a dtype, and the same in float64. */
struct array {
	void *data;
	double *value;
	int64_t n;
};

static struct array make(int64_t n, enum sp_dtype dtype)
{
	struct array a = { calloc((size_t)n + 1, sizeof(float)), calloc((size_t)n + 1, sizeof(double)), n };
	assert_non_null(a.data);
	assert_non_null(a.value);
	for (int64_t i = 0; i < n; i++) {
		const float x = draw();
		if (dtype == SP_BF16)
			((uint16_t *)a.data)[i] = sp_bf16_round(x);
		else
			((float *)a.data)[i] = x;
		a.value[i] = dtype == SP_BF16 ? sp_bf16_wide(sp_bf16_round(x)) : x;
	}
	return a;
}

static void release(struct array *a)
{
	free(a->data);
	free(a->value);
}

static double at(const struct array *a, int64_t stride, int turned, int64_t i, int64_t j)
{
	return a->value[turned ? j * stride + i : i * stride + j];
}

/* The result in float64, over the array that holds c before. */
static void multiply_exactly(const struct sp_onednn_product *p, const struct array *a, const struct array *b, double *c)
{
	for (int64_t i = 0; i < p->m; i++)
		for (int64_t j = 0; j < p->n; j++) {
			double sum = p->add ? c[i * p->c_stride + j] : 0;
			for (int64_t l = 0; l < p->k; l++)
				sum += at(a, p->a_stride, p->turn_a, i, l) * at(b, p->b_stride, p->turn_b, l, j);
			c[i * p->c_stride + j] = sum;
		}
}

/* ---- a case ---- */

static struct sp_onednn_product product(const int64_t size[3], int form, int gap, enum sp_dtype dtype)
{
	struct sp_onednn_product p = { size[0], size[1], size[2], .turn_a = form & 1, .turn_b = form >> 1 & 1, .add = form >> 2 & 1,
		                       .dtype = dtype };
	p.a_stride = (p.turn_a ? p.m : p.k) + gap;
	p.b_stride = (p.turn_b ? p.k : p.n) + 2 * gap;
	p.c_stride = p.n + 3 * gap;
	return p;
}

static void expect_near(const struct sp_onednn_product *p, const float *got, const double *want, const float *before)
{
	double wrong = 0, right = 1e-30;
	for (int64_t i = 0; i < p->m; i++)
		for (int64_t j = 0; j < p->c_stride; j++) {
			const int64_t at_ij = i * p->c_stride + j;
			if (j < p->n) {
				wrong += pow((double)got[at_ij] - want[at_ij], 2);
				right += pow(want[at_ij], 2);
			} else if (memcmp(&got[at_ij], &before[at_ij], sizeof *got)) {
				fail_msg("wrote behind the end of row %lld", (long long)i);
			}
		}
	/* Sums in float32, in the order of some blocks; a product of bfloat16 is exact in it. */
	if (!(sqrt(wrong / right) < 1e-6))
		fail_msg("m %lld n %lld k %lld, turned %d %d, add %d, %s: off by %g", (long long)p->m, (long long)p->n, (long long)p->k, p->turn_a,
		         p->turn_b, p->add, sp_dtype_name(p->dtype), sqrt(wrong / right));
}

static void check(const struct sp_onednn_product *p)
{
	struct array a = make((p->turn_a ? p->k : p->m) * p->a_stride, p->dtype);
	struct array b = make((p->turn_b ? p->n : p->k) * p->b_stride, p->dtype), c = make(p->m * p->c_stride, SP_F32);
	float *got[THREADS];
	int status[THREADS];
	for (int i = 0; i < THREADS; i++) {
		got[i] = malloc((size_t)(c.n + 1) * sizeof(float));
		assert_non_null(got[i]);
		memcpy(got[i], c.data, (size_t)(c.n + 1) * sizeof(float));
	}
	assert_int_equal(sp_onednn_ready(o, p), SP_OK);
#pragma omp parallel for num_threads(THREADS)
	for (int i = 0; i < THREADS; i++)
		status[i] = sp_onednn_multiply(o, p, i, a.data, b.data, got[i]);
	multiply_exactly(p, &a, &b, c.value);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(status[i], SP_OK);
		expect_near(p, got[i], c.value, c.data);
		assert_memory_equal(got[i], got[0], (size_t)(c.n + 1) * sizeof(float));
	}
	for (int i = 0; i < THREADS; i++)
		free(got[i]);
	release(&a);
	release(&b);
	release(&c);
}

/* One, odd, prime, powers of two, long in each direction, empty in each. */
static const int64_t sizes[][3] = {
	{ 1, 1, 1 },    { 1, 7, 3 },   { 13, 5, 1 }, { 7, 1, 11 },   { 63, 31, 17 }, { 64, 64, 64 }, { 127, 129, 65 },
	{ 521, 67, 13 }, { 3, 20, 1100 }, { 16, 700, 48 }, { 0, 5, 3 }, { 5, 0, 3 },  { 5, 3, 0 },
};

static void check_all(enum sp_dtype dtype)
{
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int form = 0; form < 8; form++)
			for (int gap = 0; gap <= GAP; gap += GAP) {
				const struct sp_onednn_product p = product(sizes[i], form, gap, dtype);
				check(&p);
			}
}

/* A result of bfloat16 is the float32 one rounded once, up to the order of a sum. */
static void check_rounded(const int64_t size[3], int form)
{
	struct sp_onednn_product p = product(size, form, GAP, SP_BF16);
	struct array a = make((p.turn_a ? p.k : p.m) * p.a_stride, SP_BF16), b = make((p.turn_b ? p.n : p.k) * p.b_stride, SP_BF16);
	struct array c = make(p.m * p.c_stride, SP_BF16);
	uint16_t *before = malloc((size_t)(c.n + 1) * sizeof *before);
	assert_non_null(before);
	memcpy(before, c.data, (size_t)c.n * sizeof *before);
	p.result = SP_BF16;
	assert_int_equal(sp_onednn_ready(o, &p), SP_OK);
	assert_int_equal(sp_onednn_multiply(o, &p, 0, a.data, b.data, c.data), SP_OK);
	multiply_exactly(&p, &a, &b, c.value);
	for (int64_t i = 0; i < c.n; i++) {
		const uint16_t got = ((uint16_t *)c.data)[i];
		if (i % p.c_stride < p.n)
			assert_true(fabs(sp_bf16_wide(got) - c.value[i]) <= 0x1p-8 * fabs(c.value[i]) + 1e-5);
		else
			assert_int_equal(got, before[i]);
	}
	free(before);
	release(&a);
	release(&b);
	release(&c);
}

/* ---- tests ---- */

static int setup(void **unused)
{
	(void)unused;
	return sp_onednn_open(THREADS, &o, why, sizeof why);
}

static int teardown(void **unused)
{
	(void)unused;
	sp_onednn_close(o);
	o = NULL;
	return 0;
}

static void float32_products_equal_exact_ones(void **unused)
{
	(void)unused;
	assert_true(sp_onednn_knows(o, SP_F32));
	check_all(SP_F32);
}

static void bfloat16_products_equal_exact_ones(void **unused)
{
	(void)unused;
	if (!sp_onednn_knows(o, SP_BF16)) {
		print_message("oneDNN has no bfloat16 on this processor\n");
		skip();
	}
	check_all(SP_BF16);
}

static void results_of_bfloat16_are_rounded_once(void **unused)
{
	(void)unused;
	if (!sp_onednn_knows(o, SP_BF16)) {
		print_message("oneDNN has no bfloat16 on this processor\n");
		skip();
	}
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int form = 0; form < 4; form++)
			check_rounded(sizes[i], form);
}

static void what_is_fast_is_known(void **unused)
{
	(void)unused;
	assert_false(sp_onednn_is_fast(SP_F32));
	assert_true(!sp_onednn_is_fast(SP_BF16) || sp_onednn_knows(o, SP_BF16));
}

static void other_dtypes_are_refused_each_time(void **unused)
{
	(void)unused;
	static const enum sp_dtype others[] = { SP_F64, SP_I32, SP_I64 };
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		const struct sp_onednn_product p = product(sizes[5], 0, 0, others[i]);
		assert_false(sp_onednn_knows(o, others[i]));
		for (int again = 0; again < 2; again++)
			assert_int_equal(sp_onednn_ready(o, &p), SP_ERR_UNUSABLE);
	}
}

/* Also alone, where no region of more threads tells oneDNN to be modest: its share of a sum would depend on their number. */
static void results_repeat_whatever_openmp_would_give(void **unused)
{
	(void)unused;
	static const int64_t long_sum[] = { 24, 40, 20000 };
	const struct sp_onednn_product p = product(long_sum, 5, 0, SP_F32);
	struct array a = make(p.k * p.a_stride, SP_F32), b = make(p.k * p.b_stride, SP_F32);
	float c[2][24 * 40] = { 0 };
	for (int i = 0; i < 2; i++) {
#ifdef _OPENMP
		omp_set_num_threads(i ? 4 : 1);
#endif
		assert_int_equal(sp_onednn_ready(o, &p), SP_OK);
		assert_int_equal(sp_onednn_multiply(o, &p, 0, a.data, b.data, c[i]), SP_OK);
#ifdef _OPENMP
		assert_int_equal(omp_get_max_threads(), i ? 4 : 1);
		omp_set_num_threads(1);
#endif
		teardown(NULL);
		assert_int_equal(setup(NULL), 0);
	}
	assert_memory_equal(c[0], c[1], sizeof c[0]);
	release(&a);
	release(&b);
}

/* More products than are kept: older ones are forgotten between operations, and made again. */
static void products_of_any_number_of_sizes_are_made(void **unused)
{
	(void)unused;
	for (int64_t n = 1; n <= 2500; n++) {
		const int64_t size[] = { 3, 2, n };
		const struct sp_onednn_product p = product(size, (int)(n % 8), 0, SP_F32);
		sp_onednn_tidy(o);
		assert_int_equal(sp_onednn_ready(o, &p), SP_OK);
	}
	const struct sp_onednn_product p = product(sizes[4], 2, 1, SP_F32);
	sp_onednn_tidy(o);
	check(&p);
}

static void the_library_names_itself(void **unused)
{
	(void)unused;
	char text[64];
	sp_onednn_name(text, sizeof text);
	assert_memory_equal(text, "oneDNN ", 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(float32_products_equal_exact_ones),
		cmocka_unit_test(bfloat16_products_equal_exact_ones),
		cmocka_unit_test(results_of_bfloat16_are_rounded_once),
		cmocka_unit_test(what_is_fast_is_known),
		cmocka_unit_test(other_dtypes_are_refused_each_time),
		cmocka_unit_test(results_repeat_whatever_openmp_would_give),
		cmocka_unit_test(products_of_any_number_of_sizes_are_made),
		cmocka_unit_test(the_library_names_itself),
	};
	if (setup(NULL) == SP_ERR_UNUSABLE) {
		printf("skipped: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, teardown);
}
