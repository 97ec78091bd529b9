/* Every kind of attention over any number of ranks against full attention on one, through the table of variants. */
#include "config.h"

#include "attention/attention.h"
#include "base/rng.h"
#include "base/size.h"
#include "parallel/shard.h"
#include "ranks/ranks.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct test_ranks ranks;

enum { B = 2, A = 6, D = 8, H = A * D }; /* 4 and 5 ranks share the heads unevenly */

static const int64_t lengths[] = { 1, 2, 7, 63, 64, 65, 127 };
enum { LENGTHS = sizeof lengths / sizeof *lengths };

/* A kind as the settings choose it, and what a rank sends of it, in elements: blocks of B C H, spelled out here once more. */
struct kind {
	const char *label, *name;
	struct sp_attention_choice choice;
	uint64_t (*forward)(const struct sp_attention_shape_host *shape);
	uint64_t (*backward)(const struct sp_attention_shape_host *shape);
};

static uint64_t blocks(const struct sp_attention_shape_host *s, int64_t n)
{
	return (uint64_t)(n * s->batch * s->chunk * s->heads * s->head_dim);
}

static uint64_t keys_once(const struct sp_attention_shape_host *s)
{
	return blocks(s, 2 * (s->ranks - 1));
}

static uint64_t keys_and_gradients(const struct sp_attention_shape_host *s)
{
	return blocks(s, 4 * (s->ranks - 1));
}

static uint64_t queries_and_gradients(const struct sp_attention_shape_host *s)
{
	return blocks(s, 3 * (s->ranks - 1)) + (uint64_t)(2 * (s->ranks - 1) * s->batch * s->chunk * s->heads);
}

static uint64_t rings_and_sums(const struct sp_attention_shape_host *s)
{
	return blocks(s, 6 * (s->ranks - 1));
}

/* Of heads exchanged in groups of `members`: own tokens go to the others for all heads but own ones, and own heads' results
 * to each of the others for its tokens. `in` and `out`: numbers of each token's each head. */
static uint64_t exchanged(const struct sp_attention_shape_host *s, int64_t members, int64_t in, int64_t out)
{
	const int64_t place = s->rank % members, own = (s->heads + members - 1 - place) / members;
	return (uint64_t)(s->batch * s->chunk * ((s->heads - own) * in + (members - 1) * own * out));
}

/* The ring between such groups: the tokens of all members, own heads only. */
static struct sp_attention_shape_host between(const struct sp_attention_shape_host *s, int64_t members)
{
	struct sp_attention_shape_host ring = *s;
	ring.heads = (s->heads + members - 1 - s->rank % members) / members;
	ring.chunk *= members;
	ring.ranks /= (int)members;
	return ring;
}

static uint64_t ulysses_forward(const struct sp_attention_shape_host *s)
{
	return exchanged(s, s->ranks, 3 * D, D + 1);
}

static uint64_t ulysses_backward(const struct sp_attention_shape_host *s)
{
	return exchanged(s, s->ranks, 4 * D + 2, 3 * D);
}

static int64_t members_of(const struct sp_attention_shape_host *s)
{
	const int64_t most[] = { 0, 1, 2, 3, 4, 5, 6, 1, 4 };
	return s->choice.ulysses ? s->choice.ulysses : most[s->ranks];
}

static uint64_t hybrid_forward(const struct sp_attention_shape_host *s)
{
	const struct sp_attention_shape_host ring = between(s, members_of(s));
	return exchanged(s, members_of(s), 3 * D, D + 1) + keys_once(&ring);
}

static uint64_t hybrid_backward(const struct sp_attention_shape_host *s)
{
	const struct sp_attention_shape_host ring = between(s, members_of(s));
	return exchanged(s, members_of(s), 4 * D + 2, 3 * D) +
	       (s->choice.ring_queries ? queries_and_gradients(&ring) : keys_and_gradients(&ring));
}

static const struct kind kinds[] = {
	{ "ring", "ring", { 0 }, keys_once, keys_and_gradients },
	{ "ring of queries", "ring", { .ring_queries = 1 }, keys_once, queries_and_gradients },
	{ "allgather", "allgather", { 0 }, keys_once, keys_and_gradients },
	{ "allgather of 5 tokens", "allgather", { .gather_chunk = 5 }, keys_once, keys_and_gradients },
	{ "allgather of 16 tokens", "allgather", { .gather_chunk = 16 }, keys_once, keys_and_gradients },
	{ "allgather of more than there are", "allgather", { .gather_chunk = 100000 }, keys_once, keys_and_gradients },
	{ "ulysses", "ulysses", { 0 }, ulysses_forward, ulysses_backward },
	{ "hybrid", "hybrid", { 0 }, hybrid_forward, hybrid_backward },
	{ "hybrid of 1", "hybrid", { .ulysses = 1 }, hybrid_forward, hybrid_backward },
	{ "hybrid of 2", "hybrid", { .ulysses = 2 }, hybrid_forward, hybrid_backward },
	{ "hybrid of 3", "hybrid", { .ulysses = 3 }, hybrid_forward, hybrid_backward },
	{ "hybrid of 4", "hybrid", { .ulysses = 4 }, hybrid_forward, hybrid_backward },
	{ "hybrid of 2, ring of queries", "hybrid", { .ulysses = 2, .ring_queries = 1 }, hybrid_forward, hybrid_backward },
	{ "rsa", "rsa", { 0 }, keys_once, rings_and_sums },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const struct kind full_kind = { .label = "full", .name = "full" };

/* Whole sequences, and this rank's part of them. The variant sees only the part. */
struct input {
	int64_t length;
	float *qkv, *dout; /* (B S, 3 H), (B S, H) */
	int32_t *doc;      /* (B, S) */
	uint32_t sample[B];
	struct sp_dropout dropout;
	int some; /* only what some queries find is read: see is_read() */
};

struct result {
	struct sp_attention_shape_host shape;
	int64_t chunk;
	float *o, *lse, *dqkv; /* (B C, H), (B A, C), (B C, 3 H) */
	struct sp_comm_counters forward, backward;
};

static float *array(int64_t n)
{
	float *x = calloc((size_t)n + 1, sizeof *x);
	assert_non_null(x);
	return x;
}

/* The first sample is two documents and a padded tail; the second one document. */
static int32_t document_of(int64_t sample, int64_t i, int64_t length)
{
	if (sample == 1 || length < 3)
		return 4;
	return i < length / 3 ? 0 : i < length - length / 5 ? 7 : -1;
}

static struct input make_input(int64_t length, uint32_t keep)
{
	struct input in = { .length = length, .sample = { 5, 9 }, .dropout = { .key = { 11, 13 }, .keep = keep } };
	struct sp_rng rng;
	sp_rng_start(&rng, 1, SP_RNG_SYNTHETIC, (uint64_t)length, 0);
	in.qkv = array(B * length * 3 * H);
	in.dout = array(B * length * H);
	in.doc = calloc((size_t)(B * length), sizeof *in.doc);
	assert_non_null(in.doc);
	for (int64_t i = 0; i < B * length * 3 * H; i++)
		in.qkv[i] = (float)sp_rng_normal(&rng);
	for (int64_t i = 0; i < B * length * H; i++)
		in.dout[i] = (float)sp_rng_normal(&rng);
	for (int64_t b = 0; b < B; b++)
		for (int64_t i = 0; i < length; i++)
			in.doc[b * length + i] = document_of(b, i, length);
	return in;
}

static void free_input(struct input *in)
{
	free(in->qkv);
	free(in->dout);
	free(in->doc);
}

static void free_result(struct result *r)
{
	free(r->o);
	free(r->lse);
	free(r->dqkv);
}

/* Rows of this rank out of whole sequences; what does not exist is zero. */
static float *slice(const float *whole, struct sp_shard shard, int64_t cols)
{
	float *part = array(B * shard.chunk * cols);
	for (int64_t b = 0; b < B; b++)
		memcpy(part + b * shard.chunk * cols, whole + (b * shard.length + shard.first) * cols,
		       (size_t)(shard.real * cols) * sizeof *part);
	return part;
}

static int32_t *all_documents(const struct input *in, int size, int64_t chunk)
{
	int32_t *doc = malloc((size_t)(size * B * chunk) * sizeof *doc);
	assert_non_null(doc);
	for (int r = 0; r < size; r++)
		for (int64_t b = 0; b < B; b++)
			for (int64_t i = 0; i < chunk; i++) {
				const int64_t at = r * chunk + i;
				doc[(r * B + b) * chunk + i] = at < in->length ? in->doc[b * in->length + at] : -1;
			}
	return doc;
}

static int is_read(const struct input *in, int64_t b, int64_t token)
{
	return !in->some || (5 * b + token) % 7 == 2;
}

/* The rank's own, so far as they are read; NULL if all are. */
static int32_t *read_documents(const struct input *in, struct sp_shard shard)
{
	int32_t *doc = in->some ? malloc((size_t)(B * shard.chunk) * sizeof *doc) : NULL;
	assert_true(doc || !in->some);
	for (int64_t b = 0; doc && b < B; b++)
		for (int64_t i = 0; i < shard.chunk; i++)
			doc[b * shard.chunk + i] = i < shard.real && is_read(in, b, shard.first + i) ?
			                               in->doc[b * in->length + shard.first + i] : -1;
	return doc;
}

static struct sp_comm_counters since(struct sp_comm *comm, struct sp_comm_counters before)
{
	struct sp_comm_counters now = sp_comm_counters(comm);
	now.bytes -= before.bytes;
	now.messages -= before.messages;
	return now;
}

static void dawdle(void *context)
{
	int *left = context;
	if ((*left)-- > 0)
		usleep(300);
}

/* Every other rank is late after each of some operations: who is early may not disturb it. */
static void slow_down(const struct sp_comm *comm)
{
	static int left;
	left = 12;
	if (sp_comm_rank(comm) % 2)
		sp_compute_set_poll(ranks.compute, &(struct sp_compute_poll){ .between = dawdle, .ctx = &left });
}

/* The next layer's, which must not reach who still computes this one's. */
static int forward_of_nonsense(const struct sp_attention_variant *variant, void *work, const struct sp_attention_call *call,
                               int64_t rows, int64_t chunk)
{
	float *qkv = array(rows * 3 * H), *o = array(rows * H), *lse = array(B * A * chunk);
	const struct sp_attention_state state = {
		sp_matrix(qkv, rows, 3 * H), sp_matrix(o, rows, H), sp_matrix(lse, B * A, chunk),
	};
	memset(qkv, 0xff, (size_t)(rows * 3 * H) * sizeof *qkv);
	const int rc = variant->forward(work, call, &state);
	free(qkv);
	free(o);
	free(lse);
	return rc;
}

/* Collective over comm. Arena memory is filled with NaN first, and again when forward is done: nothing may be read before it
 * is written, and nothing stays there. */
static int run(const struct kind *kind, struct sp_comm *comm, int overlap, const struct input *in, struct result *out)
{
	const struct sp_attention_variant *variant = sp_attention_find(kind->name);
	const struct sp_shard shard = sp_shard_of(in->length, sp_comm_size(comm), sp_comm_rank(comm), 1);
	const int64_t rows = B * shard.chunk;
	const struct sp_attention_setup setup = {
		ranks.compute, comm,
		{ B, shard.chunk, A, D, sp_comm_size(comm), sp_comm_rank(comm), kind->choice }, overlap,
	};
	struct sp_arena counting = { 0 }, arena = { 0 };
	void *work = NULL;
	out->shape = setup.shape;
	int rc = variant->check(&setup.shape);
	rc = rc ? rc : variant->create(&setup, &counting, &work);
	variant->destroy(work);
	work = NULL;
	arena.size = counting.high;
	arena.base = malloc(arena.size + 64);
	assert_non_null(arena.base);
	memset(arena.base, 0xff, arena.size);
	rc = rc ? rc : variant->create(&setup, &arena, &work);
	rc = rc ? rc : arena.high != counting.high;

	float *qkv = slice(in->qkv, shard, 3 * H), *dout = slice(in->dout, shard, H);
	int32_t *doc = all_documents(in, sp_comm_size(comm), shard.chunk);
	out->chunk = shard.chunk;
	out->o = array(rows * H);
	out->lse = array(B * A * shard.chunk);
	out->dqkv = array(rows * 3 * H);
	int32_t *query_doc = read_documents(in, shard);
	const struct sp_attention_call call = {
		.doc = doc, .query_doc = query_doc, .sample = in->sample, .dropout = in->dropout,
	};
	const int64_t whole = shard.chunk * sp_comm_size(comm);
	float *scores = array(variant->keeps_scores ? rows * A * whole : 0);
	memset(scores, 0xff, variant->keeps_scores ? (size_t)(rows * A * whole) * sizeof *scores : 0);
	const struct sp_attention_state state = {
		sp_matrix(qkv, rows, 3 * H), sp_matrix(out->o, rows, H), sp_matrix(out->lse, B * A, shard.chunk),
		sp_matrix(scores, rows * A, whole),
	};
	struct sp_comm_counters before = sp_comm_counters(comm);
	slow_down(comm);
	rc = rc ? rc : variant->forward(work, &call, &state);
	out->forward = since(comm, before);
	if (strcmp(kind->name, "rsa") != 0) /* keeps what its forward leaves in these buffers */
		rc = rc ? rc : forward_of_nonsense(variant, work, &call, rows, shard.chunk);
	rc = rc || !variant->settle ? rc : variant->settle(work);
	memset(arena.base, 0xff, arena.size);
	before = sp_comm_counters(comm);
	rc = rc ? rc : variant->backward(work, &call, &state, sp_matrix(dout, rows, H), sp_matrix(out->dqkv, rows, 3 * H));
	out->backward = since(comm, before);
	sp_compute_set_poll(ranks.compute, NULL);
	variant->destroy(work);
	free(arena.base);
	free(qkv);
	free(dout);
	free(doc);
	free(query_doc);
	free(scores);
	return rc;
}

/* This rank's rows of `part` against the whole, relative L2 (absolute where the whole is zero). */
static int differs(const char *what, const float *part, const float *whole, struct sp_shard shard, int64_t cols, double bound)
{
	float *want = slice(whole, shard, cols);
	const struct test_norms n = test_ranks_compare(part, want, B * shard.chunk * cols);
	free(want);
	/* A shard may hold values that are tiny beside the whole tensor: compare with that. */
	const double scale = test_ranks_compare(whole, whole, B * shard.length * cols).reference;
	if (n.difference <= bound * (scale > 0 ? scale : 1))
		return 0;
	fprintf(stderr, "rank %d of %d, S %lld: %s differs by %g of %g\n", ranks.rank, ranks.size, (long long)shard.length, what,
	        n.difference, scale);
	return 1;
}

static int compare(const struct kind *kind, const struct input *in, const struct result *split, const struct result *full)
{
	const struct sp_shard shard = sp_shard_of(in->length, ranks.size, ranks.rank, 1);
	int bad = differs("o", split->o, full->o, shard, H, 1e-6);
	bad |= differs("dqkv", split->dqkv, full->dqkv, shard, 3 * H, 2e-6);
	for (int64_t row = 0; row < B * A; row++)
		for (int64_t i = 0; i < shard.real; i++) {
			const float a = split->lse[row * shard.chunk + i], b = full->lse[row * in->length + shard.first + i];
			bad |= !(a == b || fabsf(a - b) <= 1e-5f * (1 + fabsf(b)));
		}
	if (bad)
		fprintf(stderr, "rank %d of %d, S %lld: %s is not full attention\n", ranks.rank, ranks.size, (long long)in->length,
		        kind->label);
	return bad;
}

/* Each rank has a head, and groups are whole. What cannot be had is refused: tests/cli/test_plan.sh. */
static int can(const struct kind *kind)
{
	if (strcmp(kind->name, "ulysses") == 0)
		return ranks.size <= A;
	return kind->choice.ulysses == 0 || ranks.size % kind->choice.ulysses == 0;
}

/* How keys go round. */
static void read_in_place(int yes)
{
	setenv("SEQPAR_MPI_WINDOWS", yes ? "yes" : "no", 1);
}

static int every_kind_against_full(uint32_t keep, int overlap)
{
	int bad = 0;
	for (int i = 0; i < LENGTHS; i++) {
		struct input in = make_input(lengths[i], keep);
		struct result full = { 0 };
		bad |= run(&full_kind, ranks.alone, 1, &in, &full) != 0;
		for (int k = 0; k < KINDS; k++) {
			struct result split = { 0 };
			if (!can(&kinds[k]))
				continue;
			bad |= run(&kinds[k], ranks.world, overlap, &in, &split) != 0;
			bad |= compare(&kinds[k], &in, &split, &full);
			free_result(&split);
		}
		free_result(&full);
		free_input(&in);
	}
	return bad;
}

static void every_kind_equals_full_attention(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, every_kind_against_full(65536, 1)));
}

static void every_kind_equals_full_attention_with_dropout(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, every_kind_against_full(58982, 1)));
}

static void every_kind_equals_full_attention_without_overlap(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, every_kind_against_full(58982, 0)));
}

/* What projects sequences, or sees neighbours alone, is not full attention: test_linformer, test_neighbours. */
static void every_kind_of_the_table_is_tested(void **state)
{
	(void)state;
	for (int i = 0; sp_attention_name(i); i++) {
		const struct sp_attention_variant *variant = sp_attention_find(sp_attention_name(i));
		int found = strcmp(sp_attention_name(i), full_kind.name) == 0 || variant->projects || variant->has_globals;
		for (int k = 0; k < KINDS; k++)
			found |= strcmp(sp_attention_name(i), kinds[k].name) == 0;
		assert_true(found);
	}
}

static void every_kind_equals_full_attention_by_messages(void **state)
{
	(void)state;
	read_in_place(0);
	const int bad = every_kind_against_full(58982, 1);
	read_in_place(1);
	assert_false(test_ranks_agree(&ranks, bad));
}

/* Some ranks cannot see the others' memory. */
static void every_kind_equals_full_attention_where_some_ranks_are_elsewhere(void **state)
{
	(void)state;
	setenv("SEQPAR_MPI_NODES", "2", 1);
	const int bad = every_kind_against_full(58982, 1);
	unsetenv("SEQPAR_MPI_NODES");
	assert_false(test_ranks_agree(&ranks, bad));
}

/* Values are unit vectors, so an output row shows which probabilities were dropped. */
static int masks_differ(const struct kind *kind, const struct input *in, const struct result *full)
{
	struct result split = { 0 };
	int bad = run(kind, ranks.world, 1, in, &split) != 0;
	const struct sp_shard shard = sp_shard_of(in->length, ranks.size, ranks.rank, 1);
	for (int64_t b = 0; b < B; b++)
		for (int64_t i = 0; i < shard.real; i++)
			for (int64_t c = 0; c < H; c++)
				bad |= (split.o[(b * shard.chunk + i) * H + c] == 0) !=
				       (full->o[(b * in->length + shard.first + i) * H + c] == 0);
	free_result(&split);
	return bad;
}

static void dropout_masks_are_the_same_for_every_kind_and_number_of_ranks(void **state)
{
	(void)state;
	struct input in = make_input(7, 32768);
	struct result full = { 0 };
	int bad = 0, dropped = 0;
	for (int64_t row = 0; row < B * in.length; row++)
		for (int64_t c = 0; c < H; c++)
			in.qkv[row * 3 * H + 2 * H + c] = c % D == row % in.length;
	for (int64_t i = 0; i < B * in.length; i++)
		in.doc[i] = 0;
	bad |= run(&full_kind, ranks.alone, 1, &in, &full) != 0;
	for (int k = 0; k < KINDS; k++)
		if (can(&kinds[k]))
			bad |= masks_differ(&kinds[k], &in, &full);
	for (int64_t i = 0; i < B * in.length * H; i++)
		dropped += i % D < in.length && full.o[i] == 0;
	bad |= dropped < B * A * 49 / 4 || dropped > B * A * 49 * 3 / 4;
	free_result(&full);
	free_input(&in);
	assert_false(test_ranks_agree(&ranks, bad));
}

/* Gradients are those of all queries that are read, o too; of the others kinds that skip them say 0. */
static int skips_differently(const struct kind *kind, const struct input *in, const struct result *full)
{
	struct result split = { 0 };
	const int skips = sp_attention_find(kind->name)->skips;
	int bad = run(kind, ranks.world, 1, in, &split) != 0;
	const struct sp_shard shard = sp_shard_of(in->length, ranks.size, ranks.rank, 1);
	bad |= differs("dqkv", split.dqkv, full->dqkv, shard, 3 * H, 2e-6);
	for (int64_t b = 0; b < B; b++)
		for (int64_t i = 0; i < shard.real; i++)
			for (int64_t c = 0; c < H; c++) {
				const float o = split.o[(b * shard.chunk + i) * H + c];
				const float want = full->o[(b * in->length + shard.first + i) * H + c];
				const int read = is_read(in, b, shard.first + i);
				bad |= read ? fabsf(o - want) > 1e-5f : skips && o != 0;
			}
	free_result(&split);
	return bad;
}

static void queries_that_nobody_reads_are_left_out(void **state)
{
	(void)state;
	int bad = 0;
	for (int i = 0; i < LENGTHS; i++) {
		struct input in = make_input(lengths[i], 58982);
		struct result full = { 0 };
		in.some = 1;
		for (int64_t row = 0; row < B * in.length; row++)
			for (int64_t c = 0; c < H && !is_read(&in, row / in.length, row % in.length); c++)
				in.dout[row * H + c] = 0;
		in.some = 0;
		bad |= run(&full_kind, ranks.alone, 1, &in, &full) != 0;
		in.some = 1;
		bad |= ranks.size == 1 && skips_differently(&full_kind, &in, &full);
		for (int k = 0; k < KINDS; k++)
			bad |= can(&kinds[k]) && skips_differently(&kinds[k], &in, &full);
		free_result(&full);
		free_input(&in);
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

static int bytes_differ(const struct kind *kind, const struct result *r)
{
	const struct sp_attention_variant *variant = sp_attention_find(kind->name);
	int bad = r->forward.bytes != kind->forward(&r->shape) * sizeof(float);
	bad |= r->backward.bytes != kind->backward(&r->shape) * sizeof(float);
	bad |= variant->sent_forward(&r->shape) != kind->forward(&r->shape);
	bad |= variant->sent_backward(&r->shape) != kind->backward(&r->shape);
	if (bad)
		fprintf(stderr, "rank %d of %d: %s sent %llu and %llu bytes\n", ranks.rank, ranks.size, kind->label,
		        (unsigned long long)r->forward.bytes, (unsigned long long)r->backward.bytes);
	return bad;
}

static void bytes_sent_equal_the_formulas(void **state)
{
	(void)state;
	int bad = 0;
	for (int i = 0; i < 2 * LENGTHS; i++) {
		struct input in = make_input(lengths[i / 2], 65536);
		read_in_place(i % 2);
		for (int k = 0; k < KINDS; k++) {
			struct result split = { 0 };
			if (!can(&kinds[k]))
				continue;
			bad |= run(&kinds[k], ranks.world, 1, &in, &split) != 0;
			bad |= bytes_differ(&kinds[k], &split);
			free_result(&split);
		}
		free_input(&in);
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

static int two_runs_differ(int first_in_place, int second_in_place)
{
	struct input in = make_input(65, 58982);
	int bad = 0;
	for (int k = 0; k < KINDS; k++) {
		struct result first = { 0 }, second = { 0 };
		if (!can(&kinds[k]))
			continue;
		read_in_place(first_in_place);
		bad |= run(&kinds[k], ranks.world, 1, &in, &first) != 0;
		read_in_place(second_in_place);
		bad |= run(&kinds[k], ranks.world, 1, &in, &second) != 0;
		read_in_place(1);
		bad |= memcmp(first.o, second.o, (size_t)(B * first.chunk * H) * sizeof(float)) != 0;
		bad |= memcmp(first.dqkv, second.dqkv, (size_t)(B * first.chunk * 3 * H) * sizeof(float)) != 0;
		free_result(&first);
		free_result(&second);
	}
	free_input(&in);
	return bad;
}

static void two_runs_give_the_same_bits(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, two_runs_differ(1, 1)));
}

static void keys_read_in_place_and_sent_give_the_same_bits(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, two_runs_differ(1, 0)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_equals_full_attention),
		cmocka_unit_test(every_kind_equals_full_attention_with_dropout),
		cmocka_unit_test(every_kind_equals_full_attention_without_overlap),
		cmocka_unit_test(every_kind_equals_full_attention_by_messages),
		cmocka_unit_test(every_kind_equals_full_attention_where_some_ranks_are_elsewhere),
		cmocka_unit_test(every_kind_of_the_table_is_tested),
		cmocka_unit_test(dropout_masks_are_the_same_for_every_kind_and_number_of_ranks),
		cmocka_unit_test(queries_that_nobody_reads_are_left_out),
		cmocka_unit_test(bytes_sent_equal_the_formulas),
		cmocka_unit_test(two_runs_give_the_same_bits),
		cmocka_unit_test(keys_read_in_place_and_sent_give_the_same_bits),
	};
	int rc = test_ranks_open(&ranks);
	if (rc)
		return rc;
	int failed = test_ranks_agree(&ranks, cmocka_run_group_tests(tests, NULL, NULL));
	test_ranks_close(&ranks);
	return failed;
}
