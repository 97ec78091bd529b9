/* How fast attention runs, and how much of the plain GEMM rate that is.
 *
 *   make benchmarks/attention && benchmarks/attention [-b SAMPLES] [-a HEADS] [-d HEAD_DIM] [-s TOKENS] [-t THREADS]
 *                                                     [-n REPEATS] [-m MODULE]
 *
 * One row per operation, with and without attention dropout; benchmarks/README.md says how the columns are computed.
 * Ends with a comparison against the float64 reference at a small size; exit 1 if that fails. May include: backend,
 * base, tests/reference. */
#include "config.h"

#include "backend/compute.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "reference/reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum array { QKV, DOUT, ACC, M, L, O, LSE, DOTS, DQKV, ARRAYS };

/* One side holds the same arrays in float32 on the device or in float64 on the host. */
struct side {
	enum sp_dtype dtype;
	void *array[ARRAYS];
	void *doc, *sample;
};

struct problem {
	int64_t batch, heads, head_dim, tokens;
	uint32_t keep;
	int64_t documents; /* in each sample */
	struct side device, host;
};

struct options {
	int64_t batch, heads, head_dim, tokens, repeats;
	int threads;
	const char *module;
};

static int64_t array_rows(const struct problem *p, enum array array)
{
	return array == M || array == L || array == LSE || array == DOTS ? p->batch * p->heads : p->batch * p->tokens;
}

static int64_t array_cols(const struct problem *p, enum array array)
{
	if (array == M || array == L || array == LSE || array == DOTS)
		return p->tokens;
	return (array == QKV || array == DQKV ? 3 : 1) * p->heads * p->head_dim;
}

static struct sp_matrix view(const struct problem *p, const struct side *side, enum array array)
{
	const int64_t cols = array_cols(p, array);
	return (struct sp_matrix){ side->array[array], array_rows(p, array), cols, cols, side->dtype };
}

/* Queries, keys or values, or their gradients, as the columns of a packed projection. */
static struct sp_matrix third(const struct problem *p, const struct side *side, enum array array, int which)
{
	const int64_t width = p->heads * p->head_dim;
	return sp_matrix_columns(view(p, side, array), which * width, width);
}

/* ---- the four operations, on either side ---- */

static struct sp_attention_shape shape(const struct problem *p, const struct side *side)
{
	return (struct sp_attention_shape){
		.batch = p->batch,
		.heads = p->heads,
		.head_dim = p->head_dim,
		.chunk = p->tokens,
		.keys = p->tokens,
		.scale = (float)(1 / sqrt((double)p->head_dim)),
		.query_doc = side->doc,
		.key_doc = side->doc,
		.sample = side->sample,
		.dropout = { { 1, 2 }, p->keep },
	};
}

static struct sp_attention_forward forward_args(const struct problem *p, const struct side *side)
{
	return (struct sp_attention_forward){
		.shape = shape(p, side),
		.q = third(p, side, QKV, 0),
		.k = third(p, side, QKV, 1),
		.v = third(p, side, QKV, 2),
		.acc = view(p, side, ACC),
		.m = view(p, side, M),
		.l = view(p, side, L),
		.first = 1,
	};
}

static struct sp_attention_finish finish_args(const struct problem *p, const struct side *side)
{
	return (struct sp_attention_finish){
		.batch = p->batch,
		.heads = p->heads,
		.head_dim = p->head_dim,
		.chunk = p->tokens,
		.acc = view(p, side, ACC),
		.m = view(p, side, M),
		.l = view(p, side, L),
		.o = view(p, side, O),
		.lse = view(p, side, LSE),
	};
}

static struct sp_attention_dots dots_args(const struct problem *p, const struct side *side)
{
	return (struct sp_attention_dots){
		.batch = p->batch,
		.heads = p->heads,
		.head_dim = p->head_dim,
		.chunk = p->tokens,
		.dout = view(p, side, DOUT),
		.o = view(p, side, O),
		.dots = view(p, side, DOTS),
	};
}

static struct sp_attention_backward backward_args(const struct problem *p, const struct side *side)
{
	return (struct sp_attention_backward){
		.shape = shape(p, side),
		.q = third(p, side, QKV, 0),
		.k = third(p, side, QKV, 1),
		.v = third(p, side, QKV, 2),
		.dout = view(p, side, DOUT),
		.lse = view(p, side, LSE),
		.dots = view(p, side, DOTS),
		.dq = third(p, side, DQKV, 0),
		.dk = third(p, side, DQKV, 1),
		.dv = third(p, side, DQKV, 2),
		.overwrite_dq = 1,
		.overwrite_dkv = 1,
	};
}

static int forward(struct sp_compute *c, const struct problem *p)
{
	const struct sp_attention_forward args = forward_args(p, &p->device);
	return sp_compute_attention_forward(c, &args);
}

static int around(struct sp_compute *c, const struct problem *p)
{
	const struct sp_attention_finish finish = finish_args(p, &p->device);
	const struct sp_attention_dots dots = dots_args(p, &p->device);
	const int status = sp_compute_attention_finish(c, &finish);
	return status == SP_OK ? sp_compute_attention_dots(c, &dots) : status;
}

static int backward(struct sp_compute *c, const struct problem *p)
{
	const struct sp_attention_backward args = backward_args(p, &p->device);
	return sp_compute_attention_backward(c, &args);
}

/* ---- memory ---- */

static void problem_free(struct sp_compute *c, struct problem *p)
{
	for (int i = 0; i < ARRAYS; i++) {
		sp_compute_free(c, p->device.array[i]);
		free(p->host.array[i]);
	}
	sp_compute_free(c, p->device.doc);
	sp_compute_free(c, p->device.sample);
	free(p->host.doc);
	free(p->host.sample);
}

/* Random numbers on both sides, rounded to float32. */
static int array_make(struct sp_compute *c, struct problem *p, enum array array)
{
	const size_t n = (size_t)(array_rows(p, array) * array_cols(p, array));
	double *host = p->host.array[array] = malloc(n * sizeof *host + 1);
	float *rounded = malloc(n * sizeof *rounded + 1);
	struct sp_rng rng;
	int status = SP_ERR_MEMORY;
	if (!host || !rounded) {
		sp_fail(status, "%zu numbers do not fit in memory; ask for fewer samples or tokens", n);
		goto out;
	}
	sp_rng_start(&rng, 1, SP_RNG_SYNTHETIC, array, 0);
	for (size_t i = 0; i < n; i++)
		host[i] = rounded[i] = (float)sp_rng_normal(&rng);
	status = sp_compute_alloc(c, n * sizeof *rounded, &p->device.array[array]);
	if (status == SP_OK)
		status = sp_compute_copy_in(c, p->device.array[array], rounded, n * sizeof *rounded);
out:
	free(rounded);
	return status;
}

static int ids_make(struct sp_compute *c, struct problem *p)
{
	const size_t tokens = (size_t)(p->batch * p->tokens), samples = (size_t)p->batch;
	int32_t *doc = p->host.doc = malloc(tokens * sizeof *doc + 1);
	uint32_t *sample = p->host.sample = malloc(samples * sizeof *sample + 1);
	if (!doc || !sample)
		return sp_fail(SP_ERR_MEMORY, "%zu tokens do not fit in memory", tokens);
	for (size_t i = 0; i < tokens; i++)
		doc[i] = (int32_t)((int64_t)i % p->tokens * p->documents / p->tokens);
	for (size_t i = 0; i < samples; i++)
		sample[i] = (uint32_t)i;
	int status = sp_compute_alloc(c, tokens * sizeof *doc, &p->device.doc);
	if (status == SP_OK)
		status = sp_compute_alloc(c, samples * sizeof *sample, &p->device.sample);
	if (status == SP_OK)
		status = sp_compute_copy_in(c, p->device.doc, doc, tokens * sizeof *doc);
	return status == SP_OK ? sp_compute_copy_in(c, p->device.sample, sample, samples * sizeof *sample) : status;
}

static int problem_make(struct sp_compute *c, struct problem *p)
{
	p->device.dtype = SP_F32;
	p->host.dtype = SP_F64;
	int status = ids_make(c, p);
	for (int i = 0; i < ARRAYS && status == SP_OK; i++)
		status = array_make(c, p, (enum array)i);
	return status;
}

/* ---- timing ---- */

static int by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Seconds of the fastest and of the middle of `repeats` runs, after one that is not counted. */
static int measure(struct sp_compute *c, const struct problem *p,
                   int (*run)(struct sp_compute *, const struct problem *), int64_t repeats, double *least,
                   double *median)
{
	double *seconds = malloc((size_t)repeats * sizeof *seconds);
	if (!seconds)
		return sp_fail(SP_ERR_MEMORY, "no memory for %lld times", (long long)repeats);
	int status = run(c, p);
	for (int64_t i = 0; i < repeats && status == SP_OK; i++) {
		const double start = sp_clock();
		status = run(c, p);
		if (status == SP_OK)
			status = sp_compute_sync(c);
		seconds[i] = sp_clock() - start;
	}
	if (status == SP_OK) {
		qsort(seconds, (size_t)repeats, sizeof *seconds, by_size);
		*least = seconds[0];
		*median = seconds[repeats / 2];
	}
	free(seconds);
	return status;
}

/* flops: multiplications and additions per (sample, head, query, key, dimension). */
static const struct {
	const char *name;
	int (*run)(struct sp_compute *, const struct problem *);
	double flops;
} operations[] = { { "forward", forward, 4 }, { "finish+dots", around, 0 }, { "backward", backward, 10 } };

static int report(struct sp_compute *c, const struct problem *p, int64_t repeats)
{
	const double tokens = (double)p->tokens;
	const double pairs = (double)(p->batch * p->heads * p->head_dim) * tokens * tokens;
	for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
		double gemm = NAN, least = NAN, median = NAN;
		int status = sp_compute_gemm_rate(c, 2048, 768, 768, 0.3, &gemm);
		if (status == SP_OK)
			status = measure(c, p, operations[i].run, repeats, &least, &median);
		if (status != SP_OK)
			return status;
		const double rate = operations[i].flops * pairs / median;
		printf("%-12s %7s %7lld %7lld %8lld %7lld %10.0f %10.0f %9.1f %9.1f %6.2f\n", operations[i].name,
		       p->keep < 65536 ? "0.1" : "0", (long long)p->batch, (long long)p->heads, (long long)p->head_dim,
		       (long long)p->tokens, least * 1e6, median * 1e6, rate * 1e-9, gemm * 1e-9, rate / gemm);
	}
	return SP_OK;
}

static int time_all(struct sp_compute *c, const struct options *o)
{
	static const uint32_t keep[] = { 65536, 58982 };
	struct problem p = {
		.batch = o->batch, .heads = o->heads, .head_dim = o->head_dim, .tokens = o->tokens, .documents = 1,
	};
	int status = problem_make(c, &p);
	printf("%-12s %7s %7s %7s %8s %7s %10s %10s %9s %9s %6s\n", "operation", "dropout", "samples", "heads", "head_dim",
	       "tokens", "least", "median", "rate", "gemm", "share");
	printf("%-12s %7s %7s %7s %8s %7s %10s %10s %9s %9s %6s\n", "#", "", "", "", "", "", "us", "us", "GFLOP/s",
	       "GFLOP/s", "");
	for (int i = 0; i < 2 && status == SP_OK; i++) {
		p.keep = keep[i];
		status = report(c, &p, o->repeats);
	}
	problem_free(c, &p);
	return status;
}

/* ---- checking ---- */

/* |device - host| / |host| in L2. */
static int difference(struct sp_compute *c, const struct problem *p, enum array array, double *relative)
{
	const size_t n = (size_t)(array_rows(p, array) * array_cols(p, array));
	const double *want = p->host.array[array];
	float *got = malloc(n * sizeof *got + 1);
	if (!got)
		return sp_fail(SP_ERR_MEMORY, "no memory for %zu numbers", n);
	const int status = sp_compute_copy_out(c, got, p->device.array[array], n * sizeof *got);
	double wrong = 0, size = 0;
	for (size_t i = 0; i < n && status == SP_OK; i++) {
		wrong += (got[i] - want[i]) * (got[i] - want[i]);
		size += want[i] * want[i];
	}
	free(got);
	*relative = sqrt(wrong / size);
	return status;
}

static int both_sides(struct sp_compute *c, const struct problem *p)
{
	const struct sp_attention_forward f = forward_args(p, &p->host);
	const struct sp_attention_finish finish = finish_args(p, &p->host);
	const struct sp_attention_dots dots = dots_args(p, &p->host);
	const struct sp_attention_backward b = backward_args(p, &p->host);
	sp_reference_attention_forward(&f);
	sp_reference_attention_finish(&finish);
	sp_reference_attention_dots(&dots);
	sp_reference_attention_backward(&b);
	int status = SP_OK;
	for (size_t i = 0; i < sizeof operations / sizeof *operations && status == SP_OK; i++)
		status = operations[i].run(c, p);
	return status;
}

/* Two documents and dropout, at a size that no tile divides. */
static int check(struct sp_compute *c, const struct options *o)
{
	static const struct {
		const char *name;
		enum array array;
		double bound;
	} results[] = { { "o", O, 1e-6 }, { "lse", LSE, 1e-6 }, { "dq, dk, dv", DQKV, 5e-6 } };
	struct problem p = {
		.batch = 2, .heads = 3, .head_dim = o->head_dim, .tokens = 301, .keep = 58982, .documents = 2,
	};
	int status = problem_make(c, &p);
	if (status == SP_OK)
		status = both_sides(c, &p);
	for (size_t i = 0; i < sizeof results / sizeof *results && status == SP_OK; i++) {
		double relative = NAN;
		status = difference(c, &p, results[i].array, &relative);
		if (status != SP_OK)
			break;
		printf("# against float64: %s: %.1e off (bound %.0e)\n", results[i].name, relative, results[i].bound);
		if (!(relative <= results[i].bound))
			status = sp_fail(SP_ERR_NUMERIC, "%s differs from the float64 reference by %g", results[i].name, relative);
	}
	problem_free(c, &p);
	return status;
}

/* ---- command line ---- */

static int positive(const char *text, int64_t *value)
{
	char *end;
	const long long number = strtoll(text, &end, 10);
	if (end == text || *end || number < 1 || number > 1 << 20)
		return sp_fail(SP_ERR_ARGUMENT, "%s: expected a number from 1 to %d", text, 1 << 20);
	*value = number;
	return SP_OK;
}

static int read_options(int argc, char **argv, struct options *o)
{
	int64_t threads = 0;
	for (int option; (option = getopt(argc, argv, "b:a:d:s:t:n:m:")) != -1;) {
		int64_t *const target = option == 'b'   ? &o->batch
		                        : option == 'a' ? &o->heads
		                        : option == 'd' ? &o->head_dim
		                        : option == 's' ? &o->tokens
		                        : option == 't' ? &threads
		                        : option == 'n' ? &o->repeats
		                                        : NULL;
		if (option == 'm')
			o->module = optarg;
		else if (!target || positive(optarg, target) != SP_OK)
			return SP_ERR_ARGUMENT;
	}
	o->threads = (int)threads;
	return optind == argc ? SP_OK : sp_fail(SP_ERR_ARGUMENT, "%s: not an option", argv[optind]);
}

int main(int argc, char **argv)
{
	struct options o = { .batch = 4, .heads = 12, .head_dim = 64, .tokens = 512, .repeats = 21, .module = "auto" };
	struct sp_compute *c = NULL;
	char text[512], warning[512];
	if (read_options(argc, argv, &o) != SP_OK)
		return 2;
	const struct sp_compute_options options = { .threads = o.threads };
	int status = sp_compute_open(o.module, &options, &c);
	if (status == SP_OK) {
		sp_compute_describe(c, text, sizeof text, warning, sizeof warning);
		printf("# seqpar %s, float32, %lld runs after 1 of warm-up, seed 1\n# %s: %s\n", PACKAGE_VERSION,
		       (long long)o.repeats, sp_compute_name(c), text);
		if (*warning)
			printf("# warning: %s\n", warning);
		status = time_all(c, &o);
	}
	if (status == SP_OK)
		status = check(c, &o);
	sp_compute_close(c);
	return status == SP_OK ? 0 : 1;
}
