/* Matrix products with what surrounds them: the bias by the library where it can, the rest by kernels of ours. */
#include "config.h"

#include "cuda/cuda.h"
#include "cuda/gemm.h"
#include "cuda/kernels.h"

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
		biased = sp_cuda_gemm_adds_bias(cuda, g);
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
