/* Stands in for backends/cuda/gemm.c: the same function by CBLAS. */
#include "config.h"

#include "cuda/gemm.h"

#include "cudasim/memory.hpp"

#include <cblas.h>

#include <string.h>
#include <vector>

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

/* As tensor cores see it: 10 of the 23 bits behind the point, to nearest. */
static float tf32(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	bits = (bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu;
	memcpy(&x, &bits, sizeof x);
	return x;
}

/* An operand in the precision of products: itself, or a rounded copy in `copy`. */
static struct sp_matrix operand(const struct sp_cuda *cuda, struct sp_matrix m, std::vector<float> &copy)
{
	if (cuda->precision == SP_PRECISION_FP32)
		return m;
	copy.resize((size_t)(m.rows * m.cols));
	for (int64_t i = 0; i < m.rows; i++)
		for (int64_t j = 0; j < m.cols; j++)
			copy[(size_t)(i * m.cols + j)] = tf32(floats(m)[i * m.stride + j]);
	return sp_matrix(copy.data(), m.rows, m.cols);
}

extern "C" int sp_cuda_gemm(struct sp_cuda *cuda, const struct sp_cuda_gemm *g)
{
	const int64_t terms = g->transpose_a ? g->a.rows : g->a.cols;
	const simulator::opened open;
	std::vector<float> a_copy, b_copy;
	const struct sp_matrix a = operand(cuda, g->a, a_copy), b = operand(cuda, g->b, b_copy);
	cblas_sgemm(CblasRowMajor, g->transpose_a ? CblasTrans : CblasNoTrans, g->transpose_b ? CblasTrans : CblasNoTrans,
	            (int)g->c.rows, (int)g->c.cols, (int)terms, 1.0f, floats(a), (int)a.stride, floats(b),
	            (int)b.stride, g->accumulate ? 1.0f : 0.0f, floats(g->c), (int)g->c.stride);
	for (int64_t i = 0; sp_cuda_gemm_adds_bias(cuda, g) && i < g->c.rows; i++)
		for (int64_t j = 0; j < g->c.cols; j++)
			floats(g->c)[i * g->c.stride + j] += floats(g->bias)[j];
	return SP_OK;
}
