/* Attention of a whole step by a library: what is asked of cuDNN, and nothing else of it, so that tests/cudasim can take its
 * place. May include: cuda/cuda.h.
 *
 * One call is softmax(scale q k^T) v of every sample and head, or its gradient, without mask and dropout, for matrices of 16 bits.
 * Head a of token (b, i) is columns [a D, a D + D) of row b C + i (b keys + j of keys), as in seqpar/compute.h; D is a multiple of
 * 8, every pointer of 16 bytes, every stride of 8 elements; nothing is empty. */
#ifndef SP_CUDA_SDPA_H
#define SP_CUDA_SDPA_H

#include "cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a plan is made for. Compared as bytes: every member is 8 bytes wide, so there is no padding. */
struct sp_cuda_sdpa_shape {
	int64_t backward;
	int64_t dtype; /* enum sp_dtype: SP_BF16 or SP_F16 */
	int64_t batch, heads, head_dim, chunk, keys;
	int64_t q, k, v, o, dout; /* strides of rows, in elements; of o forward writes: heads times head_dim; dout: backward only */
};

/* T = batch chunk rows of q, o, dout, dq; J = batch keys of k, v, dk, dv. What is written has no gaps between rows. */
struct sp_cuda_sdpa_data {
	const void *q, *k, *v;
	void *o;             /* forward: out; backward: in */
	float *stats;        /* (B A, C): ln of the sum of e^score; forward: out; backward: in, of all keys there are */
	const void *dout;    /* backward only, as all that follows but the last two */
	void *dq, *dk, *dv;  /* out */
	float *dots;         /* (B A, C), room */
	float *dq_sums;      /* (B A, C, D), room */
	void *workspace;
	float scale;
};

struct sp_cuda_sdpa_plan {
	size_t workspace;
};

struct sp_cuda_sdpa {
	char name[32]; /* library and version */
	/* SP_OK; or SP_ERR_UNUSABLE with the reason in `why`: the library has nothing for this shape. */
	int (*make)(struct sp_cuda_sdpa *sdpa, const struct sp_cuda_sdpa_shape *shape, struct sp_cuda_sdpa_plan **plan, char *why,
	            size_t size);
	void (*unmake)(struct sp_cuda_sdpa_plan *plan);
	/* Queued. */
	int (*run)(struct sp_cuda_sdpa *sdpa, struct sp_cuda_sdpa_plan *plan, const struct sp_cuda_sdpa_data *data);
	void (*close)(struct sp_cuda_sdpa *sdpa);
};

/* SP_OK, SP_ERR_MEMORY, or SP_ERR_UNUSABLE with the reason in `why`: there is no such library here. Starts nothing on the device. */
int sp_cuda_sdpa_open(struct sp_cuda *cuda, struct sp_cuda_sdpa **sdpa, char *why, size_t size);

#ifdef __cplusplus
}
#endif

#endif
