/* Attention to a projected sequence over any number of ranks against plain loops in float64 over whole sequences: outputs,
 * gradients of queries, keys and values, and of what projects. */
#include "config.h"

#include "attention/attention.h"
#include "base/rng.h"
#include "base/size.h"
#include "parallel/shard.h"
#include "ranks/ranks.h"
#include "reference/reference.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct test_ranks ranks;

enum { B = 2, A = 3, D = 4, H = A * D, K = 5, POSITIONS = 130 };

/* More than a block of the weights' gradients comes last, where one rank has it. */
static const int64_t lengths[] = { 1, 2, 7, 63, 64, 65, 127, 1100 };
enum { LENGTHS = sizeof lengths / sizeof *lengths };

/* Which projections are the same. */
struct form {
	const char *label;
	int per_head, one; /* one: values have the keys' */
};
static const struct form forms[] = { { "of a layer", 0, 0 }, { "of the model", 0, 1 }, { "of each head", 1, 0 } };
enum { FORMS = sizeof forms / sizeof *forms };

/* Whole sequences, float64 copies of what the variant gets, and what comes out of them. */
struct whole {
	const struct form *form;
	int64_t length, positions, columns; /* of the weights */
	int32_t real[B];
	uint32_t sample[B];
	struct sp_dropout dropout;
	double *qkv, *dout, *weights[2];            /* (B S, 3 H), (B S, H), (positions, columns) */
	double *o, *lse, *dqkv, *dweights[2];       /* (B S, H), (B A, S), (B S, 3 H), (positions, columns) */
	double *rows[2], *drows[2];                 /* (B K, H): projected keys and values */
};

static void *array(int64_t n, size_t size)
{
	void *x = calloc((size_t)n + 1, size);
	assert_non_null(x);
	return x;
}

/* Drawn in float32, so that both sides start from the same. */
static double *draw(int64_t n, struct sp_rng *rng, float scale)
{
	double *x = array(n, sizeof *x);
	for (int64_t i = 0; i < n; i++)
		x[i] = (double)(scale * (float)sp_rng_normal(rng));
	return x;
}

/* The first sample ends in padding. */
static struct whole make(const struct form *form, int64_t length, uint32_t keep)
{
	struct whole w = { .form = form, .length = length, .positions = sp_max(POSITIONS, length + 3),
		               .real = { (int32_t)(length - length / 5), (int32_t)length }, .sample = { 5, 9 },
		               .dropout = { .key = { 11, 13 }, .keep = keep } };
	struct sp_rng rng;
	sp_rng_start(&rng, 1, SP_RNG_SYNTHETIC, (uint64_t)length, 0);
	w.columns = form->per_head ? A * K : K;
	w.qkv = draw(B * length * 3 * H, &rng, 1);
	w.dout = draw(B * length * H, &rng, 1);
	for (int i = 0; i < 2; i++) {
		double *drawn = draw(w.positions * w.columns, &rng, 2 / sqrtf((float)length + 4));
		if (i == 1 && form->one)
			memcpy(drawn, w.weights[0], (size_t)(w.positions * w.columns) * sizeof *drawn);
		w.weights[i] = drawn;
		w.dweights[i] = array(w.positions * w.columns, sizeof(double));
		w.rows[i] = array(B * K * H, sizeof(double));
		w.drows[i] = array(B * K * H, sizeof(double));
	}
	w.o = array(B * length * H, sizeof(double));
	w.lse = array(B * A * length, sizeof(double));
	w.dqkv = array(B * length * 3 * H, sizeof(double));
	return w;
}

static void free_whole(struct whole *w)
{
	double *const all[] = { w->qkv, w->dout, w->o, w->lse, w->dqkv, w->weights[0], w->weights[1], w->dweights[0],
		                    w->dweights[1], w->rows[0], w->rows[1], w->drows[0], w->drows[1] };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
}

/* ---- float64 ---- */

/* Of query (0), key (1) or value (2) of token i of sample b, feature x. */
static double *of_token(const struct whole *w, double *packed, int64_t b, int64_t i, int which, int64_t x)
{
	return packed + (b * w->length + i) * 3 * H + which * H + x;
}

/* The weight of a token's feature x in row r. */
static double *of_weights(const struct whole *w, double *weights, int64_t i, int64_t r, int64_t x)
{
	return weights + i * w->columns + (w->form->per_head ? x / D * K : 0) + r;
}

static void project(struct whole *w)
{
	for (int which = 0; which < 2; which++)
		for (int64_t b = 0; b < B; b++)
			for (int64_t r = 0; r < K; r++)
				for (int64_t x = 0; x < H; x++) {
					double sum = 0;
					for (int64_t i = 0; i < w->real[b]; i++)
						sum += *of_weights(w, w->weights[which], i, r, x) * *of_token(w, w->qkv, b, i, which + 1, x);
					w->rows[which][(b * K + r) * H + x] = sum;
				}
}

/* Of one query and head: probabilities before dropout, and dropout's factors. */
static void probabilities(struct whole *w, int64_t b, int64_t a, int64_t i, double p[K], double z[K])
{
	double most = -INFINITY, sum = 0;
	for (int64_t r = 0; r < K; r++) {
		p[r] = 0;
		for (int64_t x = a * D; x < a * D + D; x++)
			p[r] += *of_token(w, w->qkv, b, i, 0, x) * w->rows[0][(b * K + r) * H + x] / sqrt((double)D);
		most = fmax(most, p[r]);
		z[r] = w->dropout.keep == 65536 ? 1 : sp_reference_dropout(&w->dropout, (uint32_t)r, (uint32_t)i,
		                                                           w->sample[b] * A + (uint32_t)a);
	}
	for (int64_t r = 0; r < K; r++)
		sum += p[r] = exp(p[r] - most);
	for (int64_t r = 0; r < K; r++)
		p[r] /= sum;
	w->lse[(b * A + a) * w->length + i] = most + log(sum);
}

/* o, and the loss sum of o dout. */
static double forward(struct whole *w)
{
	double p[K], z[K], loss = 0;
	project(w);
	for (int64_t l = 0; l < B * A * w->length; l++) {
		const int64_t b = l / (A * w->length), a = l / w->length % A, i = l % w->length;
		w->lse[l] = -INFINITY;
		if (i >= w->real[b])
			continue;
		probabilities(w, b, a, i, p, z);
		for (int64_t x = a * D; x < a * D + D; x++) {
			double *o = &w->o[(b * w->length + i) * H + x];
			*o = 0;
			for (int64_t r = 0; r < K; r++)
				*o += p[r] * z[r] * w->rows[1][(b * K + r) * H + x];
			loss += *o * w->dout[(b * w->length + i) * H + x];
		}
	}
	return loss;
}

static void backward_query(struct whole *w, int64_t b, int64_t a, int64_t i)
{
	const double *dout = w->dout + (b * w->length + i) * H;
	double p[K], z[K], dp[K], dots = 0;
	probabilities(w, b, a, i, p, z);
	for (int64_t r = 0; r < K; r++) {
		dp[r] = 0;
		for (int64_t x = a * D; x < a * D + D; x++) {
			dp[r] += z[r] * dout[x] * w->rows[1][(b * K + r) * H + x];
			w->drows[1][(b * K + r) * H + x] += p[r] * z[r] * dout[x];
		}
		dots += p[r] * dp[r];
	}
	for (int64_t r = 0; r < K; r++)
		for (int64_t x = a * D; x < a * D + D; x++) {
			const double ds = p[r] * (dp[r] - dots) / sqrt((double)D);
			*of_token(w, w->dqkv, b, i, 0, x) += ds * w->rows[0][(b * K + r) * H + x];
			w->drows[0][(b * K + r) * H + x] += ds * *of_token(w, w->qkv, b, i, 0, x);
		}
}

/* After forward. */
static void backward(struct whole *w)
{
	for (int64_t l = 0; l < B * A * w->length; l++)
		if (l % w->length < w->real[l / (A * w->length)])
			backward_query(w, l / (A * w->length), l / w->length % A, l % w->length);
	for (int which = 0; which < 2; which++)
		for (int64_t l = 0; l < B * w->length * K * H; l++) {
			const int64_t b = l / (w->length * K * H), i = l / (K * H) % w->length, r = l / H % K, x = l % H;
			const double drow = w->drows[which][(b * K + r) * H + x];
			if (i >= w->real[b])
				continue;
			*of_token(w, w->dqkv, b, i, which + 1, x) += *of_weights(w, w->weights[which], i, r, x) * drow;
			*of_weights(w, w->dweights[w->form->one ? 0 : which], i, r, x) +=
				*of_token(w, w->qkv, b, i, which + 1, x) * drow;
		}
}

/* ---- the variant ---- */

struct result {
	struct sp_attention_shape_host shape;
	float *o, *lse, *dqkv, *dweights[2]; /* (B C, H), (B A, C), (B C, 3 H), (positions, columns) summed over ranks */
	uint64_t sent_forward, sent_backward;
};

static void free_result(struct result *r)
{
	float *const all[] = { r->o, r->lse, r->dqkv, r->dweights[0], r->dweights[1] };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
}

/* Rows of this rank out of whole sequences; what does not exist is zero. */
static float *slice(const double *whole, struct sp_shard shard, int64_t cols)
{
	float *part = array(B * shard.chunk * cols, sizeof *part);
	for (int64_t l = 0; l < B * shard.chunk * cols; l++) {
		const int64_t b = l / (shard.chunk * cols), i = l / cols % shard.chunk;
		part[l] = i < shard.real ? (float)whole[(b * shard.length + shard.first + i) * cols + l % cols] : 0;
	}
	return part;
}

static float *narrow(const double *x, int64_t n)
{
	float *y = array(n, sizeof *y);
	for (int64_t i = 0; i < n; i++)
		y[i] = (float)x[i];
	return y;
}

static int32_t *documents(const struct whole *w, int size, int64_t chunk)
{
	int32_t *doc = array(size * B * chunk, sizeof *doc);
	for (int64_t l = 0; l < size * B * chunk; l++) {
		const int64_t r = l / (B * chunk), b = l / chunk % B, i = r * chunk + l % chunk;
		doc[l] = i < w->real[b] ? 0 : -1;
	}
	return doc;
}

/* Arena memory, filled with NaN: nothing may be read before it is written. */
static int create(const struct sp_attention_variant *variant, const struct sp_attention_setup *setup, struct sp_arena *arena,
                  void **work)
{
	struct sp_arena counting = { 0 };
	int rc = variant->check(&setup->shape);
	rc = rc ? rc : variant->create(setup, &counting, work);
	variant->destroy(*work);
	*work = NULL;
	*arena = (struct sp_arena){ .base = malloc(counting.high + 64), .size = counting.high };
	assert_non_null(arena->base);
	memset(arena->base, 0xff, arena->size);
	rc = rc ? rc : variant->create(setup, arena, work);
	return rc ? rc : arena->high != counting.high;
}

/* What came for a rank's own positions only is for all to know. */
static int gather_weights(const struct whole *w, struct sp_comm *comm, float *dweights)
{
	return sp_comm_all_reduce(comm == ranks.world ? ranks.verdicts : ranks.alone, dweights, w->positions * w->columns, SP_F32,
	                          SP_SUM);
}

/* Collective over comm. */
static int run(const struct whole *w, struct sp_comm *comm, int overlap, struct result *out)
{
	const struct sp_attention_variant *variant = sp_attention_find("linformer");
	const struct sp_shard shard = sp_shard_of(w->length, sp_comm_size(comm), sp_comm_rank(comm), 1);
	const int64_t rows = B * shard.chunk, weights = w->positions * w->columns;
	const struct sp_attention_setup setup = {
		ranks.compute, comm,
		{ B, shard.chunk, A, D, sp_comm_size(comm), sp_comm_rank(comm),
		  { .linformer_k = K, .linformer_per_head = w->form->per_head } }, overlap,
	};
	struct sp_arena arena;
	void *work = NULL;
	int rc = create(variant, &setup, &arena, &work);
	float *qkv = slice(w->qkv, shard, 3 * H), *dout = slice(w->dout, shard, H);
	float *key = narrow(w->weights[0], weights), *value = narrow(w->weights[1], weights);
	int32_t *doc = documents(w, sp_comm_size(comm), shard.chunk);
	const int64_t kept = variant->kept(&setup.shape);
	float *projected = array(kept, sizeof *projected);
	*out = (struct result){ setup.shape, array(rows * H, 4), array(B * A * shard.chunk, 4), array(rows * 3 * H, 4),
		                    { array(weights, 4), array(weights, 4) }, 0, 0 };
	memset(projected, 0xff, (size_t)kept * sizeof *projected);
	memset(out->dqkv, 0xff, (size_t)(rows * 3 * H) * sizeof *out->dqkv);
	const struct sp_attention_call call = {
		.doc = doc,
		.sample = w->sample,
		.dropout = w->dropout,
		.length = w->real,
		.projections = { sp_matrix(key, w->positions, w->columns),
		                 sp_matrix(w->form->one ? key : value, w->positions, w->columns),
		                 sp_matrix(out->dweights[0], w->positions, w->columns),
		                 sp_matrix(out->dweights[w->form->one ? 0 : 1], w->positions, w->columns) },
	};
	const struct sp_attention_state state = {
		.qkv = sp_matrix(qkv, rows, 3 * H),
		.o = sp_matrix(out->o, rows, H),
		.lse = sp_matrix(out->lse, B * A, shard.chunk),
		.kept = sp_matrix(projected, 1, kept),
	};
	const uint64_t before = sp_comm_counters(comm).bytes;
	rc = rc ? rc : variant->forward(work, &call, &state);
	out->sent_forward = sp_comm_counters(comm).bytes - before;
	memset(arena.base, 0xff, arena.size);
	rc = rc ? rc : variant->backward(work, &call, &state, sp_matrix(dout, rows, H), sp_matrix(out->dqkv, rows, 3 * H));
	out->sent_backward = sp_comm_counters(comm).bytes - before - out->sent_forward;
	rc |= gather_weights(w, comm, out->dweights[0]) | gather_weights(w, comm, out->dweights[1]);
	variant->destroy(work);
	free(arena.base);
	free(qkv);
	free(dout);
	free(key);
	free(value);
	free(doc);
	free(projected);
	return rc;
}

/* ---- comparing ---- */

/* n numbers against float64, beside the size of `whole`. */
static int differs(const struct whole *w, const char *what, const float *part, const double *want, int64_t n, double scale)
{
	double sum = 0;
	for (int64_t i = 0; i < n; i++)
		sum += ((double)part[i] - want[i]) * ((double)part[i] - want[i]);
	if (sqrt(sum) <= 2e-6 * scale)
		return 0;
	fprintf(stderr, "rank %d of %d, S %lld, projections %s: %s differs by %g of %g\n", ranks.rank, ranks.size,
	        (long long)w->length, w->form->label, what, sqrt(sum), scale);
	return 1;
}

static double norm(const double *x, int64_t n)
{
	double sum = 0;
	for (int64_t i = 0; i < n; i++)
		sum += x[i] * x[i];
	return sqrt(sum);
}

/* This rank's rows of (B S, cols). */
static int rows_differ(const struct whole *w, const char *what, const float *part, const double *whole, struct sp_shard shard,
                       int64_t cols)
{
	const double scale = norm(whole, B * w->length * cols);
	int bad = 0;
	for (int64_t b = 0; b < B; b++)
		bad |= differs(w, what, part + b * shard.chunk * cols, whole + (b * w->length + shard.first) * cols,
		               shard.real * cols, scale);
	return bad;
}

static int result_differs(const struct whole *w, struct sp_comm *comm, const struct result *r)
{
	const struct sp_shard shard = sp_shard_of(w->length, sp_comm_size(comm), sp_comm_rank(comm), 1);
	const int64_t weights = w->positions * w->columns;
	int bad = rows_differ(w, "o", r->o, w->o, shard, H) | rows_differ(w, "dqkv", r->dqkv, w->dqkv, shard, 3 * H);
	/* a gradient may be what is left of larger ones */
	const double all = norm(w->dqkv, B * w->length * 3 * H) + norm(w->dweights[0], weights) + norm(w->dweights[1], weights);
	for (int i = 0; i < 2; i++)
		bad |= differs(w, i ? "dF" : "dE", r->dweights[i], w->dweights[i], weights, all);
	for (int64_t row = 0; row < B * A; row++)
		for (int64_t i = 0; i < shard.real; i++) {
			const double a = r->lse[row * shard.chunk + i], b = w->lse[row * w->length + shard.first + i];
			bad |= !(a == b || fabs(a - b) <= 1e-5 * (1 + fabs(b)));
		}
	return bad;
}

/* N of the source file, spelled out here once more. */
static int bytes_differ(const struct result *r)
{
	const struct sp_attention_variant *variant = sp_attention_find("linformer");
	const uint64_t n = 2 * B * K * H, p = (uint64_t)r->shape.ranks, sent = 2 * (p - 1) * ((n + p - 1) / p);
	return r->sent_forward != sent * sizeof(float) || r->sent_backward != sent * sizeof(float) ||
	       variant->sent_forward(&r->shape) != sent || variant->sent_backward(&r->shape) != sent;
}

static int form_differs(const struct form *form, int64_t length, uint32_t keep, int overlap)
{
	struct whole w = make(form, length, keep);
	struct result alone, split;
	forward(&w);
	backward(&w);
	int bad = run(&w, ranks.alone, overlap, &alone) != 0 || result_differs(&w, ranks.alone, &alone);
	bad |= run(&w, ranks.world, overlap, &split) != 0 || result_differs(&w, ranks.world, &split);
	bad |= bytes_differ(&alone) | bytes_differ(&split);
	free_result(&alone);
	free_result(&split);
	free_whole(&w);
	return bad;
}

static int any_differs(uint32_t keep, int overlap)
{
	int bad = 0;
	for (int i = 0; i < LENGTHS; i++)
		for (int f = 0; f < FORMS; f++)
			bad |= form_differs(&forms[f], lengths[i], keep, overlap);
	return bad;
}

static void linformer_equals_loops_in_float64(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, any_differs(65536, 1)));
}

static void linformer_equals_loops_in_float64_with_dropout(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, any_differs(50000, 1)));
}

static void linformer_equals_loops_in_float64_without_overlap(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, any_differs(50000, 0)));
}

/* (loss of E + h) - (loss of E - h), where the other weights stay. */
static double slope(struct whole *w, int which, int64_t at)
{
	const double was = w->weights[which][at], h = 1e-5;
	double loss[2];
	for (int i = 0; i < 2; i++) {
		w->weights[which][at] = was + (i ? h : -h);
		if (w->form->one)
			w->weights[1 - which][at] = w->weights[which][at];
		loss[i] = forward(w);
	}
	w->weights[0][at] = w->form->one ? was : w->weights[0][at];
	w->weights[which][at] = was;
	return (loss[1] - loss[0]) / (2 * h);
}

static int slopes_differ(const struct form *form)
{
	struct whole w = make(form, 23, 50000);
	struct result split;
	double wrong = 0, size = 0;
	int bad = run(&w, ranks.world, 1, &split) != 0;
	for (int which = 0; which < 2 - form->one; which++)
		for (int64_t at = 0; at < (w.length + 1) * w.columns; at += 3) {
			const double s = slope(&w, which, at);
			wrong += pow(s - (double)split.dweights[which][at], 2);
			size += s * s;
		}
	bad |= !(sqrt(wrong) <= 1e-5 * sqrt(size)) || size == 0;
	free_result(&split);
	free_whole(&w);
	return bad;
}

static void gradients_of_projections_match_finite_differences(void **state)
{
	(void)state;
	int bad = 0;
	for (int f = 0; f < FORMS; f++)
		bad |= slopes_differ(&forms[f]);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void two_runs_give_the_same_bits(void **state)
{
	(void)state;
	struct whole w = make(&forms[0], 65, 50000);
	struct result a, b;
	int bad = run(&w, ranks.world, 1, &a) != 0;
	bad |= run(&w, ranks.world, 1, &b) != 0;
	bad |= memcmp(a.o, b.o, (size_t)(B * a.shape.chunk * H) * sizeof(float)) != 0;
	bad |= memcmp(a.dqkv, b.dqkv, (size_t)(B * a.shape.chunk * 3 * H) * sizeof(float)) != 0;
	bad |= memcmp(a.dweights[0], b.dweights[0], (size_t)(w.positions * w.columns) * sizeof(float)) != 0;
	free_result(&a);
	free_result(&b);
	free_whole(&w);
	assert_false(test_ranks_agree(&ranks, bad));
}

/* What attention has for itself does not grow with the tokens a rank has, but for a number of each head and token. */
static void memory_is_a_straight_line(void **state)
{
	(void)state;
	size_t bytes[3];
	for (int i = 0; i < 3; i++) {
		const struct sp_attention_setup setup = {
			.compute = ranks.compute,
			.shape = { 1, (i + 1) << 20, A, D, 4, 0, { .linformer_k = 256 } },
		};
		const struct sp_attention_variant *variant = sp_attention_find("linformer");
		struct sp_arena counting = { 0 };
		void *work = NULL;
		assert_int_equal(variant->create(&setup, &counting, &work), SP_OK);
		variant->destroy(work);
		bytes[i] = counting.high;
	}
	assert_int_equal(bytes[2] - bytes[1], bytes[1] - bytes[0]);
	assert_int_equal(bytes[1] - bytes[0], A * sizeof(float) << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linformer_equals_loops_in_float64),
		cmocka_unit_test(linformer_equals_loops_in_float64_with_dropout),
		cmocka_unit_test(linformer_equals_loops_in_float64_without_overlap),
		cmocka_unit_test(gradients_of_projections_match_finite_differences),
		cmocka_unit_test(two_runs_give_the_same_bits),
		cmocka_unit_test(memory_is_a_straight_line),
	};
	int rc = test_ranks_open(&ranks);
	if (rc)
		return rc;
	int failed = test_ranks_agree(&ranks, cmocka_run_group_tests(tests, NULL, NULL));
	test_ranks_close(&ranks);
	return failed;
}
