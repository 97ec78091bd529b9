/* The reference loops are held against what does not depend on them: published numbers, direct formulas, and central
 * differences of each forward for its backward. No backend is needed. */
#include "config.h"

#include "reference/reference.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

/* Central differences in float64: the truncation is about h^2 = 1e-10 relative, the rounding about 1e-16 / h = 1e-11. */
static const double step = 1e-5, difference_bound = 1e-8;

enum { MOST = 512 };

static uint32_t draws;

/* Numbers between -1 and 1, the same in every run. */
static void fill(double *x, int64_t n)
{
	const uint32_t key[2] = { 7, 11 };
	for (int64_t i = 0; i < n; i++) {
		const uint32_t counter[4] = { draws++, 0, 0, 0 };
		uint32_t out[4];
		sp_reference_philox(key, counter, out);
		x[i] = out[0] / 2147483648.0 - 1;
	}
}

static double dot(const double *x, const double *y, int64_t n)
{
	double sum = 0;
	for (int64_t i = 0; i < n; i++)
		sum += x[i] * y[i];
	return sum;
}

static void expect_gradient(double (*loss)(void), double *x, const double *dx, int64_t n, const char *name)
{
	double wrong = 0, right = 0;
	for (int64_t i = 0; i < n; i++) {
		const double kept = x[i];
		x[i] = kept + step;
		const double up = loss();
		x[i] = kept - step;
		const double down = loss();
		x[i] = kept;
		const double slope = (up - down) / (2 * step);
		wrong += (dx[i] - slope) * (dx[i] - slope);
		right += slope * slope;
	}
	if (!(right > 0) || !(sqrt(wrong) <= difference_bound * sqrt(right)))
		fail_msg("gradient of %s: |dx - difference| = %g of %g", name, sqrt(wrong), sqrt(right));
}

static void expect_near(double got, double want, double relative)
{
	if (!(fabs(got - want) <= relative * fabs(want)))
		fail_msg("%.17g instead of %.17g", got, want);
}

/* ---- elements of 16 bits ---- */

static void numbers_have_the_bits_of_their_standard(void **state)
{
	static const struct {
		enum sp_dtype dtype;
		double x;
		uint16_t bits;
	} known[] = {
		{ SP_BF16, 1, 0x3f80 },           { SP_BF16, -2, 0xc000 },           { SP_BF16, 3.14159265, 0x4049 },
		{ SP_BF16, 1 + 0x1p-8, 0x3f80 },  { SP_BF16, 1 + 0x3p-8, 0x3f82 },   { SP_BF16, 1 + 0x1.0001p-8, 0x3f81 },
		{ SP_BF16, 2 - 0x1p-9, 0x4000 },  { SP_BF16, 0x1.fffffep127, 0x7f80 }, { SP_BF16, 0x1p-133, 0x0001 },
		{ SP_BF16, 0x1p-134, 0x0000 },    { SP_BF16, -0x3p-134, 0x8002 },    { SP_BF16, -0.0, 0x8000 },
		{ SP_F16, 1, 0x3c00 },            { SP_F16, 65504, 0x7bff },         { SP_F16, 65519.99, 0x7bff },
		{ SP_F16, 65520, 0x7c00 },        { SP_F16, -1e30, 0xfc00 },         { SP_F16, 3.14159265, 0x4248 },
		{ SP_F16, 1 + 0x1p-11, 0x3c00 },  { SP_F16, 1 + 0x3p-11, 0x3c02 },   { SP_F16, 0x1p-24, 0x0001 },
		{ SP_F16, 0x1p-25, 0x0000 },      { SP_F16, 0x1.001p-25, 0x0001 },   { SP_F16, 0x1p-14, 0x0400 },
		{ SP_F16, 0x1p-14 - 0x1p-25, 0x0400 }, { SP_F16, -INFINITY, 0xfc00 }, { SP_F16, 0.1, 0x2e66 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		uint16_t bits[2] = { 0 };
		sp_reference_store(known[i].dtype, known[i].x, bits, 1);
		if (bits[1] != known[i].bits)
			fail_msg("%s %a: %04x instead of %04x", known[i].dtype == SP_F16 ? "f16" : "bf16", known[i].x, bits[1], known[i].bits);
	}
}

static void every_pattern_of_16_bits_is_read_and_written_alike(void **state)
{
	(void)state;
	for (int i = 0; i < 2 * 65536; i++) {
		const enum sp_dtype dtype = i & 1 ? SP_F16 : SP_BF16;
		const uint16_t bits = (uint16_t)(i >> 1);
		const double x = sp_reference_load(dtype, &bits, 0);
		uint16_t again;
		sp_reference_store(dtype, x, &again, 0);
		if (isnan(x) ? !isnan(sp_reference_load(dtype, &again, 0)) : again != bits)
			fail_msg("%04x is %a, which is %04x", bits, x, again);
	}
	assert_true(sp_reference_largest(SP_F16) == 65504 && sp_reference_largest(SP_BF16) == 0x1.fep127);
	assert_true(sp_reference_least(SP_F16) == 0x1p-14 && sp_reference_least(SP_BF16) == 0x1p-126);
}

/* ---- dropout ---- */

static void philox_gives_the_known_answers_of_random123(void **state)
{
	static const struct {
		uint32_t counter[4], key[2], out[4];
	} known[] = {
		{ { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
		{ { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
		  { 0xffffffff, 0xffffffff },
		  { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
		{ { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
		  { 0xa4093822, 0x299f31d0 },
		  { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
	};
	(void)state;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		uint32_t out[4];
		sp_reference_philox(known[i].key, known[i].counter, out);
		assert_memory_equal(out, known[i].out, sizeof out);
	}
}

static void dropout_takes_halves_low_first(void **state)
{
	/* Key and counter 0: the halves are e8d5 6627 c58d e169 ac4c bc57 dbd8 9b00; the largest kept is keep - 1. */
	static const uint32_t half[] = { 0xe8d5, 0x6627, 0xc58d, 0xe169, 0xac4c, 0xbc57, 0xdbd8, 0x9b00 };
	(void)state;
	for (uint32_t j = 0; j < 8; j++) {
		const struct sp_dropout kept = { .key = { 0, 0 }, .keep = half[j] + 1 }, dropped = { .key = { 0, 0 }, .keep = half[j] };
		assert_true(sp_reference_dropout(&kept, j, 0, 0) == 65536.0 / (half[j] + 1));
		assert_true(sp_reference_dropout(&dropped, j, 0, 0) == 0);
	}
	const struct sp_dropout off = { .key = { 0, 0 }, .keep = 65536 };
	assert_true(sp_reference_dropout(&off, 0, 0, 0) == 1);
}

static void row_dropout_depends_on_global_coordinates(void **state)
{
	/* Tokens 0..5 of samples 3 and 9 on one rank, and the last four of them on another. */
	const struct sp_dropout dropout = { .key = { 5, 6 }, .keep = 40000 };
	const uint32_t sample[] = { 3, 9 };
	const struct sp_rows whole = { 2, 6, sample, 0 }, part = { 2, 4, sample, 2 };
	(void)state;
	for (int64_t b = 0; b < 2; b++)
		for (int64_t i = 0; i < 4; i++)
			for (int64_t h = 0; h < 20; h++)
				assert_true(sp_reference_row_dropout(&dropout, &part, b * 4 + i, h) ==
				            sp_reference_row_dropout(&dropout, &whole, b * 6 + 2 + i, h));
}

static void dropout_keeps_its_share_and_the_mean(void **state)
{
	const struct sp_dropout dropout = { .key = { 1, 2 }, .keep = 58982 };
	const int n = 200000;
	double sum = 0;
	(void)state;
	for (int i = 0; i < n; i++)
		sum += sp_reference_dropout(&dropout, (uint32_t)i, 17, 4);
	/* The standard deviation of the mean is sqrt((1 - p) / p / n) = 0.00075: four of them. */
	assert_true(fabs(sum / n - 1) < 0.003);
}

/* ---- linear: y = act(pre) w^T + bias, for pre, w and bias ---- */

enum { T = 5, N = 3, K = 4 };
static struct {
	double pre[T * K], x[T * K], w[N * K], bias[N], y[T * N], weight[T * N];
	enum sp_activation act;
} lin;

static double linear_loss(void)
{
	for (int i = 0; i < T * K; i++)
		lin.x[i] = sp_reference_activation(lin.act, lin.pre[i]);
	const struct sp_linear_forward args = {
		.x = sp_matrix_f64(lin.x, T, K),
		.w = sp_matrix_f64(lin.w, N, K),
		.bias = sp_matrix_f64(lin.bias, 1, N),
		.y = sp_matrix_f64(lin.y, T, N),
	};
	sp_reference_linear_forward(&args);
	return dot(lin.y, lin.weight, T * N);
}

static void linear_backward_matches_differences(void **state)
{
	static const enum sp_activation acts[] = { SP_ACT_NONE, SP_ACT_GELU, SP_ACT_GELU_TANH };
	(void)state;
	for (size_t a = 0; a < 3; a++) {
		double dpre[T * K], dw[N * K] = { 0 }, dbias[N] = { 0 }, dbefore[K] = { 0 };
		lin.act = acts[a];
		fill(lin.pre, T * K);
		fill(lin.w, N * K);
		fill(lin.bias, N);
		fill(lin.weight, T * N);
		linear_loss();
		const struct sp_linear_backward_input input = {
			.dy = sp_matrix_f64(lin.weight, T, N),
			.w = sp_matrix_f64(lin.w, N, K),
			.dx = sp_matrix_f64(dpre, T, K),
			.pre = sp_matrix_f64(lin.pre, T, K),
			.dbias = sp_matrix_f64(dbefore, 1, K),
			.act = lin.act,
		};
		sp_reference_linear_backward_input(&input);
		const struct sp_linear_backward_weight weight = { sp_matrix_f64(lin.weight, T, N), sp_matrix_f64(lin.x, T, K),
			                                          sp_matrix_f64(dw, N, K), sp_matrix_f64(dbias, 1, N) };
		sp_reference_linear_backward_weight(&weight);
		expect_gradient(linear_loss, lin.pre, dpre, T * K, "pre");
		expect_gradient(linear_loss, lin.w, dw, N * K, "w");
		expect_gradient(linear_loss, lin.bias, dbias, N, "bias");
		for (int k = 0; k < K; k++) {
			double sum = 0;
			for (int t = 0; t < T; t++)
				sum += dpre[t * K + k];
			expect_near(dbefore[k], sum, 1e-12);
		}
		/* dx through the activation apart from the matrix product is the same. */
		double apart[T * K];
		struct sp_linear_backward_input plain = input;
		plain.act = SP_ACT_NONE;
		plain.dbias.data = NULL;
		plain.dx.data = apart;
		sp_reference_linear_backward_input(&plain);
		const struct sp_activation_backward activation = { input.pre, plain.dx, lin.act };
		sp_reference_activation_backward(&activation);
		for (int i = 0; i < T * K; i++)
			expect_near(apart[i], dpre[i], 1e-12);
		/* Accumulating twice doubles. */
		double once[T * K], twice[T * K] = { 0 };
		struct sp_linear_backward_input adds = input;
		adds.act = SP_ACT_NONE;
		adds.dbias.data = NULL;
		adds.dx.data = once;
		sp_reference_linear_backward_input(&adds);
		adds.accumulate = 1;
		adds.dx.data = twice;
		sp_reference_linear_backward_input(&adds);
		sp_reference_linear_backward_input(&adds);
		for (int i = 0; i < T * K; i++)
			expect_near(twice[i], 2 * once[i], 1e-12);
	}
}

static void gelu_has_its_known_values(void **state)
{
	(void)state;
	expect_near(sp_reference_activation(SP_ACT_GELU, 1), 0.84134474606854293, 1e-14);
	expect_near(sp_reference_activation(SP_ACT_GELU, -2), -0.045500263896358417, 1e-13);
	expect_near(sp_reference_activation(SP_ACT_GELU_TANH, 1), 0.84119199060827670, 1e-14);
	expect_near(sp_reference_activation_slope(SP_ACT_GELU, 0), 0.5, 1e-15);
	expect_near(sp_reference_activation_slope(SP_ACT_GELU_TANH, 0), 0.5, 1e-15);
	assert_true(sp_reference_activation(SP_ACT_NONE, -3) == -3);
}

/* ---- norm ---- */

enum { H = 9, CHUNK = 3, ROWS = 6 };
static const uint32_t samples[] = { 4, 11 };
static struct {
	double x[ROWS * H], bias[H], residual[ROWS * H], gamma[H], beta[H];
	double s[ROWS * H], y[ROWS * H], mean[ROWS], rstd[ROWS], weight[ROWS * H], past[ROWS * H];
	struct sp_dropout dropout;
	int normed;
} norm;

static double norm_loss(void)
{
	memcpy(norm.s, norm.x, sizeof norm.s);
	struct sp_norm_forward args = {
		.x = sp_matrix_f64(norm.s, ROWS, H),
		.bias = sp_matrix_f64(norm.bias, 1, H),
		.residual = sp_matrix_f64(norm.residual, ROWS, H),
		.eps = 1e-5f,
		.dropout = norm.dropout,
		.rows = { 2, CHUNK, samples, 7 },
	};
	if (norm.normed) {
		args.gamma = sp_matrix_f64(norm.gamma, 1, H);
		args.beta = sp_matrix_f64(norm.beta, 1, H);
		args.y = sp_matrix_f64(norm.y, ROWS, H);
		args.mean = sp_matrix_f64(norm.mean, 1, ROWS);
		args.rstd = sp_matrix_f64(norm.rstd, 1, ROWS);
	}
	sp_reference_norm_forward(&args);
	return (norm.normed ? dot(norm.y, norm.weight, ROWS * H) : 0) + dot(norm.s, norm.past, ROWS * H);
}

static void norm_backward_with(uint32_t keep, int normed)
{
	double dx[ROWS * H], dresidual[ROWS * H], dbias[H] = { 0 }, dgamma[H] = { 0 }, dbeta[H] = { 0 };
	norm.dropout = (struct sp_dropout){ .key = { 3, 4 }, .keep = keep };
	norm.normed = normed;
	fill(norm.x, ROWS * H);
	fill(norm.bias, H);
	fill(norm.residual, ROWS * H);
	fill(norm.gamma, H);
	fill(norm.beta, H);
	fill(norm.weight, ROWS * H);
	fill(norm.past, ROWS * H);
	norm_loss();
	struct sp_norm_backward args = {
		.dsum = sp_matrix_f64(norm.past, ROWS, H),
		.dx = sp_matrix_f64(dx, ROWS, H),
		.dresidual = sp_matrix_f64(dresidual, ROWS, H),
		.dbias = sp_matrix_f64(dbias, 1, H),
		.dropout = norm.dropout,
		.rows = { 2, CHUNK, samples, 7 },
	};
	if (normed) {
		args.dy = sp_matrix_f64(norm.weight, ROWS, H);
		args.s = sp_matrix_f64(norm.s, ROWS, H);
		args.gamma = sp_matrix_f64(norm.gamma, 1, H);
		args.mean = sp_matrix_f64(norm.mean, 1, ROWS);
		args.rstd = sp_matrix_f64(norm.rstd, 1, ROWS);
		args.dgamma = sp_matrix_f64(dgamma, 1, H);
		args.dbeta = sp_matrix_f64(dbeta, 1, H);
	}
	sp_reference_norm_backward(&args);
	expect_gradient(norm_loss, norm.x, dx, ROWS * H, "x");
	expect_gradient(norm_loss, norm.residual, dresidual, ROWS * H, "residual");
	expect_gradient(norm_loss, norm.bias, dbias, H, "bias");
	if (normed) {
		expect_gradient(norm_loss, norm.gamma, dgamma, H, "gamma");
		expect_gradient(norm_loss, norm.beta, dbeta, H, "beta");
	}
}

static void norm_backward_matches_differences(void **state)
{
	(void)state;
	norm_backward_with(65536, 1);
	norm_backward_with(45000, 1);
	norm_backward_with(45000, 0);
}

/* ---- attention: two samples, two heads, packed documents and padding ---- */

enum { B = 2, A = 2, D = 3, C = 5, KEYS = 7, W = A * D };
static const int32_t query_doc[B * C] = { 0, 0, 1, 1, -1, 2, 2, 2, 9, -1 };
static const int32_t key_doc[B * KEYS] = { 0, 0, 0, 1, 1, 1, -1, 2, 2, -1, 2, 2, 3, 3 };
static struct {
	double q[B * C * W], k[B * KEYS * W], v[B * KEYS * W], o[B * C * W], weight[B * C * W];
	double m[B * A * C], l[B * A * C], lse[B * A * C], dots[B * A * C];
	struct sp_dropout dropout;
} att;

/* Keys [first, first + n) of every sample, which are not neighbours of the next sample's: copied together. */
struct block {
	double k[B * KEYS * W], v[B * KEYS * W];
	int32_t doc[B * KEYS];
	struct sp_attention_shape shape;
};

static void take_block(struct block *block, int64_t first, int64_t n)
{
	for (int64_t b = 0; b < B; b++)
		for (int64_t j = 0; j < n; j++) {
			memcpy(&block->k[(b * n + j) * W], &att.k[(b * KEYS + first + j) * W], W * sizeof(double));
			memcpy(&block->v[(b * n + j) * W], &att.v[(b * KEYS + first + j) * W], W * sizeof(double));
			block->doc[b * n + j] = key_doc[b * KEYS + first + j];
		}
	block->shape = (struct sp_attention_shape){
		.batch = B,
		.heads = A,
		.head_dim = D,
		.chunk = C,
		.keys = n,
		.scale = 0.75f,
		.query_doc = query_doc,
		.key_doc = block->doc,
		.sample = samples,
		.first_query = 5,
		.first_key = 3 + (uint32_t)first,
		.dropout = att.dropout,
	};
}

static void attend(int64_t cut)
{
	const int64_t from[] = { 0, cut }, count[] = { cut, KEYS - cut };
	for (int i = 0; i < 2; i++) {
		struct block block;
		take_block(&block, from[i], count[i]);
		const struct sp_attention_forward args = {
			.shape = block.shape,
			.q = sp_matrix_f64(att.q, B * C, W),
			.k = sp_matrix_f64(block.k, B * count[i], W),
			.v = sp_matrix_f64(block.v, B * count[i], W),
			.acc = sp_matrix_f64(att.o, B * C, W),
			.m = sp_matrix_f64(att.m, B * A, C),
			.l = sp_matrix_f64(att.l, B * A, C),
			.first = i == 0,
		};
		sp_reference_attention_forward(&args);
	}
	const struct sp_attention_finish args = { B, A, D, C,
		                                  sp_matrix_f64(att.o, B * C, W),
		                                  sp_matrix_f64(att.m, B * A, C),
		                                  sp_matrix_f64(att.l, B * A, C),
		                                  sp_matrix_f64(att.o, B * C, W),
		                                  sp_matrix_f64(att.lse, B * A, C) };
	sp_reference_attention_finish(&args);
}

static double attention_loss(void)
{
	attend(KEYS);
	return dot(att.o, att.weight, B * C * W);
}

static void attention_start(uint32_t keep)
{
	att.dropout = (struct sp_dropout){ .key = { 8, 9 }, .keep = keep };
	fill(att.q, B * C * W);
	fill(att.k, B * KEYS * W);
	fill(att.v, B * KEYS * W);
	fill(att.weight, B * C * W);
}

/* o of one query and head, straight from the definition of softmax. */
static void attention_equals_softmax(void **state)
{
	(void)state;
	attention_start(50000);
	attend(KEYS);
	for (int64_t b = 0; b < B; b++)
		for (int64_t a = 0; a < A; a++)
			for (int64_t i = 0; i < C; i++) {
				double sum = 0, o[D] = { 0 };
				for (int64_t j = 0; j < KEYS; j++) {
					if (key_doc[b * KEYS + j] != query_doc[b * C + i] || key_doc[b * KEYS + j] < 0)
						continue;
					const double *v = &att.v[(b * KEYS + j) * W + a * D];
					const double e = exp(0.75 * dot(&att.q[(b * C + i) * W + a * D],
					                                &att.k[(b * KEYS + j) * W + a * D], D));
					const double z = sp_reference_dropout(&att.dropout, (uint32_t)(3 + j), (uint32_t)(5 + i),
					                                      samples[b] * A + (uint32_t)a);
					sum += e;
					for (int d = 0; d < D; d++)
						o[d] += z * e * v[d];
				}
				assert_true(sum > 0 || att.lse[(b * A + a) * C + i] == -INFINITY);
				if (sum > 0)
					assert_true(fabs(att.lse[(b * A + a) * C + i] - log(sum)) < 1e-12);
				for (int d = 0; d < D; d++)
					assert_true(fabs(att.o[(b * C + i) * W + a * D + d] - (sum > 0 ? o[d] / sum : 0)) < 1e-12);
			}
}

static void attention_blocks_equal_one_block(void **state)
{
	double o[B * C * W], lse[B * A * C];
	(void)state;
	attention_start(50000);
	attend(KEYS);
	memcpy(o, att.o, sizeof o);
	memcpy(lse, att.lse, sizeof lse);
	for (int64_t cut = 0; cut < KEYS; cut++) {
		attend(cut);
		for (int i = 0; i < B * C * W; i++)
			assert_true(fabs(att.o[i] - o[i]) < 1e-12);
		for (int i = 0; i < B * A * C; i++)
			assert_true(att.lse[i] == lse[i] || fabs(att.lse[i] - lse[i]) < 1e-12);
	}
}

static void attention_backward_with(uint32_t keep)
{
	double dq[B * C * W], dk[B * KEYS * W], dv[B * KEYS * W];
	struct block all;
	attention_start(keep);
	attend(KEYS);
	take_block(&all, 0, KEYS);
	const struct sp_attention_dots dots = { B, A, D, C, sp_matrix_f64(att.weight, B * C, W), sp_matrix_f64(att.o, B * C, W),
		                                sp_matrix_f64(att.dots, B * A, C) };
	sp_reference_attention_dots(&dots);
	const struct sp_attention_backward args = {
		.shape = all.shape,
		.q = sp_matrix_f64(att.q, B * C, W),
		.k = sp_matrix_f64(all.k, B * KEYS, W),
		.v = sp_matrix_f64(all.v, B * KEYS, W),
		.dout = dots.dout,
		.lse = sp_matrix_f64(att.lse, B * A, C),
		.dots = dots.dots,
		.dq = sp_matrix_f64(dq, B * C, W),
		.dk = sp_matrix_f64(dk, B * KEYS, W),
		.dv = sp_matrix_f64(dv, B * KEYS, W),
		.overwrite_dq = 1,
		.overwrite_dkv = 1,
	};
	sp_reference_attention_backward(&args);
	expect_gradient(attention_loss, att.q, dq, B * C * W, "q");
	expect_gradient(attention_loss, att.k, dk, B * KEYS * W, "k");
	expect_gradient(attention_loss, att.v, dv, B * KEYS * W, "v");
}

static void attention_backward_matches_differences(void **state)
{
	(void)state;
	attention_backward_with(65536);
	attention_backward_with(50000);
}

/* ---- embedding ---- */

static const int32_t token[ROWS] = { 3, 0, 3, 7, 1, 3 }, pos[ROWS] = { 0, 1, 2, 0, 1, 2 }, kind[ROWS] = { 0, 0, 1, 0, 1, 1 };
enum { VOCAB = 8, POSITIONS = 4, KINDS = 2 };
static struct {
	double word[VOCAB * H], position[POSITIONS * H], type[KINDS * H], gamma[H], beta[H];
	double s[ROWS * H], y[ROWS * H], mean[ROWS], rstd[ROWS], weight[ROWS * H];
	int normed;
} emb;
static const struct sp_dropout embedding_dropout = { .key = { 3, 4 }, .keep = 45000 };

static double embedding_loss(void)
{
	struct sp_embedding_forward args = {
		.token = token,
		.pos = pos,
		.kind = kind,
		.word = sp_matrix_f64(emb.word, VOCAB, H),
		.position = sp_matrix_f64(emb.position, POSITIONS, H),
		.type = sp_matrix_f64(emb.type, KINDS, H),
		.s = sp_matrix_f64(emb.s, ROWS, H),
		.y = sp_matrix_f64(emb.y, ROWS, H),
		.eps = 1e-5f,
		.dropout = embedding_dropout,
		.rows = { 2, CHUNK, samples, 0 },
	};
	if (emb.normed) {
		args.gamma = sp_matrix_f64(emb.gamma, 1, H);
		args.beta = sp_matrix_f64(emb.beta, 1, H);
		args.mean = sp_matrix_f64(emb.mean, 1, ROWS);
		args.rstd = sp_matrix_f64(emb.rstd, 1, ROWS);
	}
	sp_reference_embedding_forward(&args);
	return dot(emb.y, emb.weight, ROWS * H);
}

static void embedding_backward_matches_differences(void **state)
{
	(void)state;
	for (emb.normed = 0; emb.normed < 2; emb.normed++) {
		double dword[VOCAB * H] = { 0 }, dposition[POSITIONS * H] = { 0 }, dtype[KINDS * H] = { 0 };
		double dgamma[H] = { 0 }, dbeta[H] = { 0 }, dy[ROWS * H];
		fill(emb.word, VOCAB * H);
		fill(emb.position, POSITIONS * H);
		fill(emb.type, KINDS * H);
		fill(emb.gamma, H);
		fill(emb.beta, H);
		fill(emb.weight, ROWS * H);
		memcpy(dy, emb.weight, sizeof dy);
		embedding_loss();
		struct sp_embedding_backward args = {
			.token = token,
			.pos = pos,
			.kind = kind,
			.dy = sp_matrix_f64(dy, ROWS, H),
			.dword = sp_matrix_f64(dword, VOCAB, H),
			.dposition = sp_matrix_f64(dposition, POSITIONS, H),
			.dtype = sp_matrix_f64(dtype, KINDS, H),
			.dropout = embedding_dropout,
			.rows = { 2, CHUNK, samples, 0 },
		};
		if (emb.normed) {
			args.s = sp_matrix_f64(emb.s, ROWS, H);
			args.gamma = sp_matrix_f64(emb.gamma, 1, H);
			args.mean = sp_matrix_f64(emb.mean, 1, ROWS);
			args.rstd = sp_matrix_f64(emb.rstd, 1, ROWS);
			args.dgamma = sp_matrix_f64(dgamma, 1, H);
			args.dbeta = sp_matrix_f64(dbeta, 1, H);
		}
		sp_reference_embedding_backward(&args);
		expect_gradient(embedding_loss, emb.word, dword, VOCAB * H, "word");
		expect_gradient(embedding_loss, emb.position, dposition, POSITIONS * H, "position");
		expect_gradient(embedding_loss, emb.type, dtype, KINDS * H, "type");
		if (emb.normed) {
			expect_gradient(embedding_loss, emb.gamma, dgamma, H, "gamma");
			expect_gradient(embedding_loss, emb.beta, dbeta, H, "beta");
		}
	}
}

/* ---- head ---- */

static const int32_t labels[] = { 0, 6, 3 };
static struct {
	double z[3 * 7], x[MOST], weight[MOST];
} head;

static double cross_entropy_loss(void)
{
	double z[3 * 7], loss = 0;
	memcpy(z, head.z, sizeof z);
	const struct sp_cross_entropy args = { sp_matrix_f64(z, 3, 7), labels, &loss, NULL, 0, 0 };
	sp_reference_cross_entropy(&args);
	return 0.5 * loss;
}

static void cross_entropy_gradient_matches_differences(void **state)
{
	double dz[3 * 7], loss = 0;
	int64_t correct = 0;
	(void)state;
	fill(head.z, 3 * 7);
	head.z[0] = 5; /* the first row is predicted right, the third ties at its label, which comes second */
	head.z[2 * 7 + 3] = head.z[2 * 7 + 1] = 4;
	memcpy(dz, head.z, sizeof dz);
	head.z[7 + 6] = dz[7 + 6] = -4;
	const struct sp_cross_entropy args = { sp_matrix_f64(dz, 3, 7), labels, &loss, &correct, 0.5f, 1 };
	sp_reference_cross_entropy(&args);
	assert_int_equal(correct, 1);
	expect_near(0.5 * loss, cross_entropy_loss(), 1e-15);
	expect_gradient(cross_entropy_loss, head.z, dz, 3 * 7, "logits");
}

static double tanh_loss(void)
{
	double y[10];
	memcpy(y, head.x, sizeof y);
	sp_reference_tanh_forward(sp_matrix_f64(y, 2, 5));
	return dot(y, head.weight, 10);
}

static void tanh_backward_matches_differences(void **state)
{
	double y[10], dx[10];
	(void)state;
	fill(head.x, 10);
	fill(head.weight, 10);
	memcpy(y, head.x, sizeof y);
	memcpy(dx, head.weight, sizeof dx);
	sp_reference_tanh_forward(sp_matrix_f64(y, 2, 5));
	const struct sp_tanh_backward args = { sp_matrix_f64(y, 2, 5), sp_matrix_f64(dx, 2, 5) };
	sp_reference_tanh_backward(&args);
	expect_gradient(tanh_loss, head.x, dx, 10, "x");
}

/* <gather(x), u> = <x, scatter(u)>. */
static void scatter_add_is_the_transpose_of_gather(void **state)
{
	static const int32_t index[] = { 5, 0, 3 };
	double x[6 * 4], u[3 * 4], gathered[3 * 4], scattered[6 * 4] = { 0 };
	(void)state;
	fill(x, 6 * 4);
	fill(u, 3 * 4);
	const struct sp_row_move gather = { index, 3, sp_matrix_f64(x, 6, 4), sp_matrix_f64(gathered, 3, 4) };
	const struct sp_row_move scatter = { index, 3, sp_matrix_f64(u, 3, 4), sp_matrix_f64(scattered, 6, 4) };
	sp_reference_gather_rows(&gather);
	sp_reference_scatter_add_rows(&scatter);
	expect_near(dot(x, scattered, 6 * 4), dot(gathered, u, 3 * 4), 1e-12);
	assert_memory_equal(gathered, x + 5 * 4, 4 * sizeof *x);
}

/* ---- update ---- */

/* The first step of Adam moves every weight by lr against the sign of its gradient, whatever the gradient's size. */
static void adamw_first_step_is_the_sign_of_the_gradient(void **state)
{
	double w[] = { 1, 1, 1 }, m[3] = { 0 }, v[3] = { 0 };
	const double g[] = { 2, -3, 100 };
	const struct sp_adamw args = {
		.n = 3, .lr = 0.5f, .beta1 = 0.5f, .beta2 = 0.75f, .eps = 0, .decay = 0.25f
	};
	const struct sp_step taken = { .factor = 0.125f, .correction1 = 0.5f, .correction2 = 0.25f, .take = 1 };
	(void)state;
	sp_reference_adamw(&args, &taken, g, w, m, v);
	expect_near(w[0], 1 - 0.5 * (1 + 0.25), 1e-15);
	expect_near(w[1], 1 - 0.5 * (-1 + 0.25), 1e-15);
	expect_near(w[2], 1 - 0.5 * (1 + 0.25), 1e-15);
	expect_near(m[0], 0.5 * 0.25, 1e-15);
	expect_near(v[1], 0.25 * 0.375 * 0.375, 1e-15);
}

static struct sp_step decided(double sum, float scale, struct sp_decide args)
{
	struct sp_step s = { .sum = sum, .scale = scale, .taken = 1, .since = 2 };
	sp_reference_decide(&s, &args);
	return s;
}

static void a_decision_brings_the_norm_to_its_limit(void **state)
{
	const struct sp_decide limit = { .max_norm = 1, .beta1 = 0.5, .beta2 = 0.25 }, none = { .max_norm = 0 };
	(void)state;
	expect_near(decided(16, 1, limit).factor * 4, 1, 1e-6);
	expect_near(decided(16 * 64, 8, limit).factor * 4 * 8, 1, 1e-6);
	assert_true(decided(0.25, 1, limit).factor == 1);
	assert_true(decided(16, 1, none).factor == 1);
	assert_true(decided(16, 4, none).factor == 0.25f);
	assert_true(decided(1, 1, limit).correction1 == 0.75f && decided(1, 1, limit).correction2 == 0.9375f);
	assert_false(decided(INFINITY, 1, limit).take || decided(NAN, 1, none).take);
	assert_true(decided(NAN, 1, limit).taken == 1 && decided(1, 1, limit).taken == 2);
}

static void a_scale_grows_when_all_is_well_and_shrinks_when_it_is_not(void **state)
{
	const struct sp_decide third = { .growth = 3 }, later = { .growth = 4 }, never = { .growth = 0 };
	(void)state;
	assert_true(decided(1, 8, third).scale == 16 && decided(1, 8, third).since == 0);
	assert_true(decided(1, 8, later).scale == 8 && decided(1, 8, later).since == 3);
	assert_true(decided(NAN, 8, later).scale == 4 && decided(NAN, 8, later).since == 0);
	assert_true(decided(NAN, 8, never).scale == 8 && decided(1, 8, never).scale == 8);
	assert_true(decided(NAN, 1, third).scale == 1 && decided(1, 16777216, third).scale == 16777216);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_have_the_bits_of_their_standard),
		cmocka_unit_test(every_pattern_of_16_bits_is_read_and_written_alike),
		cmocka_unit_test(philox_gives_the_known_answers_of_random123),
		cmocka_unit_test(dropout_takes_halves_low_first),
		cmocka_unit_test(row_dropout_depends_on_global_coordinates),
		cmocka_unit_test(dropout_keeps_its_share_and_the_mean),
		cmocka_unit_test(gelu_has_its_known_values),
		cmocka_unit_test(linear_backward_matches_differences),
		cmocka_unit_test(norm_backward_matches_differences),
		cmocka_unit_test(attention_equals_softmax),
		cmocka_unit_test(attention_blocks_equal_one_block),
		cmocka_unit_test(attention_backward_matches_differences),
		cmocka_unit_test(embedding_backward_matches_differences),
		cmocka_unit_test(cross_entropy_gradient_matches_differences),
		cmocka_unit_test(tanh_backward_matches_differences),
		cmocka_unit_test(scatter_add_is_the_transpose_of_gather),
		cmocka_unit_test(adamw_first_step_is_the_sign_of_the_gradient),
		cmocka_unit_test(a_decision_brings_the_norm_to_its_limit),
		cmocka_unit_test(a_scale_grows_when_all_is_well_and_shrinks_when_it_is_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
