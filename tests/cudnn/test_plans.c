/* cuDNN, the library itself, has a kernel for every graph that the cuda module asks for: each gets a finished execution plan for a
 * GPU that is only described, with the strides that attention really has. Needs no GPU; skipped where the library is not. */
#include "config.h"

#include "support.h"

#include "cuda/cudnn_graph.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SKIP = 77 };

/* As NVIDIA's driver would tell of an H200; deviceVer: ten times what seqpar calls its capability. */
static const char described[] =
	"{\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,\"multiProcessorCount\":132,"
	"\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":232448,\"reservedSharedMemoryPerBlock\":1024,"
	"\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"pciDeviceId\":0,"
	"\"isTccDriver\":0,\"supportCoopLaunch\":1,\"totalGlobalMem\":150754820096,\"smClockRateKHz\":1980000,\"memClockRateKHz\":3201000,"
	"\"l2CacheSize\":62914560,\"cudaDeviceId\":0,\"deviceVer\":%d,\"driverVer\":13000,\"deviceName\":\"%s\"}";

static char hopper[sizeof described + 64], turing[sizeof described + 64];

/* Where queries, keys and values lie. */
enum where {
	PROJECTION, /* thirds of one packed projection: full attention, and a ring's first hop */
	MESSAGE,    /* queries in the projection, keys and values halves of a message: the other hops */
};

static struct sp_cuda_sdpa_shape shape_of(int backward, enum sp_dtype dtype, int64_t batch, int64_t heads, int64_t tokens, int64_t head_dim,
                                          enum where where)
{
	const int64_t width = heads * head_dim, keys = where == PROJECTION ? 3 * width : 2 * width;
	return (struct sp_cuda_sdpa_shape){
		.backward = backward,
		.dtype = dtype,
		.batch = batch,
		.heads = heads,
		.head_dim = head_dim,
		.chunk = tokens,
		.keys = tokens,
		.q = 3 * width,
		.k = keys,
		.v = keys,
		.o = width,
		.dout = backward ? width : 0,
	};
}

/* Whether the plan's kernel is one for this generation of GPUs, and not for an older, as its own description says. */
static int is_for(const struct sp_cudnn_graph *graph, const char *generation)
{
	int64_t size = 0;
	assert_int_equal(sp_cudnn.BackendGetAttribute(graph->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0, &size, NULL),
	                 CUDNN_STATUS_SUCCESS);
	char *text = calloc((size_t)size + 1, 1);
	assert_non_null(text);
	assert_int_equal(sp_cudnn.BackendGetAttribute(graph->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, size, &size, text),
	                 CUDNN_STATUS_SUCCESS);
	const int there = strstr(text, generation) != NULL;
	free(text);
	return there;
}

/* SP_OK if there is a plan, by a kernel for Hopper. */
static int plan(const struct sp_cuda_sdpa_shape *s, const char *device, size_t *workspace)
{
	struct sp_cudnn_graph graph;
	const int status = sp_cudnn_plan(&graph, s, NULL, device, workspace);
	if (status == SP_OK)
		assert_true(is_for(&graph, "sm90_flash"));
	print_message("# %s %s B %lld A %lld S %lld D %lld keys in rows of %lld: %s\n", s->backward ? "backward" : "forward",
	              sp_dtype_name((enum sp_dtype)s->dtype), (long long)s->batch, (long long)s->heads, (long long)s->chunk,
	              (long long)s->head_dim, (long long)s->k, status ? graph.why : "planned");
	sp_cudnn_graph_destroy(&graph);
	return status;
}

/* What a plan may ask for beside the buffers that it is given: nothing that grows with the sequence. */
enum { LITTLE = 1 << 20 };

static void expect_plans(enum sp_dtype dtype, int64_t batch, int64_t heads, int64_t tokens, int64_t head_dim, enum where where)
{
	for (int backward = 0; backward < 2; backward++) {
		const struct sp_cuda_sdpa_shape s = shape_of(backward, dtype, batch, heads, tokens, head_dim, where);
		size_t workspace = 0;
		assert_int_equal(plan(&s, hopper, &workspace), SP_OK);
		assert_in_range(workspace, 0, LITTLE);
	}
}

static void sequences_of_every_length_have_plans(void **state)
{
	(void)state;
	expect_plans(SP_BF16, 4, 12, 512, 64, PROJECTION);
	expect_plans(SP_BF16, 4, 12, 4096, 64, PROJECTION);
	expect_plans(SP_BF16, 1, 16, 16384, 64, PROJECTION);
}

static void heads_of_every_width_have_plans(void **state)
{
	(void)state;
	expect_plans(SP_BF16, 4, 8, 512, 32, PROJECTION);
	expect_plans(SP_BF16, 4, 8, 512, 96, PROJECTION);
	expect_plans(SP_BF16, 4, 8, 512, 128, PROJECTION);
}

static void hops_of_a_ring_have_plans(void **state)
{
	(void)state;
	expect_plans(SP_BF16, 1, 12, 4096, 64, MESSAGE);
}

static void float16_has_plans(void **state)
{
	(void)state;
	expect_plans(SP_F16, 4, 12, 512, 64, PROJECTION);
}

/* The small steps that are compared with own kernels before the library is trusted: queries and keys differ in number. */
static void steps_that_are_tried_out_have_plans(void **state)
{
	(void)state;
	for (int backward = 0; backward < 2; backward++) {
		struct sp_cuda_sdpa_shape s = shape_of(backward, SP_BF16, 2, 2, 192, 64, PROJECTION);
		size_t workspace;
		s.keys = 72;
		s.q = s.o;
		s.k = s.v = 2 * s.o;
		assert_int_equal(plan(&s, hopper, &workspace), SP_OK);
	}
}

/* A plan is no matter of course. */
static void what_there_is_no_kernel_for_is_refused(void **state)
{
	(void)state;
	for (int backward = 0; backward < 2; backward++) {
		const struct sp_cuda_sdpa_shape odd = shape_of(backward, SP_BF16, 4, 12, 512, 20, PROJECTION);
		const struct sp_cuda_sdpa_shape usual = shape_of(backward, SP_BF16, 4, 12, 512, 64, PROJECTION);
		size_t workspace;
		assert_int_equal(plan(&odd, hopper, &workspace), SP_ERR_UNUSABLE);
		assert_int_equal(plan(&usual, turing, &workspace), SP_ERR_UNUSABLE);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequences_of_every_length_have_plans),
		cmocka_unit_test(heads_of_every_width_have_plans),
		cmocka_unit_test(hops_of_a_ring_have_plans),
		cmocka_unit_test(float16_has_plans),
		cmocka_unit_test(steps_that_are_tried_out_have_plans),
		cmocka_unit_test(what_there_is_no_kernel_for_is_refused),
	};
	char why[512], driver[4096];
	const char *slash = strrchr(argv[0], '/');
	(void)argc;
	snprintf(hopper, sizeof hopper, described, 900, "NVIDIA H200");
	snprintf(turing, sizeof turing, described, 750, "NVIDIA T4");
	/* cuDNN asks the loader for libcuda.so.1, and is given what is loaded under that name. */
	snprintf(driver, sizeof driver, "%.*s.libs/libcuda.so.1", slash ? (int)(slash - argv[0]) + 1 : 0, argv[0]);
	if (!dlopen(driver, RTLD_NOW | RTLD_GLOBAL)) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	if (sp_cudnn_load(why, sizeof why)) {
		printf("skipped: %s\n", why);
		return SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
