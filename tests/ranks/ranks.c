#include "config.h"

#include "ranks/ranks.h"

#include "backend/module.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int no_module(const char *name)
{
	const struct sp_module *module;
	char why[256];
	int rc = sp_module_open(name, &module, why, sizeof why);
	if (rc)
		fprintf(stderr, "skipped: %s: %s\n", name, why);
	return rc == SP_ERR_ABSENT;
}

static const char *from_environment(const char *variable, const char *otherwise)
{
	const char *text = getenv(variable);
	return text ? text : otherwise;
}

const char *test_ranks_device_name(void)
{
	return from_environment("SEQPAR_TEST_DEVICE", "cudasim");
}

const char *test_ranks_comm(void)
{
	return from_environment("SEQPAR_TEST_COMM", "mpi");
}

int test_ranks_device(const struct test_ranks *t, struct sp_compute **device)
{
	const struct sp_compute_options options = { .threads = 1, .device = sp_comm_place(t->world).local_rank };
	const int failed = test_ranks_agree(t, sp_compute_open(test_ranks_device_name(), &options, device));
	return failed || test_ranks_agree(t, sp_comm_bind(t->world, *device));
}

int test_ranks_open(struct test_ranks *t)
{
	const struct sp_compute_options options = { .threads = 1 };
	if (no_module("mpi") || no_module("cpu"))
		return 77;
	if (sp_comm_open(test_ranks_comm(), 1, &t->world))
		return 1;
	t->rank = sp_comm_rank(t->world);
	if (sp_comm_split(t->world, t->rank, 0, "alone", &t->alone) ||
	    sp_comm_split(t->world, 0, t->rank, "verdicts", &t->verdicts) || sp_compute_open("cpu", &options, &t->compute))
		return 1;
	t->size = sp_comm_size(t->world);
	return t->rank > 0 && !freopen("/dev/null", "w", stdout);
}

void test_ranks_close(struct test_ranks *t)
{
	sp_compute_close(t->compute);
	sp_comm_close(t->alone);
	sp_comm_close(t->verdicts);
	sp_comm_close(t->world);
}

int test_ranks_agree(const struct test_ranks *t, int bad)
{
	int32_t worst = bad != 0;
	return sp_comm_all_reduce(t->verdicts, &worst, 1, SP_I32, SP_MAX) ? 1 : worst;
}

struct test_norms test_ranks_compare(const float *x, const float *y, int64_t n)
{
	double difference = 0, reference = 0;
	for (int64_t i = 0; i < n; i++) {
		const double d = (double)x[i] - (double)y[i];
		difference += d * d;
		reference += (double)y[i] * (double)y[i];
	}
	const struct test_norms norms = { sqrt(difference), sqrt(reference) };
	return norms;
}
