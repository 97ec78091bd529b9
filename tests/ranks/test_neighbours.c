/* Attention to neighbours and global tokens over any number of ranks against plain loops in float64 over whole sequences. */
#include "config.h"

#include "attention/attention.h"
#include "attention/globals.h"
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

enum { B = 2, A = 3, D = 8, H = A * D, SEPARATOR = 3 };

static const int64_t lengths[] = { 1, 2, 7, 63, 64, 65, 127, 400 };
enum { LENGTHS = sizeof lengths / sizeof *lengths };

/* Windows within a rank's share, over several ranks, over all; global tokens: the first of each document, or more, as many as
 * have room. */
struct form {
	int64_t window, globals;
	int separators;
};
static const struct form forms[] = { { 1, 1, 0 }, { 5, 2, 0 }, { 31, 3, 1 }, { 100, 40, 1 }, { 100000, 1, 0 } };
enum { FORMS = sizeof forms / sizeof *forms };

/* Whole sequences, float64 copies of what the variant gets, and what comes out of them. */
struct whole {
	struct form form;
	int64_t length;
	int32_t *doc, *token; /* (B, S) */
	int32_t *place;       /* (B, S): which of its sample's global tokens it is, or -1 */
	uint32_t sample[B];
	struct sp_dropout dropout;
	int some;             /* only what some queries find is read */
	double *qkv, *dout;   /* (B S, 3 H), (B S, H) */
	double *o, *dqkv;     /* (B S, H), (B S, 3 H) */
	double *lse;          /* (B A, S) */
};

static void *array(int64_t n, size_t size)
{
	void *x = calloc((size_t)n + 1, size);
	assert_non_null(x);
	return x;
}

/* Drawn in float32, so that both sides start from the same. */
static double *draw(int64_t n, struct sp_rng *rng)
{
	double *x = array(n, sizeof *x);
	for (int64_t i = 0; i < n; i++)
		x[i] = (double)(float)sp_rng_normal(rng);
	return x;
}

/* The first sample is three documents and a padded tail; the second one document. */
static int32_t document_of(int64_t b, int64_t i, int64_t length)
{
	if (b == 1 || length < 5)
		return 4;
	return i < length / 4 ? 0 : i < length / 2 ? 7 : i < length - length / 6 ? 2 : -1;
}

static void mark(struct whole *w, int64_t b)
{
	int32_t count = 0;
	for (int64_t i = 0; i < w->length; i++) {
		const int32_t doc = w->doc[b * w->length + i];
		const int first = i == 0 || w->doc[b * w->length + i - 1] != doc;
		const int marked = w->form.separators && w->token[b * w->length + i] == SEPARATOR;
		w->place[b * w->length + i] = doc >= 0 && (first || marked) && count < w->form.globals ? count++ : -1;
	}
}

static int is_read(const struct whole *w, int64_t b, int64_t i)
{
	return !w->some || (5 * b + i) % 7 == 2;
}

static struct whole make(struct form form, int64_t length, uint32_t keep, int some)
{
	struct whole w = { .form = form, .length = length, .sample = { 5, 9 }, .dropout = { .key = { 11, 13 }, .keep = keep }, .some = some };
	struct sp_rng rng;
	sp_rng_start(&rng, 1, SP_RNG_SYNTHETIC, (uint64_t)length, 0);
	w.qkv = draw(B * length * 3 * H, &rng);
	w.dout = draw(B * length * H, &rng);
	w.doc = array(B * length, sizeof *w.doc);
	w.token = array(B * length, sizeof *w.token);
	w.place = array(B * length, sizeof *w.place);
	w.o = array(B * length * H, sizeof(double));
	w.dqkv = array(B * length * 3 * H, sizeof(double));
	w.lse = array(B * A * length, sizeof(double));
	for (int64_t l = 0; l < B * length; l++) {
		w.doc[l] = document_of(l / length, l % length, length);
		w.token[l] = l % 9 == 4 ? SEPARATOR : 1;
		for (int64_t x = 0; x < H && !is_read(&w, l / length, l % length); x++)
			w.dout[l * H + x] = 0;
	}
	for (int64_t b = 0; b < B; b++)
		mark(&w, b);
	return w;
}

static void free_whole(struct whole *w)
{
	void *const all[] = { w->qkv, w->dout, w->o, w->dqkv, w->lse, w->doc, w->token, w->place };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
}

/* ---- float64 ---- */

/* Of query (0), key (1) or value (2) of token i of sample b: its H features. */
static double *of_token(const struct whole *w, double *packed, int64_t b, int64_t i, int which)
{
	return packed + (b * w->length + i) * 3 * H + which * H;
}

static int meet(const struct whole *w, int64_t b, int64_t i, int64_t j)
{
	const int64_t at = b * w->length;
	if (w->doc[at + i] < 0 || w->doc[at + i] != w->doc[at + j])
		return 0;
	return w->place[at + i] >= 0 || w->place[at + j] >= 0 || llabs(i - j) <= w->form.window;
}

/* The dropout factor of a pair: global tokens are numbered from 2^31 on, the query's number counts if both are. */
static double factor(const struct whole *w, int64_t b, int64_t a, int64_t i, int64_t j)
{
	const int32_t query = w->place[b * w->length + i], key = w->place[b * w->length + j];
	uint32_t row = (uint32_t)i, column = (uint32_t)j;
	if (w->dropout.keep == 65536)
		return 1;
	if (query >= 0)
		row = 0x80000000u + (uint32_t)query;
	else if (key >= 0)
		column = 0x80000000u + (uint32_t)key;
	return sp_reference_dropout(&w->dropout, column, row, w->sample[b] * A + (uint32_t)a);
}

/* Of one query and head, over all tokens; the log-sum-exp. */
static double probabilities(const struct whole *w, int64_t b, int64_t a, int64_t i, double *p)
{
	double most = -INFINITY, sum = 0;
	for (int64_t j = 0; j < w->length; j++) {
		p[j] = meet(w, b, i, j) ? 0 : -INFINITY;
		for (int64_t x = a * D; x < a * D + D && p[j] > -INFINITY; x++)
			p[j] += of_token(w, w->qkv, b, i, 0)[x] * of_token(w, w->qkv, b, j, 1)[x] / sqrt((double)D);
		most = fmax(most, p[j]);
	}
	for (int64_t j = 0; j < w->length; j++)
		sum += p[j] = most > -INFINITY ? exp(p[j] - most) : 0;
	for (int64_t j = 0; j < w->length && sum > 0; j++)
		p[j] /= sum;
	return sum > 0 ? most + log(sum) : -INFINITY;
}

static void one_query(struct whole *w, int64_t b, int64_t a, int64_t i, double *p, double *dp)
{
	const double *dout = w->dout + (b * w->length + i) * H;
	double *o = w->o + (b * w->length + i) * H, dots = 0;
	w->lse[(b * A + a) * w->length + i] = probabilities(w, b, a, i, p);
	for (int64_t j = 0; j < w->length; j++) {
		const double z = p[j] > 0 ? factor(w, b, a, i, j) : 0;
		dp[j] = 0;
		for (int64_t x = a * D; x < a * D + D && p[j] > 0; x++) {
			o[x] += p[j] * z * of_token(w, w->qkv, b, j, 2)[x];
			dp[j] += z * dout[x] * of_token(w, w->qkv, b, j, 2)[x];
			of_token(w, w->dqkv, b, j, 2)[x] += p[j] * z * dout[x];
		}
		dots += p[j] * dp[j];
	}
	for (int64_t j = 0; j < w->length; j++)
		for (int64_t x = a * D; x < a * D + D && p[j] > 0; x++) {
			const double ds = p[j] * (dp[j] - dots) / sqrt((double)D);
			of_token(w, w->dqkv, b, i, 0)[x] += ds * of_token(w, w->qkv, b, j, 1)[x];
			of_token(w, w->dqkv, b, j, 1)[x] += ds * of_token(w, w->qkv, b, i, 0)[x];
		}
}

static void solve(struct whole *w)
{
	double *p = array(w->length, sizeof *p), *dp = array(w->length, sizeof *dp);
	for (int64_t l = 0; l < B * A * w->length; l++)
		one_query(w, l / (A * w->length), l / w->length % A, l % w->length, p, dp);
	free(p);
	free(dp);
}

/* ---- the variant ---- */

struct result {
	struct sp_attention_shape_host shape;
	float *o, *lse, *dqkv; /* (B C, H), (B A, C), (B C, 3 H) */
	uint64_t sent_forward, sent_backward;
};

static void free_result(struct result *r)
{
	free(r->o);
	free(r->lse);
	free(r->dqkv);
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

/* What a batch says of documents and global tokens. */
struct said {
	int32_t *doc, *read_doc;
	struct sp_globals_cut cut;
};

static struct said say(const struct whole *w, struct sp_shard shard, int size, int rank)
{
	const int64_t rows = B * shard.chunk, slots = B * w->form.globals;
	struct said s = { array(size * rows, 4), array(rows, 4), { .batch = B, .chunk = shard.chunk, .globals = w->form.globals } };
	for (int64_t l = 0; l < size * rows; l++) {
		const int64_t r = l / rows, b = l / shard.chunk % B, i = r * shard.chunk + l % shard.chunk;
		s.doc[l] = i < w->length ? w->doc[b * w->length + i] : -1;
		if (r == rank)
			s.read_doc[l % rows] = is_read(w, b, i) ? s.doc[l] : -1;
	}
	s.cut.ranks = size;
	s.cut.rank = rank;
	s.cut.doc = s.doc;
	s.cut.read_doc = s.read_doc;
	s.cut.global_doc = array(slots, 4);
	s.cut.other = array(size * rows, 4);
	s.cut.read_other = array(rows, 4);
	s.cut.row = array(slots, 4);
	s.cut.slot = array(slots, 4);
	for (int64_t b = 0; b < B; b++)
		sp_attention_globals_cut(&s.cut, b, w->token + b * w->length, w->length, w->form.separators ? SEPARATOR : -1);
	return s;
}

static void unsay(struct said *s)
{
	int32_t *const all[] = { s->doc, s->read_doc, s->cut.global_doc, s->cut.other, s->cut.read_other, s->cut.row, s->cut.slot };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
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

/* Collective over comm. */
static int run(const struct whole *w, struct sp_comm *comm, int overlap, struct result *out)
{
	const struct sp_attention_variant *variant = sp_attention_find("window");
	const struct sp_shard shard = sp_shard_of(w->length, sp_comm_size(comm), sp_comm_rank(comm), 1);
	const int64_t rows = B * shard.chunk;
	const struct sp_attention_setup setup = {
		ranks.compute, comm,
		{ B, shard.chunk, A, D, sp_comm_size(comm), sp_comm_rank(comm),
		  { .window = w->form.window, .globals = w->form.globals } }, overlap,
	};
	struct sp_arena arena;
	void *work = NULL;
	int rc = create(variant, &setup, &arena, &work);
	struct said said = say(w, shard, setup.shape.ranks, setup.shape.rank);
	const struct sp_globals_cut *g = &said.cut;
	float *qkv = slice(w->qkv, shard, 3 * H), *dout = slice(w->dout, shard, H);
	const int64_t kept = variant->kept(&setup.shape);
	float *memory = array(kept, sizeof *memory);
	*out = (struct result){ setup.shape, array(rows * H, 4), array(B * A * shard.chunk, 4), array(rows * 3 * H, 4), 0, 0 };
	memset(memory, 0xff, (size_t)kept * sizeof *memory);
	memset(out->dqkv, 0xff, (size_t)(rows * 3 * H) * sizeof *out->dqkv);
	memset(out->o, 0xff, (size_t)(rows * H) * sizeof *out->o);
	const struct sp_attention_call call = {
		.doc = said.doc,
		.query_doc = w->some ? said.read_doc : NULL,
		.sample = w->sample,
		.dropout = w->dropout,
		.globals = { g->global_doc, g->other, w->some ? g->read_other : NULL, g->row, g->slot, g->own },
	};
	const struct sp_attention_state state = {
		.qkv = sp_matrix(qkv, rows, 3 * H),
		.o = sp_matrix(out->o, rows, H),
		.lse = sp_matrix(out->lse, B * A, shard.chunk),
		.kept = sp_matrix(memory, 1, kept),
	};
	const uint64_t before = sp_comm_counters(comm).bytes;
	rc = rc ? rc : variant->forward(work, &call, &state);
	out->sent_forward = sp_comm_counters(comm).bytes - before;
	memset(arena.base, 0xff, arena.size);
	rc = rc || !overlap ? rc : variant->begin_backward(work, &state); /* who does not overlap leaves it to backward */
	rc = rc ? rc : variant->backward(work, &call, &state, sp_matrix(dout, rows, H), sp_matrix(out->dqkv, rows, 3 * H));
	out->sent_backward = sp_comm_counters(comm).bytes - before - out->sent_forward;
	variant->destroy(work);
	free(arena.base);
	free(qkv);
	free(dout);
	free(memory);
	unsay(&said);
	return rc;
}

/* ---- comparing ---- */

/* This rank's rows of (B S, cols), of queries that are read if `only_read`, against float64, beside the size of the whole. */
static int rows_differ(const struct whole *w, const char *what, const float *part, const double *whole, struct sp_shard shard,
                       int64_t cols, int only_read)
{
	double sum = 0, all = 0;
	for (int64_t l = 0; l < B * w->length * cols; l++)
		all += whole[l] * whole[l];
	for (int64_t l = 0; l < B * shard.real * cols; l++) {
		const int64_t b = l / (shard.real * cols), i = l / cols % shard.real, x = l % cols;
		const double e = (double)part[(b * shard.chunk + i) * cols + x] - whole[(b * w->length + shard.first + i) * cols + x];
		if (!only_read || is_read(w, b, shard.first + i))
			sum += e * e;
	}
	if (sqrt(sum) <= 2e-6 * sqrt(all))
		return 0;
	fprintf(stderr, "rank %d of %d, S %lld, window %lld, globals %lld: %s differs by %g of %g\n", ranks.rank, ranks.size,
	        (long long)w->length, (long long)w->form.window, (long long)w->form.globals, what, sqrt(sum), sqrt(all));
	return 1;
}

static int result_differs(const struct whole *w, struct sp_comm *comm, const struct result *r)
{
	const struct sp_shard shard = sp_shard_of(w->length, sp_comm_size(comm), sp_comm_rank(comm), 1);
	int bad = rows_differ(w, "o", r->o, w->o, shard, H, 1) | rows_differ(w, "dqkv", r->dqkv, w->dqkv, shard, 3 * H, 0);
	for (int64_t row = 0; row < B * A; row++)
		for (int64_t i = 0; i < shard.real; i++) {
			const int64_t at = row / A * w->length + shard.first + i;
			const double a = r->lse[row * shard.chunk + i], b = w->lse[row * w->length + shard.first + i];
			bad |= w->place[at] < 0 && is_read(w, row / A, shard.first + i) && !(a == b || fabs(a - b) <= 1e-5 * (1 + fabs(b)));
		}
	return bad;
}

/* The formulas of the source file, token by token: of another rank's tokens this one needs those within the window of one of its
 * own, and has as many sent as it needs. */
static int bytes_differ(const struct whole *w, const struct result *r)
{
	const struct sp_attention_variant *variant = sp_attention_find("window");
	const struct sp_attention_shape_host *s = &r->shape;
	const uint64_t p = (uint64_t)s->ranks, G = (uint64_t)w->form.globals;
	uint64_t halo = 0, once = (B * G * H + p - 1) / p, thrice = (3 * B * G * H + p - 1) / p;
	for (int64_t i = 0; i < s->ranks * s->chunk; i++) {
		const int64_t first = s->rank * s->chunk, apart = i < first ? first - i : i - (first + s->chunk - 1);
		halo += i / s->chunk != s->rank && apart <= w->form.window;
	}
	const uint64_t forward = 2 * B * halo * H + 2 * (p - 1) * thrice + (p - 1) * B * G * (H + 2 * A);
	const uint64_t backward = 4 * B * halo * H + 2 * (p - 1) * (once + thrice);
	const int bad = r->sent_forward != forward * sizeof(float) || r->sent_backward != backward * sizeof(float) ||
	                variant->sent_forward(s) != forward || variant->sent_backward(s) != backward;
	if (bad)
		fprintf(stderr, "rank %d of %d: sent %llu and %llu bytes\n", ranks.rank, ranks.size, (unsigned long long)r->sent_forward,
		        (unsigned long long)r->sent_backward);
	return bad;
}

static int form_differs(struct form form, int64_t length, uint32_t keep, int overlap, int some)
{
	struct whole w = make(form, length, keep, some);
	struct result alone, split;
	solve(&w);
	int bad = run(&w, ranks.alone, overlap, &alone) != 0 || result_differs(&w, ranks.alone, &alone);
	bad |= run(&w, ranks.world, overlap, &split) != 0 || result_differs(&w, ranks.world, &split);
	bad |= bytes_differ(&w, &alone) | bytes_differ(&w, &split);
	free_result(&alone);
	free_result(&split);
	free_whole(&w);
	return bad;
}

static int any_differs(uint32_t keep, int overlap, int some)
{
	int bad = 0;
	for (int i = 0; i < LENGTHS; i++)
		for (int f = 0; f < FORMS; f++)
			bad |= form_differs(forms[f], lengths[i], keep, overlap, some);
	return bad;
}

static void window_equals_loops_in_float64(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, any_differs(65536, 1, 0)));
}

static void window_equals_loops_in_float64_with_dropout(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, any_differs(50000, 1, 0)));
}

static void window_equals_loops_in_float64_without_overlap(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, any_differs(50000, 0, 0)));
}

static void queries_that_nobody_reads_may_be_left_out(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, any_differs(50000, 1, 1)));
}

/* Float64 loops, with a window that leaves nothing out, are full attention: but for dropout's numbers of global tokens. */
static void a_window_that_is_wide_enough_is_full_attention(void **state)
{
	(void)state;
	struct whole w = make(forms[4], 65, 65536, 0);
	const struct sp_attention_variant *full = sp_attention_find("full");
	const struct sp_attention_setup setup = { ranks.compute, ranks.alone, { B, w.length, A, D, 1, 0, { 0 } }, 1 };
	const struct sp_shard shard = sp_shard_of(w.length, 1, 0, 1);
	struct sp_arena arena;
	struct result r = { setup.shape, array(B * w.length * H, 4), array(B * A * w.length, 4), NULL, 0, 0 };
	void *work = NULL;
	float *qkv = slice(w.qkv, shard, 3 * H);
	const struct sp_attention_call call = { .doc = w.doc, .sample = w.sample, .dropout = w.dropout };
	const struct sp_attention_state state_of = {
		.qkv = sp_matrix(qkv, B * w.length, 3 * H),
		.o = sp_matrix(r.o, B * w.length, H),
		.lse = sp_matrix(r.lse, B * A, w.length),
	};
	solve(&w);
	int bad = create(full, &setup, &arena, &work) != 0 || full->forward(work, &call, &state_of) != 0;
	bad |= rows_differ(&w, "full attention", r.o, w.o, shard, H, 0);
	full->destroy(work);
	free(arena.base);
	free(qkv);
	free_result(&r);
	free_whole(&w);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void two_runs_give_the_same_bits(void **state)
{
	(void)state;
	struct whole w = make(forms[2], 65, 50000, 0);
	struct result a, b;
	int bad = run(&w, ranks.world, 1, &a) != 0;
	bad |= run(&w, ranks.world, 0, &b) != 0;
	bad |= memcmp(a.o, b.o, (size_t)(B * a.shape.chunk * H) * sizeof(float)) != 0;
	bad |= memcmp(a.dqkv, b.dqkv, (size_t)(B * a.shape.chunk * 3 * H) * sizeof(float)) != 0;
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
			.shape = { 1, (i + 1) << 20, A, D, 4, 0, { .window = 256, .globals = 3 } },
		};
		const struct sp_attention_variant *variant = sp_attention_find("window");
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
		cmocka_unit_test(window_equals_loops_in_float64),
		cmocka_unit_test(window_equals_loops_in_float64_with_dropout),
		cmocka_unit_test(window_equals_loops_in_float64_without_overlap),
		cmocka_unit_test(queries_that_nobody_reads_may_be_left_out),
		cmocka_unit_test(a_window_that_is_wide_enough_is_full_attention),
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
