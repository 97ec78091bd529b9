/* The formulas are those of seqpar/compute.h (Dao et al. 2022, algorithms 1 and 4), written out for single rows. */
#include "config.h"

#include "bench/exact.h"

#include "base/log.h"
#include "base/rng.h"
#include "bench/judge.h"

#include <math.h>
#include <stdlib.h>

enum { SAMPLED = 8 }; /* rows of each kind */

static float *draw(int64_t n, uint64_t stream)
{
	float *x = malloc((size_t)n * sizeof *x);
	struct sp_rng rng;
	sp_rng_start(&rng, 1, SP_RNG_SYNTHETIC, stream, 0);
	/* Three uniform numbers: nearly normal, of variance 1. */
	for (int64_t i = 0; x && i < n; i++)
		x[i] = ((float)sp_rng_u32(&rng) + (float)sp_rng_u32(&rng) + (float)sp_rng_u32(&rng)) * 0x1p-31f - 3;
	return x;
}

int sp_bench_exact_make(struct sp_bench_exact *e)
{
	const int64_t tokens = e->batch * e->padded, h = e->heads * e->head_dim;
	e->qkv = draw(3 * tokens * h, 1);
	e->dout = draw(tokens * h, 2);
	e->doc = malloc((size_t)tokens * sizeof *e->doc);
	e->sample = malloc((size_t)e->batch * sizeof *e->sample);
	e->o = malloc((size_t)(tokens * h) * sizeof(float));
	e->lse = malloc((size_t)(tokens * e->heads) * sizeof(float));
	e->dqkv = malloc((size_t)(3 * tokens * h) * sizeof(float));
	if (!e->qkv || !e->dout || !e->doc || !e->sample || !e->o || !e->lse || !e->dqkv)
		return sp_fail(SP_ERR_MEMORY, "out of memory for attention of %lld tokens; ask for a smaller train.micro_batch",
		               (long long)tokens);
	for (int64_t b = 0; b < e->batch; b++)
		e->sample[b] = (uint32_t)b;
	for (int64_t i = 0; i < tokens; i++)
		e->doc[i] = i % e->padded < e->length ? 0 : -1;
	return SP_OK;
}

void sp_bench_exact_free(struct sp_bench_exact *e)
{
	void *const memory[] = { e->qkv, e->dout, e->doc, e->sample, e->o, e->lse, e->dqkv };
	for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
		free(memory[i]);
}

/* Head `head` of query, key or value (which 0, 1, 2) of one token. */
static const float *vector(const struct sp_bench_exact *e, const float *packed, int64_t thirds, int64_t which, int64_t b,
                           int64_t token, int64_t head)
{
	const int64_t h = e->heads * e->head_dim;
	return packed + ((b * e->padded + token) * thirds + which) * h + head * e->head_dim;
}

static double dot(const float *x, const float *y, int64_t n)
{
	double sum = 0;
	for (int64_t i = 0; i < n; i++)
		sum += (double)x[i] * y[i];
	return sum;
}

/* Where a sampled row lies. */
struct at {
	int64_t b, head, token;
};

static double score(const struct sp_bench_exact *e, const struct at *at, int64_t query, int64_t key)
{
	return dot(vector(e, e->qkv, 3, 0, at->b, query, at->head), vector(e, e->qkv, 3, 1, at->b, key, at->head),
	           e->head_dim) / sqrt((double)e->head_dim);
}

static double factor(const struct sp_bench_exact *e, const struct at *at, int64_t query, int64_t key)
{
	const uint32_t slot = e->sample[at->b] * (uint32_t)e->heads + (uint32_t)at->head;
	return sp_bench_dropout(&e->dropout, (uint32_t)query, (uint32_t)key, slot);
}

/* Differences of what belongs to queries, [0] o, [1] lse, [2] dq; and to keys, [3] dk, [4] dv. */
enum { O, LSE, DQ, DK, DV, RESULTS };

/* row: room for `length` probabilities; out: for 2 head_dim sums. */
static void query_row(const struct sp_bench_exact *e, const struct at *at, double *row, double *out,
                      struct sp_bench_difference *d)
{
	const int64_t n = e->length, width = e->head_dim;
	const float *dout = vector(e, e->dout, 1, 0, at->b, at->token, at->head);
	double *o = out, *dq = out + width, most = -INFINITY, sum = 0, dots = 0;
	for (int64_t j = 0; j < n; j++)
		most = fmax(most, row[j] = score(e, at, at->token, j));
	for (int64_t j = 0; j < n; j++)
		sum += row[j] = exp(row[j] - most);
	for (int64_t x = 0; x < 2 * width; x++)
		out[x] = 0;
	for (int64_t j = 0; j < n; j++) {
		const float *v = vector(e, e->qkv, 3, 2, at->b, j, at->head);
		const double p = row[j] / sum * factor(e, at, at->token, j);
		for (int64_t x = 0; x < width; x++)
			o[x] += p * v[x];
	}
	for (int64_t x = 0; x < width; x++)
		dots += dout[x] * o[x];
	for (int64_t j = 0; j < n; j++) {
		const float *k = vector(e, e->qkv, 3, 1, at->b, j, at->head), *v = vector(e, e->qkv, 3, 2, at->b, j, at->head);
		const double ds = row[j] / sum * (factor(e, at, at->token, j) * dot(dout, v, width) - dots);
		for (int64_t x = 0; x < width; x++)
			dq[x] += ds * k[x] / sqrt((double)width);
	}
	for (int64_t x = 0; x < width; x++) {
		sp_bench_differ(&d[O], vector(e, e->o, 1, 0, at->b, at->token, at->head)[x], o[x]);
		sp_bench_differ(&d[DQ], vector(e, e->dqkv, 3, 0, at->b, at->token, at->head)[x], dq[x]);
	}
	sp_bench_differ(&d[LSE], e->lse[(at->b * e->heads + at->head) * e->padded + at->token], most + log(sum));
}

/* out: room for 2 head_dim sums. */
static void key_row(const struct sp_bench_exact *e, const struct at *at, double *out, struct sp_bench_difference *d)
{
	const int64_t width = e->head_dim;
	const float *v = vector(e, e->qkv, 3, 2, at->b, at->token, at->head);
	double *dk = out, *dv = out + width;
	for (int64_t x = 0; x < 2 * width; x++)
		out[x] = 0;
	for (int64_t i = 0; i < e->length; i++) {
		const float *q = vector(e, e->qkv, 3, 0, at->b, i, at->head), *o = vector(e, e->o, 1, 0, at->b, i, at->head);
		const float *dout = vector(e, e->dout, 1, 0, at->b, i, at->head);
		const double z = factor(e, at, i, at->token);
		const double p = exp(score(e, at, i, at->token) - e->lse[(at->b * e->heads + at->head) * e->padded + i]);
		const double ds = p * (z * dot(dout, v, width) - dot(dout, o, width));
		for (int64_t x = 0; x < width; x++) {
			dk[x] += ds * q[x] / sqrt((double)width);
			dv[x] += z * p * dout[x];
		}
	}
	for (int64_t x = 0; x < width; x++) {
		sp_bench_differ(&d[DK], vector(e, e->dqkv, 3, 1, at->b, at->token, at->head)[x], dk[x]);
		sp_bench_differ(&d[DV], vector(e, e->dqkv, 3, 2, at->b, at->token, at->head)[x], dv[x]);
	}
}

double sp_bench_exact_error(const struct sp_bench_exact *e)
{
	double *row = malloc((size_t)(e->length + 2 * e->head_dim) * sizeof *row), worst = 0;
	struct sp_bench_difference d[RESULTS] = { { 0 } };
	struct sp_rng rng;
	if (!row)
		return NAN;
	sp_rng_start(&rng, 1, SP_RNG_SYNTHETIC, 3, 0);
	for (int i = 0; i < SAMPLED; i++) {
		const struct at at = { (int64_t)sp_rng_below(&rng, (uint64_t)e->batch),
			                   (int64_t)sp_rng_below(&rng, (uint64_t)e->heads),
			                   (int64_t)sp_rng_below(&rng, (uint64_t)e->length) };
		query_row(e, &at, row, row + e->length, d);
		key_row(e, &at, row, d);
	}
	for (int r = 0; r < RESULTS; r++) {
		const double error = sp_bench_relative(&d[r]);
		worst = isnan(worst) || error <= worst ? worst : error;
	}
	free(row);
	return worst;
}
