/* Steps of attention that a library computes (sdpa.h) instead of this module's own kernels: which, and what becomes of its
 * results. May include: cuda/cuda.h.
 *
 * A step is the library's if it is promised to be whole, drops nothing, is of 16 bits and aligned as sdpa.h says, and if the library
 * has shown, on a small step of as wide heads, that its results are those of the own kernels. All else, and what the library has
 * no plan for, is left to these. Nothing of this waits for the device but that showing, at the first step of a kind, and
 * making room and plans at the first of a shape. */
#ifndef SP_CUDA_STEPS_H
#define SP_CUDA_STEPS_H

#include "cuda/cuda.h"
#include "cuda/sdpa.h"

struct sp_cuda_steps;

/* What cuda->attention_kernel asks for: SP_ERR_UNUSABLE if that is SP_ATTENTION_CUDNN and there is no such library. */
int sp_cuda_steps_open(struct sp_cuda *cuda);
void sp_cuda_steps_close(struct sp_cuda *cuda);
void sp_cuda_steps_describe(const struct sp_cuda *cuda, char *text, size_t size);
/* With SP_ATTENTION_CUDNN SP_ERR_UNUSABLE, and the reason, if no step of such needs could be the library's. */
int sp_cuda_steps_supports(struct sp_cuda *cuda, const struct sp_compute_needs *needs, char *why, size_t size);

/* *taken: the step is the library's, and queued. */
int sp_cuda_steps_forward(struct sp_cuda *cuda, const struct sp_attention_forward *args, int *taken);
int sp_cuda_steps_backward(struct sp_cuda *cuda, const struct sp_attention_backward *args, int *taken);

/* ---- inside of these ---- */

/* Queues the library's work, and adds its results to what there is. */
int sp_cuda_steps_queue_forward(struct sp_cuda *cuda, struct sp_cuda_sdpa_plan *plan, const struct sp_attention_forward *args);
int sp_cuda_steps_queue_backward(struct sp_cuda *cuda, struct sp_cuda_sdpa_plan *plan, const struct sp_attention_backward *args);
struct sp_cuda_sdpa_shape sp_cuda_steps_forward_shape(const struct sp_attention_forward *args);
struct sp_cuda_sdpa_shape sp_cuda_steps_backward_shape(const struct sp_attention_backward *args);

/* steps_check.c: a small step both ways, by the library and by the own kernels. SP_OK; SP_ERR_UNUSABLE with the reason if their results
 * differ or it has no plan; or what else went wrong. `ragged`: of sizes that tiles do not divide. Waits for the device. */
int sp_cuda_steps_check(struct sp_cuda *cuda, enum sp_dtype dtype, int64_t head_dim, int ragged, char *why, size_t size);

#endif
