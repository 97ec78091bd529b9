/* Matrix products: cuBLASLt behind one function. May include: cuda/cuda.h. */
#ifndef SP_CUDA_GEMM_H
#define SP_CUDA_GEMM_H

#include "cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* c (m, n) = beta c + op(a) op(b) + bias, row-major; op(a) is (m, k), op(b) (k, n), op transposes where the flag says so.
 * beta is 0 or 1. bias (1, n) may be without data. All sizes are at least 1. a and b have one dtype, SP_F32, SP_BF16 or SP_F16;
 * c and bias have that or SP_F32. Sums are float32, c is rounded once. */
struct sp_cuda_gemm {
	struct sp_matrix a, b, c, bias;
	int transpose_a, transpose_b, accumulate;
};

int sp_cuda_gemms_open(struct sp_cuda *cuda);
void sp_cuda_gemms_close(struct sp_cuda *cuda);
/* Library and version. */
const char *sp_cuda_gemms_library(void);
int sp_cuda_gemm(struct sp_cuda *cuda, const struct sp_cuda_gemm *gemm);
/* Whether `gemm` adds its bias itself; if not, sp_cuda_gemm leaves it out. */
int sp_cuda_gemm_adds_bias(struct sp_cuda *cuda, const struct sp_cuda_gemm *gemm);

#ifdef __cplusplus
}
#endif

#endif
