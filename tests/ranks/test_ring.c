/* Ring attention over any number of ranks against full attention on one, through the same table of variants. */
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

static struct test_ranks ranks;

enum { B = 2, A = 3, D = 8, H = A * D };

static const int64_t lengths[] = { 1, 2, 7, 63, 64, 65, 127 };
enum { LENGTHS = sizeof lengths / sizeof *lengths };

/* Whole sequences, and this rank's part of them. The variant sees only the part. */
struct input {
	int64_t length;
	float *qkv, *dout; /* (B S, 3 H), (B S, H) */
	int32_t *doc;      /* (B, S) */
	uint32_t sample[B];
	struct sp_dropout dropout;
};

struct result {
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
	struct input in = { .length = length, .sample = { 5, 9 }, .dropout = { { 11, 13 }, keep } };
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

static struct sp_comm_counters since(struct sp_comm *comm, struct sp_comm_counters before)
{
	struct sp_comm_counters now = sp_comm_counters(comm);
	now.bytes -= before.bytes;
	now.messages -= before.messages;
	return now;
}

/* Collective over comm. Arena memory is filled with NaN first: nothing may be read before it is written. */
static int run(const char *variant_name, struct sp_comm *comm, int overlap, const struct input *in, struct result *out)
{
	const struct sp_attention_variant *variant = sp_attention_find(variant_name);
	const struct sp_shard shard = sp_shard_of(in->length, sp_comm_size(comm), sp_comm_rank(comm), 1);
	const int64_t rows = B * shard.chunk;
	const struct sp_attention_setup setup = {
		ranks.compute, comm, { B, shard.chunk, A, D, sp_comm_size(comm) }, overlap,
	};
	struct sp_arena counting = { 0 }, arena = { 0 };
	void *work = NULL;
	int rc = variant->create(&setup, &counting, &work);
	variant->destroy(work);
	work = NULL;
	arena.size = counting.high;
	arena.base = malloc(arena.size + 64);
	assert_non_null(arena.base);
	memset(arena.base, 0xff, arena.size);
	rc = rc ? rc : variant->create(&setup, &arena, &work);

	float *qkv = slice(in->qkv, shard, 3 * H), *dout = slice(in->dout, shard, H);
	int32_t *doc = all_documents(in, sp_comm_size(comm), shard.chunk);
	out->chunk = shard.chunk;
	out->o = array(rows * H);
	out->lse = array(B * A * shard.chunk);
	out->dqkv = array(rows * 3 * H);
	const struct sp_attention_call call = { doc, in->sample, in->dropout };
	const struct sp_attention_state state = {
		sp_matrix(qkv, rows, 3 * H), sp_matrix(out->o, rows, H), sp_matrix(out->lse, B * A, shard.chunk),
	};
	struct sp_comm_counters before = sp_comm_counters(comm);
	rc = rc ? rc : variant->forward(work, &call, &state);
	out->forward = since(comm, before);
	before = sp_comm_counters(comm);
	rc = rc ? rc : variant->backward(work, &call, &state, sp_matrix(dout, rows, H), sp_matrix(out->dqkv, rows, 3 * H));
	out->backward = since(comm, before);
	variant->destroy(work);
	free(arena.base);
	free(qkv);
	free(dout);
	free(doc);
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

static int compare(const struct input *in, const struct result *ring, const struct result *full)
{
	const struct sp_shard shard = sp_shard_of(in->length, ranks.size, ranks.rank, 1);
	int bad = differs("o", ring->o, full->o, shard, H, 1e-6);
	bad |= differs("dqkv", ring->dqkv, full->dqkv, shard, 3 * H, 2e-6);
	for (int64_t row = 0; row < B * A; row++)
		for (int64_t i = 0; i < shard.real; i++) {
			const float a = ring->lse[row * shard.chunk + i], b = full->lse[row * in->length + shard.first + i];
			bad |= !(a == b || fabsf(a - b) <= 1e-5f * (1 + fabsf(b)));
		}
	return bad;
}

static int ring_against_full(uint32_t keep, int overlap)
{
	int bad = 0;
	for (int i = 0; i < LENGTHS; i++) {
		struct input in = make_input(lengths[i], keep);
		struct result ring = { 0 }, full = { 0 };
		bad |= run("full", ranks.alone, 1, &in, &full) != 0;
		bad |= run("ring", ranks.world, overlap, &in, &ring) != 0;
		bad |= compare(&in, &ring, &full);
		free_result(&ring);
		free_result(&full);
		free_input(&in);
	}
	return bad;
}

static void ring_equals_full_attention(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, ring_against_full(65536, 1)));
}

static void ring_equals_full_attention_with_dropout(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, ring_against_full(58982, 1)));
}

static void ring_equals_full_attention_without_overlap(void **state)
{
	(void)state;
	assert_false(test_ranks_agree(&ranks, ring_against_full(58982, 0)));
}

/* Values are unit vectors, so an output row shows which probabilities were dropped. */
static void dropout_masks_are_the_same_for_every_number_of_ranks(void **state)
{
	(void)state;
	struct input in = make_input(7, 32768);
	struct result ring = { 0 }, full = { 0 };
	int bad = 0, dropped = 0;
	for (int64_t row = 0; row < B * in.length; row++)
		for (int64_t c = 0; c < H; c++)
			in.qkv[row * 3 * H + 2 * H + c] = c % D == row % in.length;
	for (int64_t i = 0; i < B * in.length; i++)
		in.doc[i] = 0;
	bad |= run("full", ranks.alone, 1, &in, &full) != 0;
	bad |= run("ring", ranks.world, 1, &in, &ring) != 0;
	const struct sp_shard shard = sp_shard_of(in.length, ranks.size, ranks.rank, 1);
	for (int64_t b = 0; b < B; b++)
		for (int64_t i = 0; i < shard.real; i++)
			for (int64_t c = 0; c < H; c++)
				bad |= (ring.o[(b * shard.chunk + i) * H + c] == 0) != (full.o[(b * in.length + shard.first + i) * H + c] == 0);
	for (int64_t i = 0; i < B * in.length * H; i++)
		dropped += i % D < in.length && full.o[i] == 0;
	bad |= dropped < B * A * 49 / 4 || dropped > B * A * 49 * 3 / 4;
	free_result(&ring);
	free_result(&full);
	free_input(&in);
	assert_false(test_ranks_agree(&ranks, bad));
}

static void bytes_sent_equal_the_formulas(void **state)
{
	(void)state;
	int bad = 0;
	for (int i = 0; i < LENGTHS; i++) {
		struct input in = make_input(lengths[i], 65536);
		struct result ring = { 0 };
		bad |= run("ring", ranks.world, 1, &in, &ring) != 0;
		const uint64_t p = (uint64_t)ranks.size, block = (uint64_t)(B * ring.chunk * H) * sizeof(float);
		bad |= ring.forward.bytes != 2 * (p - 1) * block;
		bad |= ring.backward.bytes != (p == 1 ? 0 : (4 * (p - 1) + 2) * block);
		free_result(&ring);
		free_input(&in);
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

static void two_runs_give_the_same_bits(void **state)
{
	(void)state;
	struct input in = make_input(65, 58982);
	struct result first = { 0 }, second = { 0 };
	int bad = run("ring", ranks.world, 1, &in, &first) != 0;
	bad |= run("ring", ranks.world, 1, &in, &second) != 0;
	bad |= memcmp(first.o, second.o, (size_t)(B * first.chunk * H) * sizeof(float)) != 0;
	bad |= memcmp(first.dqkv, second.dqkv, (size_t)(B * first.chunk * 3 * H) * sizeof(float)) != 0;
	free_result(&first);
	free_result(&second);
	free_input(&in);
	assert_false(test_ranks_agree(&ranks, bad));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ring_equals_full_attention),
		cmocka_unit_test(ring_equals_full_attention_with_dropout),
		cmocka_unit_test(ring_equals_full_attention_without_overlap),
		cmocka_unit_test(dropout_masks_are_the_same_for_every_number_of_ranks),
		cmocka_unit_test(bytes_sent_equal_the_formulas),
		cmocka_unit_test(two_runs_give_the_same_bits),
	};
	int rc = test_ranks_open(&ranks);
	if (rc)
		return rc;
	int failed = test_ranks_agree(&ranks, cmocka_run_group_tests(tests, NULL, NULL));
	test_ranks_close(&ranks);
	return failed;
}
