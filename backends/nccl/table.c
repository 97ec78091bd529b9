/* The communication table over the operations of this module. */
#include "config.h"

#include "nccl/link.h"

#include "base/log.h"

int sp_nccl_probe(char *text, size_t size)
{
	char version[32];
	const int status = sp_nccl_load(text, size);
	if (status)
		return status;
	sp_nccl_version_text(sp_nccl.version, version, sizeof version);
	return sp_say(SP_OK, text, size, "NCCL %s, for memory of GPUs, beside mpi", version);
}

const struct sp_comm_ops sp_nccl_ops = {
	.join = sp_nccl_join,
	.order = sp_nccl_order,
	.begun = sp_nccl_begun,
	.stalled = sp_nccl_stalled,
	.all_reduce_start = sp_nccl_all_reduce_start,

	.split = sp_nccl_split,
	.close = sp_nccl_close,
	.exchange_start = sp_nccl_exchange_start,
	.reduce_scatter_start = sp_nccl_reduce_scatter_start,
	.all_gather_start = sp_nccl_all_gather_start,
	.all_to_all_start = sp_nccl_all_to_all_start,
	.test = sp_nccl_test,
	.progress = sp_nccl_progress,
	.describe = sp_nccl_describe,
};
