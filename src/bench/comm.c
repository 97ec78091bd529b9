/* seqpar bench comm: each operation of the communication table over sizes, its results known exactly. */
#include "config.h"

#include "bench/bench.h"

#include "base/log.h"
#include "base/size.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct work {
	struct sp_bench *bench;
	int rank, size;
	int64_t count;    /* elements of the message, or of a rank's share where ranks have shares */
	int64_t elements; /* of the buffer */
	float *data, *more;
	size_t *bytes; /* [size] */
};

/* Small whole numbers, so that sums over ranks are exact in any order (up to some thousand ranks). */
static float value(int rank, int64_t i)
{
	return (float)((rank + 1) * (i % 13 + 1));
}

static float sum_of_values(int size, int64_t i)
{
	return (float)((int64_t)size * (size + 1) / 2 * (i % 13 + 1));
}

static void fill(struct work *w, int rank)
{
	for (int64_t i = 0; i < w->elements; i++)
		w->data[i] = value(rank, i);
}

/* ---- the operations ---- */

static int exchange(struct work *w)
{
	const size_t bytes = (size_t)w->count * sizeof(float);
	const struct sp_exchange args = { w->data, bytes, (w->rank + 1) % w->size, w->more, bytes,
		                              (w->rank + w->size - 1) % w->size };
	struct sp_transfer transfer = { 0 };
	int status = sp_comm_exchange_start(w->bench->world, &args, &transfer);
	return status ? status : sp_comm_wait(w->bench->world, &transfer);
}

static int all_reduce(struct work *w)
{
	return sp_comm_all_reduce(w->bench->world, w->data, w->count, SP_F32, SP_SUM);
}

static int reduce_scatter(struct work *w)
{
	struct sp_transfer transfer = { 0 };
	int status = sp_comm_reduce_scatter_start(w->bench->world, w->data, w->count, SP_F32, &transfer);
	return status ? status : sp_comm_wait(w->bench->world, &transfer);
}

static int all_gather(struct work *w)
{
	struct sp_transfer transfer = { 0 };
	int status = sp_comm_all_gather_start(w->bench->world, w->data, w->count, SP_F32, &transfer);
	return status ? status : sp_comm_wait(w->bench->world, &transfer);
}

/* The i-th share to rank i: what arrives is every rank's share of the same number. */
static int all_to_all(struct work *w)
{
	struct sp_transfer transfer = { 0 };
	for (int r = 0; r < w->size; r++)
		w->bytes[r] = (size_t)w->count * sizeof(float);
	const struct sp_all_to_all args = { w->data, w->bytes, w->more, w->bytes };
	int status = sp_comm_all_to_all_start(w->bench->world, &args, &transfer);
	return status ? status : sp_comm_wait(w->bench->world, &transfer);
}

static int broadcast(struct work *w)
{
	return sp_comm_broadcast(w->bench->world, w->data, (size_t)w->count * sizeof(float), 0);
}

static int barrier(struct work *w)
{
	return sp_comm_barrier(w->bench->world);
}

/* ---- what they should have done: elements that are not so ---- */

static int64_t count_wrong(const float *got, int64_t from, int64_t to, int rank_of_value)
{
	int64_t wrong = 0;
	for (int64_t i = from; i < to; i++)
		wrong += got[i] != value(rank_of_value, i);
	return wrong;
}

static int64_t wrong_exchange(const struct work *w)
{
	return count_wrong(w->more, 0, w->count, (w->rank + w->size - 1) % w->size);
}

static int64_t wrong_sum(const struct work *w, int64_t from, int64_t to)
{
	int64_t wrong = 0;
	for (int64_t i = from; i < to; i++)
		wrong += w->data[i] != sum_of_values(w->size, i);
	return wrong;
}

static int64_t wrong_all_reduce(const struct work *w)
{
	return wrong_sum(w, 0, w->count);
}

static int64_t wrong_reduce_scatter(const struct work *w)
{
	return wrong_sum(w, w->rank * w->count, (w->rank + 1) * w->count);
}

static int64_t wrong_all_gather(const struct work *w)
{
	int64_t wrong = 0;
	for (int r = 0; r < w->size; r++)
		wrong += count_wrong(w->data, r * w->count, (r + 1) * w->count, r);
	return wrong;
}

static int64_t wrong_all_to_all(const struct work *w)
{
	int64_t wrong = 0;
	for (int r = 0; r < w->size; r++)
		for (int64_t i = 0; i < w->count; i++)
			wrong += w->more[r * w->count + i] != value(r, w->rank * w->count + i);
	return wrong;
}

static int64_t wrong_broadcast(const struct work *w)
{
	return count_wrong(w->data, 0, w->count, 0);
}

static int64_t wrong_nothing(const struct work *w)
{
	(void)w;
	return 0;
}

/* busbw = algbw x bus(n): what a link would carry if each rank had one (nccl-tests, doc/PERFORMANCE.md). */
static double bus_all(int n)
{
	return 2.0 * (n - 1) / n;
}

static double bus_half(int n)
{
	return (double)(n - 1) / n;
}

static double bus_one(int n)
{
	return n > 1;
}

static const struct operation {
	const char *name;
	int (*run)(struct work *);
	int64_t (*wrong)(const struct work *);
	double (*bus)(int n);
	int shares; /* the message is cut into one share a rank */
	int sized;
} operations[] = {
	{ "exchange", exchange, wrong_exchange, bus_one, 0, 1 },
	{ "all_reduce", all_reduce, wrong_all_reduce, bus_all, 0, 1 },
	{ "reduce_scatter", reduce_scatter, wrong_reduce_scatter, bus_half, 1, 1 },
	{ "all_gather", all_gather, wrong_all_gather, bus_half, 1, 1 },
	{ "all_to_all", all_to_all, wrong_all_to_all, bus_half, 1, 1 },
	{ "broadcast", broadcast, wrong_broadcast, bus_one, 0, 1 },
	{ "barrier", barrier, wrong_nothing, bus_one, 0, 0 },
};

/* ---- measuring ---- */

static const struct sp_bench_column columns[] = {
	{ "operation", "", 14, SP_BENCH_WORDS }, { "size", "bytes", 12, 0 },  { "count", "elements", 11, 0 },
	{ "type", "", 6, SP_BENCH_WORDS },       { "min", "us", 11, 1 },      { "avg", "us", 11, 1 },
	{ "max", "us", 11, 1 },                  { "spread", "%", 7, 1 },     { "algbw", "GB/s", 8, 2 },
	{ "busbw", "GB/s", 8, 2 },               { "wrong", "elements", 8, 0 }, { NULL },
};

struct running {
	struct work *work;
	const struct operation *operation;
};

static int run(void *context)
{
	struct running *r = context;
	return r->operation->run(r->work);
}

/* One run on fresh values; how many elements on all ranks are not what they should be. */
static int check(struct work *w, const struct operation *op, double *wrong)
{
	fill(w, w->rank);
	memset(w->more, 0, (size_t)w->elements * sizeof *w->more);
	int status = op->run(w);
	*wrong = (double)op->wrong(w);
	return status ? status : sp_comm_all_reduce(w->bench->world, wrong, 1, SP_F64, SP_SUM);
}

static void print(struct work *w, const struct operation *op, const struct sp_bench_times *t, double wrong)
{
	const double bytes = (double)(op->sized ? w->elements : 0) * sizeof(float), rate = bytes / t->most;
	const struct sp_bench_cell cells[] = {
		sp_bench_text(op->name), sp_bench_number(bytes), sp_bench_number((double)(op->sized ? w->elements : 0)),
		sp_bench_text("float"), sp_bench_number(1e6 * t->least), sp_bench_number(1e6 * t->mean),
		sp_bench_number(1e6 * t->most), sp_bench_number(100 * t->spread),
		sp_bench_number(op->sized ? 1e-9 * rate : NAN), sp_bench_number(op->sized ? 1e-9 * rate * op->bus(w->size) : NAN),
		sp_bench_number(wrong),
	};
	char what[64];
	snprintf(what, sizeof what, "%s of %.0f bytes, in elements,", op->name, bytes);
	sp_bench_row(w->bench->output, cells);
	sp_bench_verdict(w->bench->output, what, wrong, 0);
}

static int measure(struct work *w, const struct operation *op, size_t bytes)
{
	struct sp_bench_timing timing = sp_bench_timing(w->bench);
	struct running running = { w, op };
	struct sp_bench_times times;
	double wrong = NAN;
	const int64_t elements = sp_max(1, (int64_t)(bytes / sizeof(float)));
	w->count = op->shares ? sp_max(1, elements / w->size) : elements;
	w->elements = op->shares ? w->count * w->size : w->count;
	timing.compute = NULL;
	timing.many = 1;
	int status = check(w, op, &wrong);
	fill(w, w->rank);
	/* Sums of sums over many runs may leave what a float can hold; zeros take the same time. */
	if (op->run == all_reduce || op->run == reduce_scatter)
		memset(w->data, 0, (size_t)w->elements * sizeof *w->data);
	if (!status)
		status = sp_bench_time(&timing, run, &running, &times);
	if (!status)
		print(w, op, &times, wrong);
	return status;
}

static int measure_sizes(struct work *w, const struct operation *op)
{
	int status = SP_OK;
	size_t bytes = op->sized ? w->bench->least_bytes : w->bench->most_bytes;
	for (; bytes <= w->bench->most_bytes && !status; bytes *= 4)
		status = measure(w, op, bytes);
	return status;
}

int sp_bench_comm(struct sp_bench *bench)
{
	struct work w = { .bench = bench, .rank = sp_comm_rank(bench->world), .size = sp_comm_size(bench->world) };
	const size_t room = bench->most_bytes + (size_t)(w.size + 1) * sizeof(float);
	w.data = malloc(room);
	w.more = malloc(room);
	w.bytes = malloc((size_t)w.size * sizeof *w.bytes);
	int status = w.data && w.more && w.bytes ? SP_OK : sp_fail(SP_ERR_MEMORY, "out of memory for messages of %zu bytes", room);
	sp_bench_table(bench->output, "operations between ranks", columns);
	for (size_t i = 0; i < sizeof operations / sizeof *operations && !status; i++)
		if (sp_bench_wants(bench, operations[i].name))
			status = measure_sizes(&w, &operations[i]);
	free(w.data);
	free(w.more);
	free(w.bytes);
	return status;
}
