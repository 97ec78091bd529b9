/* Matrix products with what surrounds them: the bias by the library where it can, the rest by kernels of ours. */
#include "config.h"

#include "cuda/cuda.h"
#include "cuda/gemm.h"
#include "cuda/kernels.h"

/* The library adds biases of the result's type only. A float32 one is rounded for a result of 16 bits: in the scratch, or,
 * where the library would not add it, in the result's place, which the product is then added to. */
static int prepare_bias(struct sp_cuda *cuda, struct sp_cuda_gemm *g)
{
	const struct sp_matrix none = { 0 }, bias = g->bias;
	if (!bias.data || bias.dtype == g->c.dtype)
		return SP_OK;
	void *rounded = sp_cuda_scratch(cuda, (size_t)bias.cols * sp_dtype_size(g->c.dtype));
	if (!rounded)
		return SP_ERR_MEMORY;
	g->bias = sp_matrix_of(rounded, 1, bias.cols, g->c.dtype);
	if (sp_cuda_gemm_adds_bias(cuda, g))
		return sp_cuda_convert(cuda, bias, g->bias);
	const int add = g->accumulate;
	g->bias = none;
	g->accumulate = 1;
	return sp_cuda_spread_bias(cuda, bias, g->c, add);
}

/* A product of any size: with no terms to add up it is 0. */
static int product(struct sp_cuda *cuda, struct sp_cuda_gemm *g)
{
	const int64_t terms = g->transpose_a ? g->a.rows : g->a.cols;
	int status = SP_OK, biased = 0;
	if (g->c.rows == 0 || g->c.cols == 0)
		return SP_OK;
	if (terms == 0) {
		biased = 1;
		if (!g->accumulate || g->bias.data)
			status = sp_cuda_spread_bias(cuda, g->bias, g->c, g->accumulate);
	} else {
		status = prepare_bias(cuda, g);
		biased = status == SP_OK && sp_cuda_gemm_adds_bias(cuda, g);
		if (status == SP_OK)
			status = sp_cuda_gemm(cuda, g);
	}
	if (status == SP_OK && g->bias.data && !biased)
		status = sp_cuda_spread_bias(cuda, g->bias, g->c, 1);
	return status;
}

int sp_cuda_linear_forward(void *ctx, const struct sp_linear_forward *args)
{
	struct sp_cuda *cuda = ctx;
	const int active = args->act != SP_ACT_NONE;
	const struct sp_matrix sum = args->pre.data ? args->pre : args->y;
	struct sp_cuda_gemm g = { .a = args->x, .b = args->w, .c = sum, .bias = args->bias, .transpose_b = 1 };
	int status = product(cuda, &g);
	if (status == SP_OK && (active || args->pre.data))
		status = sp_cuda_activate(cuda, sum, args->y, args->act);
	return status;
}

int sp_cuda_linear_backward_input(void *ctx, const struct sp_linear_backward_input *args)
{
	struct sp_cuda *cuda = ctx;
	struct sp_cuda_gemm g = { .a = args->dy, .b = args->w, .c = args->dx, .accumulate = args->accumulate };
	int status = product(cuda, &g);
	if (status == SP_OK && (args->act != SP_ACT_NONE || args->dbias.data))
		status = sp_cuda_sweep(cuda, args->dx, args->pre, args->act, args->dbias);
	return status;
}

int sp_cuda_linear_backward_weight(void *ctx, const struct sp_linear_backward_weight *args)
{
	struct sp_cuda *cuda = ctx;
	struct sp_cuda_gemm g = { .a = args->dy, .b = args->x, .c = args->dw, .transpose_a = 1, .accumulate = 1 };
	int status = product(cuda, &g);
	if (status == SP_OK && args->dbias.data)
		status = sp_cuda_sweep(cuda, args->dy, args->dy, SP_ACT_NONE, args->dbias);
	return status;
}

int sp_cuda_activation_backward(void *ctx, const struct sp_activation_backward *args)
{
	const struct sp_matrix none = { 0 };
	return args->act == SP_ACT_NONE ? SP_OK : sp_cuda_sweep(ctx, args->dx, args->pre, args->act, none);
}
