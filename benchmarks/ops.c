/* Time of each operation of a compute backend against what its arithmetic and its memory traffic allow.
 * Columns and formulas: benchmarks/README.md. Exit code: 0 measured, 1 an operation failed, 2 wrong usage. */
#include "config.h"

#include "backend/compute.h"
#include "base/clock.h"
#include "base/rng.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LEAST_POOL = 96 << 20, VOCABULARY = 30522, MOST_RUNS = 200, QUEUED = 8 };

struct bench {
	struct sp_compute *c;
	int64_t t, h, predicted; /* rows, hidden, rows of logits */
	double seconds;
	enum sp_dtype element; /* of activations and weights */
	int csv;
	const char *only;
	/* Operands are taken from the pools in turn, so that consecutive runs find theirs in memory, not in a cache. */
	float *source, *target, *random;
	int64_t pool; /* elements of each */
	int queued;   /* runs that the host does not wait between */
	int64_t source_at, target_at;
	int32_t *ids;     /* [t] below vocabulary, then [t] below 512, then [t] below 2 */
	uint32_t *sample; /* [1] */
	double *sum;
	struct sp_step *step;
	double memory_rate;
	/* set by a case: the work of one run, and for products the shape whose plain library rate is the mark */
	double flops, bytes;
	int64_t m, n, k;
};

static float *take(const struct bench *b, float *pool, int64_t *at, int64_t n)
{
	if (*at + n > b->pool)
		*at = 0;
	float *x = pool + *at;
	*at += (n + 15) / 16 * 16;
	return x;
}

static struct sp_matrix in(struct bench *b, int64_t rows, int64_t cols)
{
	return sp_matrix(take(b, b->source, &b->source_at, rows * cols), rows, cols);
}

static struct sp_matrix out(struct bench *b, int64_t rows, int64_t cols)
{
	return sp_matrix(take(b, b->target, &b->target_at, rows * cols), rows, cols);
}

/* Of activations and weights of layers: half the pool's numbers if they have 16 bits. */
static struct sp_matrix of_element(const struct bench *b, struct sp_matrix m)
{
	m.dtype = b->element;
	return m;
}

static struct sp_matrix ein(struct bench *b, int64_t rows, int64_t cols)
{
	return of_element(b, in(b, rows, cols));
}

static struct sp_matrix eout(struct bench *b, int64_t rows, int64_t cols)
{
	return of_element(b, out(b, rows, cols));
}

static void traffic(struct bench *b, double floats, double elements)
{
	b->bytes = 4 * floats + (double)sp_dtype_size(b->element) * elements;
}

static struct sp_dropout dropout(double probability)
{
	return (struct sp_dropout){ .key = { 1, 2 }, .keep = (uint32_t)(65536 * (1 - probability)) };
}

static struct sp_rows rows(const struct bench *b)
{
	return (struct sp_rows){ 1, b->t, b->sample, 0 };
}

/* ---- products ---- */

static void product(struct bench *b, int64_t n, int64_t k)
{
	b->m = b->t;
	b->n = n;
	b->k = k;
	b->flops = 2.0 * (double)b->t * (double)n * (double)k;
}

static int forward(struct bench *b, int64_t n, int64_t k, enum sp_activation act)
{
	struct sp_linear_forward a = { .x = ein(b, b->t, k), .w = ein(b, n, k), .bias = in(b, 1, n), .y = eout(b, b->t, n) };
	a.act = act;
	if (act != SP_ACT_NONE)
		a.pre = eout(b, b->t, n);
	product(b, n, k);
	return sp_compute_linear_forward(b->c, &a);
}

static int backward_input(struct bench *b, int64_t n, int64_t k, enum sp_activation act)
{
	struct sp_linear_backward_input a = { .dy = ein(b, b->t, n), .w = ein(b, n, k), .dx = eout(b, b->t, k), .act = act };
	if (act != SP_ACT_NONE) {
		a.pre = ein(b, b->t, k);
		a.dbias = out(b, 1, k);
	}
	product(b, n, k);
	return sp_compute_linear_backward_input(b->c, &a);
}

static int backward_weight(struct bench *b, int64_t n, int64_t k, int bias)
{
	struct sp_linear_backward_weight a = { .dy = ein(b, b->t, n), .x = ein(b, b->t, k), .dw = out(b, n, k) };
	if (bias)
		a.dbias = out(b, 1, n);
	product(b, n, k);
	return sp_compute_linear_backward_weight(b->c, &a);
}

static int qkv_forward(struct bench *b)
{
	return forward(b, 3 * b->h, b->h, SP_ACT_NONE);
}

static int ffn1_forward(struct bench *b)
{
	return forward(b, 4 * b->h, b->h, SP_ACT_GELU);
}

static int ffn2_forward(struct bench *b)
{
	return forward(b, b->h, 4 * b->h, SP_ACT_NONE);
}

static int qkv_backward_input(struct bench *b)
{
	return backward_input(b, 3 * b->h, b->h, SP_ACT_NONE);
}

static int ffn1_backward_input(struct bench *b)
{
	return backward_input(b, 4 * b->h, b->h, SP_ACT_NONE);
}

static int ffn2_backward_input(struct bench *b)
{
	return backward_input(b, b->h, 4 * b->h, SP_ACT_GELU);
}

static int qkv_backward_weight(struct bench *b)
{
	return backward_weight(b, 3 * b->h, b->h, 1);
}

static int ffn1_backward_weight(struct bench *b)
{
	return backward_weight(b, 4 * b->h, b->h, 0);
}

static int ffn2_backward_weight(struct bench *b)
{
	return backward_weight(b, b->h, 4 * b->h, 0);
}

/* ---- rows ---- */

static int norm_forward_with(struct bench *b, double probability)
{
	const struct sp_norm_forward a = { .x = eout(b, b->t, b->h), .bias = in(b, 1, b->h), .residual = ein(b, b->t, b->h),
		                               .gamma = in(b, 1, b->h), .beta = in(b, 1, b->h), .y = eout(b, b->t, b->h),
		                               .mean = out(b, 1, b->t), .rstd = out(b, 1, b->t), .eps = 1e-12f,
		                               .dropout = dropout(probability), .rows = rows(b) };
	traffic(b, 0, 4.0 * (double)(b->t * b->h));
	return sp_compute_norm_forward(b->c, &a);
}

static int norm_backward_with(struct bench *b, double probability)
{
	struct sp_norm_backward a = { .dy = ein(b, b->t, b->h), .s = ein(b, b->t, b->h), .gamma = in(b, 1, b->h),
		                          .mean = in(b, 1, b->t), .rstd = in(b, 1, b->t), .dx = eout(b, b->t, b->h),
		                          .dresidual = eout(b, b->t, b->h), .dbias = out(b, 1, b->h), .dgamma = out(b, 1, b->h),
		                          .dbeta = out(b, 1, b->h), .dropout = dropout(probability), .rows = rows(b) };
	traffic(b, 0, 4.0 * (double)(b->t * b->h));
	return sp_compute_norm_backward(b->c, &a);
}

static int norm_forward(struct bench *b)
{
	return norm_forward_with(b, 0);
}

static int norm_forward_dropout(struct bench *b)
{
	return norm_forward_with(b, 0.1);
}

static int norm_backward(struct bench *b)
{
	return norm_backward_with(b, 0);
}

static int norm_backward_dropout(struct bench *b)
{
	return norm_backward_with(b, 0.1);
}

static int embedding_forward(struct bench *b)
{
	const struct sp_embedding_forward a = {
		.token = b->ids, .pos = b->ids + b->t, .kind = b->ids + 2 * b->t, .word = in(b, VOCABULARY, b->h),
		.position = in(b, 512, b->h), .type = in(b, 2, b->h), .gamma = in(b, 1, b->h), .beta = in(b, 1, b->h),
		.s = eout(b, b->t, b->h), .y = eout(b, b->t, b->h), .mean = out(b, 1, b->t), .rstd = out(b, 1, b->t),
		.eps = 1e-12f, .dropout = dropout(0.1), .rows = rows(b)
	};
	traffic(b, (double)(b->t * b->h), 2.0 * (double)(b->t * b->h));
	return sp_compute_embedding_forward(b->c, &a);
}

static int embedding_backward(struct bench *b)
{
	const struct sp_embedding_backward a = {
		.token = b->ids, .pos = b->ids + b->t, .kind = b->ids + 2 * b->t, .dy = eout(b, b->t, b->h),
		.s = ein(b, b->t, b->h), .gamma = in(b, 1, b->h), .mean = in(b, 1, b->t), .rstd = in(b, 1, b->t),
		.dword = out(b, VOCABULARY, b->h),
		.dposition = out(b, 512, b->h), .dtype = out(b, 2, b->h), .dgamma = out(b, 1, b->h), .dbeta = out(b, 1, b->h),
		.dropout = dropout(0.1), .rows = rows(b)
	};
	traffic(b, 2.0 * (double)(b->t * b->h), 4.0 * (double)(b->t * b->h));
	return sp_compute_embedding_backward(b->c, &a);
}

static int activation_backward(struct bench *b)
{
	const struct sp_activation_backward a = { ein(b, b->t, b->h), eout(b, b->t, b->h), SP_ACT_GELU };
	traffic(b, 0, 3.0 * (double)(b->t * b->h));
	return sp_compute_activation_backward(b->c, &a);
}

/* ---- head, update ---- */

static int cross_entropy(struct bench *b)
{
	const struct sp_cross_entropy a = { .logits = eout(b, b->predicted, VOCABULARY), .label = b->ids, .loss = b->sum,
		                                .scale = 1.0f / 1024, .gradient = 1 };
	traffic(b, 0, 2.0 * (double)(b->predicted * VOCABULARY));
	return sp_compute_cross_entropy(b->c, &a);
}

static int64_t parameters(const struct bench *b)
{
	return 12 * b->h * b->h; /* one layer's */
}

static int sum_squares(struct bench *b)
{
	const struct sp_sum_squares a = { in(b, 1, parameters(b)).data, parameters(b), b->sum };
	traffic(b, (double)parameters(b), 0);
	return sp_compute_sum_squares(b->c, &a);
}

static int adamw(struct bench *b)
{
	const int64_t n = parameters(b);
	const struct sp_adamw a = { out(b, 1, n).data, out(b, 1, n).data, out(b, 1, n).data, in(b, 1, n).data, b->step, n,
		                        1e-4f, 0.9f, 0.999f, 1e-8f, 0.01f };
	traffic(b, 7.0 * (double)n, 0);
	return sp_compute_adamw(b->c, &a);
}

static int add(struct bench *b)
{
	const int64_t n = parameters(b);
	traffic(b, 3.0 * (double)n, 0);
	return sp_compute_add(b->c, out(b, 1, n).data, in(b, 1, n).data, n);
}

static int copy_rows(struct bench *b)
{
	traffic(b, 0, 2.0 * (double)(b->t * b->h));
	return sp_compute_copy_rows(b->c, ein(b, b->t, b->h), eout(b, b->t, b->h));
}

static int zero(struct bench *b)
{
	const int64_t n = parameters(b);
	traffic(b, (double)n, 0);
	return sp_compute_zero(b->c, out(b, 1, n).data, (size_t)n * sizeof(float));
}

static const struct {
	const char *name;
	int (*run)(struct bench *b);
} cases[] = {
	{ "qkv forward", qkv_forward },
	{ "ffn1 forward, gelu", ffn1_forward },
	{ "ffn2 forward", ffn2_forward },
	{ "qkv backward input", qkv_backward_input },
	{ "ffn1 backward input", ffn1_backward_input },
	{ "ffn2 backward input, gelu", ffn2_backward_input },
	{ "qkv backward weight, bias", qkv_backward_weight },
	{ "ffn1 backward weight", ffn1_backward_weight },
	{ "ffn2 backward weight", ffn2_backward_weight },
	{ "norm forward", norm_forward },
	{ "norm forward, dropout", norm_forward_dropout },
	{ "norm backward", norm_backward },
	{ "norm backward, dropout", norm_backward_dropout },
	{ "embedding forward", embedding_forward },
	{ "embedding backward", embedding_backward },
	{ "activation backward", activation_backward },
	{ "cross-entropy", cross_entropy },
	{ "sum of squares", sum_squares },
	{ "adamw", adamw },
	{ "add", add },
	{ "copy rows", copy_rows },
	{ "zero", zero },
};

/* ---- measuring ---- */

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Seconds of one run, by the clock of the device if it has one. */
static int time_run(struct bench *b, int (*run)(struct bench *b), double *seconds)
{
	double spent[SP_CLASSES], sum = 0;
	int status = SP_OK;
	for (int i = 0; i < b->queued && status == SP_OK; i++)
		status = run(b);
	if (status == SP_OK)
		status = sp_compute_shares_take(b->c, spent);
	for (int i = 0; i < SP_CLASSES && status == SP_OK; i++)
		sum += spent[i];
	*seconds = sum / b->queued;
	return status;
}

/* Sorted times of runs, one warm-up before; how many, or a negative status. */
static int time_runs(struct bench *b, int (*run)(struct bench *b), double *times)
{
	int n = 0, status = time_run(b, run, times);
	const double start = sp_clock();
	while (status == SP_OK && n < MOST_RUNS && (n < 5 || sp_clock() - start < b->seconds))
		status = time_run(b, run, &times[n++]);
	qsort(times, (size_t)n, sizeof *times, compare);
	return status == SP_OK ? n : status;
}

/* Seconds the run would take at the plain library's rate for its shape, or at the memory's. */
static int best_time(struct bench *b, double *seconds)
{
	double rate;
	if (b->flops == 0) {
		*seconds = b->bytes / b->memory_rate;
		return SP_OK;
	}
	const int status = sp_compute_gemm_rate(b->c, b->element, b->m, b->n, b->k, b->seconds, &rate);
	if (status == SP_OK)
		*seconds = b->flops / rate;
	return status;
}

static int measure(struct bench *b, size_t i)
{
	double times[MOST_RUNS], best;
	const int filled = sp_compute_copy_in(b->c, b->target, b->random, (size_t)b->pool * sizeof(float));
	if (filled != SP_OK)
		return filled;
	b->flops = b->bytes = 0;
	const int n = time_runs(b, cases[i].run, times);
	if (n < 0)
		return n;
	const int status = best_time(b, &best);
	if (status != SP_OK)
		return status;
	const double t = times[n / 2];
	printf(b->csv ? "%s;%d;%.1f;%.1f;%.1f;%.2f;%.2f;%.1f\n" : "%-26s %5d %10.1f %10.1f %10.1f %10.2f %8.2f %8.1f\n",
	       cases[i].name, n, times[0] * 1e6, t * 1e6, times[n - 1] * 1e6, b->flops / t * 1e-9, b->bytes / t * 1e-9,
	       100 * best / t);
	fflush(stdout);
	return SP_OK;
}

/* ---- set-up ---- */

static int get(struct bench *b, size_t bytes, void *memory)
{
	return sp_compute_alloc(b->c, bytes, (void **)memory);
}

static void fill(struct bench *b)
{
	struct sp_rng rng;
	sp_rng_start(&rng, 1, SP_RNG_SYNTHETIC, 0, 0);
	for (int64_t i = 0; i < b->pool; i++) {
		const float x = (float)sp_rng_u32(&rng) * 0x1p-32f + 0x1p-10f;
		uint32_t bits;
		memcpy(&bits, &x, sizeof bits);
		if (b->element != SP_F32)
			bits = (bits & 0xffff0000) | bits >> 16; /* two of bfloat16 */
		memcpy(&b->random[i], &bits, sizeof bits);
	}
}

/* Twice the largest operand, and more than caches hold. */
static int64_t pool_elements(const struct bench *b)
{
	const int64_t sizes[] = { LEAST_POOL, 8 * b->t * b->h, 2 * VOCABULARY * b->h, 2 * VOCABULARY * b->predicted, 24 * b->h * b->h };
	int64_t most = 0;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		most = sizes[i] > most ? sizes[i] : most;
	return most;
}

static int prepare(struct bench *b)
{
	b->pool = pool_elements(b);
	b->queued = sp_compute_is_host_memory(b->c) ? 1 : QUEUED;
	const size_t pool = (size_t)b->pool * sizeof(float);
	int32_t *ids = malloc((size_t)(3 * b->t) * sizeof *ids);
	const uint32_t sample = 0;
	const struct sp_step step = { .scale = 1, .factor = 1, .correction1 = 0.1f, .correction2 = 0.001f, .take = 1 };
	int status = SP_ERR_MEMORY;
	b->random = malloc(pool);
	if (!ids || !b->random)
		goto done;
	if ((status = get(b, pool, &b->source)) || (status = get(b, pool, &b->target)) ||
	    (status = get(b, (size_t)(3 * b->t) * sizeof *ids, &b->ids)) || (status = get(b, sizeof sample, &b->sample)) ||
	    (status = get(b, sizeof *b->sum, &b->sum)) || (status = get(b, sizeof step, &b->step)))
		goto done;
	fill(b);
	for (int64_t i = 0; i < b->t; i++) {
		ids[i] = (int32_t)(i * 7919 % VOCABULARY);
		ids[b->t + i] = (int32_t)(i % 512);
		ids[2 * b->t + i] = (int32_t)(i / 256 % 2);
	}
	if ((status = sp_compute_copy_in(b->c, b->source, b->random, pool)) ||
	    (status = sp_compute_copy_in(b->c, b->ids, ids, (size_t)(3 * b->t) * sizeof *ids)) ||
	    (status = sp_compute_copy_in(b->c, b->sample, &sample, sizeof sample)) ||
	    (status = sp_compute_copy_in(b->c, b->step, &step, sizeof step)) ||
	    (status = sp_compute_zero(b->c, b->sum, sizeof *b->sum)))
		goto done;
	status = sp_compute_memory_rate(b->c, b->seconds, &b->memory_rate);
	if (status == SP_OK)
		status = sp_compute_shares_start(b->c);
done:
	free(ids);
	return status;
}

static void release(struct bench *b)
{
	void *const memory[] = { b->source, b->target, b->ids, b->sample, b->sum, b->step };
	for (size_t i = 0; b->c && i < sizeof memory / sizeof *memory; i++)
		sp_compute_free(b->c, memory[i]);
	free(b->random);
	sp_compute_close(b->c);
}

static void print_head(const struct bench *b)
{
	char text[512], warning[1024], host[256] = "";
	gethostname(host, sizeof host - 1);
	sp_compute_describe(b->c, text, sizeof text, warning, sizeof warning);
	printf("# seqpar %s, host %s\n# %s\n", PACKAGE_VERSION, host, text);
	if (warning[0])
		printf("# warning: %s\n", warning);
	printf("# %s, rows %lld, hidden %lld, rows of logits %lld, vocabulary %d, %.2f s a case after one warm-up\n",
	       sp_dtype_name(b->element), (long long)b->t, (long long)b->h, (long long)b->predicted, VOCABULARY, b->seconds);
	printf("# memory %.1f GB/s\n", b->memory_rate * 1e-9);
	printf(b->csv ? "%s;%s;%s;%s;%s;%s;%s;%s\n" : "%-26s %5s %10s %10s %10s %10s %8s %8s\n", "operation", "runs", "min",
	       "median", "max", "rate", "traffic", "of best");
	printf(b->csv ? "%s;%s;%s;%s;%s;%s;%s;%s\n" : "%-26s %5s %10s %10s %10s %10s %8s %8s\n", "", "", "us", "us", "us",
	       "GFLOP/s", "GB/s", "%");
}

static int usage(void)
{
	fprintf(stderr, "usage: ops [--device NAME] [--rows N] [--hidden N] [--predicted N] [--threads N] [--seconds S] "
	                "[--only WORD] [--bf16] [--csv]\n");
	return 2;
}

static int parse(int argc, char **argv, struct bench *b, const char **device, struct sp_compute_options *options)
{
	static const struct option long_options[] = {
		{ "device", required_argument, NULL, 'd' },  { "rows", required_argument, NULL, 'r' },
		{ "hidden", required_argument, NULL, 'h' },  { "predicted", required_argument, NULL, 'p' },
		{ "threads", required_argument, NULL, 't' }, { "seconds", required_argument, NULL, 's' },
		{ "only", required_argument, NULL, 'o' },    { "csv", no_argument, NULL, 'c' },
		{ "bf16", no_argument, NULL, 'b' },
		{ NULL, 0, NULL, 0 },
	};
	for (int o; (o = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
		switch (o) {
		case 'd': *device = optarg; break;
		case 'r': b->t = strtoll(optarg, NULL, 10); break;
		case 'h': b->h = strtoll(optarg, NULL, 10); break;
		case 'p': b->predicted = strtoll(optarg, NULL, 10); break;
		case 't': options->threads = (int)strtol(optarg, NULL, 10); break;
		case 's': b->seconds = strtod(optarg, NULL); break;
		case 'o': b->only = optarg; break;
		case 'c': b->csv = 1; break;
		case 'b': b->element = SP_BF16; break;
		default: return -1;
		}
	}
	const int fits = b->t > 0 && b->t <= 1 << 20 && b->h > 0 && b->h <= 4096 && b->predicted > 0 && b->predicted <= b->t;
	return optind == argc && b->seconds > 0 && options->threads >= 0 && fits ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct bench b = { .t = 2048, .h = 768, .predicted = 320, .seconds = 1 };
	struct sp_compute_options options = { 0 };
	const char *device = "auto";
	if (parse(argc, argv, &b, &device, &options))
		return usage();
	int status = sp_compute_open(device, &options, &b.c);
	const struct sp_compute_needs needs = { .dtype = b.element, .head_dim = 64 };
	if (status == SP_OK)
		status = sp_compute_supports(b.c, &needs);
	if (status == SP_OK)
		status = prepare(&b);
	if (status == SP_OK)
		print_head(&b);
	for (size_t i = 0; status == SP_OK && i < sizeof cases / sizeof *cases; i++)
		if (!b.only || strstr(cases[i].name, b.only))
			status = measure(&b, i);
	printf("# %s\n", status == SP_OK ? "all measured" : "FAILED");
	release(&b);
	return status == SP_OK ? 0 : 1;
}
