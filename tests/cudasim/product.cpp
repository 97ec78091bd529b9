/* Stands in for backends/cuda/gemm.c: the same function by CBLAS. */
#include "config.h"

#include "cuda/gemm.h"

#include "cudasim/memory.hpp"
#include "cudasim/sixteen.hpp"

#include <cblas.h>

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

/* As tensor cores see it: 10 of the 23 bits behind the point, to nearest. */
static float tf32(float x)
{
	return simulator::float_of(simulator::round_off(simulator::bits_of(x), 13) << 13);
}

static float read(struct sp_matrix m, int64_t i, int64_t j)
{
	const int64_t at = i * m.stride + j;
	if (m.dtype == SP_F32)
		return static_cast<const float *>(m.data)[at];
	const uint16_t bits = static_cast<const uint16_t *>(m.data)[at];
	return m.dtype == SP_BF16 ? simulator::from_bfloat16(bits) : simulator::from_float16(bits);
}

static void write(struct sp_matrix m, int64_t i, int64_t j, float x)
{
	const int64_t at = i * m.stride + j;
	if (m.dtype == SP_F32)
		static_cast<float *>(m.data)[at] = x;
	else
		static_cast<uint16_t *>(m.data)[at] = m.dtype == SP_BF16 ? simulator::to_bfloat16(x) : simulator::to_float16(x);
}

/* A float32 matrix for CBLAS: `m` itself, or a copy in `copy` if `m` is of another type or `round` changes it. */
static struct sp_matrix widened(struct sp_matrix m, int round, std::vector<float> &copy)
{
	if (m.dtype == SP_F32 && !round)
		return m;
	copy.resize((size_t)(m.rows * m.cols));
	const struct sp_matrix wide = sp_matrix(copy.data(), m.rows, m.cols);
	for (int64_t i = 0; i < m.rows; i++)
		for (int64_t j = 0; j < m.cols; j++)
			write(wide, i, j, round ? tf32(read(m, i, j)) : read(m, i, j));
	return wide;
}

static float *floats(struct sp_matrix m)
{
	return static_cast<float *>(m.data);
}

extern "C" int sp_cuda_gemm(struct sp_cuda *cuda, const struct sp_cuda_gemm *g)
{
	const int64_t terms = g->transpose_a ? g->a.rows : g->a.cols;
	const simulator::opened open;
	std::vector<float> a_copy, b_copy, c_copy;
	const int round = cuda->precision == SP_PRECISION_TF32 && g->a.dtype == SP_F32;
	const struct sp_matrix a = widened(g->a, round, a_copy), b = widened(g->b, round, b_copy), c = widened(g->c, 0, c_copy);
	cblas_sgemm(CblasRowMajor, g->transpose_a ? CblasTrans : CblasNoTrans, g->transpose_b ? CblasTrans : CblasNoTrans,
	            (int)c.rows, (int)c.cols, (int)terms, 1.0f, floats(a), (int)a.stride, floats(b), (int)b.stride,
	            g->accumulate ? 1.0f : 0.0f, floats(c), (int)c.stride);
	const int biased = sp_cuda_gemm_adds_bias(cuda, g);
	for (int64_t i = 0; (biased || c.data != g->c.data) && i < c.rows; i++)
		for (int64_t j = 0; j < c.cols; j++)
			write(g->c, i, j, read(c, i, j) + (biased ? read(g->bias, 0, j) : 0.0f));
	return SP_OK;
}
