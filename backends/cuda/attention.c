/* The two steps of attention: whose kernels compute them. */
#include "config.h"

#include "cuda/kernels.h"
#include "cuda/steps.h"

int sp_cuda_attention_forward(void *ctx, const struct sp_attention_forward *args)
{
	int taken;
	const int status = sp_cuda_steps_forward(ctx, args, &taken);
	return status || taken ? status : sp_cuda_attention_own_forward(ctx, args);
}

int sp_cuda_attention_backward(void *ctx, const struct sp_attention_backward *args)
{
	int taken;
	const int status = sp_cuda_steps_backward(ctx, args, &taken);
	return status || taken ? status : sp_cuda_attention_own_backward(ctx, args);
}
