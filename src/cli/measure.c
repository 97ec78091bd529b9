#include "config.h"

#include "cli/measure.h"

#include "backend/comm.h"
#include "backend/compute.h"
#include "base/clock.h"
#include "base/log.h"
#include "train/planned.h"
#include "train/setup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* BERT-base with 2048 tokens: y (m, n) = x (m, k) w (n, k)^T; `share` of the operations of a layer. */
static const struct {
	const char *name;
	int64_t m, n, k;
	double share;
} products[] = {
	{ "query, key, value", 2048, 2304, 768, 3.0 / 12 },
	{ "attention output", 2048, 768, 768, 1.0 / 12 },
	{ "intermediate", 2048, 3072, 768, 4.0 / 12 },
	{ "output", 2048, 768, 3072, 4.0 / 12 },
	{ "vocabulary, 320 predictions", 320, 30522, 768, 0 },
};

enum { BIG = 16 << 20, SMALL = 8 };
static const double seconds = 0.4; /* per measurement */

/* Sum over ranks. */
static int summed(struct sp_comm *comm, double *value)
{
	return sp_comm_all_reduce(comm, value, 1, SP_F64, SP_SUM);
}

static int check_precision(enum sp_dtype element, struct sp_compute *compute)
{
	const struct sp_compute_needs needs = { .dtype = element, .head_dim = 64, .attention_dtype = element };
	return element == SP_F32 ? SP_OK : sp_compute_supports(compute, &needs);
}

static int measure_products(const struct sp_settings *settings, struct sp_compute *compute, struct sp_comm *comm)
{
	const enum sp_dtype element = sp_planned_element(settings);
	const char *precision = sp_setup_precision(settings);
	double time = 0;
	int status = check_precision(element, compute);
	for (size_t i = 0; i < sizeof products / sizeof *products && status == SP_OK; i++) {
		double rate;
		status = sp_comm_barrier(comm);
		if (status == SP_OK)
			status = sp_compute_gemm_rate(compute, element, products[i].m, products[i].n, products[i].k, seconds, &rate);
		if (status == SP_OK)
			status = summed(comm, &rate);
		if (status)
			return status;
		printf("  gemm     %8.1f GFLOP/s in %s  %5" PRId64 " x %5" PRId64 " x %4" PRId64 "  %s\n", rate / 1e9, precision,
		       products[i].m, products[i].n, products[i].k, products[i].name);
		time += products[i].share / rate;
	}
	if (!status)
		printf("  gemm     %8.1f GFLOP/s in %s  a layer's products together\n", 1 / time / 1e9, precision);
	return status;
}

static int measure_memory(struct sp_compute *compute, struct sp_comm *comm)
{
	double rate;
	int status = sp_comm_barrier(comm);
	if (status == SP_OK)
		status = sp_compute_memory_rate(compute, seconds, &rate);
	if (status == SP_OK)
		status = summed(comm, &rate);
	if (status == SP_OK)
		printf("  memory   %8.1f GB/s\n", rate / 1e9);
	return status;
}

/* Seconds for one hop: every rank sends `bytes` to the next one. */
static int hop(struct sp_comm *comm, const char *out, char *in, size_t bytes, int hops, double *time)
{
	int size = sp_comm_size(comm), rank = sp_comm_rank(comm), status = sp_comm_barrier(comm);
	const struct sp_exchange args = { out, bytes, (rank + 1) % size, in, bytes, (rank + size - 1) % size };
	double begin = sp_clock();
	for (int i = 0; i < hops && status == SP_OK; i++) {
		struct sp_transfer transfer = { 0 };
		status = sp_comm_exchange_start(comm, &args, &transfer);
		if (status == SP_OK)
			status = sp_comm_wait(comm, &transfer);
	}
	*time = (sp_clock() - begin) / hops;
	return status ? status : sp_comm_all_reduce(comm, time, 1, SP_F64, SP_MAX);
}

static int measure_ring(struct sp_comm *comm)
{
	char *out = calloc(BIG, 1), *in = calloc(BIG, 1);
	double warm, big, small;
	int status = out && in ? SP_OK : sp_fail(SP_ERR_MEMORY, "no memory for messages of %d bytes", BIG);
	if (status == SP_OK)
		status = hop(comm, out, in, BIG, 2, &warm);
	if (status == SP_OK)
		status = hop(comm, out, in, BIG, 20, &big);
	if (status == SP_OK)
		status = hop(comm, out, in, SMALL, 1000, &small);
	if (status == SP_OK)
		printf("  ring     %8.1f GB/s a rank, messages of %d MiB\n"
		       "  ring     %8.1f us, messages of %d bytes\n", BIG / big / 1e9, BIG >> 20, small * 1e6, SMALL);
	free(out);
	free(in);
	return status;
}

int sp_cli_measure(const struct sp_settings *settings, struct sp_compute *compute, struct sp_comm *comm)
{
	int size = sp_comm_size(comm);
	printf("measured%s\n", size > 1 ? "   all ranks at once; rates are sums over them" : "");
	int status = measure_products(settings, compute, comm);
	if (status == SP_OK)
		status = measure_memory(compute, comm);
	if (status == SP_OK && size > 1)
		status = measure_ring(comm);
	return status;
}
