/* Module nccl on the simulated library, for the simulated device: a module that only tests open. */
#include "config.h"

#include "nccl/link.h"

#include <seqpar/module.h>

extern const struct sp_module sp_module_ncclsim;
const struct sp_module sp_module_ncclsim = {
	.abi = SP_MODULE_ABI,
	.name = "ncclsim",
	.probe = sp_nccl_probe,
	.comm = &sp_nccl_ops,
};
