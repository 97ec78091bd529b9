/* Matrix products by cuBLASLt. It thinks in columns: the row-major product c = a b is its c^T = b^T a^T, so operands change
 * places. What it finds best for a shape is kept. */
#include "config.h"

#include "cuda/gemm.h"

#include "base/log.h"

#include <cublasLt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKSPACE = 32 << 20, MOST_PLANS = 256, MOST_ALIGNMENT = 256 };

/* All that cuBLASLt's choice depends on. Compared as bytes: every member is 8 bytes wide, so there is no padding. */
struct key {
	int64_t m, n, k, lda, ldb, ldc;
	int64_t transpose_a, transpose_b, accumulate, biased;
	int64_t align_a, align_b, align_c, align_bias;
	int64_t in, out; /* cudaDataType_t of operands and result */
};

struct plan {
	struct key key;
	cublasLtMatmulDesc_t operation;
	cublasLtMatrixLayout_t a, b, c;
	cublasLtMatmulAlgo_t algorithm;
	int found; /* cuBLASLt has an algorithm */
	uint64_t used;
};

struct sp_cuda_gemms {
	cublasLtHandle_t handle;
	void *workspace;
	struct plan plans[MOST_PLANS];
	int count;
	uint64_t clock; /* counts uses */
};

static int check(cublasStatus_t code, const char *what)
{
	if (code == CUBLAS_STATUS_SUCCESS)
		return SP_OK;
	return sp_fail(SP_ERR_DEVICE, "cuda: %s: %s", what, cublasLtGetStatusString(code));
}

#define CHECK(call) check((call), #call)

int sp_cuda_gemms_open(struct sp_cuda *cuda)
{
	struct sp_cuda_gemms *g = calloc(1, sizeof *g);
	if (!g)
		return sp_fail(SP_ERR_MEMORY, "cuda: no memory for %zu bytes", sizeof *g);
	cuda->gemms = g;
	int status = CHECK(cublasLtCreate(&g->handle));
	return status ? status : sp_cuda_alloc(cuda, WORKSPACE, &g->workspace);
}

static void plan_destroy(struct plan *p)
{
	if (p->c)
		(void)CHECK(cublasLtMatrixLayoutDestroy(p->c));
	if (p->b)
		(void)CHECK(cublasLtMatrixLayoutDestroy(p->b));
	if (p->a)
		(void)CHECK(cublasLtMatrixLayoutDestroy(p->a));
	if (p->operation)
		(void)CHECK(cublasLtMatmulDescDestroy(p->operation));
	memset(p, 0, sizeof *p);
}

void sp_cuda_gemms_close(struct sp_cuda *cuda)
{
	struct sp_cuda_gemms *g = cuda->gemms;
	if (!g)
		return;
	for (int i = 0; i < g->count; i++)
		plan_destroy(&g->plans[i]);
	sp_cuda_free(cuda, g->workspace);
	if (g->handle)
		(void)CHECK(cublasLtDestroy(g->handle));
	free(g);
	cuda->gemms = NULL;
}

const char *sp_cuda_gemms_library(void)
{
	static char text[64];
	const size_t version = cublasLtGetVersion();
	snprintf(text, sizeof text, "cuBLASLt %zu.%zu.%zu", version / 10000, version / 100 % 100, version % 100);
	return text;
}

/* ---- planning ---- */

static int64_t alignment(const void *pointer)
{
	const uintptr_t p = (uintptr_t)pointer;
	const uintptr_t lowest = p & (~p + 1);
	return lowest == 0 || lowest > MOST_ALIGNMENT ? MOST_ALIGNMENT : (int64_t)lowest;
}

static cudaDataType_t type_of(enum sp_dtype dtype)
{
	return dtype == SP_BF16 ? CUDA_R_16BF : dtype == SP_F16 ? CUDA_R_16F : CUDA_R_32F;
}

/* In cuBLASLt's terms: its a is our b, its m our n. */
static struct key key_of(const struct sp_cuda_gemm *g)
{
	const struct key key = {
		.m = g->c.cols,
		.n = g->c.rows,
		.k = g->transpose_a ? g->a.rows : g->a.cols,
		.lda = g->b.stride,
		.ldb = g->a.stride,
		.ldc = g->c.stride,
		.transpose_a = g->transpose_b,
		.transpose_b = g->transpose_a,
		.accumulate = g->accumulate,
		.biased = g->bias.data != NULL,
		.align_a = alignment(g->b.data),
		.align_b = alignment(g->a.data),
		.align_c = alignment(g->c.data),
		.align_bias = g->bias.data ? alignment(g->bias.data) : 0,
		.in = type_of(g->a.dtype),
		.out = type_of(g->c.dtype),
	};
	return key;
}

static int describe_layouts(struct plan *p)
{
	const struct key *k = &p->key;
	const uint64_t a_rows = (uint64_t)(k->transpose_a ? k->k : k->m), a_cols = (uint64_t)(k->transpose_a ? k->m : k->k);
	const uint64_t b_rows = (uint64_t)(k->transpose_b ? k->n : k->k), b_cols = (uint64_t)(k->transpose_b ? k->k : k->n);
	const cudaDataType_t in = (cudaDataType_t)k->in, out = (cudaDataType_t)k->out;
	int status = CHECK(cublasLtMatrixLayoutCreate(&p->a, in, a_rows, a_cols, k->lda));
	if (status == SP_OK)
		status = CHECK(cublasLtMatrixLayoutCreate(&p->b, in, b_rows, b_cols, k->ldb));
	if (status == SP_OK)
		status = CHECK(cublasLtMatrixLayoutCreate(&p->c, out, (uint64_t)k->m, (uint64_t)k->n, k->ldc));
	return status;
}

static int set(struct plan *p, cublasLtMatmulDescAttributes_t attribute, const void *value, size_t size)
{
	return CHECK(cublasLtMatmulDescSetAttribute(p->operation, attribute, value, size));
}

static int describe_operation(struct plan *p, const struct sp_cuda *cuda, const struct sp_cuda_gemm *g)
{
	const int tf32 = cuda->precision == SP_PRECISION_TF32 && p->key.in == CUDA_R_32F;
	const cublasComputeType_t compute = tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
	const cublasOperation_t a = p->key.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
	const cublasOperation_t b = p->key.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
	const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
	int status = CHECK(cublasLtMatmulDescCreate(&p->operation, compute, CUDA_R_32F));
	if (status == SP_OK)
		status = set(p, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a);
	if (status == SP_OK)
		status = set(p, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b);
	if (status == SP_OK && p->key.biased)
		status = set(p, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
	/* The choice looks at how this pointer is aligned. */
	if (status == SP_OK && p->key.biased)
		status = set(p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &g->bias.data, sizeof g->bias.data);
	return status;
}

static int prefer(cublasLtMatmulPreference_t preference, const struct key *k)
{
	const uint64_t workspace = WORKSPACE;
	const struct {
		cublasLtMatmulPreferenceAttributes_t attribute;
		uint32_t bytes;
	} alignments[] = {
		{ CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, (uint32_t)k->align_a },
		{ CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, (uint32_t)k->align_b },
		{ CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, (uint32_t)k->align_c },
		{ CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, (uint32_t)k->align_c },
	};
	/* Parts of a sum over k are added up in float32, not in 16 bits. */
	const uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
	int status = CHECK(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
	                                                        sizeof workspace));
	if (status == SP_OK && k->out != CUDA_R_32F)
		status = CHECK(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes,
		                                                    sizeof schemes));
	for (size_t i = 0; i < sizeof alignments / sizeof *alignments && status == SP_OK; i++)
		status = CHECK(cublasLtMatmulPreferenceSetAttribute(preference, alignments[i].attribute, &alignments[i].bytes,
		                                                    sizeof alignments[i].bytes));
	return status;
}

static int choose_algorithm(struct sp_cuda_gemms *gemms, struct plan *p)
{
	cublasLtMatmulPreference_t preference;
	cublasLtMatmulHeuristicResult_t result;
	int count = 0;
	int status = CHECK(cublasLtMatmulPreferenceCreate(&preference));
	if (status)
		return status;
	status = prefer(preference, &p->key);
	if (status == SP_OK) {
		const cublasStatus_t code = cublasLtMatmulAlgoGetHeuristic(gemms->handle, p->operation, p->a, p->b, p->c, p->c,
		                                                           preference, 1, &result, &count);
		p->found = code == CUBLAS_STATUS_SUCCESS && count > 0;
		if (p->found)
			p->algorithm = result.algo;
		else if (code != CUBLAS_STATUS_SUCCESS && code != CUBLAS_STATUS_NOT_SUPPORTED)
			status = check(code, "cublasLtMatmulAlgoGetHeuristic");
	}
	(void)CHECK(cublasLtMatmulPreferenceDestroy(preference));
	return status;
}

/* A free place, or that of the plan not used for longest. */
static struct plan *place_for_plan(struct sp_cuda_gemms *g)
{
	if (g->count < MOST_PLANS)
		return &g->plans[g->count++];
	struct plan *oldest = &g->plans[0];
	for (int i = 1; i < g->count; i++)
		if (g->plans[i].used < oldest->used)
			oldest = &g->plans[i];
	plan_destroy(oldest);
	return oldest;
}

/* The plan for `g`, made if it is new; `bias` as given there or left out. */
static int plan_for(struct sp_cuda *cuda, const struct sp_cuda_gemm *g, struct plan **plan)
{
	struct sp_cuda_gemms *gemms = cuda->gemms;
	const struct key key = key_of(g);
	for (int i = 0; i < gemms->count; i++)
		if (memcmp(&gemms->plans[i].key, &key, sizeof key) == 0) {
			*plan = &gemms->plans[i];
			(*plan)->used = ++gemms->clock;
			return SP_OK;
		}
	struct plan *p = place_for_plan(gemms);
	p->key = key;
	p->used = ++gemms->clock;
	int status = describe_layouts(p);
	if (status == SP_OK)
		status = describe_operation(p, cuda, g);
	if (status == SP_OK)
		status = choose_algorithm(gemms, p);
	if (status)
		plan_destroy(p);
	else
		*plan = p;
	return status;
}

int sp_cuda_gemm_adds_bias(struct sp_cuda *cuda, const struct sp_cuda_gemm *gemm)
{
	struct plan *plan = NULL;
	return gemm->bias.data && plan_for(cuda, gemm, &plan) == SP_OK && plan->found;
}

int sp_cuda_gemm(struct sp_cuda *cuda, const struct sp_cuda_gemm *gemm)
{
	struct sp_cuda_gemm g = *gemm;
	const float alpha = 1.0f, beta = g.accumulate ? 1.0f : 0.0f;
	struct plan *plan = NULL;
	int status = plan_for(cuda, &g, &plan);
	if (status == SP_OK && !plan->found && g.bias.data) {
		g.bias.data = NULL;
		status = plan_for(cuda, &g, &plan);
	}
	if (status == SP_OK && !plan->found)
		return sp_fail(SP_ERR_DEVICE, "cuda: cuBLASLt has no algorithm for a product of %lld x %lld x %lld in %s",
		               (long long)plan->key.n, (long long)plan->key.m, (long long)plan->key.k, sp_dtype_name(g.a.dtype));
	if (status == SP_OK && g.bias.data)
		status = set(plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &g.bias.data, sizeof g.bias.data);
	if (status)
		return status;
	return CHECK(cublasLtMatmul(cuda->gemms->handle, plan->operation, &alpha, g.b.data, plan->a, g.a.data, plan->b, &beta,
	                            g.c.data, plan->c, g.c.data, plan->c, &plan->algorithm, cuda->gemms->workspace, WORKSPACE,
	                            cuda->stream));
}
