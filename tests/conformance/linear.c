/* y = act(x w^T + bias) and its two backwards. */
#include "config.h"

#include "conformance/bench.h"
#include "conformance/cases.h"
#include "support.h"

/* One, odd, prime, powers of two, empty in each direction, and more rows or columns than one panel of work. */
static const struct shape {
	int64_t T, N, K;
} shapes[] = {
	{ 1, 1, 1 },   { 1, 7, 3 },   { 13, 5, 1 },     { 7, 1, 11 },   { 63, 31, 17 },  { 64, 64, 64 }, { 127, 129, 65 },
	{ 0, 5, 3 },   { 5, 0, 3 },   { 5, 3, 0 },      { 521, 67, 131 }, { 1031, 40, 24 }, { 65, 1030, 70 }, { 3, 20, 1100 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const enum sp_activation acts[] = { SP_ACT_NONE, SP_ACT_GELU, SP_ACT_GELU_TANH };

static void forward_case(struct sp_compute *c, struct shape s, enum sp_activation act, int bias, int pre, int strided)
{
	struct bench b;
	bench_open(&b, c, strided, "T %lld N %lld K %lld act %d bias %d pre %d strided %d", (long long)s.T, (long long)s.N,
	           (long long)s.K, act, bias, pre, strided);
	struct tensor *x = bench_element(&b, IN, s.T, s.K), *w = bench_element(&b, IN, s.N, s.K);
	struct tensor *offset = bench_optional(&b, bias, IN, 1, s.N), *y = bench_element(&b, OUT, s.T, s.N);
	struct tensor *kept = bench_optional_element(&b, pre, OUT, s.T, s.N);
	tensor_scale(w, 1.5 / sqrt((double)s.K + 1), 0);
	struct sp_linear_forward args[2];
	for (int side = DEVICE; side <= REFERENCE; side++)
		args[side] = (struct sp_linear_forward){ view(x, side), view(w, side), view(offset, side), view(y, side),
			                                 view(kept, side), act };
	while (bench_again(&b))
		assert_int_equal(sp_compute_linear_forward(c, &args[DEVICE]), SP_OK);
	sp_reference_linear_forward(&args[REFERENCE]);
	bench_expect_rounded(&b, y, BOUND_LINEAR_FORWARD, "y", 1 + bias + (act != SP_ACT_NONE));
	bench_expect_rounded(&b, kept, BOUND_LINEAR_FORWARD, "pre", 1 + bias);
	bench_close(&b);
}

void linear_forward_equals_reference(void **state)
{
	for (int i = 0; i < SHAPES; i++)
		for (int bias = 0; bias < 2; bias++)
			for (int strided = 0; strided < 2; strided++) {
				for (int act = 0; act < 3; act++)
					forward_case(*state, shapes[i], acts[act], bias, 1, strided);
				forward_case(*state, shapes[i], SP_ACT_NONE, bias, 0, strided);
			}
}

struct input_case {
	enum sp_activation act;
	int accumulate, dbias;
};

static void backward_input_case(struct sp_compute *c, struct shape s, struct input_case k, int strided)
{
	struct bench b;
	bench_open(&b, c, strided, "T %lld N %lld K %lld act %d accumulate %d dbias %d strided %d", (long long)s.T,
	           (long long)s.N, (long long)s.K, k.act, k.accumulate, k.dbias, strided);
	struct tensor *dy = bench_element(&b, IN, s.T, s.N), *w = bench_element(&b, IN, s.N, s.K);
	struct tensor *dx = bench_element(&b, k.accumulate ? INOUT : OUT, s.T, s.K);
	struct tensor *pre = bench_optional_element(&b, k.act != SP_ACT_NONE, IN, s.T, s.K);
	struct tensor *dbias = bench_optional(&b, k.dbias, INOUT, 1, s.K);
	tensor_scale(w, 1 / sqrt((double)s.N + 1), 0);
	struct sp_linear_backward_input args[2];
	for (int side = DEVICE; side <= REFERENCE; side++)
		args[side] = (struct sp_linear_backward_input){ view(dy, side),  view(w, side),     view(dx, side),
			                                        view(pre, side), view(dbias, side), k.act,
			                                        k.accumulate };
	while (bench_again(&b))
		assert_int_equal(sp_compute_linear_backward_input(c, &args[DEVICE]), SP_OK);
	sp_reference_linear_backward_input(&args[REFERENCE]);
	bench_expect(&b, dx, BOUND_LINEAR_BACKWARD_INPUT, "dx");
	/* Sums of a column's values, which may cancel. */
	bench_expect_sums(&b, dbias, BOUND_LINEAR_BACKWARD_INPUT, "dbias", tensor_norm(dx));
	bench_close(&b);
}

void linear_backward_input_equals_reference(void **state)
{
	static const struct input_case cases[] = {
		{ SP_ACT_NONE, 0, 0 }, { SP_ACT_NONE, 0, 1 }, { SP_ACT_NONE, 1, 0 },      { SP_ACT_GELU, 0, 0 },
		{ SP_ACT_GELU, 0, 1 }, { SP_ACT_GELU_TANH, 0, 0 }, { SP_ACT_GELU_TANH, 0, 1 },
	};
	for (int i = 0; i < SHAPES; i++)
		for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
			for (int strided = 0; strided < 2; strided++)
				backward_input_case(*state, shapes[i], cases[k], strided);
}

static void backward_weight_case(struct sp_compute *c, struct shape s, int bias, int strided)
{
	struct bench b;
	bench_open(&b, c, strided, "T %lld N %lld K %lld dbias %d strided %d", (long long)s.T, (long long)s.N, (long long)s.K,
	           bias, strided);
	struct tensor *dy = bench_element(&b, IN, s.T, s.N), *x = bench_element(&b, IN, s.T, s.K);
	struct tensor *dw = bench_tensor(&b, INOUT, s.N, s.K), *dbias = bench_optional(&b, bias, INOUT, 1, s.N);
	struct sp_linear_backward_weight args[2];
	for (int side = DEVICE; side <= REFERENCE; side++)
		args[side] = (struct sp_linear_backward_weight){ view(dy, side), view(x, side), view(dw, side), view(dbias, side) };
	while (bench_again(&b))
		assert_int_equal(sp_compute_linear_backward_weight(c, &args[DEVICE]), SP_OK);
	sp_reference_linear_backward_weight(&args[REFERENCE]);
	bench_expect(&b, dw, BOUND_LINEAR_BACKWARD_WEIGHT, "dw");
	bench_expect_near(&b, dbias, BOUND_LINEAR_BACKWARD_WEIGHT, "dbias", tensor_norm(dy));
	bench_close(&b);
}

void linear_backward_weight_equals_reference(void **state)
{
	for (int i = 0; i < SHAPES; i++)
		for (int bias = 0; bias < 2; bias++)
			for (int strided = 0; strided < 2; strided++)
				backward_weight_case(*state, shapes[i], bias, strided);
}

/* More of each dimension than is converted at once where a backend computes in another dtype than it stores. */
void linear_of_16_bits_equals_reference_at_length(void **state)
{
	static const struct shape longer[] = { { 1031, 1030, 24 }, { 3, 20, 70000 }, { 20, 70000, 3 }, { 70000, 3, 20 } };
	static const struct input_case cases[] = { { SP_ACT_GELU, 0, 1 }, { SP_ACT_NONE, 1, 0 } };
	if (bench_dtype() == SP_F32)
		skip();
	for (int i = 0; i < 4; i++)
		for (int strided = 0; strided < 2; strided++) {
			forward_case(*state, longer[i], SP_ACT_GELU, 1, 1, strided);
			forward_case(*state, longer[i], SP_ACT_NONE, 0, 0, strided);
			for (int k = 0; k < 2; k++)
				backward_input_case(*state, longer[i], cases[k], strided);
			backward_weight_case(*state, longer[i], 1, strided);
		}
}

void activation_backward_equals_reference(void **state)
{
	for (int i = 0; i < SHAPES; i++)
		for (int act = 0; act < 3; act++)
			for (int strided = 0; strided < 2; strided++) {
				const struct shape s = shapes[i];
				struct bench b;
				bench_open(&b, *state, strided, "T %lld N %lld act %d strided %d", (long long)s.T, (long long)s.N, act, strided);
				struct tensor *pre = bench_element(&b, IN, s.T, s.N), *dx = bench_element(&b, INOUT, s.T, s.N);
				tensor_scale(pre, 2, 0);
				const struct sp_activation_backward args[] = { { view(pre, DEVICE), view(dx, DEVICE), acts[act] },
					                                       { view(pre, REFERENCE), view(dx, REFERENCE), acts[act] } };
				while (bench_again(&b))
					assert_int_equal(sp_compute_activation_backward(*state, &args[DEVICE]), SP_OK);
				sp_reference_activation_backward(&args[REFERENCE]);
				bench_expect(&b, dx, BOUND_ACTIVATION_BACKWARD, "dx");
				bench_close(&b);
			}
}

/* L2 over a tensor hides small outputs, so here each point is judged: w = 0 leaves pre = bias, and a weight of 1 leaves
 * the slope. */
static void gelu_points(struct sp_compute *c, enum sp_activation act)
{
	static const double point[] = { 0,  1e-30, 1e-6, 1e-3, 0.1, 0.5, 0.9, 1,  1.5, 2,  2.5, 3,   3.5,
		                        4,  4.5,   5,    5.5,  6,   7,   8,   9,  10,  12, 14,  20,  30,
		                        50, 88,    89,   100,  1e3, 1e4, 1e5, 1e6 };
	enum { POINTS = sizeof point / sizeof *point };
	struct bench b;
	bench_open(&b, c, 0, "GELU points, act %d", act);
	struct tensor *x = bench_element(&b, IN, 1, 1), *w = bench_element(&b, IN, 2 * POINTS, 1);
	struct tensor *bias = bench_tensor(&b, IN, 1, 2 * POINTS), *y = bench_element(&b, OUT, 1, 2 * POINTS);
	struct tensor *pre = bench_element(&b, OUT, 1, 2 * POINTS), *one = bench_element(&b, IN, 1, 1);
	struct tensor *ones = bench_element(&b, IN, 1, 2 * POINTS), *slope = bench_element(&b, OUT, 1, 2 * POINTS);
	struct tensor *kept = bench_element(&b, IN, 1, 2 * POINTS);
	tensor_scale(w, 0, 0);
	tensor_scale(one, 0, 1);
	tensor_scale(ones, 0, 1);
	for (int i = 0; i < 2 * POINTS; i++) {
		const double z = point[i / 2] < bench_largest() ? point[i / 2] : 1;
		tensor_set(kept, 0, i, i % 2 ? -z : z);
		tensor_set(bias, 0, i, kept->value[i]); /* neither it nor pre is rounded then */
	}
	const struct sp_linear_forward forward = { view(x, DEVICE),    view(w, DEVICE), view(bias, DEVICE), view(y, DEVICE),
		                                   view(pre, DEVICE), act };
	const struct sp_linear_backward_input backward = { .dy = view(one, DEVICE),
		                                           .w = view(ones, DEVICE),
		                                           .dx = view(slope, DEVICE),
		                                           .pre = view(kept, DEVICE),
		                                           .act = act };
	while (bench_again(&b)) {
		assert_int_equal(sp_compute_linear_forward(c, &forward), SP_OK);
		assert_int_equal(sp_compute_linear_backward_input(c, &backward), SP_OK);
	}
	for (int i = 0; i < 2 * POINTS; i++) {
		const double z = bias->value[i];
		/* Phi, which may cancel near 0 from above, is between 0 and 1: its error times |z| is what y may have. */
		bench_expect_point(&b, y, i, sp_reference_activation(act, z), BOUND_GELU_POINT, "y", fmax(fabs(z), bench_least()));
		bench_expect_point(&b, slope, i, sp_reference_activation_slope(act, kept->value[i]), BOUND_GELU_POINT, "slope", 1);
	}
	bench_close(&b);
}

void gelu_is_right_at_every_size_of_input(void **state)
{
	gelu_points(*state, SP_ACT_GELU);
	gelu_points(*state, SP_ACT_GELU_TANH);
}
