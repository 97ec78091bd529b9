#include "config.h"

#include "cuda/cuda.h"

#include "base/log.h"
#include "cuda/gemm.h"
#include "cuda/steps.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- scratch ---- */

struct sp_cuda_outgrown {
	struct sp_cuda_outgrown *next;
	void *memory;
};

static void free_outgrown(struct sp_cuda *cuda)
{
	while (cuda->outgrown) {
		struct sp_cuda_outgrown *first = cuda->outgrown;
		cuda->outgrown = first->next;
		sp_cuda_free(cuda, first->memory);
		free(first);
	}
}

/* Freeing waits for the device, so operations queued before may still use what they were given. */
static int let_go(struct sp_cuda *cuda)
{
	if (cuda->graphs == 0) {
		sp_cuda_free(cuda, cuda->scratch);
		free_outgrown(cuda);
		return SP_OK;
	}
	struct sp_cuda_outgrown *kept = malloc(sizeof *kept);
	if (!kept)
		return sp_fail(SP_ERR_MEMORY, "cuda: no memory for a note of %zu bytes", sizeof *kept);
	*kept = (struct sp_cuda_outgrown){ cuda->outgrown, cuda->scratch };
	cuda->outgrown = kept;
	return SP_OK;
}

/* Where each growth leaves something behind there are to be few. */
static size_t room_for(const struct sp_cuda *cuda, size_t bytes)
{
	return cuda->graphs ? bytes + bytes / 4 : bytes;
}

void *sp_cuda_scratch(struct sp_cuda *cuda, size_t bytes)
{
	const size_t room = room_for(cuda, bytes);
	void *memory;
	if (bytes <= cuda->scratch_size && cuda->scratch)
		return cuda->scratch;
	if (cuda->recording) {
		(void)sp_fail(SP_ERR_DEVICE, "cuda: an operation of a graph wants %zu bytes of room, more than there have been before", bytes);
		return NULL;
	}
	if (sp_cuda_sync(cuda) || sp_cuda_alloc(cuda, room, &memory))
		return NULL;
	if (let_go(cuda)) {
		sp_cuda_free(cuda, memory);
		return NULL;
	}
	cuda->scratch = memory;
	cuda->scratch_size = room;
	return memory;
}

/* ---- context ---- */

int sp_cuda_open(const struct sp_compute_options *options, void **ctx)
{
	struct sp_cuda *cuda = calloc(1, sizeof *cuda);
	if (!cuda)
		return sp_fail(SP_ERR_MEMORY, "cuda: no memory for the context");
	cuda->precision = options ? options->precision : SP_PRECISION_FP32;
	cuda->attention_kernel = options ? options->attention_kernel : SP_ATTENTION_AUTO;
	int status = sp_cuda_runtime_open(cuda, options ? options->device : 0);
	if (status) {
		free(cuda);
		return status;
	}
	status = sp_cuda_gemms_open(cuda);
	if (status == SP_OK)
		status = sp_cuda_steps_open(cuda);
	if (status)
		sp_cuda_close(cuda);
	else
		*ctx = cuda;
	return status;
}

void sp_cuda_close(void *ctx)
{
	struct sp_cuda *cuda = ctx;
	if (!cuda)
		return;
	sp_cuda_free(cuda, cuda->scratch);
	free_outgrown(cuda);
	sp_cuda_steps_close(cuda);
	sp_cuda_gemms_close(cuda);
	sp_cuda_runtime_close(cuda);
	free(cuda);
}

void sp_cuda_describe(void *ctx, char *text, size_t size, char *warning, size_t warning_size)
{
	const struct sp_cuda *cuda = ctx;
	char device[256] = "", attention[300] = "";
	sp_cuda_runtime_describe(ctx, device, sizeof device);
	sp_cuda_steps_describe(cuda, attention, sizeof attention);
	if (size)
		snprintf(text, size, "%s; %s%s%s", device, sp_cuda_gemms_library(),
		         cuda->precision == SP_PRECISION_TF32 ? "; products in tf32" : "", attention);
	if (warning_size)
		warning[0] = 0;
}

int sp_cuda_supports(void *ctx, const struct sp_compute_needs *needs, char *why, size_t size)
{
	const int capability = sp_cuda_capability(ctx);
	if (needs->dtype != SP_F32 && needs->dtype != SP_BF16 && needs->dtype != SP_F16)
		return sp_say(SP_ERR_UNUSABLE, why, size, "activations are f32, bf16 or f16 here, not %s", sp_dtype_name(needs->dtype));
	if (needs->dtype == SP_BF16 && capability < SP_CUDA_BF16_CAPABILITY)
		return sp_say(SP_ERR_UNUSABLE, why, size,
		              "products of bf16 take a GPU of compute capability %d.%d, this one has %d.%d: use train.precision = fp32",
		              SP_CUDA_BF16_CAPABILITY / 10, SP_CUDA_BF16_CAPABILITY % 10, capability / 10, capability % 10);
	if (needs->head_dim > SP_CUDA_MOST_HEAD_DIM)
		return sp_say(SP_ERR_UNUSABLE, why, size, "its attention takes heads of at most %d columns, not %lld: use more heads",
		              SP_CUDA_MOST_HEAD_DIM, (long long)needs->head_dim);
	const size_t shared = sp_cuda_attention_shared(needs->head_dim), limit = sp_cuda_shared_limit(ctx);
	if (shared > limit)
		return sp_say(SP_ERR_UNUSABLE, why, size,
		              "attention with heads of %lld columns takes %zu KiB of shared memory, this GPU has %zu: use more heads",
		              (long long)needs->head_dim, shared >> 10, limit >> 10);
	return sp_cuda_steps_supports(ctx, needs, why, size);
}

int64_t sp_cuda_chunk_multiple(void *ctx)
{
	(void)ctx;
	return 1;
}

/* The host only queues. */
int sp_cuda_threads(void *ctx)
{
	(void)ctx;
	return 1;
}
