/* The communication table between any number of ranks: what arrives, what is counted, what is refused. Each rank notes
 * what is wrong, and the verdict is agreed on a communicator of its own before anybody asserts. */
#include "config.h"

#include "support.h"

#include "backend/comm.h"
#include "backend/module.h"
#include "base/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sp_comm *world, *verdicts;
static int rank, size;

/* Asserts on all ranks that `bad` is zero on all. */
static void agree(int bad)
{
	int32_t worst = bad;
	if (bad)
		fprintf(stderr, "rank %d saw %d wrong values\n", rank, bad);
	assert_int_equal(sp_comm_all_reduce(verdicts, &worst, 1, SP_I32, SP_MAX), SP_OK);
	assert_int_equal(worst, 0);
}

/* A byte that tells who sent which place of which message. */
static unsigned char mark(int sender, int message, size_t at)
{
	return (unsigned char)(sender * 31 + message * 7 + (int)(at % 251));
}

static unsigned char *message(int sender, int number, size_t bytes)
{
	unsigned char *m = malloc(bytes + 1);
	assert_non_null(m);
	for (size_t i = 0; i < bytes; i++)
		m[i] = mark(sender, number, i);
	return m;
}

static int wrong_bytes(const unsigned char *m, int sender, int number, size_t bytes)
{
	int bad = 0;
	for (size_t i = 0; i < bytes; i++)
		bad += m[i] != mark(sender, number, i);
	return bad;
}

/* What a rank sends; the next one expects it. Different on each rank, and none on every third. */
static size_t length(int sender, size_t base)
{
	return sender % 3 == 2 ? 0 : base + (size_t)sender * 17;
}

/* One hop round the ring of messages that differ in length. */
static int hop(struct sp_comm *comm, size_t base, int number)
{
	int me = sp_comm_rank(comm), n = sp_comm_size(comm), to = (me + 1) % n, from = (me + n - 1) % n;
	size_t out = n == 1 ? base : length(me, base), in = n == 1 ? base : length(from, base);
	unsigned char *sent = message(me, number, out), *got = message(99, number, in);
	struct sp_transfer transfer = { NULL };
	int bad = sp_comm_exchange_start(comm, &(struct sp_exchange){ sent, out, to, got, in, from }, &transfer) != SP_OK;
	bad += sp_comm_progress(comm) != SP_OK;
	bad += sp_comm_wait(comm, &transfer) != SP_OK;
	bad += sp_comm_wait(comm, &transfer) != SP_OK; /* a finished one: nothing to do */
	bad += wrong_bytes(got, from, number, in);
	free(sent);
	free(got);
	return bad;
}

static void a_ring_of_uneven_messages_arrives(void **state)
{
	(void)state;
	const size_t bases[] = { 0, 1, 4096, 100003, 3 << 20 };
	int bad = 0;
	for (int i = 0; i < 5; i++)
		bad += hop(world, bases[i], i);
	agree(bad);
}

static void messages_between_two_ranks_match_in_order(void **state)
{
	(void)state;
	enum { MANY = 9, BYTES = 40000 };
	struct sp_transfer transfer[MANY] = { 0 };
	unsigned char *sent[MANY], *got[MANY];
	int to = (rank + 1) % size, from = (rank + size - 1) % size, bad = 0;
	for (int i = 0; i < MANY; i++) {
		sent[i] = message(rank, i, BYTES);
		got[i] = message(99, i, BYTES);
		struct sp_exchange args = { sent[i], BYTES, to, got[i], BYTES, from };
		bad += sp_comm_exchange_start(world, &args, &transfer[i]) != SP_OK;
	}
	for (int i = MANY - 1; i >= 0; i--)
		bad += sp_comm_wait(world, &transfer[i]) != SP_OK;
	for (int i = 0; i < MANY; i++) {
		bad += wrong_bytes(got[i], from, i, BYTES);
		free(sent[i]);
		free(got[i]);
	}
	agree(bad);
}

static void a_transfer_finishes_by_progress_alone(void **state)
{
	(void)state;
	enum { BYTES = 1 << 20 };
	unsigned char *sent = message(rank, 1, BYTES), *got = message(99, 1, BYTES);
	struct sp_transfer transfer = { 0 };
	int from = (rank + size - 1) % size, bad = 0;
	struct sp_exchange args = { sent, BYTES, (rank + 1) % size, got, BYTES, from };
	bad += sp_comm_exchange_start(world, &args, &transfer) != SP_OK;
	for (long tries = 0; tries < 20000000 && got[BYTES - 1] != mark(from, 1, BYTES - 1); tries++)
		bad += sp_comm_progress(world) != SP_OK;
	bad += got[BYTES - 1] != mark(from, 1, BYTES - 1);
	bad += sp_comm_wait(world, &transfer) != SP_OK;
	bad += wrong_bytes(got, from, 1, BYTES);
	free(sent);
	free(got);
	agree(bad);
}

static void a_transfer_finishes_by_testing_alone(void **state)
{
	(void)state;
	enum { BYTES = 1 << 20, N = 70001 };
	unsigned char *sent = message(rank, 1, BYTES), *got = message(99, 1, BYTES);
	double *sums = calloc((size_t)N * size, sizeof *sums);
	struct sp_transfer ring = { 0 }, sum = { 0 };
	int from = (rank + size - 1) % size, bad = sums == NULL, done = 0, summed = 0;
	for (int64_t i = 0; i < (int64_t)N * size && sums; i++)
		sums[i] = rank + (double)i;
	struct sp_exchange args = { sent, BYTES, (rank + 1) % size, got, BYTES, from };
	bad += sp_comm_exchange_start(world, &args, &ring) || sp_comm_reduce_scatter_start(world, sums, N, SP_F64, &sum);
	const double exposed = sp_comm_counters(world).exposed;
	for (long tries = 0; tries < 20000000 && !(done && summed) && !bad; tries++)
		bad += sp_comm_test(world, &ring, &done) || sp_comm_test(world, &sum, &summed);
	bad += !done || !summed || ring.request || sum.request || sp_comm_counters(world).exposed != exposed;
	bad += wrong_bytes(got, from, 1, BYTES);
	for (int64_t i = (int64_t)rank * N; i < (int64_t)(rank + 1) * N && !bad; i++)
		bad += sums[i] != size * (double)i + size * (size - 1) / 2;
	free(sums);
	free(sent);
	free(got);
	agree(bad);
}

/* ---- reductions, of every dtype; values are small integers, so sums are exact ---- */

/* What 16 bits hold, from their definition. */
static double meaning(uint16_t bits, int exponent_bits)
{
	const int fraction_bits = 15 - exponent_bits, most = (1 << exponent_bits) - 1, bias = most / 2;
	const int exponent = bits >> fraction_bits & most, fraction = bits & ((1 << fraction_bits) - 1);
	const double sign = bits >> 15 ? -1 : 1;
	if (exponent == most)
		return fraction ? NAN : sign * INFINITY;
	const double amount = exponent ? 1 + ldexp(fraction, -fraction_bits) : ldexp(fraction, 1 - fraction_bits);
	return sign * ldexp(amount, exponent - bias);
}

/* Those bits of which that is the meaning. */
static uint16_t half_of(double value, int exponent_bits)
{
	for (int bits = 0; bits < 1 << 16; bits++)
		if (meaning((uint16_t)bits, exponent_bits) == value)
			return (uint16_t)bits;
	fail_msg("%g cannot be had in 16 bits", value);
	return 0;
}

/* Whole numbers from -512 to 511 that 16 bits hold. */
static uint16_t whole(enum sp_dtype dtype, int value)
{
	static uint16_t known[SP_DTYPES][1024];
	uint16_t *at = &known[dtype][value + 512];
	if (!*at)
		*at = half_of(value, dtype == SP_BF16 ? 8 : 5);
	return *at;
}

static void put(void *data, enum sp_dtype dtype, int64_t i, int value)
{
	switch (dtype) {
	case SP_BF16:
	case SP_F16: ((uint16_t *)data)[i] = whole(dtype, value); break;
	case SP_F32: ((float *)data)[i] = (float)value; break;
	case SP_F64: ((double *)data)[i] = value; break;
	case SP_I32: ((int32_t *)data)[i] = value; break;
	default: ((int64_t *)data)[i] = value;
	}
}

static double get(const void *data, enum sp_dtype dtype, int64_t i)
{
	switch (dtype) {
	case SP_BF16: return meaning(((const uint16_t *)data)[i], 8);
	case SP_F16: return meaning(((const uint16_t *)data)[i], 5);
	case SP_F32: return ((const float *)data)[i];
	case SP_F64: return ((const double *)data)[i];
	case SP_I32: return ((const int32_t *)data)[i];
	default: return (double)((const int64_t *)data)[i];
	}
}

static int value(int r, int64_t i)
{
	return (int)((r * 7 + i * 3) % 101) - 50;
}

static double reduced(enum sp_reduction op, int64_t i)
{
	double result = value(0, i);
	for (int r = 1; r < size; r++) {
		double v = value(r, i);
		result = op == SP_SUM ? result + v : op == SP_MAX ? fmax(result, v) : fmin(result, v);
	}
	return result;
}

static void *values_of(int r, int64_t n, enum sp_dtype dtype)
{
	void *data = calloc((size_t)n + 1, sp_dtype_size(dtype));
	assert_non_null(data);
	for (int64_t i = 0; i < n; i++)
		put(data, dtype, i, value(r, i));
	return data;
}

static const int64_t counts[] = { 0, 1, 5, 1023, 70001 };

static void all_reduce_is_the_reduction_of_all_ranks(void **state)
{
	(void)state;
	int bad = 0;
	for (int dtype = 0; dtype < SP_DTYPES; dtype++)
		for (int op = SP_SUM; op <= SP_MIN; op++)
			for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
				void *data = values_of(rank, counts[c], dtype);
				bad += sp_comm_all_reduce(world, data, counts[c], dtype, op) != SP_OK;
				for (int64_t i = 0; i < counts[c]; i++)
					bad += get(data, dtype, i) != reduced(op, i);
				free(data);
			}
	agree(bad);
}

static void reduce_scatter_leaves_each_rank_its_share_of_the_sum(void **state)
{
	(void)state;
	int bad = 0;
	for (int dtype = 0; dtype < SP_DTYPES; dtype++)
		for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
			void *data = values_of(rank, counts[c] * size, dtype);
			struct sp_transfer transfer = { 0 };
			bad += sp_comm_reduce_scatter_start(world, data, counts[c], dtype, &transfer) != SP_OK;
			bad += sp_comm_wait(world, &transfer) != SP_OK;
			for (int64_t i = rank * counts[c]; i < (rank + 1) * counts[c]; i++)
				bad += get(data, dtype, i) != reduced(SP_SUM, i);
			free(data);
		}
	agree(bad);
}

/* What rank 0 and rank 1 contribute, and the sum of both rounded. */
static const struct {
	enum sp_dtype dtype;
	double first, second, sum;
} rounded[] = {
	{ SP_BF16, 256, 1, 256 },          { SP_BF16, 258, 1, 260 },          { SP_BF16, -258, -1, -260 },
	{ SP_BF16, 256, 1.5, 258 },        { SP_BF16, 1, -1, 0 },             { SP_BF16, 0x1.fep127, 0x1p127, INFINITY },
	{ SP_BF16, INFINITY, 1, INFINITY }, { SP_BF16, 0x1p-133, 0x1p-133, 0x1p-132 },
	{ SP_F16, 2048, 1, 2048 },         { SP_F16, 2050, 1, 2052 },         { SP_F16, -2050, -1, -2052 },
	{ SP_F16, 2048, 1.5, 2050 },       { SP_F16, 65504, 8, 65504 },       { SP_F16, 65504, 16, INFINITY },
	{ SP_F16, -65504, -65504, -INFINITY }, { SP_F16, 0x1p-24, 0x1p-24, 0x1p-23 },
	{ SP_F16, 0x1.ff8p-15, 0x1p-24, 0x1p-14 }, { SP_F16, 0x1p-14, -0x1p-24, 0x1.ff8p-15 },
};

static void sums_of_16_bits_are_rounded_to_nearest_and_even(void **state)
{
	(void)state;
	const int n = sizeof rounded / sizeof *rounded;
	int bad = 0;
	for (int i = 0; i < n && size > 1; i++) {
		const int exponent_bits = rounded[i].dtype == SP_BF16 ? 8 : 5;
		uint16_t all = half_of(rank == 0 ? rounded[i].first : rank == 1 ? rounded[i].second : 0, exponent_bits), shares[64];
		struct sp_transfer transfer = { 0 };
		for (int r = 0; r < size; r++)
			shares[r] = all;
		bad += sp_comm_all_reduce(world, &all, 1, rounded[i].dtype, SP_SUM) != SP_OK;
		bad += meaning(all, exponent_bits) != rounded[i].sum;
		bad += sp_comm_reduce_scatter_start(world, shares, 1, rounded[i].dtype, &transfer) != SP_OK;
		bad += sp_comm_wait(world, &transfer) != SP_OK;
		bad += meaning(shares[rank], exponent_bits) != rounded[i].sum;
	}
	uint16_t none[2] = { rank ? 0x3f80 : 0x7fc0, rank ? 0x3c00 : 0x7e00 }; /* not a number on rank 0, 1 on the others */
	bad += sp_comm_all_reduce(world, &none[0], 1, SP_BF16, SP_SUM) != SP_OK || !isnan(meaning(none[0], 8));
	bad += sp_comm_all_reduce(world, &none[1], 1, SP_F16, SP_SUM) != SP_OK || !isnan(meaning(none[1], 5));
	agree(bad);
}

static void all_gather_gives_everyone_every_share(void **state)
{
	(void)state;
	int bad = 0;
	for (int dtype = 0; dtype < SP_DTYPES; dtype++)
		for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
			int64_t n = counts[c];
			void *data = values_of(rank, n * size, dtype);
			struct sp_transfer transfer = { 0 };
			bad += sp_comm_all_gather_start(world, data, n, dtype, &transfer) != SP_OK;
			bad += sp_comm_wait(world, &transfer) != SP_OK;
			for (int64_t i = 0; i < n * size; i++)
				bad += get(data, dtype, i) != value((int)(i / n), i);
			free(data);
		}
	agree(bad);
}

/* What a rank sends another: nothing to some, and never as much as it gets back. */
static size_t part(int from, int to, size_t base)
{
	return (from + 2 * to) % 4 == 3 ? 0 : base + (size_t)(from * 13 + to * 5);
}

static int exchange_parts(size_t base, int behind)
{
	size_t send_bytes[64], receive_bytes[64], sent = 0, received = 0;
	for (int r = 0; r < size; r++) {
		sent += send_bytes[r] = part(rank, r, base);
		received += receive_bytes[r] = part(r, rank, base);
	}
	unsigned char *send = malloc(sent + 1), *receive = calloc(1, received + 1), *at = send;
	assert_true(send && receive && size <= 64);
	for (int r = 0; r < size; r++)
		for (size_t i = 0; i < send_bytes[r]; i++)
			*at++ = mark(rank, r, i);
	const struct sp_all_to_all args = { send, send_bytes, receive, receive_bytes };
	const struct sp_comm_counters before = sp_comm_counters(world);
	struct sp_transfer transfer = { 0 };
	int bad = sp_comm_all_to_all_start(world, &args, &transfer) != SP_OK;
	bad += sp_comm_counters(world).bytes - before.bytes != sent - send_bytes[rank];
	if (behind) /* what is started later arrives later */
		bad += hop(world, base, 5);
	bad += sp_comm_wait(world, &transfer) != SP_OK;
	at = receive;
	for (int r = 0; r < size; at += receive_bytes[r++])
		bad += wrong_bytes(at, r, rank, receive_bytes[r]);
	free(send);
	free(receive);
	return bad;
}

static void all_to_all_brings_each_its_part_of_any_length(void **state)
{
	(void)state;
	const size_t bases[] = { 1, 4096, 100003 };
	int bad = 0;
	for (int i = 0; i < 3; i++)
		bad += exchange_parts(bases[i], 0) + exchange_parts(bases[i], 1);
	agree(bad);
}

/* Fractions of which the order of summation shows in the last bits. */
static void fill_fractions(float *x, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		x[i] = 1.0f / (float)(1 + (rank * 131 + i * 17) % 1009);
}

static void a_sum_has_the_same_bits_every_time_and_on_every_rank(void **state)
{
	(void)state;
	enum { N = 50021 };
	float *first = calloc((size_t)N * size, sizeof *first), *again = calloc((size_t)N * size, sizeof *again);
	assert_non_null(first);
	assert_non_null(again);
	int bad = 0;
	for (int round = 0; round < 3; round++) {
		float *x = round ? again : first;
		struct sp_transfer scatter = { 0 }, gather = { 0 };
		fill_fractions(x, (int64_t)N * size);
		bad += sp_comm_reduce_scatter_start(world, x, N, SP_F32, &scatter) || sp_comm_wait(world, &scatter);
		bad += sp_comm_all_gather_start(world, x, N, SP_F32, &gather) || sp_comm_wait(world, &gather);
		bad += round && memcmp(first, again, (size_t)N * size * sizeof *first) != 0;
	}
	memcpy(again, first, (size_t)N * size * sizeof *first);
	bad += sp_comm_broadcast(world, again, (size_t)N * size * sizeof *first, 0) != SP_OK;
	bad += memcmp(first, again, (size_t)N * size * sizeof *first) != 0;
	free(first);
	free(again);
	agree(bad);
}

static void broadcast_reaches_all_from_any_root(void **state)
{
	(void)state;
	int bad = 0;
	for (int root = 0; root < size; root++) {
		unsigned char *m = message(rank, root, 100003);
		bad += sp_comm_broadcast(world, m, 100003, root) != SP_OK;
		bad += wrong_bytes(m, root, root, 100003);
		free(m);
	}
	agree(bad + (sp_comm_barrier(world) != SP_OK));
}

static void transfers_of_different_kinds_may_be_under_way_together(void **state)
{
	(void)state;
	enum { N = 3001, BYTES = 50001 };
	int64_t *sum = values_of(rank, (int64_t)N * size, SP_I64), *all = values_of(rank, (int64_t)N * size, SP_I64);
	int from = (rank + size - 1) % size, bad = 0;
	unsigned char *sent = message(rank, 3, BYTES), *got = message(99, 3, BYTES);
	struct sp_transfer scatter = { 0 }, gather = { 0 }, ring = { 0 };
	struct sp_exchange args = { sent, BYTES, (rank + 1) % size, got, BYTES, from };
	bad += sp_comm_reduce_scatter_start(world, sum, N, SP_I64, &scatter) != SP_OK;
	bad += sp_comm_exchange_start(world, &args, &ring) != SP_OK;
	bad += sp_comm_all_gather_start(world, all, N, SP_I64, &gather) != SP_OK;
	bad += sp_comm_wait(world, &gather) || sp_comm_wait(world, &ring) || sp_comm_wait(world, &scatter);
	bad += wrong_bytes(got, from, 3, BYTES);
	for (int64_t i = (int64_t)rank * N; i < (int64_t)(rank + 1) * N; i++)
		bad += (double)sum[i] != reduced(SP_SUM, i);
	for (int64_t i = 0; i < (int64_t)N * size; i++)
		bad += all[i] != value((int)(i / N), i);
	free(sum);
	free(all);
	free(sent);
	free(got);
	agree(bad);
}

/* ---- groups ---- */

static void split_orders_by_key_and_parts_do_not_mix(void **state)
{
	(void)state;
	struct sp_comm *part = NULL;
	int bad = sp_comm_split(world, rank % 2, -rank, "parity", &part) != SP_OK;
	int members = (size + (rank % 2 == 0)) / 2;
	bad += sp_comm_size(part) != members || sp_comm_rank(part) != members - 1 - rank / 2;
	int64_t sum = rank, expected = 0;
	for (int r = rank % 2; r < size; r += 2)
		expected += r;
	bad += sp_comm_all_reduce(part, &sum, 1, SP_I64, SP_SUM) || sum != expected;
	bad += hop(part, 1000, 8);
	sp_comm_close(part);
	agree(bad);
}

static void ranks_of_one_machine_know_each_other(void **state)
{
	(void)state;
	struct sp_place place = sp_comm_place(world);
	agree(place.rank != rank || place.size != size || place.local_size < 1 || place.local_size > size ||
	      place.local_rank >= place.local_size || place.local_rank > rank);
}

/* ---- counters and refusals ---- */

static struct sp_comm_counters since(struct sp_comm_counters before)
{
	struct sp_comm_counters now = sp_comm_counters(world);
	return (struct sp_comm_counters){ now.bytes - before.bytes, now.messages - before.messages,
		                              now.exposed - before.exposed };
}

static void counters_equal_the_formulas(void **state)
{
	(void)state;
	enum { N = 300, BYTES = 1000 };
	unsigned char out[BYTES] = { 0 }, in[BYTES];
	float *x = values_of(rank, (int64_t)N * size, SP_F32);
	uint64_t others = (uint64_t)size - 1;
	struct sp_transfer t = { 0 };
	struct sp_exchange args = { out, BYTES, (rank + 1) % size, in, BYTES, (rank + size - 1) % size };
	struct sp_comm_counters at = sp_comm_counters(world), was;

	int bad = sp_comm_exchange_start(world, &args, &t) || sp_comm_wait(world, &t);
	was = since(at), at = sp_comm_counters(world);
	bad += was.bytes != (size > 1 ? BYTES : 0) || was.messages != 1 || was.exposed < 0;
	bad += sp_comm_reduce_scatter_start(world, x, N, SP_F32, &t) || sp_comm_wait(world, &t);
	was = since(at), at = sp_comm_counters(world);
	bad += was.bytes != others * N * 4 || was.messages != 1;
	bad += sp_comm_all_gather_start(world, x, N, SP_F32, &t) || sp_comm_wait(world, &t);
	was = since(at), at = sp_comm_counters(world);
	bad += was.bytes != others * N * 4 || was.messages != 1;
	bad += sp_comm_all_reduce(world, x, N, SP_F32, SP_SUM) != SP_OK;
	was = since(at), at = sp_comm_counters(world);
	bad += was.bytes != 2 * others * N * 4 / (uint64_t)size || was.exposed <= 0;
	bad += sp_comm_broadcast(world, out, BYTES, 0) != SP_OK;
	was = since(at);
	bad += was.bytes != (rank == 0 && size > 1 ? BYTES : 0);
	free(x);
	agree(bad);
}

static void bad_arguments_are_refused_and_nothing_is_sent(void **state)
{
	(void)state;
	char a[8], b[8];
	float x[4] = { 0 };
	struct sp_transfer t = { 0 };
	struct sp_comm *part = NULL;
	struct sp_comm_counters before = sp_comm_counters(world);
	const struct sp_exchange wrong[] = {
		{ a, 8, size, b, 8, rank }, { a, 8, rank, b, 8, -1 }, { NULL, 8, rank, b, 8, rank }, { a, 8, rank, NULL, 8, rank },
		{ a, 8, rank, b, 4, rank },
	};
	int bad = 0;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		bad += sp_comm_exchange_start(world, &wrong[i], &t) != SP_ERR_ARGUMENT || t.request;
	bad += sp_comm_all_reduce(world, x, -1, SP_F32, SP_SUM) != SP_ERR_ARGUMENT;
	bad += sp_comm_all_reduce(world, x, 4, SP_DTYPES, SP_SUM) != SP_ERR_ARGUMENT;
	bad += sp_comm_all_reduce(world, x, 4, SP_F32, 9) != SP_ERR_ARGUMENT;
	bad += sp_comm_reduce_scatter_start(world, NULL, 4, SP_F32, &t) != SP_ERR_ARGUMENT;
	bad += sp_comm_broadcast(world, x, 4, size) != SP_ERR_ARGUMENT;
	size_t out[64] = { 0 }, in[64] = { 0 };
	out[rank] = 4;
	bad += sp_comm_all_to_all_start(world, &(struct sp_all_to_all){ a, out, b, in }, &t) != SP_ERR_ARGUMENT;
	in[rank] = 4;
	bad += sp_comm_all_to_all_start(world, &(struct sp_all_to_all){ a, out, NULL, in }, &t) != SP_ERR_ARGUMENT;
	bad += sp_comm_all_to_all_start(world, &(struct sp_all_to_all){ a, NULL, b, in }, &t) != SP_ERR_ARGUMENT;
	bad += sp_comm_split(world, -1, 0, "none", &part) != SP_ERR_ARGUMENT || part;
	bad += since(before).messages != 0;
	agree(bad);
}

static void transfers_and_waits_leave_spans(void **state)
{
	(void)state;
	char text[4096] = "";
	FILE *file = tmpfile();
	sp_trace_start();
	int bad = hop(world, 1000, 4) + (sp_comm_barrier(world) != SP_OK);
	bad += !file || sp_trace_write(file, rank, "rank", 0) != 0;
	sp_trace_stop();
	if (file) {
		rewind(file);
		bad += fread(text, 1, sizeof text - 1, file) == 0;
		fclose(file);
	}
	const char *const names[] = { "\"exchange world\"", "\"barrier world\"", "\"wait world\"" };
	for (int i = 0; i < (size > 1 ? 3 : 2); i++) /* alone, nothing is waited for */
		bad += strstr(text, names[i]) == NULL;
	agree(bad);
}

/* Started with a word: that module. Else MPI where it was built, with pieces so short that a message has several, or the
 * one rank of self. */
static const char *choose(int argc, char **argv)
{
	const struct sp_module *m;
	char why[256];
	setenv("SEQPAR_MPI_PIECE", "10000", 0);
	if (argc > 1)
		return argv[1];
	return sp_module_open("mpi", &m, why, sizeof why) == SP_ERR_ABSENT ? "self" : "mpi";
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ring_of_uneven_messages_arrives),
		cmocka_unit_test(messages_between_two_ranks_match_in_order),
		cmocka_unit_test(a_transfer_finishes_by_progress_alone),
		cmocka_unit_test(a_transfer_finishes_by_testing_alone),
		cmocka_unit_test(all_reduce_is_the_reduction_of_all_ranks),
		cmocka_unit_test(reduce_scatter_leaves_each_rank_its_share_of_the_sum),
		cmocka_unit_test(sums_of_16_bits_are_rounded_to_nearest_and_even),
		cmocka_unit_test(all_gather_gives_everyone_every_share),
		cmocka_unit_test(all_to_all_brings_each_its_part_of_any_length),
		cmocka_unit_test(a_sum_has_the_same_bits_every_time_and_on_every_rank),
		cmocka_unit_test(broadcast_reaches_all_from_any_root),
		cmocka_unit_test(transfers_of_different_kinds_may_be_under_way_together),
		cmocka_unit_test(split_orders_by_key_and_parts_do_not_mix),
		cmocka_unit_test(ranks_of_one_machine_know_each_other),
		cmocka_unit_test(counters_equal_the_formulas),
		cmocka_unit_test(transfers_and_waits_leave_spans),
		cmocka_unit_test(bad_arguments_are_refused_and_nothing_is_sent),
	};
	if (sp_comm_open(choose(argc, argv), 1, &world))
		return 1;
	rank = sp_comm_rank(world);
	size = sp_comm_size(world);
	if (sp_comm_split(world, 0, rank, "verdicts", &verdicts))
		return 1;
	if (rank > 0 && !freopen("/dev/null", "w", stdout))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	sp_comm_close(verdicts);
	sp_comm_close(world);
	return failed;
}
