/* Stands in for backends/cuda/gemm.c: the same function by CBLAS. */
#include "config.h"

#include "cuda/gemm.h"

#include "cudasim/memory.hpp"

#include <cblas.h>

extern "C" int sp_cuda_gemms_open(struct sp_cuda *cuda)
{
	(void)cuda;
	return SP_OK;
}

extern "C" void sp_cuda_gemms_close(struct sp_cuda *cuda)
{
	(void)cuda;
}

extern "C" const char *sp_cuda_gemms_library(void)
{
	return "CBLAS";
}

/* Odd widths are left to the caller, so that both ways are tested. */
extern "C" int sp_cuda_gemm_adds_bias(struct sp_cuda *cuda, const struct sp_cuda_gemm *gemm)
{
	(void)cuda;
	return gemm->bias.data && gemm->c.cols % 2 == 0;
}

static float *floats(struct sp_matrix m)
{
	return static_cast<float *>(m.data);
}

extern "C" int sp_cuda_gemm(struct sp_cuda *cuda, const struct sp_cuda_gemm *g)
{
	const int64_t terms = g->transpose_a ? g->a.rows : g->a.cols;
	const simulator::opened open;
	cblas_sgemm(CblasRowMajor, g->transpose_a ? CblasTrans : CblasNoTrans, g->transpose_b ? CblasTrans : CblasNoTrans,
	            (int)g->c.rows, (int)g->c.cols, (int)terms, 1.0f, floats(g->a), (int)g->a.stride, floats(g->b),
	            (int)g->b.stride, g->accumulate ? 1.0f : 0.0f, floats(g->c), (int)g->c.stride);
	for (int64_t i = 0; sp_cuda_gemm_adds_bias(cuda, g) && i < g->c.rows; i++)
		for (int64_t j = 0; j < g->c.cols; j++)
			floats(g->c)[i * g->c.stride + j] += floats(g->bias)[j];
	return SP_OK;
}
