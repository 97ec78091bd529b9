/* The float64 that benchmarks hold results against: right itself, and able to tell what is wrong. */
#include "config.h"

#include "bench/exact.h"
#include "bench/judge.h"
#include "reference/reference.h"
#include "support.h"

#include <seqpar/status.h>

#include <math.h>
#include <stdlib.h>

static void slopes_are_derivatives(void **state)
{
	static const enum sp_activation acts[] = { SP_ACT_NONE, SP_ACT_GELU, SP_ACT_GELU_TANH };
	(void)state;
	for (int a = 0; a < 3; a++)
		for (double x = -4; x <= 4; x += 0.37) {
			const double h = 1e-5, by = (sp_bench_act(acts[a], x + h) - sp_bench_act(acts[a], x - h)) / (2 * h);
			assert_true(fabs(sp_bench_act_slope(acts[a], x) - by) < 1e-9);
		}
}

static void differences_are_relative_and_nan_is_kept(void **state)
{
	(void)state;
	struct sp_bench_difference d = { 0 };
	assert_true(sp_bench_relative(&d) == 0);
	sp_bench_differ(&d, 3.03, 3);
	sp_bench_differ(&d, 4.04, 4);
	assert_true(fabs(sp_bench_relative(&d) - 0.01) < 1e-12);
	sp_bench_differ(&d, NAN, 1);
	assert_true(isnan(sp_bench_relative(&d)));
}

/* ---- attention: tests/reference has the whole of it ---- */

enum { B = 2, S = 13, PADDED = 16, A = 2, D = 5, H = A * D, T = B * PADDED };

static struct sp_matrix third(double *packed, int which)
{
	const struct sp_matrix m = { packed, T, 3 * H, 3 * H, SP_F64 };
	return sp_matrix_columns(m, which * H, H);
}

static struct sp_matrix wide(double *data)
{
	return (struct sp_matrix){ data, T, H, H, SP_F64 };
}

static struct sp_matrix rows(double *data)
{
	return (struct sp_matrix){ data, B * A, PADDED, PADDED, SP_F64 };
}

/* What a right implementation leaves in o, lse and dqkv. */
static void compute(struct sp_bench_exact *e)
{
	static double qkv[T * 3 * H], dout[T * H], acc[T * H], o[T * H], dqkv[T * 3 * H];
	static double m[B * A * PADDED], l[B * A * PADDED], lse[B * A * PADDED], dots[B * A * PADDED];
	for (int i = 0; i < T * 3 * H; i++)
		qkv[i] = e->qkv[i];
	for (int i = 0; i < T * H; i++)
		dout[i] = e->dout[i];
	const struct sp_attention_shape shape = {
		.batch = B, .heads = A, .head_dim = D, .chunk = PADDED, .keys = PADDED, .scale = 1 / sqrtf(D), .query_doc = e->doc,
		.key_doc = e->doc, .sample = e->sample, .dropout = e->dropout,
	};
	const struct sp_attention_forward forward = { shape, third(qkv, 0), third(qkv, 1), third(qkv, 2), wide(acc), rows(m),
		                                          rows(l), 1 };
	const struct sp_attention_finish finish = { B, A, D, PADDED, wide(acc), rows(m), rows(l), wide(o), rows(lse) };
	const struct sp_attention_dots product = { B, A, D, PADDED, wide(dout), wide(o), rows(dots) };
	const struct sp_attention_backward backward = { shape, third(qkv, 0), third(qkv, 1), third(qkv, 2), wide(o), wide(dout),
		                                            rows(lse), rows(dots), third(dqkv, 0), third(dqkv, 1), third(dqkv, 2),
		                                            1, 1 };
	sp_reference_attention_forward(&forward);
	sp_reference_attention_finish(&finish);
	sp_reference_attention_dots(&product);
	sp_reference_attention_backward(&backward);
	for (int i = 0; i < T * H; i++)
		e->o[i] = (float)o[i];
	for (int i = 0; i < B * A * PADDED; i++)
		e->lse[i] = (float)lse[i];
	for (int i = 0; i < T * 3 * H; i++)
		e->dqkv[i] = (float)dqkv[i];
}

static struct sp_bench_exact make(uint32_t keep)
{
	struct sp_bench_exact e = { .batch = B, .length = S, .padded = PADDED, .heads = A, .head_dim = D,
		                        .dropout = { .key = { 3, 4 }, .keep = keep } };
	assert_int_equal(sp_bench_exact_make(&e), SP_OK);
	compute(&e);
	return e;
}

static void sampled_rows_equal_whole_attention(void **state)
{
	(void)state;
	for (int keep = 58982; keep <= 65536; keep += 6554) {
		struct sp_bench_exact e = make((uint32_t)keep);
		assert_true(sp_bench_exact_error(&e) < 1e-6);
		sp_bench_exact_free(&e);
	}
}

/* One percent too much of any result is seen. */
static void sampled_rows_tell_each_wrong_result(void **state)
{
	(void)state;
	for (int what = 0; what < 5; what++) {
		struct sp_bench_exact e = make(58982);
		float *const data = what == 0 ? e.o : what == 1 ? e.lse : e.dqkv + (what - 2) * H;
		const int count = what == 0 ? T * H : what == 1 ? B * A * PADDED : T, width = what < 2 ? 1 : H;
		for (int i = 0; i < count; i++)
			for (int j = 0; j < width; j++)
				data[what < 2 ? i : i * 3 * H + j] *= 1.01f;
		assert_true(sp_bench_exact_error(&e) > 1e-3);
		sp_bench_exact_free(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slopes_are_derivatives),
		cmocka_unit_test(differences_are_relative_and_nan_is_kept),
		cmocka_unit_test(sampled_rows_equal_whole_attention),
		cmocka_unit_test(sampled_rows_tell_each_wrong_result),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
