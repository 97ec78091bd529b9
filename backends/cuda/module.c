/* Compute on NVIDIA GPUs: cuBLASLt for matrix products, our own kernels for the rest. */
#include "config.h"

#include "backend/module.h"
#include "cuda/cuda.h"

const struct sp_module sp_module_cuda = {
	.abi = SP_MODULE_ABI,
	.name = "cuda",
	.probe = sp_cuda_probe,
	.compute = &sp_cuda_ops,
};
