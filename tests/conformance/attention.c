/* The four attention operations, block by block as a ring uses them. */
#include "config.h"

#include "conformance/bench.h"
#include "conformance/cases.h"
#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Who may meet whom. */
enum documents {
	DOC_ONE,      /* everyone */
	DOC_PADDED,   /* one document, then padding */
	DOC_PACKED,   /* runs of several documents, padding at the end */
	DOC_RANDOM,   /* any order, with padding in between */
	DOC_APART,    /* queries and keys never share a document */
	DOC_PADDING,  /* nothing but padding */
	DOC_LONELY,   /* every third query belongs to a document that has no key */
	DOCS,
	DOC_UNREAD = DOCS /* everyone, but every third query is read by nobody: only in whole steps */
};

enum { BLOCKS = 3 };

struct attention_case {
	int64_t batch, heads, head_dim, chunk;
	int64_t keys[BLOCKS]; /* of each block; the first may be 0 */
	int blocks, packed;   /* packed: q, k, v are columns of one projection (one block, keys == chunk) */
	int strided;
	enum documents docs;
	uint32_t keep, first_query, first_key;
	double q_scale;
	enum bound bound;
	int64_t window;
	int whole;
};

static const uint32_t sample[] = { 1, 70000, 3 };

static int32_t document(enum documents docs, int key, int64_t b, int64_t i, int64_t n)
{
	const uint32_t place = (uint32_t)(b * 1000 + i);
	switch (docs) {
	case DOC_ONE:
		return 0;
	case DOC_UNREAD:
		return !key && i % 3 == 1 ? -1 : 0;
	case DOC_PADDED:
		return i < n - n / 3 ? 5 : -1;
	case DOC_PACKED:
		return i < n - n / 5 ? (int32_t)(i * 3 / n) : -1;
	case DOC_RANDOM:
		return (int32_t)bench_below(40 + (uint32_t)key, place, 4) - 1;
	case DOC_APART:
		return key ? 1 : 2;
	case DOC_PADDING:
		return -1;
	default:
		return !key && i % 3 == 0 ? 9 : 0;
	}
}

static struct bytes *documents(struct bench *b, const struct attention_case *k, int key, int64_t n)
{
	int32_t *doc = malloc(sizeof *doc * (size_t)(k->batch * n + 1));
	assert_non_null(doc);
	for (int64_t s = 0; s < k->batch; s++)
		for (int64_t i = 0; i < n; i++)
			doc[s * n + i] = document(k->docs, key, s, i, n);
	struct bytes *a = bench_bytes(b, IN, doc, sizeof *doc * (size_t)(k->batch * n));
	free(doc);
	return a;
}

static void open_case(struct bench *b, struct sp_compute *c, const struct attention_case *k)
{
	bench_open(b, c, k->strided, "B %lld A %lld D %lld C %lld keys %lld+%lld+%lld docs %d keep %u key %u packed %d strided %d window %lld",
	           (long long)k->batch, (long long)k->heads, (long long)k->head_dim, (long long)k->chunk,
	           (long long)k->keys[0], (long long)k->keys[1], (long long)k->keys[2], k->docs, k->keep, k->first_key,
	           k->packed, k->strided, (long long)k->window);
}

/* Everything the four operations touch. A packed projection has one tensor behind three views. */
struct attention_tensors {
	struct tensor *qkv, *q, *k[BLOCKS], *v[BLOCKS];
	struct tensor *acc, *m, *l, *o, *lse;
	struct tensor *dout, *dots, *dqkv, *dq, *dk[BLOCKS], *dv[BLOCKS];
	struct bytes *query_doc, *key_doc[BLOCKS], *samples;
};

static int64_t width(const struct attention_case *k)
{
	return k->heads * k->head_dim;
}

static void take_inputs(struct bench *b, const struct attention_case *k, struct attention_tensors *t)
{
	const int64_t W = width(k), rows = k->batch * k->chunk;
	if (k->packed) {
		t->qkv = bench_element(b, IN, rows, 3 * W);
	} else {
		t->q = bench_element(b, IN, rows, W);
		tensor_scale(t->q, k->q_scale, 0);
	}
	for (int i = 0; i < k->blocks; i++) {
		if (!k->packed) {
			t->k[i] = bench_element(b, IN, k->batch * k->keys[i], W);
			t->v[i] = bench_element(b, IN, k->batch * k->keys[i], W);
		}
		t->key_doc[i] = documents(b, k, 1, k->keys[i]);
	}
	t->query_doc = documents(b, k, 0, k->chunk);
	t->samples = bench_bytes(b, IN, sample, sizeof sample);
}

static struct sp_matrix third(const struct tensor *qkv, const struct tensor *alone, int part, enum side side)
{
	if (!qkv)
		return view(alone, side);
	return sp_matrix_columns(view(qkv, side), part * qkv->cols / 3, qkv->cols / 3);
}

static struct sp_attention_shape shape_of(const struct attention_case *k, const struct attention_tensors *t, int block,
                                          enum side side)
{
	uint32_t first_key = k->first_key;
	for (int i = 0; i < block; i++)
		first_key += (uint32_t)k->keys[i];
	const struct sp_attention_shape shape = {
		.batch = k->batch,
		.heads = k->heads,
		.head_dim = k->head_dim,
		.chunk = k->chunk,
		.keys = k->keys[block],
		.scale = (float)(1 / sqrt((double)k->head_dim)),
		.query_doc = at(t->query_doc, side),
		.key_doc = at(t->key_doc[block], side),
		.sample = at(t->samples, side),
		.first_query = k->first_query,
		.first_key = first_key,
		.window = k->window,
		.whole = k->whole,
		.all_heads = k->packed ? 0 : (uint32_t)k->heads + 3, /* some of more heads, as after an exchange of heads */
		.first_head = k->packed ? 0 : 2,
		.dropout = bench_dropout(k->keep, side),
	};
	return shape;
}

static struct sp_attention_forward forward_args(const struct attention_case *k, const struct attention_tensors *t, int block,
                                                enum side side)
{
	const struct sp_attention_forward args = {
		.shape = shape_of(k, t, block, side),
		.q = third(t->qkv, t->q, 0, side),
		.k = third(t->qkv, t->k[block], 1, side),
		.v = third(t->qkv, t->v[block], 2, side),
		.acc = view(t->acc, side),
		.m = view(t->m, side),
		.l = view(t->l, side),
		.first = block == 0,
	};
	return args;
}

static struct sp_attention_finish finish_args(const struct attention_case *k, const struct attention_tensors *t,
                                              struct tensor *o, struct tensor *lse, enum side side)
{
	const struct sp_attention_finish args = { k->batch,         k->heads,         k->head_dim,   k->chunk,       view(t->acc, side),
		                                  view(t->m, side), view(t->l, side), view(o, side), view(lse, side) };
	return args;
}

static void forward_case(struct sp_compute *c, const struct attention_case *k)
{
	struct bench b;
	struct attention_tensors t = { 0 };
	open_case(&b, c, k);
	take_inputs(&b, k, &t);
	t.acc = bench_tensor(&b, OUT, k->batch * k->chunk, width(k));
	t.m = bench_tensor(&b, OUT, k->batch * k->heads, k->chunk);
	t.l = bench_tensor(&b, OUT, k->batch * k->heads, k->chunk);
	while (bench_again(&b))
		for (int i = 0; i < k->blocks; i++) {
			const struct sp_attention_forward args = forward_args(k, &t, i, DEVICE);
			assert_int_equal(sp_compute_attention_forward(c, &args), SP_OK);
		}
	for (int i = 0; i < k->blocks; i++) {
		const struct sp_attention_forward args = forward_args(k, &t, i, REFERENCE);
		sp_reference_attention_forward(&args);
	}
	/* One key gives scores near 0 by chance, so m is judged against scores of size 1. */
	bench_expect_near(&b, t.m, k->bound, "m", sqrt((double)(k->batch * k->heads * k->chunk)));
	bench_expect(&b, t.l, k->bound, "l");
	bench_expect_factors(&b, t.acc, k->bound, "acc");
	bench_close(&b);
}

/* Sizes on both sides of tile edges; head sizes that no vector width divides, and those in use. */
static const struct attention_case shapes[] = {
	{ 1, 1, 1, 1, { 1 }, 1, 0, 0, DOC_ONE, 0, 0, 0, 1, BOUND_ATTENTION_FORWARD },
	{ 1, 1, 64, 1, { 1 }, 1, 0, 0, DOC_ONE, 0, 0, 0, 1, BOUND_ATTENTION_FORWARD },
	{ 2, 3, 5, 7, { 11 }, 1, 0, 0, DOC_ONE, 0, 2, 5, 1, BOUND_ATTENTION_FORWARD },
	{ 1, 2, 64, 33, { 65 }, 1, 0, 0, DOC_ONE, 0, 8, 16, 1, BOUND_ATTENTION_FORWARD },
	{ 3, 1, 17, 1, { 40 }, 1, 0, 0, DOC_ONE, 0, 7, 1, 1, BOUND_ATTENTION_FORWARD },
	{ 1, 1, 128, 70, { 131 }, 1, 0, 0, DOC_ONE, 0, 70, 131, 1, BOUND_ATTENTION_FORWARD },
	{ 1, 2, 8, 0, { 5 }, 1, 0, 0, DOC_ONE, 0, 0, 0, 1, BOUND_ATTENTION_FORWARD },
	{ 1, 2, 8, 5, { 0 }, 1, 0, 0, DOC_ONE, 0, 0, 0, 1, BOUND_ATTENTION_FORWARD },
	{ 0, 2, 8, 5, { 4 }, 1, 0, 0, DOC_ONE, 0, 0, 0, 1, BOUND_ATTENTION_FORWARD },
	{ 2, 2, 32, 63, { 63 }, 1, 1, 0, DOC_ONE, 0, 63, 63, 1, BOUND_ATTENTION_FORWARD },
	{ 1, 1, 32, 1, { 1 }, 1, 1, 0, DOC_ONE, 0, 0, 7, 1, BOUND_ATTENTION_FORWARD },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const uint32_t keeps[] = { 65536, 58982 };

/* More than one tile of queries and of keys, in one block and in three; more of either than a device may hold at once. */
static const struct attention_case large[] = {
	{ 1, 1, 64, 261, { 1031 }, 1, 0, 0, DOC_PACKED, 58982, 1000, 2003, 1, BOUND_ATTENTION_FORWARD },
	{ 1, 2, 64, 300, { 300 }, 1, 1, 0, DOC_ONE, 65536, 0, 0, 1, BOUND_ATTENTION_FORWARD },
	{ 1, 1, 8, 811, { 67 }, 1, 0, 0, DOC_ONE, 58982, 3, 5, 1, BOUND_ATTENTION_FORWARD },
	{ 1, 1, 128, 31, { 1130 }, 1, 0, 0, DOC_PACKED, 58982, 7, 11, 1, BOUND_ATTENTION_FORWARD },
	{ 1, 1, 128, 1130, { 35 }, 1, 0, 0, DOC_LONELY, 58982, 7, 11, 1, BOUND_ATTENTION_FORWARD },
	/* padding on one side, tiles without it on the other */
	{ 1, 1, 64, 100, { 200 }, 1, 0, 0, DOC_PADDED, 65536, 0, 0, 1, BOUND_ATTENTION_FORWARD },
	{ 1, 1, 64, 200, { 100 }, 1, 0, 0, DOC_PADDED, 65536, 0, 0, 1, BOUND_ATTENTION_FORWARD },
	{ 2, 1, 32, 131, { 257, 1, 130 }, 3, 0, 1, DOC_RANDOM, 58982, 17, 3, 1, BOUND_ATTENTION_FORWARD },
};
enum { LARGE = sizeof large / sizeof *large };

static void every_shape(struct sp_compute *c, void (*test)(struct sp_compute *, const struct attention_case *))
{
	for (int i = 0; i < SHAPES; i++)
		for (int docs = 0; docs < DOCS; docs++)
			for (int flags = 0; flags < 4; flags++) {
				struct attention_case k = shapes[i];
				k.docs = (enum documents)docs;
				k.keep = keeps[flags & 1];
				k.strided = flags >> 1;
				test(c, &k);
			}
	for (int i = 0; i < LARGE; i++)
		test(c, &large[i]);
}

void attention_forward_equals_reference(void **state)
{
	every_shape(*state, forward_case);
}

/* The second and third block update what the first left, also where the first left nothing; the middle one, of one key,
 * and an empty one change little or nothing. */
static const struct attention_case blocked[] = {
	{ 2, 2, 16, 9, { 5, 8, 3 }, 3, 0, 0, DOC_ONE, 0, 5, 3, 1, BOUND_ATTENTION_FORWARD },
	{ 1, 1, 64, 35, { 64, 1, 67 }, 3, 0, 0, DOC_ONE, 0, 0, 0, 1, BOUND_ATTENTION_FORWARD },
	{ 1, 3, 7, 13, { 0, 13, 0 }, 3, 0, 0, DOC_ONE, 0, 13, 1, 1, BOUND_ATTENTION_FORWARD },
};
enum { BLOCKED = sizeof blocked / sizeof *blocked };

static void every_blocked(struct sp_compute *c, void (*test)(struct sp_compute *, const struct attention_case *))
{
	for (int i = 0; i < BLOCKED; i++)
		for (int docs = 0; docs < DOCS; docs++)
			for (int flags = 0; flags < 4; flags++) {
				struct attention_case k = blocked[i];
				k.docs = (enum documents)docs;
				k.keep = keeps[flags & 1];
				k.strided = flags >> 1;
				test(c, &k);
			}
}

/* Keys of all blocks as one block, on the device: o and lse must be those of the blocks folded one by one. */
static void blocks_case(struct sp_compute *c, const struct attention_case *k)
{
	struct bench b;
	struct attention_tensors t = { 0 };
	int64_t all = 0, W = width(k), rows = k->batch * k->chunk, lines = k->batch * k->heads;
	forward_case(c, k);
	if (k->batch != 1 || (k->docs != DOC_ONE && k->docs != DOC_LONELY))
		return; /* the blocks of other samples and the documents of other orders would need sorting */
	for (int i = 0; i < k->blocks; i++)
		all += k->keys[i];
	struct attention_case one = *k;
	one.keys[0] = all;
	one.blocks = 1;
	open_case(&b, c, k);
	t.q = bench_element(&b, IN, rows, W);
	struct tensor *keys = bench_element(&b, IN, all, W), *values = bench_element(&b, IN, all, W);
	t.acc = bench_tensor(&b, OUT, rows, W);
	t.m = bench_tensor(&b, OUT, lines, k->chunk);
	t.l = bench_tensor(&b, OUT, lines, k->chunk);
	struct tensor *o[2], *lse[2];
	for (int i = 0; i < 2; i++) {
		o[i] = bench_element(&b, OUT, rows, W);
		lse[i] = bench_tensor(&b, OUT, lines, k->chunk);
	}
	t.query_doc = documents(&b, k, 0, k->chunk);
	t.samples = bench_bytes(&b, IN, sample, sizeof sample);
	t.key_doc[0] = documents(&b, k, 1, all);
	t.key_doc[1] = t.key_doc[2] = t.key_doc[0];
	const struct sp_attention_finish folded = finish_args(k, &t, o[0], lse[0], DEVICE);
	const struct sp_attention_finish whole = finish_args(k, &t, o[1], lse[1], DEVICE);
	while (bench_again(&b)) {
		int64_t from = 0;
		for (int i = 0; i < k->blocks; i++) {
			struct sp_attention_forward args = forward_args(k, &t, i, DEVICE);
			args.k = sp_matrix_rows(view(keys, DEVICE), from, k->keys[i]);
			args.v = sp_matrix_rows(view(values, DEVICE), from, k->keys[i]);
			assert_int_equal(sp_compute_attention_forward(c, &args), SP_OK);
			from += k->keys[i];
		}
		assert_int_equal(sp_compute_attention_finish(c, &folded), SP_OK);
		struct sp_attention_forward args = forward_args(&one, &t, 0, DEVICE);
		args.k = view(keys, DEVICE);
		args.v = view(values, DEVICE);
		assert_int_equal(sp_compute_attention_forward(c, &args), SP_OK);
		assert_int_equal(sp_compute_attention_finish(c, &whole), SP_OK);
	}
	for (int64_t i = 0; i < rows * W; i++)
		o[1]->value[i] = tensor_got(o[0], i / W, i % W);
	for (int64_t i = 0; i < lines * k->chunk; i++)
		lse[1]->value[i] = tensor_got(lse[0], i / k->chunk, i % k->chunk);
	bench_expect_rounded(&b, o[1], BOUND_ATTENTION_FORWARD, "o", 3); /* factors of both, and o */
	bench_expect(&b, lse[1], BOUND_ATTENTION_FORWARD, "lse");
	bench_close(&b);
}

void attention_blocks_equal_one_block(void **state)
{
	every_blocked(*state, blocks_case);
}

void attention_with_huge_scores_stays_finite(void **state)
{
	for (int i = 0; i < BLOCKED; i++)
		for (int docs = 0; docs < DOCS; docs++) {
			struct attention_case k = blocked[i];
			k.docs = (enum documents)docs;
			k.keep = keeps[docs % 2];
			k.q_scale = 200;
			k.bound = BOUND_ATTENTION_FORWARD_HUGE;
			forward_case(*state, &k);
		}
}

/* ---- finish and dots ---- */

struct finish_case {
	int64_t batch, heads, head_dim, chunk;
	int o_is_acc, lse_is; /* lse_is: 0 itself, 1 m, 2 l */
	int strided;
};

static void finish_case(struct sp_compute *c, const struct finish_case *k)
{
	const int64_t W = k->heads * k->head_dim, rows = k->batch * k->chunk, lines = k->batch * k->heads;
	struct bench b;
	bench_open(&b, c, k->strided, "B %lld A %lld D %lld C %lld o is acc %d lse is %d strided %d", (long long)k->batch,
	           (long long)k->heads, (long long)k->head_dim, (long long)k->chunk, k->o_is_acc, k->lse_is, k->strided);
	const int in_place = k->o_is_acc && bench_dtype() == SP_F32; /* else they are not of one size */
	struct tensor *acc = bench_tensor(&b, in_place ? INOUT : IN, rows, W);
	struct tensor *o = in_place ? acc : bench_element(&b, OUT, rows, W);
	struct tensor *m = bench_tensor(&b, k->lse_is == 1 ? INOUT : IN, lines, k->chunk);
	struct tensor *l = bench_tensor(&b, k->lse_is == 2 ? INOUT : IN, lines, k->chunk);
	struct tensor *own = bench_optional(&b, k->lse_is == 0, OUT, lines, k->chunk);
	struct tensor *lse = k->lse_is == 0 ? own : k->lse_is == 1 ? m : l;
	struct tensor *dout = bench_element(&b, IN, rows, W), *given = bench_element(&b, IN, rows, W), *dots = bench_tensor(&b, OUT, lines, k->chunk);
	for (int64_t i = 0; i < lines; i++)
		for (int64_t j = 0; j < k->chunk; j++) {
			const int nothing = (i + j) % 4 == 3; /* a row that attended to nothing: m -inf, l 0, acc 0 */
			const double sum = 1 + 50 * fabs(bench_normal(9, (uint32_t)(i * k->chunk + j)));
			tensor_set(l, i, j, nothing ? 0 : sum);
			if (!nothing)
				continue;
			tensor_set(m, i, j, -INFINITY);
			for (int64_t d = 0; d < k->head_dim; d++)
				tensor_set(acc, i / k->heads * k->chunk + j, i % k->heads * k->head_dim + d, 0);
		}
	struct sp_attention_finish finish[2];
	struct sp_attention_dots product[2];
	for (int side = DEVICE; side <= REFERENCE; side++) {
		finish[side] = (struct sp_attention_finish){ k->batch,       k->heads,      k->head_dim,   k->chunk,       view(acc, side),
			                                     view(m, side), view(l, side), view(o, side), view(lse, side) };
		product[side] = (struct sp_attention_dots){ k->batch,         k->heads,      k->head_dim,     k->chunk,
			                                    view(dout, side), view(given, side), view(dots, side) };
	}
	while (bench_again(&b)) {
		assert_int_equal(sp_compute_attention_finish(c, &finish[DEVICE]), SP_OK);
		assert_int_equal(sp_compute_attention_dots(c, &product[DEVICE]), SP_OK);
	}
	sp_reference_attention_finish(&finish[REFERENCE]);
	sp_reference_attention_dots(&product[REFERENCE]);
	bench_expect(&b, o, BOUND_ATTENTION_FINISH, "o");
	bench_expect_near(&b, lse, BOUND_ATTENTION_FINISH, "lse", sqrt((double)(lines * k->chunk)));
	/* |dout| |o| of one row and head is the size of what is summed. */
	bench_expect_near(&b, dots, BOUND_ATTENTION_DOTS, "dots", tensor_norm(given));
	bench_close(&b);
}

void attention_finish_and_dots_equal_reference(void **state)
{
	static const int64_t sizes[][4] = { { 1, 1, 1, 1 },  { 2, 3, 5, 7 },  { 1, 2, 64, 33 },
		                            { 0, 2, 8, 5 },  { 1, 2, 8, 0 },  { 3, 12, 17, 131 } };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int in_place = 0; in_place < 2; in_place++)
			for (int lse = 0; lse < 3; lse++)
				for (int strided = 0; strided < 2; strided++) {
					const struct finish_case k = { sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], in_place, lse, strided };
					finish_case(*state, &k);
				}
}

/* ---- backward ---- */

static struct sp_attention_backward backward_args(const struct attention_case *k, const struct attention_tensors *t, int block,
                                                  enum side side)
{
	const struct sp_attention_backward args = {
		.shape = shape_of(k, t, block, side),
		.q = third(t->qkv, t->q, 0, side),
		.k = third(t->qkv, t->k[block], 1, side),
		.v = third(t->qkv, t->v[block], 2, side),
		.o = view(t->o, side),
		.dout = view(t->dout, side),
		.lse = view(t->lse, side),
		.dots = view(t->dots, side),
		.dq = third(t->dqkv, t->dq, 0, side),
		.dk = third(t->dqkv, t->dk[block], 1, side),
		.dv = third(t->dqkv, t->dv[block], 2, side),
	};
	return args;
}

/* lse of all blocks by the reference, rounded to what a device would have kept. */
static void take_lse(struct bench *b, const struct attention_case *k, struct attention_tensors *t)
{
	t->acc = bench_tensor(b, IN, k->batch * k->chunk, width(k));
	t->m = bench_tensor(b, IN, k->batch * k->heads, k->chunk);
	t->l = bench_tensor(b, IN, k->batch * k->heads, k->chunk);
	t->lse = bench_tensor(b, IN, k->batch * k->heads, k->chunk);
	for (int i = 0; i < k->blocks; i++) {
		const struct sp_attention_forward args = forward_args(k, t, i, REFERENCE);
		sp_reference_attention_forward(&args);
	}
	const struct sp_attention_finish args = finish_args(k, t, t->acc, t->lse, REFERENCE);
	sp_reference_attention_finish(&args);
	tensor_round(t->lse);
}

/* dots is taken at random, not as rowsum(dout o): that term then does not cancel against dout v when there is one key, and
 * an operation that forgets it cannot pass. */
static void take_gradients(struct bench *b, const struct attention_case *k, struct attention_tensors *t, enum role dq,
                           enum role dkv)
{
	const int64_t W = width(k), rows = k->batch * k->chunk;
	t->dout = bench_element(b, IN, rows, W);
	t->dots = bench_tensor(b, IN, k->batch * k->heads, k->chunk);
	tensor_scale(t->dots, 1, 2);
	if (k->packed)
		t->dqkv = bench_tensor(b, dq, rows, 3 * W);
	else
		t->dq = bench_tensor(b, dq, rows, W);
	for (int i = 0; i < k->blocks && !k->packed; i++) {
		t->dk[i] = bench_tensor(b, dkv, k->batch * k->keys[i], W);
		t->dv[i] = bench_tensor(b, dkv, k->batch * k->keys[i], W);
	}
}

static void expect_gradients(struct bench *b, const struct attention_case *k, const struct attention_tensors *t)
{
	bench_expect_factors(b, t->dqkv, BOUND_ATTENTION_BACKWARD, "dqkv");
	bench_expect_factors(b, t->dq, BOUND_ATTENTION_BACKWARD, "dq");
	for (int i = 0; i < k->blocks; i++) {
		bench_expect_factors(b, t->dk[i], BOUND_ATTENTION_BACKWARD, "dk");
		bench_expect_factors(b, t->dv[i], BOUND_ATTENTION_BACKWARD, "dv");
	}
}

static int is_unread(const struct attention_case *k, int64_t i)
{
	return document(k->docs, 0, 0, i, k->chunk) < 0;
}

/* o is what forward would have left, dots are made of that; nothing comes of queries that nobody reads, some of which a forward
 * without a library has found nothing for. */
static void take_outputs(const struct attention_case *k, struct attention_tensors *t, struct tensor *o)
{
	const struct sp_attention_dots dots = { k->batch, k->heads, k->head_dim, k->chunk, view(t->dout, REFERENCE),
		                                    view(o, REFERENCE), view(t->dots, REFERENCE) };
	memcpy(o->value, t->acc->value, (size_t)(o->rows * o->cols) * sizeof *o->value); /* finished in place */
	tensor_round(o);
	t->o = o;
	for (int64_t row = 0; row < t->dout->rows; row++)
		for (int64_t d = 0; is_unread(k, row % k->chunk) && d < t->dout->cols; d++)
			tensor_set(t->dout, row, d, 0);
	for (int64_t r = 0; r < t->lse->rows; r++)
		for (int64_t i = 0; i < k->chunk; i++)
			if (is_unread(k, i))
				tensor_set(t->lse, r, i, i % 2 ? 2 : -INFINITY);
	sp_reference_attention_dots(&dots);
	tensor_round(t->dots);
}

/* add_dq, add_dkv: to what the tensors hold; else the first block overwrites dq, and every block its own dk and dv. */
static void backward_flags_case(struct sp_compute *c, const struct attention_case *k, int add_dq, int add_dkv)
{
	struct bench b;
	struct attention_tensors t = { 0 };
	open_case(&b, c, k);
	take_inputs(&b, k, &t);
	take_lse(&b, k, &t);
	take_gradients(&b, k, &t, add_dq ? INOUT : OUT, add_dkv ? INOUT : OUT);
	if (k->whole)
		take_outputs(k, &t, bench_element(&b, IN, k->batch * k->chunk, width(k)));
	b.wavers = k->whole && bench_by_library();
	while (bench_again(&b))
		for (int i = 0; i < k->blocks; i++) {
			struct sp_attention_backward args = backward_args(k, &t, i, DEVICE);
			args.overwrite_dq = !add_dq && i == 0;
			args.overwrite_dkv = !add_dkv;
			assert_int_equal(sp_compute_attention_backward(c, &args), SP_OK);
		}
	for (int i = 0; i < k->blocks; i++) {
		struct sp_attention_backward args = backward_args(k, &t, i, REFERENCE);
		args.overwrite_dq = !add_dq && i == 0;
		args.overwrite_dkv = !add_dkv;
		sp_reference_attention_backward(&args);
	}
	expect_gradients(&b, k, &t);
	bench_close(&b);
}

static void backward_case(struct sp_compute *c, const struct attention_case *k)
{
	backward_flags_case(c, k, 0, 0);
}

void attention_backward_equals_reference(void **state)
{
	every_shape(*state, backward_case);
	every_blocked(*state, backward_case);
}

void attention_backward_adds_or_overwrites(void **state)
{
	for (int flags = 0; flags < 4; flags++) {
		for (int i = 0; i < BLOCKED; i++) {
			struct attention_case k = blocked[i];
			k.docs = DOC_RANDOM;
			k.keep = keeps[i % 2];
			backward_flags_case(*state, &k, flags & 1, flags >> 1);
		}
		for (int i = 0; i < LARGE; i++)
			if (!large[i].packed)
				backward_flags_case(*state, &large[i], flags & 1, flags >> 1);
	}
}

/* lse -inf although a key of this block would be allowed: nothing comes of that row. */
void attention_ignores_rows_that_attended_to_nothing(void **state)
{
	for (int i = 0; i < SHAPES; i++) {
		struct bench b;
		struct attention_tensors t = { 0 };
		struct attention_case k = shapes[i];
		k.keep = keeps[i % 2];
		open_case(&b, *state, &k);
		take_inputs(&b, &k, &t);
		take_lse(&b, &k, &t);
		take_gradients(&b, &k, &t, OUT, OUT);
		for (int64_t r = 0; r < t.lse->rows; r++)
			for (int64_t j = 0; j < t.lse->cols; j++)
				if ((r + j) % 2 == 0)
					tensor_set(t.lse, r, j, -INFINITY);
		struct sp_attention_backward args[] = { backward_args(&k, &t, 0, DEVICE), backward_args(&k, &t, 0, REFERENCE) };
		args[DEVICE].overwrite_dq = args[REFERENCE].overwrite_dq = 1;
		args[DEVICE].overwrite_dkv = args[REFERENCE].overwrite_dkv = 1;
		while (bench_again(&b))
			assert_int_equal(sp_compute_attention_backward(*state, &args[DEVICE]), SP_OK);
		sp_reference_attention_backward(&args[REFERENCE]);
		expect_gradients(&b, &k, &t);
		bench_close(&b);
	}
}

/* ---- window ---- */

/* Keys before, around and behind the queries; windows that end inside of tiles, that leave out a single pair of one, that reach
 * across several and further than there are tokens; keys that no query reaches at all; more queries and keys than a device may hold at once. */
static const struct attention_case near[] = {
	{ 2, 3, 5, 7, { 11 }, 1, 0, 0, DOC_ONE, 0, 2, 5, 1, BOUND_ATTENTION_FORWARD, 3 },
	{ 1, 2, 64, 33, { 65 }, 1, 0, 0, DOC_ONE, 0, 8, 16, 1, BOUND_ATTENTION_FORWARD, 1 },
	{ 1, 1, 16, 40, { 40 }, 1, 0, 0, DOC_ONE, 0, 1000, 961, 1, BOUND_ATTENTION_FORWARD, 5 },
	{ 1, 1, 16, 40, { 40 }, 1, 0, 0, DOC_ONE, 0, 961, 1003, 1, BOUND_ATTENTION_FORWARD, 5 },
	{ 1, 1, 16, 40, { 40 }, 1, 0, 0, DOC_ONE, 0, 5, 3000000003u, 1, BOUND_ATTENTION_FORWARD, 7 },
	{ 1, 1, 16, 12, { 20 }, 1, 0, 0, DOC_ONE, 0, 7, 3, 1, BOUND_ATTENTION_FORWARD, INT64_C(1) << 40 },
	{ 1, 1, 16, 12, { 16 }, 1, 0, 0, DOC_ONE, 0, 7, 3, 1, BOUND_ATTENTION_FORWARD, 14 },
	{ 1, 1, 16, 12, { 16 }, 1, 0, 0, DOC_ONE, 0, 7, 9, 1, BOUND_ATTENTION_FORWARD, 16 },
	{ 2, 2, 32, 300, { 300 }, 1, 1, 0, DOC_ONE, 0, 0, 0, 1, BOUND_ATTENTION_FORWARD, 20 },
	{ 1, 1, 8, 811, { 803 }, 1, 0, 0, DOC_ONE, 0, 13, 5, 1, BOUND_ATTENTION_FORWARD, 70 },
	{ 1, 1, 64, 261, { 1031 }, 1, 0, 0, DOC_ONE, 0, 2500, 2003, 1, BOUND_ATTENTION_FORWARD, 257 },
	{ 1, 1, 128, 1130, { 1130 }, 1, 1, 0, DOC_ONE, 0, 11, 11, 1, BOUND_ATTENTION_FORWARD, 33 },
	{ 2, 1, 32, 131, { 257, 1, 130 }, 3, 0, 0, DOC_ONE, 0, 217, 3, 1, BOUND_ATTENTION_FORWARD, 100 },
	{ 1, 3, 7, 13, { 0, 13, 0 }, 3, 0, 0, DOC_ONE, 0, 13, 1, 1, BOUND_ATTENTION_FORWARD, 4 },
};
enum { NEAR = sizeof near / sizeof *near };

void attention_in_a_window_equals_reference(void **state)
{
	for (int i = 0; i < NEAR; i++)
		for (int docs = 0; docs < DOCS; docs++)
			for (int flags = 0; flags < 4; flags++) {
				struct attention_case k = near[i];
				k.docs = (enum documents)docs;
				k.keep = keeps[flags & 1];
				k.strided = flags >> 1;
				forward_case(*state, &k);
				backward_flags_case(*state, &k, flags & 1, flags & 1 && !k.packed);
			}
}

/* ---- merge ---- */

/* Rows that have found nothing on one side, on the other, on both. */
static void nothing_in(struct tensor *acc, struct tensor *m, struct tensor *l, const struct finish_case *k, int which)
{
	for (int64_t i = 0; i < m->rows; i++)
		for (int64_t j = 0; j < m->cols; j++) {
			const int nothing = (i + j) % 5 == which || (i + j) % 5 == 4;
			tensor_set(l, i, j, nothing ? 0 : 1 + 50 * fabs(bench_normal(9 + (uint32_t)which, (uint32_t)(i * k->chunk + j))));
			if (nothing)
				tensor_set(m, i, j, -INFINITY);
			for (int64_t d = 0; nothing && d < k->head_dim; d++)
				tensor_set(acc, i / k->heads * k->chunk + j, i % k->heads * k->head_dim + d, 0);
		}
}

static void merge_case(struct sp_compute *c, const struct finish_case *k)
{
	const int64_t W = k->heads * k->head_dim, rows = k->batch * k->chunk, lines = k->batch * k->heads;
	struct bench b;
	bench_open(&b, c, k->strided, "B %lld A %lld D %lld C %lld strided %d", (long long)k->batch, (long long)k->heads,
	           (long long)k->head_dim, (long long)k->chunk, k->strided);
	struct tensor *acc = bench_tensor(&b, INOUT, rows, W), *from = bench_tensor(&b, IN, rows, W);
	struct tensor *m = bench_tensor(&b, INOUT, lines, k->chunk), *from_m = bench_tensor(&b, IN, lines, k->chunk);
	struct tensor *l = bench_tensor(&b, INOUT, lines, k->chunk), *from_l = bench_tensor(&b, IN, lines, k->chunk);
	struct sp_attention_merge args[2];
	nothing_in(acc, m, l, k, 1);
	nothing_in(from, from_m, from_l, k, 2);
	for (int side = DEVICE; side <= REFERENCE; side++)
		args[side] = (struct sp_attention_merge){ k->batch,      k->heads,      k->head_dim,       k->chunk,           view(acc, side),
			                                  view(m, side), view(l, side), view(from, side), view(from_m, side), view(from_l, side) };
	while (bench_again(&b))
		assert_int_equal(sp_compute_attention_merge(c, &args[DEVICE]), SP_OK);
	sp_reference_attention_merge(&args[REFERENCE]);
	bench_expect(&b, acc, BOUND_ATTENTION_MERGE, "acc");
	bench_expect(&b, m, BOUND_ATTENTION_MERGE, "m");
	bench_expect(&b, l, BOUND_ATTENTION_MERGE, "l");
	bench_close(&b);
}

void attention_merge_equals_reference(void **state)
{
	static const int64_t sizes[][4] = { { 1, 1, 1, 1 }, { 2, 3, 5, 7 }, { 1, 2, 64, 33 }, { 0, 2, 8, 5 }, { 1, 2, 8, 0 }, { 3, 12, 17, 131 } };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int strided = 0; strided < 2; strided++)
			merge_case(*state, &(struct finish_case){ sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], 0, 0, strided });
}

/* ---- whole steps, which a backend may leave to a library ---- */

/* One block and three, both sides of tiles of 128, heads of all widths that tiles have, and of one that no library takes; and rows that
 * are not aligned. */
static const struct attention_case entire[] = {
	{ 2, 2, 64, 128, { 128 }, 1, 1, 0, DOC_ONE, 65536, 0, 0, 1, BOUND_ATTENTION_FORWARD, 0, 1 },
	{ 1, 3, 64, 72, { 72 }, 1, 1, 0, DOC_UNREAD, 65536, 0, 0, 1, BOUND_ATTENTION_FORWARD, 0, 1 },
	{ 2, 1, 32, 40, { 24, 1, 65 }, 3, 0, 0, DOC_ONE, 65536, 40, 0, 1, BOUND_ATTENTION_FORWARD, 0, 1 },
	{ 1, 2, 16, 33, { 16, 0, 48 }, 3, 0, 0, DOC_UNREAD, 65536, 0, 64, 1, BOUND_ATTENTION_FORWARD, 0, 1 },
	{ 1, 2, 96, 17, { 40 }, 1, 0, 0, DOC_ONE, 65536, 0, 0, 1, BOUND_ATTENTION_FORWARD, 0, 1 },
	{ 1, 1, 128, 24, { 70, 58, 8 }, 3, 0, 0, DOC_ONE, 65536, 0, 0, 1, BOUND_ATTENTION_FORWARD, 0, 1 },
	{ 1, 2, 20, 30, { 50 }, 1, 0, 0, DOC_ONE, 65536, 0, 0, 1, BOUND_ATTENTION_FORWARD, 0, 1 },
	{ 1, 2, 64, 30, { 50, 3, 70 }, 3, 0, 1, DOC_ONE, 65536, 0, 0, 1, BOUND_ATTENTION_FORWARD, 0, 1 },
	{ 1, 2, 64, 30, { 50 }, 1, 0, 0, DOC_ONE, 58982, 0, 0, 1, BOUND_ATTENTION_FORWARD, 0, 1 },
};
enum { ENTIRE = sizeof entire / sizeof *entire };

/* What is found for queries that nobody reads is not looked at. */
static void leave_out_unread(const struct attention_case *k, struct tensor *o, struct tensor *lse)
{
	for (int64_t r = 0; r < lse->rows; r++)
		for (int64_t i = 0; i < k->chunk; i++) {
			const int64_t row = r / k->heads * k->chunk + i, first = r % k->heads * k->head_dim;
			for (int64_t d = first; is_unread(k, i) && d < first + k->head_dim; d++)
				o->value[row * o->cols + d] = tensor_got(o, row, d);
			if (is_unread(k, i))
				lse->value[r * k->chunk + i] = tensor_got(lse, r, i);
		}
}

/* A library's result comes without its largest score: its sum relative to ln of itself is 1. */
static void expect_library(const struct bench *b, const struct attention_case *k, const struct tensor *l)
{
	const int fits = k->head_dim % 8 == 0 && !k->strided && k->keep == 65536;
	if (!bench_by_library() || k->blocks > 1)
		return;
	for (int64_t i = 0; i < l->cols; i++)
		if ((tensor_got(l, 0, i) == 1) != fits && !is_unread(k, i))
			fail_msg("%s: the library was %s", b->label, fits ? "not asked" : "asked");
}

static void whole_forward_case(struct sp_compute *c, const struct attention_case *k)
{
	struct bench b;
	struct attention_tensors t = { 0 };
	open_case(&b, c, k);
	take_inputs(&b, k, &t);
	t.acc = bench_tensor(&b, OUT, k->batch * k->chunk, width(k));
	t.m = bench_tensor(&b, OUT, k->batch * k->heads, k->chunk);
	t.l = bench_tensor(&b, OUT, k->batch * k->heads, k->chunk);
	t.o = bench_element(&b, OUT, k->batch * k->chunk, width(k));
	t.lse = bench_tensor(&b, OUT, k->batch * k->heads, k->chunk);
	while (bench_again(&b))
		for (int i = 0; i <= k->blocks; i++) {
			const struct sp_attention_forward args = forward_args(k, &t, i < k->blocks ? i : 0, DEVICE);
			const struct sp_attention_finish end = finish_args(k, &t, t.o, t.lse, DEVICE);
			assert_int_equal(i < k->blocks ? sp_compute_attention_forward(c, &args) : sp_compute_attention_finish(c, &end), SP_OK);
		}
	for (int i = 0; i < k->blocks; i++) {
		const struct sp_attention_forward args = forward_args(k, &t, i, REFERENCE);
		sp_reference_attention_forward(&args);
	}
	const struct sp_attention_finish end = finish_args(k, &t, t.o, t.lse, REFERENCE);
	sp_reference_attention_finish(&end);
	leave_out_unread(k, t.o, t.lse);
	expect_library(&b, k, t.l);
	bench_expect_rounded(&b, t.o, k->bound, "o", 2 + k->blocks);
	bench_expect_near(&b, t.lse, k->bound, "lse", sqrt((double)(k->batch * k->heads * k->chunk)));
	bench_close(&b);
}

void attention_of_whole_steps_equals_reference(void **state)
{
	for (int i = 0; i < ENTIRE; i++) {
		whole_forward_case(*state, &entire[i]);
		for (int flags = 0; flags < 4; flags++)
			if (!entire[i].packed || flags == 0)
				backward_flags_case(*state, &entire[i], flags & 1, flags >> 1);
	}
}

/* ---- poll ---- */

struct polled {
	pthread_t caller;
	int calls, elsewhere;
};

static void count_poll(void *context)
{
	struct polled *p = context;
	p->calls++;
	p->elsewhere += !pthread_equal(p->caller, pthread_self());
}

void attention_polls_on_the_calling_thread(void **state)
{
	struct attention_case k = large[1];
	struct polled forward = { pthread_self(), 0, 0 }, backward = forward;
	struct bench b;
	struct attention_tensors t = { 0 };
	k.heads = 4;
	k.batch = 2;
	open_case(&b, *state, &k);
	take_inputs(&b, &k, &t);
	t.acc = bench_tensor(&b, OUT, k.batch * k.chunk, width(&k));
	t.m = bench_tensor(&b, OUT, k.batch * k.heads, k.chunk);
	t.l = bench_tensor(&b, OUT, k.batch * k.heads, k.chunk);
	t.lse = bench_tensor(&b, IN, k.batch * k.heads, k.chunk);
	take_gradients(&b, &k, &t, OUT, OUT);
	tensor_scale(t.lse, 1, 6);
	struct sp_attention_forward ahead = forward_args(&k, &t, 0, DEVICE);
	struct sp_attention_backward back = backward_args(&k, &t, 0, DEVICE);
	ahead.shape.poll = back.shape.poll = count_poll;
	ahead.shape.poll_ctx = &forward;
	back.shape.poll_ctx = &backward;
	back.overwrite_dq = back.overwrite_dkv = 1;
	while (bench_again(&b)) {
		assert_int_equal(sp_compute_attention_forward(*state, &ahead), SP_OK);
		assert_int_equal(sp_compute_attention_backward(*state, &back), SP_OK);
	}
	/* A device with a queue of its own returns at once; one that computes in the call must let communication move. */
	const int must_poll = strcmp(sp_compute_name(*state), "cpu") == 0;
	/* On a busy machine the other threads may have done all the work before the caller's thread had its turn. */
	for (int i = 0; i < 100 && must_poll && (forward.calls == 0 || backward.calls == 0); i++) {
		assert_int_equal(sp_compute_attention_forward(*state, &ahead), SP_OK);
		assert_int_equal(sp_compute_attention_backward(*state, &back), SP_OK);
	}
	print_message("# polled %d times forward, %d backward\n", forward.calls, backward.calls);
	assert_int_equal(forward.elsewhere + backward.elsewhere, 0);
	if (must_poll)
		assert_true(forward.calls > 0 && backward.calls > 0);
	bench_close(&b);
}
