/* Stands in for cuBLASLt, so that backends/cuda/gemm.c runs as it is: products by CBLAS, in float32, rounded once. It holds its
 * caller to what the library's documentation asks for: which types go together, that an algorithm is used for what it was chosen
 * for, with operands aligned as was promised. */
#include "cudasim/cublasLt.h"
#include "cudasim/graph.hpp"
#include "cudasim/memory.hpp"
#include "cudasim/sixteen.hpp"

#include <cblas.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vector>

struct cublasLtContext {
	int unused;
};

extern "C" size_t cublasLtGetVersion(void)
{
	return 0;
}

extern "C" const char *cublasLtGetStatusString(cublasStatus_t status)
{
	return status == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported" : status ? "not what the library asks for" : "success";
}

template <class T> static cublasStatus_t make(T **object, const T &value)
{
	*object = static_cast<T *>(malloc(sizeof(T)));
	if (!*object)
		return CUBLAS_STATUS_INVALID_VALUE;
	**object = value;
	return CUBLAS_STATUS_SUCCESS;
}

template <class T> static cublasStatus_t unmake(T *object)
{
	free(object);
	return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
	return make(handle, {});
}

extern "C" cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
	return unmake(handle);
}

extern "C" cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType_t type, uint64_t rows,
                                                     uint64_t cols, int64_t stride)
{
	return make(layout, { type, rows, cols, stride });
}

extern "C" cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
	return unmake(layout);
}

extern "C" cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *operation, cublasComputeType_t compute,
                                                   cudaDataType_t scale)
{
	if (scale != CUDA_R_32F)
		return CUBLAS_STATUS_NOT_SUPPORTED;
	return make(operation, { compute, CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, NULL });
}

extern "C" cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation)
{
	return unmake(operation);
}

template <class T> static cublasStatus_t assign(T &member, const void *value, size_t size)
{
	if (size != sizeof member)
		return CUBLAS_STATUS_INVALID_VALUE;
	member = *static_cast<const T *>(value);
	return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
                                                         const void *value, size_t size)
{
	switch (attribute) {
	case CUBLASLT_MATMUL_DESC_TRANSA:
		return assign(operation->transpose_a, value, size);
	case CUBLASLT_MATMUL_DESC_TRANSB:
		return assign(operation->transpose_b, value, size);
	case CUBLASLT_MATMUL_DESC_EPILOGUE:
		return assign(operation->epilogue, value, size);
	case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
		return assign(operation->bias, value, size);
	}
	return CUBLAS_STATUS_INVALID_VALUE;
}

extern "C" cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
	const uint32_t all = CUBLASLT_REDUCTION_SCHEME_INPLACE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE |
	                     CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
	return make(preference, { 0, all, { 256, 256, 256, 256 } });
}

extern "C" cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
	return unmake(preference);
}

extern "C" cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                               cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                               size_t size)
{
	if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
		return assign(preference->workspace, value, size);
	if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
		return assign(preference->schemes, value, size);
	return assign(preference->align[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, size);
}

/* ---- choosing ---- */

static int fits(const struct cublasLtLayout &l)
{
	return l.rows > 0 && l.cols > 0 && l.stride >= (int64_t)l.rows;
}

/* op(a) is (m, k), op(b) (k, n), c and d (m, n). */
static int shapes_agree(const struct cublasLtOperation &o, const struct cublasLtLayout &a, const struct cublasLtLayout &b,
                        const struct cublasLtLayout &c)
{
	const int ta = o.transpose_a == CUBLAS_OP_T, tb = o.transpose_b == CUBLAS_OP_T;
	return fits(a) && fits(b) && fits(c) && (ta ? a.cols : a.rows) == c.rows && (tb ? b.rows : b.cols) == c.cols &&
	       (ta ? a.rows : a.cols) == (tb ? b.cols : b.rows);
}

static uint32_t alignment(const void *pointer)
{
	const uintptr_t p = reinterpret_cast<uintptr_t>(pointer), lowest = p & (~p + 1);
	return lowest == 0 || lowest > 256 ? 256 : (uint32_t)lowest;
}

/* SEQPAR_CUDASIM_PRODUCTS=f32|bf16|f16: no other type is known. */
static int is_known(cudaDataType_t type)
{
	const char *only = getenv("SEQPAR_CUDASIM_PRODUCTS");
	return !only || strcmp(only, type == CUDA_R_32F ? "f32" : type == CUDA_R_16BF ? "bf16" : "f16") == 0;
}

/* Results of an odd number of rows have no algorithm with a bias, so that callers show what they do then. */
extern "C" cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation,
                                                         cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                                         cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                                         cublasLtMatmulPreference_t preference, int wanted,
                                                         cublasLtMatmulHeuristicResult_t *results, int *count)
{
	const int biased = operation->epilogue == CUBLASLT_EPILOGUE_BIAS;
	const uint32_t lossy = CUBLASLT_REDUCTION_SCHEME_INPLACE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
	*count = 0;
	if (wanted < 1 || c != d || !shapes_agree(*operation, *a, *b, *c) || (biased && !operation->bias))
		return CUBLAS_STATUS_INVALID_VALUE;
	if (!is_known(a->type) || !is_known(c->type))
		return CUBLAS_STATUS_NOT_SUPPORTED;
	if (a->type != b->type || (c->type != a->type && c->type != CUDA_R_32F) ||
	    (operation->compute == CUBLAS_COMPUTE_32F_FAST_TF32 && a->type != CUDA_R_32F) || (biased && c->rows % 2 != 0))
		return CUBLAS_STATUS_NOT_SUPPORTED;
	if (c->type != CUDA_R_32F && preference->schemes & lossy) {
		fprintf(stderr, "simulator: sums of this product may be added up in 16 bits\n");
		return CUBLAS_STATUS_INVALID_VALUE;
	}
	cublasLtMatmulAlgo_t algorithm = { *a, *b, *c, *operation, preference->workspace, {}, alignment(operation->bias) };
	for (int i = 0; i < 4; i++)
		algorithm.align[i] = preference->align[i];
	results[0].algo = algorithm;
	*count = 1;
	return CUBLAS_STATUS_SUCCESS;
}

static int same(const struct cublasLtLayout &x, const struct cublasLtLayout &y)
{
	return x.type == y.type && x.rows == y.rows && x.cols == y.cols && x.stride == y.stride;
}

static int same(const struct cublasLtOperation &x, const struct cublasLtOperation &y)
{
	return x.compute == y.compute && x.transpose_a == y.transpose_a && x.transpose_b == y.transpose_b &&
	       x.epilogue == y.epilogue;
}

/* ---- multiplying ---- */

struct view {
	cudaDataType_t type;
	void *data;
};

static float read(struct view v, int64_t at)
{
	if (v.type == CUDA_R_32F)
		return static_cast<const float *>(v.data)[at];
	const uint16_t bits = static_cast<const uint16_t *>(v.data)[at];
	return v.type == CUDA_R_16BF ? simulator::from_bfloat16(bits) : simulator::from_float16(bits);
}

static void write(struct view v, int64_t at, float x)
{
	if (v.type == CUDA_R_32F)
		static_cast<float *>(v.data)[at] = x;
	else
		static_cast<uint16_t *>(v.data)[at] = v.type == CUDA_R_16BF ? simulator::to_bfloat16(x) : simulator::to_float16(x);
}

/* As tensor cores see it: 10 of the 23 bits behind the point, to nearest. */
static float tf32(float x)
{
	return simulator::float_of(simulator::round_off(simulator::bits_of(x), 13) << 13);
}

/* A matrix as CBLAS takes it: itself, or a float32 copy in `copy` if it is of another type or `round` changes it. */
struct floats {
	float *data;
	int64_t stride;
};

static struct floats widened(const struct cublasLtLayout &l, void *data, int round, std::vector<float> &copy)
{
	if (l.type == CUDA_R_32F && !round)
		return { static_cast<float *>(data), l.stride };
	copy.resize(l.rows * l.cols);
	for (uint64_t j = 0; j < l.cols; j++)
		for (uint64_t i = 0; i < l.rows; i++) {
			const float x = read({ l.type, data }, (int64_t)j * l.stride + (int64_t)i);
			copy[j * l.rows + i] = round ? tf32(x) : x;
		}
	return { copy.data(), (int64_t)l.rows };
}

/* With the bias of its type if there is one. */
static void finish(const struct cublasLtOperation &o, const struct cublasLtLayout &l, struct floats sums, void *result)
{
	const int biased = o.epilogue == CUBLASLT_EPILOGUE_BIAS;
	const struct view to = { l.type, result }, bias = { l.type, const_cast<void *>(o.bias) };
	if (!biased && sums.data == result)
		return;
	for (uint64_t j = 0; j < l.cols; j++)
		for (uint64_t i = 0; i < l.rows; i++) {
			const float sum = sums.data[(int64_t)j * sums.stride + (int64_t)i];
			write(to, (int64_t)j * l.stride + (int64_t)i, biased ? sum + read(bias, (int64_t)i) : sum);
		}
}

struct product {
	struct cublasLtOperation operation;
	struct cublasLtLayout a, b, d;
	const void *x, *y;
	void *result;
	float alpha, beta;
};

static void multiply(const struct product &p)
{
	const simulator::opened open;
	std::vector<float> a_copy, b_copy, d_copy;
	const int round = p.operation.compute == CUBLAS_COMPUTE_32F_FAST_TF32, transposed = p.operation.transpose_a == CUBLAS_OP_T;
	const struct floats x = widened(p.a, const_cast<void *>(p.x), round, a_copy);
	const struct floats y = widened(p.b, const_cast<void *>(p.y), round, b_copy);
	const struct floats sums = widened(p.d, p.result, 0, d_copy);
	cblas_sgemm(CblasColMajor, transposed ? CblasTrans : CblasNoTrans,
	            p.operation.transpose_b == CUBLAS_OP_T ? CblasTrans : CblasNoTrans, (int)p.d.rows, (int)p.d.cols,
	            (int)(transposed ? p.a.rows : p.a.cols), p.alpha, x.data, (int)x.stride, y.data, (int)y.stride, p.beta, sums.data,
	            (int)sums.stride);
	finish(p.operation, p.d, sums, p.result);
}

extern "C" cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void *alpha, const void *a,
                                         cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                                         const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                                         cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                                         size_t workspace_size, void *)
{
	const void *const pointers[] = { a, b, c, d };
	int wrong = c != d || !same(algorithm->a, *a_layout) || !same(algorithm->b, *b_layout) || !same(algorithm->c, *c_layout) ||
	            !same(algorithm->c, *d_layout) || !same(algorithm->operation, *operation) || !workspace ||
	            workspace_size < algorithm->workspace || alignment(operation->bias) < algorithm->align_bias;
	for (int i = 0; i < 4; i++)
		wrong = wrong || alignment(pointers[i]) < algorithm->align[i];
	if (wrong)
		return CUBLAS_STATUS_INVALID_VALUE;
	const struct product p = { *operation, *a_layout, *b_layout, *d_layout, a, b, d, *static_cast<const float *>(alpha),
		                       *static_cast<const float *>(beta) };
	simulator::perform([p] { multiply(p); });
	return CUBLAS_STATUS_SUCCESS;
}
