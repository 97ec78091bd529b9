/* Messages in the memory of a device: the same claims whether they go through host memory or a module passes them itself.
 * SEQPAR_TEST_DEVICE names the device (cudasim), SEQPAR_TEST_COMM the communication module (mpi). */
#include "config.h"

#include "support.h"

#include "backend/compute.h"
#include "ranks/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct test_ranks ranks;
static struct sp_compute *device;
static struct sp_comm *world;
static int rank, size;

static void agree(int bad)
{
	if (bad)
		fprintf(stderr, "rank %d saw %d wrong values\n", rank, bad);
	assert_false(test_ranks_agree(&ranks, bad));
}

/* ---- memory of the device ---- */

static void *device_copy(const void *host, size_t bytes)
{
	void *memory;
	assert_int_equal(sp_compute_alloc(device, bytes, &memory), SP_OK);
	assert_int_equal(sp_compute_copy_in(device, memory, host, bytes), SP_OK);
	return memory;
}

static int differs(const void *memory, const void *want, size_t bytes)
{
	char *got = malloc(bytes + 1);
	int bad = !got || sp_compute_copy_out(device, got, memory, bytes) != SP_OK;
	bad = bad || memcmp(got, want, bytes) != 0;
	free(got);
	return bad;
}

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

static void *device_message(int sender, int number, size_t bytes)
{
	unsigned char *m = message(sender, number, bytes);
	void *memory = device_copy(m, bytes);
	free(m);
	return memory;
}

static int differs_from_message(const void *memory, int sender, int number, size_t bytes)
{
	unsigned char *want = message(sender, number, bytes);
	const int bad = differs(memory, want, bytes);
	free(want);
	return bad;
}

/* ---- exchanges ---- */

/* What a rank sends round the ring; none on every third. */
static size_t length(int sender, size_t base)
{
	return size > 1 && sender % 3 == 2 ? 0 : base + (size_t)sender * 17;
}

static int hop(struct sp_comm *comm, size_t base, int number)
{
	const int me = sp_comm_rank(comm), n = sp_comm_size(comm), to = (me + 1) % n, from = (me + n - 1) % n;
	const size_t out = n == 1 ? base : length(me, base), in = n == 1 ? base : length(from, base);
	void *sent = device_message(me, number, out), *got = device_message(99, number, in);
	struct sp_transfer transfer = { .compute = device };
	int bad = sp_comm_exchange_start(comm, &(struct sp_exchange){ sent, out, to, got, in, from }, &transfer) != SP_OK;
	bad += sp_comm_progress(comm) != SP_OK;
	bad += sp_comm_wait(comm, &transfer) != SP_OK || transfer.request;
	bad += sp_comm_wait(comm, &transfer) != SP_OK;
	bad += sp_compute_zero(device, sent, out) != SP_OK; /* it has gone: it can be written over */
	bad += differs_from_message(got, from, number, in);
	sp_compute_free(device, sent);
	sp_compute_free(device, got);
	return bad;
}

static void a_ring_of_uneven_messages_arrives(void **state)
{
	(void)state;
	const size_t bases[] = { 0, 1, 4096, 100003, 1 << 20 };
	int bad = 0;
	for (int i = 0; i < 5; i++)
		bad += hop(world, bases[i], i);
	agree(bad);
}

/* Between two ranks they match in order, are waited for backwards, and are sent on without the host having seen them; in a group
 * that has sent nothing yet, so that a library has to make connections first, for the gather to still others. */
static void messages_go_on_as_they_came(void **state)
{
	(void)state;
	enum { MANY = 5, BYTES = 40000 };
	struct sp_transfer first[MANY], second[MANY];
	void *a[MANY], *b[MANY], *c[MANY];
	const int to = (rank + 1) % size, from = (rank + size - 1) % size;
	struct sp_comm *fresh = NULL;
	int32_t own[64] = { 0 }, want[64] = { 0 }, *gathered;
	struct sp_transfer gather = { .compute = device };
	int bad = sp_comm_split(world, 0, rank, "fresh", &fresh) != SP_OK;
	own[rank] = rank;
	gathered = device_copy(own, sizeof own);
	for (int i = 0; i < MANY; i++) {
		a[i] = device_message(rank, i, BYTES);
		b[i] = device_message(99, i, BYTES);
		c[i] = device_message(98, i, BYTES);
	}
	for (int i = 0; i < MANY; i++) {
		first[i] = second[i] = (struct sp_transfer){ .compute = device };
		if (i == MANY - 1)
			bad += sp_comm_all_gather_start(fresh, gathered, 1, SP_I32, &gather) != SP_OK;
		bad += sp_comm_exchange_start(fresh, &(struct sp_exchange){ a[i], BYTES, to, b[i], BYTES, from }, &first[i]) != SP_OK;
	}
	for (int i = MANY - 1; i >= 0; i--)
		bad += sp_comm_wait(fresh, &first[i]) != SP_OK;
	for (int i = 0; i < MANY; i++)
		bad += sp_comm_exchange_start(fresh, &(struct sp_exchange){ b[i], BYTES, to, c[i], BYTES, from }, &second[i]) != SP_OK;
	for (int i = 0; i < MANY; i++)
		bad += sp_comm_wait(fresh, &second[i]) != SP_OK;
	for (int r = 0; r < size; r++)
		want[r] = r;
	bad += sp_comm_wait(fresh, &gather) != SP_OK || differs(gathered, want, sizeof want);
	sp_compute_free(device, gathered);
	for (int i = 0; i < MANY; i++) {
		bad += differs_from_message(c[i], (rank + 2 * size - 2) % size, i, BYTES);
		sp_compute_free(device, a[i]);
		sp_compute_free(device, b[i]);
		sp_compute_free(device, c[i]);
	}
	sp_comm_close(fresh);
	agree(bad);
}

static void a_transfer_finishes_by_testing_alone(void **state)
{
	(void)state;
	enum { BYTES = 1 << 18 };
	void *sent = device_message(rank, 1, BYTES), *got = device_message(99, 1, BYTES);
	const int from = (rank + size - 1) % size;
	struct sp_transfer t = { .compute = device };
	const struct sp_exchange args = { sent, BYTES, (rank + 1) % size, got, BYTES, from };
	int bad = sp_comm_exchange_start(world, &args, &t) != SP_OK, done = 0;
	for (long tries = 0; tries < 20000000 && !done && !bad; tries++)
		bad += sp_comm_test(world, &t, &done) != SP_OK;
	bad += !done || t.request || differs_from_message(got, from, 1, BYTES);
	sp_compute_free(device, sent);
	sp_compute_free(device, got);
	agree(bad);
}

static size_t part(int from, int to, size_t base)
{
	return (from + 2 * to) % 4 == 3 ? 0 : base + (size_t)(from * 13 + to * 5);
}

static int exchange_parts(size_t base)
{
	size_t send_bytes[64], receive_bytes[64], sent = 0, received = 0, at = 0;
	for (int r = 0; r < size; r++) {
		sent += send_bytes[r] = part(rank, r, base);
		received += receive_bytes[r] = part(r, rank, base);
	}
	unsigned char *host = malloc(sent + received + 1), *want = host + sent;
	for (int r = 0; r < size; r++)
		for (size_t i = 0; i < send_bytes[r]; i++)
			host[at++] = mark(rank, r, i);
	for (int r = 0; r < size; r++)
		for (size_t i = 0; i < receive_bytes[r]; i++)
			host[at++] = mark(r, rank, i);
	void *send = device_copy(host, sent), *receive = device_message(99, 0, received);
	struct sp_all_to_all args = { send, send_bytes, receive, receive_bytes };
	struct sp_transfer t = { .compute = device };
	int bad = sp_comm_all_to_all_start(world, &args, &t) != SP_OK;
	memset(send_bytes, 0, sizeof send_bytes); /* read by start only */
	memset(receive_bytes, 0, sizeof receive_bytes);
	bad += hop(world, base, 5);
	bad += sp_comm_wait(world, &t) != SP_OK || differs(receive, want, received);
	sp_compute_free(device, send);
	sp_compute_free(device, receive);
	free(host);
	return bad;
}

static void all_to_all_brings_each_its_part_of_any_length(void **state)
{
	(void)state;
	agree(exchange_parts(1) + exchange_parts(4096) + exchange_parts(100003));
}

/* ---- reductions; whole numbers, so sums are exact ---- */

/* In 16 bits: whole numbers below 256, whose upper bits are all there are. */
static uint16_t half_of(int value, int exponent_bits)
{
	const int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
	if (value == 0)
		return 0;
	const int size_of = abs(value), exponent = 31 - __builtin_clz((unsigned)size_of);
	const int fraction = size_of << fraction_bits >> exponent & ((1 << fraction_bits) - 1);
	return (uint16_t)((value < 0) << 15 | (exponent + bias) << fraction_bits | fraction);
}

static void put(void *data, enum sp_dtype dtype, int64_t i, int value)
{
	switch (dtype) {
	case SP_F32: ((float *)data)[i] = (float)value; break;
	case SP_F64: ((double *)data)[i] = value; break;
	case SP_I32: ((int32_t *)data)[i] = value; break;
	case SP_I64: ((int64_t *)data)[i] = value; break;
	default: ((uint16_t *)data)[i] = half_of(value, dtype == SP_BF16 ? 8 : 5);
	}
}

static int value(int r, int64_t i)
{
	return (int)((r * 7 + i * 3) % 101) - 50;
}

static int reduced(enum sp_reduction op, int64_t i)
{
	int result = value(0, i);
	for (int r = 1; r < size; r++) {
		const int v = value(r, i);
		result = op == SP_SUM ? result + v : op == SP_MAX ? (v > result ? v : result) : (v < result ? v : result);
	}
	return result;
}

static const int64_t counts[] = { 0, 1, 5, 1023, 30001 };
enum { COUNTS = sizeof counts / sizeof *counts };

/* Of rank r, or reduced (r < 0), in host memory. */
static void *values_of(int r, int64_t n, enum sp_dtype dtype, enum sp_reduction op)
{
	void *data = calloc((size_t)n + 1, sp_dtype_size(dtype));
	assert_non_null(data);
	for (int64_t i = 0; i < n; i++)
		put(data, dtype, i, r < 0 ? reduced(op, i) : value(r, i));
	return data;
}

static void *device_values(int64_t n, enum sp_dtype dtype)
{
	void *host = values_of(rank, n, dtype, SP_SUM), *memory = device_copy(host, (size_t)n * sp_dtype_size(dtype));
	free(host);
	return memory;
}

static int all_reduce(int64_t n, enum sp_dtype dtype, enum sp_reduction op)
{
	void *data = device_values(n, dtype), *want = values_of(-1, n, dtype, op);
	int bad = sp_comm_all_reduce_on(world, device, data, n, dtype, op) != SP_OK;
	bad += differs(data, want, (size_t)n * sp_dtype_size(dtype));
	sp_compute_free(device, data);
	free(want);
	return bad;
}

static void all_reduce_is_the_reduction_of_all_ranks(void **state)
{
	(void)state;
	int bad = 0;
	for (int dtype = 0; dtype < SP_DTYPES; dtype++)
		for (int op = SP_SUM; op <= SP_MIN; op++)
			for (int c = 0; c < COUNTS; c++)
				bad += all_reduce(counts[c], dtype, op);
	agree(bad);
}

static int reduce_scatter(int64_t n, enum sp_dtype dtype)
{
	const size_t bytes = (size_t)n * sp_dtype_size(dtype), share = (size_t)rank * bytes;
	char *data = device_values(n * size, dtype), *want = values_of(-1, n * size, dtype, SP_SUM);
	struct sp_transfer t = { .compute = device };
	int bad = sp_comm_reduce_scatter_start(world, data, n, dtype, &t) != SP_OK || sp_comm_wait(world, &t) != SP_OK;
	bad += differs(data + share, want + share, bytes);
	sp_compute_free(device, data);
	free(want);
	return bad;
}

static int all_gather(int64_t n, enum sp_dtype dtype)
{
	const size_t all = (size_t)(n * size) * sp_dtype_size(dtype);
	void *data = device_values(n * size, dtype), *want = calloc(all + 1, 1);
	struct sp_transfer t = { .compute = device };
	for (int64_t i = 0; i < n * size; i++)
		put(want, dtype, i, value((int)(i / n), i));
	int bad = sp_comm_all_gather_start(world, data, n, dtype, &t) != SP_OK || sp_comm_wait(world, &t) != SP_OK;
	bad += differs(data, want, all);
	sp_compute_free(device, data);
	free(want);
	return bad;
}

static void sums_are_scattered_and_shares_gathered(void **state)
{
	(void)state;
	int bad = 0;
	for (int dtype = 0; dtype < SP_DTYPES; dtype++)
		for (int c = 0; c < COUNTS; c++)
			bad += reduce_scatter(counts[c], dtype) + all_gather(counts[c], dtype);
	agree(bad);
}

static void a_sum_has_the_same_bits_every_time(void **state)
{
	(void)state;
	enum { N = 20021 };
	float *x = calloc((size_t)N * (size_t)size, sizeof *x), *first = calloc(N, sizeof *first);
	int bad = 0;
	for (int64_t i = 0; i < (int64_t)N * size; i++)
		x[i] = 1.0f / (float)(1 + (rank * 131 + i * 17) % 1009);
	for (int round = 0; round < 3; round++) {
		float *data = device_copy(x, (size_t)N * (size_t)size * sizeof *x);
		struct sp_transfer t = { .compute = device };
		bad += sp_comm_reduce_scatter_start(world, data, N, SP_F32, &t) || sp_comm_wait(world, &t);
		if (round == 0)
			bad += sp_compute_copy_out(device, first, data + (int64_t)rank * N, N * sizeof *first) != SP_OK;
		bad += differs(data + (int64_t)rank * N, first, N * sizeof *first);
		sp_compute_free(device, data);
	}
	free(x);
	free(first);
	agree(bad);
}

/* ---- several groups ---- */

static void groups_do_not_wait_for_each_other(void **state)
{
	(void)state;
	enum { N = 1000 };
	struct sp_comm *one = NULL, *other = NULL;
	int bad = sp_comm_split(world, 0, rank, "one", &one) != SP_OK || sp_comm_split(world, 0, rank, "other", &other) != SP_OK;
	float *a = device_values(N * size, SP_F32), *b = device_values(N * size, SP_F32);
	struct sp_transfer first = { .compute = device }, second = { .compute = device };
	/* Half of the ranks begin with the one group, half with the other. */
	const int turn = rank % 2;
	bad += sp_comm_all_gather_start(turn ? other : one, turn ? b : a, N, SP_F32, turn ? &second : &first) != SP_OK;
	bad += sp_comm_all_gather_start(turn ? one : other, turn ? a : b, N, SP_F32, turn ? &first : &second) != SP_OK;
	bad += sp_comm_wait(one, &first) != SP_OK || sp_comm_wait(other, &second) != SP_OK;
	float *want = calloc((size_t)N * (size_t)size, sizeof *want);
	for (int64_t i = 0; i < (int64_t)N * size; i++)
		want[i] = (float)value((int)(i / N), i);
	bad += differs(a, want, (size_t)N * (size_t)size * sizeof *want) + differs(b, want, (size_t)N * (size_t)size * sizeof *want);
	free(want);
	sp_compute_free(device, a);
	sp_compute_free(device, b);
	sp_comm_close(other);
	sp_comm_close(one);
	agree(bad);
}

static void split_orders_by_key_and_parts_do_not_mix(void **state)
{
	(void)state;
	struct sp_comm *part = NULL, *alone = NULL, *host = NULL;
	int bad = sp_comm_split(world, rank % 2, -rank, "parity", &part) != SP_OK;
	bad += sp_comm_split(world, rank, 0, "alone", &alone) != SP_OK;
	bad += sp_comm_split_by_host(world, 0, rank, "host", &host) != SP_OK;
	bad += sp_comm_rank(part) != sp_comm_size(part) - 1 - rank / 2;
	bad += sp_comm_is_queued(part, device) != sp_comm_is_queued(world, device) || sp_comm_is_queued(host, device);
	int64_t own = rank, expected = 0;
	for (int r = rank % 2; r < size; r += 2)
		expected += r;
	int64_t *sum = device_copy(&own, sizeof own);
	bad += sp_comm_all_reduce_on(part, device, sum, 1, SP_I64, SP_SUM) != SP_OK || differs(sum, &expected, sizeof expected);
	bad += sp_comm_all_reduce_on(alone, device, sum, 1, SP_I64, SP_SUM) != SP_OK || differs(sum, &expected, sizeof expected);
	bad += hop(part, 1000, 8) + hop(alone, 1000, 9) + hop(host, 1000, 10);
	sp_compute_free(device, sum);
	sp_comm_close(host);
	sp_comm_close(alone);
	sp_comm_close(part);
	agree(bad);
}

/* ---- what is counted, and where it goes ---- */

static void counters_equal_the_formulas(void **state)
{
	(void)state;
	enum { N = 300 };
	float *x = device_values((int64_t)N * size, SP_F32);
	const uint64_t others = (uint64_t)size - 1;
	struct sp_transfer t = { .compute = device };
	const struct sp_exchange args = { x, N, (rank + 1) % size, x + N, N, (rank + size - 1) % size };
	const struct sp_comm_counters before = sp_comm_counters(world);
	int bad = size > 1 && (sp_comm_exchange_start(world, &args, &t) || sp_comm_wait(world, &t));
	bad += sp_comm_reduce_scatter_start(world, x, N, SP_F32, &t) || sp_comm_wait(world, &t);
	bad += sp_comm_all_gather_start(world, x, N, SP_F32, &t) || sp_comm_wait(world, &t);
	bad += sp_comm_all_reduce_on(world, device, x, N, SP_F32, SP_SUM) != SP_OK;
	bad += sp_compute_sync(device) != SP_OK;
	const struct sp_comm_counters after = sp_comm_counters(world);
	bad += after.bytes - before.bytes != (size > 1 ? N : 0) + 2 * others * N * 4 + 2 * others * N * 4 / (uint64_t)size;
	bad += after.messages - before.messages != (size > 1 ? 4 : 3);
	bad += size > 1 && !(after.exposed > before.exposed);
	sp_compute_free(device, x);
	agree(bad);
}

static void the_module_that_was_asked_for_passes_it(void **state)
{
	(void)state;
	char text[512] = "";
	const int asked = strcmp(test_ranks_comm(), "mpi") != 0;
	int bad = sp_comm_is_queued(world, device) != asked || sp_comm_is_queued(world, NULL);
	bad += sp_comm_describe(world, text, sizeof text) != SP_OK || (strstr(text, "device memory") != NULL) != asked;
	bad += (strcmp(sp_comm_name(world), "mpi") == 0) == asked;
	agree(bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_module_that_was_asked_for_passes_it),
		cmocka_unit_test(a_ring_of_uneven_messages_arrives),
		cmocka_unit_test(messages_go_on_as_they_came),
		cmocka_unit_test(a_transfer_finishes_by_testing_alone),
		cmocka_unit_test(all_to_all_brings_each_its_part_of_any_length),
		cmocka_unit_test(all_reduce_is_the_reduction_of_all_ranks),
		cmocka_unit_test(sums_are_scattered_and_shares_gathered),
		cmocka_unit_test(a_sum_has_the_same_bits_every_time),
		cmocka_unit_test(groups_do_not_wait_for_each_other),
		cmocka_unit_test(split_orders_by_key_and_parts_do_not_mix),
		cmocka_unit_test(counters_equal_the_formulas),
	};
	int rc = test_ranks_open(&ranks);
	if (rc)
		return rc;
	world = ranks.world;
	rank = ranks.rank;
	size = ranks.size;
	int failed = test_ranks_device(&ranks, &device) || cmocka_run_group_tests(tests, NULL, NULL);
	sp_compute_close(device);
	test_ranks_close(&ranks);
	return failed;
}
