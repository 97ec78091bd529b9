/* seqpar bench gemm: the matrix products of the model at its own shapes, with each thing the backend's table can do in the
 * same go, beside the plain library product of that shape. */
#include "config.h"

#include "bench/bench.h"

#include "base/log.h"
#include "base/rng.h"
#include "base/size.h"
#include "bench/judge.h"
#include "parallel/shard.h"
#include "train/planned.h"
#include "train/setup.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* y (t, n) = x (t, k) w (n, k)^T and its two backward products. */
struct shape {
	const char *name;
	int64_t t, n, k;
};

enum product { FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT };

static const struct epilogue {
	const char *name, *what;
	enum product product;
	enum sp_activation act;
	int bias, add;
} epilogues[] = {
	{ "forward", "none", FORWARD, SP_ACT_NONE, 0, 0 },
	{ "forward", "bias", FORWARD, SP_ACT_NONE, 1, 0 },
	{ "forward", "bias, gelu", FORWARD, SP_ACT_GELU, 1, 0 },
	{ "forward", "bias, gelu_tanh", FORWARD, SP_ACT_GELU_TANH, 1, 0 },
	{ "input", "none", BACKWARD_INPUT, SP_ACT_NONE, 0, 0 },
	{ "input", "add", BACKWARD_INPUT, SP_ACT_NONE, 0, 1 },
	{ "input", "gelu, bias", BACKWARD_INPUT, SP_ACT_GELU, 1, 0 },
	{ "input", "gelu_tanh, bias", BACKWARD_INPUT, SP_ACT_GELU_TANH, 1, 0 },
	{ "weight", "none", BACKWARD_WEIGHT, SP_ACT_NONE, 0, 0 },
	{ "weight", "bias", BACKWARD_WEIGHT, SP_ACT_NONE, 1, 0 },
};

/* The arrays of one shape; which is input and which output depends on the product. */
enum array { X, W, Y, PRE, BIAS, RESULT, SUMS, ARRAYS };

struct work {
	struct sp_bench *bench;
	struct shape shape;
	const struct epilogue *epilogue;
	enum sp_dtype element; /* of activations and weights */
	float *host[ARRAYS];   /* what the device was given */
	void *device[ARRAYS];
	void *other;           /* on the device: SWEEP bytes of no use, or NULL */
	void *wide;            /* on the device: the longest array in float32, on its way to or from another dtype */
};

static const double seconds = 0.15; /* for the plain product of a shape */
/* Of products of thousands of terms, in fp32, with operands rounded to 2^-11, and with bias, what is kept and result rounded to
 * 2^-8; a wrong one is off by 1e-2 or more. */
static const double bounds[] = { [SP_TRAIN_FP32] = 1e-5, [SP_TRAIN_TF32] = 2e-3, [SP_TRAIN_BF16] = 6e-3,
                                [SP_TRAIN_FP16] = 1e-3 };

enum { SAMPLES = 48, SWEEP = 256 << 20 }; /* more than caches hold */

static int64_t elements(const struct shape *s, enum array array)
{
	const int64_t tn = s->t * s->n, tk = s->t * s->k, nk = s->n * s->k;
	const int64_t sizes[ARRAYS] = {
		[X] = tk, [W] = nk, [Y] = tn, [PRE] = sp_max(tn, tk), [BIAS] = s->n,
		[RESULT] = sp_max(tn, sp_max(tk, nk)), [SUMS] = sp_max(s->n, s->k),
	};
	return sizes[array];
}

/* The gradient of weights is a sum in float32, as those of biases are. */
static enum sp_dtype dtype_of(const struct work *w, enum array array)
{
	const int sums = array == BIAS || array == SUMS || (array == RESULT && w->epilogue->product == BACKWARD_WEIGHT);
	return sums ? SP_F32 : w->element;
}

/* ---- arrays ---- */

/* From float32 to the dtype of the array, by way of the device. */
static int give(struct work *w, enum array array, const float *x, int64_t n)
{
	struct sp_compute *c = w->bench->compute;
	const enum sp_dtype dtype = dtype_of(w, array);
	const size_t bytes = (size_t)n * sizeof *x;
	if (dtype == SP_F32)
		return sp_compute_copy_in(c, w->device[array], x, bytes);
	const int status = sp_compute_copy_in(c, w->wide, x, bytes);
	return status ? status : sp_compute_convert(c, sp_vector(w->wide, n), sp_matrix_of(w->device[array], 1, n, dtype));
}

static int take(struct work *w, enum array array, float *x, int64_t n)
{
	struct sp_compute *c = w->bench->compute;
	const enum sp_dtype dtype = dtype_of(w, array);
	int status = SP_OK;
	if (dtype != SP_F32)
		status = sp_compute_convert(c, sp_matrix_of(w->device[array], 1, n, dtype), sp_vector(w->wide, n));
	return status ? status : sp_compute_copy_out(c, x, dtype == SP_F32 ? w->device[array] : w->wide, (size_t)n * sizeof *x);
}

/* ---- the products ---- */

static struct sp_matrix matrix(const struct work *w, enum array array, int64_t rows, int64_t cols)
{
	return sp_matrix_of(w->device[array], rows, cols, dtype_of(w, array));
}

static int forward(struct work *w)
{
	const struct shape *s = &w->shape;
	struct sp_linear_forward op = {
		.x = matrix(w, X, s->t, s->k), .w = matrix(w, W, s->n, s->k), .y = matrix(w, RESULT, s->t, s->n),
		.act = w->epilogue->act,
	};
	if (w->epilogue->bias)
		op.bias = matrix(w, BIAS, 1, s->n);
	if (op.act != SP_ACT_NONE)
		op.pre = matrix(w, PRE, s->t, s->n);
	return sp_compute_linear_forward(w->bench->compute, &op);
}

static int backward_input(struct work *w)
{
	const struct shape *s = &w->shape;
	struct sp_linear_backward_input op = {
		.dy = matrix(w, Y, s->t, s->n), .w = matrix(w, W, s->n, s->k), .dx = matrix(w, RESULT, s->t, s->k),
		.act = w->epilogue->act, .accumulate = w->epilogue->add,
	};
	if (w->epilogue->bias)
		op.dbias = matrix(w, SUMS, 1, s->k);
	if (op.act != SP_ACT_NONE)
		op.pre = matrix(w, PRE, s->t, s->k);
	return sp_compute_linear_backward_input(w->bench->compute, &op);
}

static int backward_weight(struct work *w)
{
	const struct shape *s = &w->shape;
	struct sp_linear_backward_weight op = {
		.dy = matrix(w, Y, s->t, s->n), .x = matrix(w, X, s->t, s->k), .dw = matrix(w, RESULT, s->n, s->k),
	};
	if (w->epilogue->bias)
		op.dbias = matrix(w, SUMS, 1, s->n);
	return sp_compute_linear_backward_weight(w->bench->compute, &op);
}

static int run(void *context)
{
	static int (*const products[])(struct work *) = { forward, backward_input, backward_weight };
	struct work *w = context;
	return products[w->epilogue->product](w);
}

/* ---- checking ---- */

static int restore(struct work *w)
{
	int status = SP_OK;
	for (int i = 0; i < ARRAYS && !status; i++)
		status = give(w, (enum array)i, w->host[i], elements(&w->shape, (enum array)i));
	return status;
}

/* One element of the result in float64, from what the device was given. */
static double forward_at(const struct work *w, int64_t i, int64_t j)
{
	const float *x = w->host[X] + i * w->shape.k, *row = w->host[W] + j * w->shape.k;
	double sum = w->epilogue->bias ? w->host[BIAS][j] : 0;
	for (int64_t k = 0; k < w->shape.k; k++)
		sum += (double)x[k] * row[k];
	return sp_bench_act(w->epilogue->act, sum);
}

static double input_at(const struct work *w, int64_t i, int64_t k)
{
	const float *dy = w->host[Y] + i * w->shape.n;
	const int64_t at = i * w->shape.k + k;
	double sum = 0;
	for (int64_t j = 0; j < w->shape.n; j++)
		sum += (double)dy[j] * w->host[W][j * w->shape.k + k];
	sum = (w->epilogue->add ? w->host[RESULT][at] : 0) + sum;
	return w->epilogue->act == SP_ACT_NONE ? sum : sum * sp_bench_act_slope(w->epilogue->act, w->host[PRE][at]);
}

static double weight_at(const struct work *w, int64_t j, int64_t k)
{
	double sum = w->host[RESULT][j * w->shape.k + k];
	for (int64_t i = 0; i < w->shape.t; i++)
		sum += (double)w->host[Y][i * w->shape.n + j] * w->host[X][i * w->shape.k + k];
	return sum;
}

/* The sum that a column of the bias' gradient should hold. */
static double sum_at(const struct work *w, int64_t column)
{
	double sum = w->host[SUMS][column];
	for (int64_t i = 0; i < w->shape.t; i++)
		sum += w->epilogue->product == BACKWARD_WEIGHT ? w->host[Y][i * w->shape.n + column] : input_at(w, i, column);
	return sum;
}

static int64_t result_rows(const struct work *w)
{
	return w->epilogue->product == BACKWARD_WEIGHT ? w->shape.n : w->shape.t;
}

static int64_t result_cols(const struct work *w)
{
	return w->epilogue->product == FORWARD ? w->shape.n : w->shape.k;
}

static void compare(const struct work *w, const float *result, const float *sums, struct sp_bench_difference *d)
{
	static double (*const reference[])(const struct work *, int64_t, int64_t) = { forward_at, input_at, weight_at };
	struct sp_rng rng;
	sp_rng_start(&rng, 1, SP_RNG_SYNTHETIC, 77, 0);
	for (int s = 0; s < SAMPLES; s++) {
		const int64_t i = (int64_t)sp_rng_below(&rng, (uint64_t)result_rows(w));
		const int64_t j = (int64_t)sp_rng_below(&rng, (uint64_t)result_cols(w));
		sp_bench_differ(d, result[i * result_cols(w) + j], reference[w->epilogue->product](w, i, j));
	}
	if (!w->epilogue->bias || w->epilogue->product == FORWARD)
		return;
	const int64_t last = (w->epilogue->product == BACKWARD_WEIGHT ? w->shape.n : w->shape.k) - 1;
	sp_bench_differ(d, sums[0], sum_at(w, 0));
	sp_bench_differ(d, sums[last], sum_at(w, last));
}

/* Runs once on fresh arrays; the difference of sampled elements from float64. */
static int check(struct work *w, double *error)
{
	struct sp_bench_difference d = { 0 };
	const int64_t count = result_rows(w) * result_cols(w), columns_summed = elements(&w->shape, SUMS);
	const size_t bytes = (size_t)count * sizeof(float);
	float *result = malloc(bytes), *sums = malloc((size_t)columns_summed * sizeof *sums);
	int status = result && sums ? restore(w) : sp_fail(SP_ERR_MEMORY, "out of memory for %zu bytes of results", bytes);
	if (!status)
		status = run(w);
	if (!status)
		status = take(w, RESULT, result, count);
	if (!status)
		status = take(w, SUMS, sums, columns_summed);
	if (!status) {
		compare(w, result, sums, &d);
		*error = sp_bench_relative(&d);
		status = sp_bench_most(w->bench->world, error);
	}
	free(result);
	free(sums);
	return status;
}

/* ---- measuring ---- */

static const struct sp_bench_column columns[] = {
	{ "layer", "", 12, SP_BENCH_WORDS },    { "product", "", 8, SP_BENCH_WORDS }, { "epilogue", "", 16, SP_BENCH_WORDS },
	{ "precision", "", 9, SP_BENCH_WORDS }, { "by", "", 6, SP_BENCH_WORDS },      { "t", "rows", 6, 0 },
	{ "n", "", 6, 0 },                      { "k", "", 6, 0 },                    { "min", "us", 10, 1 },
	{ "avg", "us", 10, 1 },                 { "max", "us", 10, 1 },               { "spread", "%", 7, 1 },
	{ "rate", "GFLOP/s", 9, 1 },            { "gemm", "GFLOP/s", 9, 1 },          { "of gemm", "%", 8, 1 },
	{ "error", "", 9, SP_BENCH_TINY },      { NULL },
};

/* The product as a plain one: (m, n) results of k terms. */
struct plain {
	int64_t m, n, k;
};

static struct plain plain_of(const struct work *w)
{
	const struct shape *s = &w->shape;
	const enum product p = w->epilogue->product;
	return (struct plain){ p == BACKWARD_WEIGHT ? s->n : s->t, p == FORWARD ? s->n : s->k,
		               p == FORWARD ? s->k : p == BACKWARD_INPUT ? s->n : s->t };
}

/* All ranks at once: the sum of their rates. */
static int plain_rate(struct work *w, double *rate)
{
	const struct plain p = plain_of(w);
	int status = sp_comm_barrier(w->bench->world);
	if (!status)
		status = sp_compute_gemm_rate(w->bench->compute, w->element, p.m, p.n, p.k, seconds, rate);
	return status ? status : sp_comm_all_reduce(w->bench->world, rate, 1, SP_F64, SP_SUM);
}

static void print(struct work *w, const struct sp_bench_times *t, double gemm, double error)
{
	const struct shape *s = &w->shape;
	const struct epilogue *e = w->epilogue;
	const double flops = 2.0 * (double)s->t * (double)s->n * (double)s->k * sp_comm_size(w->bench->world);
	const double rate = flops / t->most;
	const struct plain p = plain_of(w);
	const char *by = sp_compute_multiplies(w->bench->compute, w->element, p.m, p.n, p.k);
	const struct sp_bench_cell cells[] = {
		sp_bench_text(s->name), sp_bench_text(e->name), sp_bench_text(e->what), sp_bench_text(sp_setup_precision(w->bench->settings)),
		sp_bench_text(by[0] ? by : "-"),
		sp_bench_number((double)s->t), sp_bench_number((double)s->n), sp_bench_number((double)s->k),
		sp_bench_number(1e6 * t->least), sp_bench_number(1e6 * t->mean), sp_bench_number(1e6 * t->most),
		sp_bench_number(100 * t->spread), sp_bench_number(1e-9 * rate), sp_bench_number(1e-9 * gemm),
		sp_bench_number(100 * rate / gemm), sp_bench_number(error),
	};
	char what[128];
	snprintf(what, sizeof what, "%s %s (%s)", s->name, e->name, e->what);
	sp_bench_row(w->bench->output, cells);
	sp_bench_verdict(w->bench->output, what, error, bounds[w->bench->settings->train.precision]);
}

/* What caches hold is of no use to the next product. */
static int sweep(void *context)
{
	const struct work *w = context;
	return sp_compute_zero(w->bench->compute, w->other, SWEEP);
}

static int measure(struct work *w, double gemm)
{
	struct sp_bench_timing timing = sp_bench_timing(w->bench);
	struct sp_bench_times times;
	timing.before = w->other ? sweep : NULL;
	double error = NAN;
	int status = check(w, &error);
	if (!status)
		status = sp_bench_time(&timing, run, w, &times);
	if (!status)
		print(w, &times, gemm, error);
	return status;
}

static int measure_all(struct work *w)
{
	double gemm[3] = { 0 };
	int status = SP_OK;
	for (size_t i = 0; i < sizeof epilogues / sizeof *epilogues && !status; i++) {
		char name[128];
		w->epilogue = &epilogues[i];
		snprintf(name, sizeof name, "%s %s %s", w->shape.name, w->epilogue->name, w->epilogue->what);
		if (!sp_bench_wants(w->bench, name))
			continue;
		double *rate = &gemm[w->epilogue->product];
		if (*rate == 0)
			status = plain_rate(w, rate);
		if (!status)
			status = measure(w, *rate);
	}
	return status;
}

static void release(struct work *w)
{
	for (int i = 0; i < ARRAYS; i++) {
		sp_compute_free(w->bench->compute, w->device[i]);
		free(w->host[i]);
	}
	sp_compute_free(w->bench->compute, w->wide);
	sp_compute_free(w->bench->compute, w->other);
}

/* What the dtype leaves of the numbers is what the products are checked with. */
static int round_numbers(struct work *w)
{
	int status = SP_OK;
	w->epilogue = &epilogues[0]; /* whose arrays are all of that dtype */
	for (int a = 0; a < ARRAYS && !status; a++) {
		const int64_t n = elements(&w->shape, (enum array)a);
		status = give(w, (enum array)a, w->host[a], n);
		if (!status)
			status = take(w, (enum array)a, w->host[a], n);
	}
	return status;
}

static int make(struct work *w)
{
	int64_t longest = 0;
	int status = SP_OK;
	for (int a = 0; a < ARRAYS; a++)
		longest = sp_max(longest, elements(&w->shape, (enum array)a));
	if (w->element != SP_F32)
		status = sp_compute_alloc(w->bench->compute, (size_t)longest * sizeof(float), &w->wide);
	if (!status && w->bench->cold)
		status = sp_compute_alloc(w->bench->compute, SWEEP, &w->other);
	for (int a = 0; a < ARRAYS && !status; a++) {
		const int64_t n = elements(&w->shape, (enum array)a);
		struct sp_rng rng;
		w->host[a] = malloc((size_t)n * sizeof(float));
		if (!w->host[a])
			return sp_fail(SP_ERR_MEMORY, "out of memory for %lld numbers; ask for fewer --rows", (long long)n);
		sp_rng_start(&rng, 1, SP_RNG_SYNTHETIC, (uint64_t)a, 0);
		for (int64_t i = 0; i < n; i++)
			w->host[a][i] = (float)sp_rng_u32(&rng) * 0x1p-31f - 1;
		status = sp_compute_alloc(w->bench->compute, (size_t)n * sizeof(float), &w->device[a]);
	}
	return status || w->element == SP_F32 ? status : round_numbers(w);
}

static int measure_shape(struct sp_bench *bench, const struct shape *shape)
{
	struct work w = { .bench = bench, .shape = *shape, .element = sp_planned_element(bench->settings) };
	int status = make(&w);
	if (!status)
		status = measure_all(&w);
	release(&w);
	return status;
}

/* ---- who multiplies ---- */

/* A benchmark with each of the two libraries; only what differs from `bench` is its own. */
struct both {
	struct sp_bench bench[2];
	struct sp_settings settings[2];
};

static int open_both(const struct sp_bench *bench, const struct sp_compute_needs *needs, struct both *b)
{
	static const int products[2] = { SP_MULTIPLY_BLAS, SP_MULTIPLY_ONEDNN };
	int status = SP_OK;
	for (int i = 0; i < 2 && !status; i++) {
		b->bench[i] = *bench;
		b->bench[i].compute = NULL;
		b->settings[i] = *bench->settings;
		b->settings[i].backend.products = products[i];
		status = sp_setup_open_device(&b->settings[i], bench->world, &b->bench[i].compute);
		if (!status)
			status = sp_compute_supports(b->bench[i].compute, needs);
	}
	return status;
}

static void close_both(struct both *b, const struct sp_comm *world, int status)
{
	for (int i = 0; i < 2; i++)
		sp_setup_close_device(b->bench[i].compute, world, status);
}

static int measure_shapes(struct sp_bench *const bench[], int benches, const struct shape *shapes, size_t n)
{
	int status = SP_OK;
	sp_bench_about(bench[0]->output, "gemm", "the library's plain product in %s", sp_setup_precision(bench[0]->settings));
	sp_bench_table(bench[0]->output, "products of the model, all ranks at once", columns);
	for (size_t i = 0; i < n * (size_t)benches && !status; i++)
		status = measure_shape(bench[i % (size_t)benches], &shapes[i / (size_t)benches]);
	return status;
}

int sp_bench_gemm(struct sp_bench *bench)
{
	const struct sp_settings *s = bench->settings;
	const struct sp_model_config c = sp_planned_config(s);
	const struct sp_shard shard = sp_shard_of(s->train.sequence_length, (int)s->parallel.sequence, 0,
	                                          sp_compute_chunk_multiple(bench->compute));
	const int64_t t = bench->rows ? bench->rows : s->train.micro_batch * shard.chunk;
	const int64_t predicted = sp_min(512, sp_max(1, (int64_t)((double)t * s->data.mask_prob)));
	const int64_t words = c.vocab_size ? c.vocab_size : sp_planned_synthetic_vocab_size();
	const struct shape shapes[] = {
		{ "qkv", t, 3 * c.hidden, c.hidden },        { "attention", t, c.hidden, c.hidden },
		{ "mlp in", t, c.intermediate, c.hidden },   { "mlp out", t, c.hidden, c.intermediate },
		{ "head", predicted, c.hidden, c.hidden },   { "vocabulary", predicted, words, c.hidden },
	};
	const struct sp_compute_needs needs = { .dtype = sp_planned_element(s), .head_dim = c.hidden / c.heads,
		                                    .attention_dtype = sp_planned_element(s) };
	struct both both = { 0 };
	struct sp_bench *const each[] = { &both.bench[0], &both.bench[1] };
	int status = bench->both ? open_both(bench, &needs, &both) : sp_compute_supports(bench->compute, &needs);
	if (!status)
		status = measure_shapes(bench->both ? each : &bench, bench->both ? 2 : 1, shapes, sizeof shapes / sizeof *shapes);
	close_both(&both, bench->world, status);
	return status;
}
