/* What the optimiser asks for. */
#include "config.h"

#include "conformance/bench.h"
#include "conformance/cases.h"
#include "support.h"

#include <string.h>

static const int64_t sizes[] = { 0, 1, 7, 64, 1000, 100003 };
enum { SIZES = sizeof sizes / sizeof *sizes };

/* ---- sum of squares ---- */

static double number(const struct bytes *a)
{
	double x;
	memcpy(&x, a->after, sizeof x);
	return x;
}

/* Squares beyond the range of fp32, above and below, are sums like any other. */
void sum_squares_equals_reference(void **state)
{
	static const double scales[] = { 1, 1e30, 1e-30 };
	for (int i = 0; i < SIZES; i++)
		for (int scale = 0; scale < 3; scale++)
			for (int strided = 0; strided < 2; strided++) {
				const double before = 0.75 * scales[scale] * scales[scale];
				struct bench b;
				bench_open(&b, *state, strided, "n %lld scale %g strided %d", (long long)sizes[i], scales[scale], strided);
				struct tensor *x = bench_tensor(&b, IN, 1, sizes[i]);
				tensor_scale(x, scales[scale], 0);
				const struct bytes *sum = bench_bytes(&b, INOUT, &before, sizeof before);
				const struct sp_sum_squares args = { floats(x), sizes[i], at(sum, DEVICE) };
				while (bench_again(&b))
					assert_int_equal(sp_compute_sum_squares(*state, &args), SP_OK);
				double want = before;
				sp_reference_sum_squares(x->value, sizes[i], &want);
				bench_expect_number(&b, number(sum), want, BOUND_SUM_SQUARES, "sum", 0);
				bench_close(&b);
			}
}

void sum_squares_finds_what_is_not_finite(void **state)
{
	static const double odd[] = { INFINITY, -INFINITY, NAN };
	static const int64_t places[] = { 0, 1, 15, 16, 500, 999, 1000 };
	const double before = 0;
	for (int kind = 0; kind < 3; kind++)
		for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
			struct bench b;
			bench_open(&b, *state, (int)i % 2, "%g at %lld", odd[kind], (long long)places[i]);
			struct tensor *x = bench_tensor(&b, IN, 1, 1001);
			tensor_set(x, 0, places[i], odd[kind]);
			const struct bytes *sum = bench_bytes(&b, INOUT, &before, sizeof before);
			const struct sp_sum_squares args = { floats(x), 1001, at(sum, DEVICE) };
			while (bench_again(&b))
				assert_int_equal(sp_compute_sum_squares(*state, &args), SP_OK);
			if (isfinite(number(sum)))
				fail_msg("%s: the sum is %g", b.label, number(sum));
			bench_close(&b);
		}
}

static void expect_step(struct bench *b, const struct bytes *at, const struct sp_step *want)
{
	struct sp_step got;
	memcpy(&got, at->after, sizeof got);
	bench_expect_number(b, got.factor, want->factor, BOUND_DECIDE, "factor", 0);
	bench_expect_number(b, got.correction1, want->correction1, BOUND_DECIDE, "correction1", 0);
	bench_expect_number(b, got.correction2, want->correction2, BOUND_DECIDE, "correction2", 0);
	if (got.scale != want->scale || got.take != want->take || got.since != want->since || got.taken != want->taken)
		fail_msg("%s: scale %g, take %d, since %d, taken %lld, not %g, %d, %d, %lld", b->label, (double)got.scale, got.take,
		         got.since, (long long)got.taken, (double)want->scale, want->take, want->since, (long long)want->taken);
}

void decide_equals_reference(void **state)
{
	static const double sums[] = { 0, 1e-30, 0.25, 1, 16, 3e8, 1e300, INFINITY, NAN };
	static const float limits[] = { 1, 0, 1e-3f, 1e4f }, scales[] = { 1, 1.5f, 65536, 16777216 };
	static const int32_t growths[] = { 0, 1, 3 };
	for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
		for (int flags = 0; flags < 4 * 4 * 3 * 2; flags++) {
			struct sp_step step = { .sum = sums[i], .scale = scales[flags / 4 % 4], .since = flags / 48 ? 2 : 0,
				                    .taken = flags / 48 ? 5000 : 0, .correction1 = 0.5f };
			struct bench b;
			bench_open(&b, *state, 0, "sum %g case %d", sums[i], flags);
			const struct bytes *at_step = bench_bytes(&b, INOUT, &step, sizeof step);
			const struct sp_decide args = { at(at_step, DEVICE), limits[flags % 4], 0.9, 0.999, growths[flags / 16 % 3] };
			while (bench_again(&b))
				assert_int_equal(sp_compute_decide(*state, &args), SP_OK);
			sp_reference_decide(&step, &args);
			expect_step(&b, at_step, &step);
			bench_close(&b);
		}
}

/* ---- AdamW ---- */

enum { STEPS = 5 };

struct adamw_case {
	int64_t n;
	float factor, decay, eps;
	int strided;
};

static struct sp_adamw step_args(const struct adamw_case *k)
{
	const struct sp_adamw args = {
		.n = k->n,
		.lr = 0.02f,
		.beta1 = 0.9f,
		.beta2 = 0.999f,
		.eps = k->eps,
		.decay = k->decay,
	};
	return args;
}

/* The last but one is not taken. */
static struct sp_step step_of(const struct adamw_case *k, int step)
{
	return (struct sp_step){ .factor = k->factor, .correction1 = (float)(1 - pow(0.9, step)),
		                     .correction2 = (float)(1 - pow(0.999, step)), .take = step != STEPS - 1 };
}

static void adamw_case(struct sp_compute *c, const struct adamw_case *k)
{
	struct bench b;
	bench_open(&b, c, k->strided, "n %lld factor %g decay %g eps %g strided %d", (long long)k->n, (double)k->factor,
	           (double)k->decay, (double)k->eps, k->strided);
	struct tensor *w = bench_tensor(&b, INOUT, 1, k->n), *m = bench_tensor(&b, INOUT, 1, k->n);
	struct tensor *v = bench_tensor(&b, INOUT, 1, k->n), *g[STEPS];
	const struct bytes *steps[STEPS];
	tensor_scale(m, 0, 0);
	tensor_scale(v, 0, 0);
	for (int i = 0; i < STEPS; i++) {
		const struct sp_step step = step_of(k, i + 1);
		g[i] = bench_tensor(&b, IN, 1, k->n);
		steps[i] = bench_bytes(&b, IN, &step, sizeof step);
	}
	while (bench_again(&b))
		for (int i = 0; i < STEPS; i++) {
			struct sp_adamw args = step_args(k);
			args.w = floats(w);
			args.m = floats(m);
			args.v = floats(v);
			args.g = floats(g[i]);
			args.step = at(steps[i], DEVICE);
			assert_int_equal(sp_compute_adamw(c, &args), SP_OK);
		}
	for (int i = 0; i < STEPS; i++) {
		const struct sp_adamw args = step_args(k);
		const struct sp_step step = step_of(k, i + 1);
		sp_reference_adamw(&args, &step, g[i]->value, w->value, m->value, v->value);
	}
	bench_expect(&b, w, BOUND_ADAMW, "w");
	bench_expect(&b, m, BOUND_ADAMW, "m");
	bench_expect(&b, v, BOUND_ADAMW, "v");
	bench_close(&b);
}

void adamw_equals_reference_over_steps(void **state)
{
	static const float factors[] = { 1, 0.125f, 0 }, decays[] = { 0, 0.5f }, epsilons[] = { 1e-8f, 0.1f };
	for (int i = 0; i < SIZES; i++)
		for (int flags = 0; flags < 12; flags++) {
			const struct adamw_case k = { sizes[i], factors[flags % 3], decays[flags / 3 % 2], epsilons[flags / 6],
				                      flags % 2 };
			adamw_case(*state, &k);
		}
}

void add_equals_reference(void **state)
{
	for (int i = 0; i < SIZES; i++)
		for (int strided = 0; strided < 2; strided++) {
			struct bench b;
			bench_open(&b, *state, strided, "n %lld strided %d", (long long)sizes[i], strided);
			struct tensor *y = bench_tensor(&b, INOUT, 1, sizes[i]), *x = bench_tensor(&b, IN, 1, sizes[i]);
			while (bench_again(&b))
				assert_int_equal(sp_compute_add(*state, floats(y), floats(x), sizes[i]), SP_OK);
			sp_reference_add(y->value, x->value, sizes[i]);
			bench_expect(&b, y, BOUND_ADD, "y");
			bench_close(&b);
		}
}
