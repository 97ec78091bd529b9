/* Messages between NVIDIA GPUs that never touch the host: NCCL, beside a module that passes host memory. */
#include "config.h"

#include "nccl/link.h"

#include <seqpar/module.h>

extern const struct sp_module sp_module_nccl;
const struct sp_module sp_module_nccl = {
	.abi = SP_MODULE_ABI,
	.name = "nccl",
	.probe = sp_nccl_probe,
	.comm = &sp_nccl_ops,
};
