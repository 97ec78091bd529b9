/* In the place of cuDNN where its header was not there when this was built. */
#include "config.h"

#include "cuda/sdpa.h"

#include "base/log.h"

int sp_cuda_sdpa_open(struct sp_cuda *cuda, struct sp_cuda_sdpa **sdpa, char *why, size_t size)
{
	(void)cuda;
	(void)sdpa;
	return sp_say(SP_ERR_UNUSABLE, why, size, "this build has no cuDNN: %s", SP_CUDNN_ABSENT);
}
