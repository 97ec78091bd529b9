/* The vectorised elementary functions against libm, and the vectorised random numbers against the plain generator.
 * Compiled once per instruction set, like the kernels. */
#include "config.h"

#include "cpu/vmath.h"

#include "base/rng.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

enum { N = 1 << 16 };
static float x[N], y[N];

#define VECTOR(name)                                                                                                  \
	static void run_##name(void)                                                                                      \
	{                                                                                                                 \
		_Pragma("omp simd") for (int i = 0; i < N; i++) y[i] = sp_##name(x[i]);                                       \
	}
VECTOR(exp)
VECTOR(exp2)
VECTOR(tanh)
VECTOR(gelu)
VECTOR(gelu_slope)
VECTOR(gelu_tanh)
VECTOR(gelu_tanh_slope)

static double phi(double a)
{
	return 0.5 * erfc(-a / sqrt(2));
}

static double gelu(double a)
{
	return a * phi(a);
}

static double gelu_slope(double a)
{
	return phi(a) + a * exp(-a * a / 2) / sqrt(2 * acos(-1));
}

static double gelu_tanh(double a)
{
	return 0.5 * a * (1 + tanh(sqrt(2 / acos(-1)) * (a + 0.044715 * a * a * a)));
}

static double gelu_tanh_slope(double a)
{
	const double c = sqrt(2 / acos(-1)), t = tanh(c * (a + 0.044715 * a * a * a));
	return 0.5 * (1 + t) + 0.5 * a * (1 - t * t) * c * (1 + 3 * 0.044715 * a * a);
}

/* Distance in units of the last place of the larger of |b| and `floor`. */
static double ulps(float a, double b, double floor)
{
	int exponent;
	frexp(fmax(fabs(b), floor), &exponent);
	return fabs((double)a - b) / ldexp(1, exponent - 24);
}

static double worst(void (*run)(void), double (*exact)(double), double low, double high, double floor)
{
	double most = 0;
	for (int i = 0; i < N; i++)
		x[i] = (float)(low + (high - low) * i / (N - 1));
	run();
	for (int i = 0; i < N; i++)
		most = fmax(most, ulps(y[i], exact(x[i]), floor));
	return most;
}

static void exp_is_within_an_ulp_or_so(void **state)
{
	(void)state;
	assert_true(worst(run_exp, exp, -87.33, 0, 0) < 1.1);
	assert_true(worst(run_exp, exp, -1, 1, 0) < 1.1);
	assert_true(worst(run_exp, exp, 0, 88, 0) < 1.1);
}

static void exp2_is_within_three_ulps(void **state)
{
	(void)state;
	assert_true(worst(run_exp2, exp2, -126, 0, 0) < 3);
	assert_true(worst(run_exp2, exp2, -1, 1, 0) < 3);
	assert_true(worst(run_exp2, exp2, 0, 126.5, 0) < 3);
}

static void powers_are_zero_below_the_normal_numbers_and_keep_nan(void **state)
{
	(void)state;
	const float low[] = { -INFINITY, -3e38f, -1000, -126.01f };
	void (*const run[])(void) = { run_exp, run_exp2 };
	for (int k = 0; k < 2; k++) {
		memcpy(x, low, sizeof low);
		x[4] = NAN;
		x[5] = -NAN;
		run[k]();
		for (int i = 0; i < 4; i++)
			assert_true(y[i] == 0);
		assert_true(isnan(y[4]) && isnan(y[5]));
	}
}

static void tanh_is_within_two_ulp(void **state)
{
	(void)state;
	assert_true(worst(run_tanh, tanh, -1e-3, 1e-3, 1e-30) < 2);
	assert_true(worst(run_tanh, tanh, -2, 2, 1e-30) < 2);
	assert_true(worst(run_tanh, tanh, -60, 60, 1e-30) < 2);
}

/* In units of fp32 at 1/2: where the functions pass through zero their terms cancel. */
static void gelu_and_its_slope_have_fp32_accuracy(void **state)
{
	(void)state;
	assert_true(worst(run_gelu, gelu, -14, 14, 0.5) < 3);
	assert_true(worst(run_gelu_slope, gelu_slope, -14, 14, 0.5) < 4);
	assert_true(worst(run_gelu_tanh, gelu_tanh, -14, 14, 0.5) < 3);
	assert_true(worst(run_gelu_tanh_slope, gelu_tanh_slope, -14, 14, 0.5) < 6);
}

static double angles[N];
static float sines[N], cosines[N];

/* Angles as positions make them, up to 2^30: some ends, and the multiples of pi/4 where the polynomials change places. */
static void sine_and_cosine_have_fp32_accuracy_for_large_angles(void **state)
{
	static const double most[] = { 1, 100, 1e5, 1 << 30 };
	(void)state;
	for (size_t k = 0; k < sizeof most / sizeof *most; k++) {
		double worst_sine = 0, worst_cosine = 0;
		for (int i = 0; i < N; i++)
			angles[i] = i % 2 ? most[k] * i / N : floor(most[k] * i / N) * acos(-1) / 4;
#pragma omp simd
		for (int i = 0; i < N; i++)
			sp_sine_cosine(angles[i], &sines[i], &cosines[i]);
		for (int i = 0; i < N; i++) {
			worst_sine = fmax(worst_sine, ulps(sines[i], sin(angles[i]), 0.125));
			worst_cosine = fmax(worst_cosine, ulps(cosines[i], cos(angles[i]), 0.5));
		}
		printf("up to %g: sine %.2f, cosine %.2f\n", most[k], worst_sine, worst_cosine);
		assert_true(worst_sine < 1.6 && worst_cosine < 1.6);
	}
}

static uint16_t plain_half(const struct sp_dropout *dropout, uint32_t c1, uint32_t c2, uint32_t column)
{
	const uint32_t counter[4] = { column / 8, c1, c2, 0 };
	uint32_t word[4];
	sp_philox(dropout->key, counter, word);
	return (uint16_t)(word[column % 8 / 2] >> (column % 2 ? 16 : 0));
}

static void dropout_draws_are_those_of_the_plain_generator(void **state)
{
	(void)state;
	const struct sp_dropout dropout = { .key = { 0xdeadbeef, 77 }, .keep = 50000 };
	const int64_t counts[] = { 0, 1, 2, 7, 8, 9, 63, 64, 65, 300 };
	for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
		uint16_t *half = malloc(sp_dropout_room(counts[c]) * sizeof *half);
		assert_non_null(half);
		for (uint32_t first = 0; first < 20; first++) {
			const uint16_t *drawn = sp_dropout_draw(&dropout, 5, 0xffffffff, first, counts[c], half);
			for (int64_t j = 0; j < counts[c]; j++)
				assert_int_equal(drawn[j], plain_half(&dropout, 5, 0xffffffff, first + (uint32_t)j));
		}
		free(half);
	}
}

static int runnable(void)
{
#ifdef __AVX512F__
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#elif defined __AVX2__
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
	return 1;
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exp_is_within_an_ulp_or_so),
		cmocka_unit_test(exp2_is_within_three_ulps),
		cmocka_unit_test(powers_are_zero_below_the_normal_numbers_and_keep_nan),
		cmocka_unit_test(tanh_is_within_two_ulp),
		cmocka_unit_test(gelu_and_its_slope_have_fp32_accuracy),
		cmocka_unit_test(sine_and_cosine_have_fp32_accuracy_for_large_angles),
		cmocka_unit_test(dropout_draws_are_those_of_the_plain_generator),
	};
	if (!runnable())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
