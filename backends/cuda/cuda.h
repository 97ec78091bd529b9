/* Inside the cuda backend: its context and the operations of its table. May include: base, seqpar/compute.h; no CUDA header,
 * so that all but runtime.c, graph.c, gemm.c and the kernels compile without the toolkit.
 *
 * Operations are queued on one stream and return at once. Work is cut into parts by sizes alone and parts are summed in
 * order, never by atomic additions of floating-point numbers, so results repeat bit for bit. */
#ifndef SP_CUDA_H
#define SP_CUDA_H

#include <seqpar/compute.h>
#include <seqpar/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	SP_CUDA_MOST_HEAD_DIM = 128,  /* largest head of the attention kernels */
	SP_CUDA_SDPA_CAPABILITY = 90, /* the oldest GPUs where a library's attention is taken unasked: it is faster there */
	SP_CUDA_BF16_CAPABILITY = 80, /* the oldest GPUs whose tensor cores know bfloat16 */
};

struct sp_cuda_gemms;
struct sp_cuda_steps;
struct sp_cuda_sdpa;

struct sp_cuda {
	int device;
	enum sp_precision precision; /* of matrix products */
	enum sp_attention_kernel attention_kernel;
	void *stream;                /* cudaStream_t */
	struct sp_cuda_gemms *gemms; /* gemm.h */
	struct sp_cuda_steps *steps; /* steps.h */
	struct sp_cuda_sdpa *sdpa;   /* sdpa.h; NULL: there is none */
	void *scratch;               /* device memory */
	void **marks;                /* cudaEvent_t, by number */
	int64_t mark_count;
	size_t scratch_size;
	struct sp_cuda_outgrown *outgrown; /* what it was, as long as there are graphs */
	int recording;                     /* a graph */
	int graphs;                        /* that there are */
};

/* Device memory, 256-byte aligned, for the operations queued until the next call; NULL (logged) if there is none. It grows to
 * the largest request and is kept, so a training step allocates nothing once all shapes have been seen. Graphs go on using what it was
 * when they were recorded. */
void *sp_cuda_scratch(struct sp_cuda *cuda, size_t bytes);

/* ---- runtime.c: what CUDA's runtime does for us ---- */

/* SP_OK and what devices there are, or SP_ERR_UNUSABLE and why there is none. Starts nothing on the device. */
int sp_cuda_probe(char *text, size_t size);
/* SP_OK, or logs `what` with CUDA's own words for error `code` (cudaError_t) and returns SP_ERR_DEVICE. */
int sp_cuda_check(int code, const char *what);
/* Chooses device `number` modulo how many there are and makes the stream. */
int sp_cuda_runtime_open(struct sp_cuda *cuda, int number);
void sp_cuda_runtime_close(struct sp_cuda *cuda);
/* "NVIDIA H200, sm_90, ..." */
void sp_cuda_runtime_describe(const struct sp_cuda *cuda, char *text, size_t size);
/* Compute capability times 10: 90 is 9.0. */
int sp_cuda_capability(const struct sp_cuda *cuda);
/* Bytes of shared memory that a block may have. */
size_t sp_cuda_shared_limit(const struct sp_cuda *cuda);
/* Elements of an array much larger than the device's caches. */
int64_t sp_cuda_stream_elements(const struct sp_cuda *cuda);

int sp_cuda_alloc(void *ctx, size_t bytes, void **memory);
void sp_cuda_free(void *ctx, void *memory);
int sp_cuda_copy_in(void *ctx, void *device, const void *host, size_t bytes);
int sp_cuda_upload(void *ctx, void *device, const void *host, size_t bytes);
int sp_cuda_copy_out(void *ctx, void *host, const void *device, size_t bytes);
int sp_cuda_zero(void *ctx, void *device, size_t bytes);
int sp_cuda_copy_rows(void *ctx, struct sp_matrix from, struct sp_matrix to);
/* convert.cu */
int sp_cuda_convert(void *ctx, struct sp_matrix from, struct sp_matrix to);
int sp_cuda_sync(void *ctx);
int sp_cuda_alloc_host(void *ctx, size_t bytes, void **memory);
void sp_cuda_free_host(void *ctx, void *memory);
const char *sp_cuda_queue(void *ctx, void **queue);
int sp_cuda_mark(void *ctx, int64_t number);
int sp_cuda_between(void *ctx, int64_t from, int64_t to, double *seconds);

/* graph.c */
int sp_cuda_graph_begin(void *ctx);
int sp_cuda_graph_end(void *ctx, void **graph);
int sp_cuda_graph_launch(void *ctx, void *graph);
void sp_cuda_graph_free(void *ctx, void *graph);

/* context.c */
int sp_cuda_open(const struct sp_compute_options *options, void **ctx);
void sp_cuda_close(void *ctx);
void sp_cuda_describe(void *ctx, char *text, size_t size, char *warning, size_t warning_size);
int sp_cuda_supports(void *ctx, const struct sp_compute_needs *needs, char *why, size_t size);
int64_t sp_cuda_chunk_multiple(void *ctx);
int sp_cuda_threads(void *ctx);
/* linear.c */
int sp_cuda_linear_forward(void *ctx, const struct sp_linear_forward *args);
int sp_cuda_linear_backward_input(void *ctx, const struct sp_linear_backward_input *args);
int sp_cuda_linear_backward_weight(void *ctx, const struct sp_linear_backward_weight *args);
/* activation.cu */
int sp_cuda_activation_backward(void *ctx, const struct sp_activation_backward *args);
/* norm.cu */
int sp_cuda_norm_forward(void *ctx, const struct sp_norm_forward *args);
int sp_cuda_norm_backward(void *ctx, const struct sp_norm_backward *args);
/* attention.c, attention_rows.cu */
int sp_cuda_attention_forward(void *ctx, const struct sp_attention_forward *args);
int sp_cuda_attention_backward(void *ctx, const struct sp_attention_backward *args);
/* Bytes of shared memory that attention with such heads takes. */
size_t sp_cuda_attention_shared(int64_t head_dim);
int sp_cuda_attention_finish(void *ctx, const struct sp_attention_finish *args);
int sp_cuda_attention_merge(void *ctx, const struct sp_attention_merge *args);
int sp_cuda_attention_dots(void *ctx, const struct sp_attention_dots *args);
/* scores.cu */
int sp_cuda_scores_mask(void *ctx, const struct sp_scores_mask *args);
int sp_cuda_scores_softmax(void *ctx, const struct sp_scores_softmax *args);
int sp_cuda_scores_drop(void *ctx, const struct sp_scores_drop *args);
int sp_cuda_scores_backward(void *ctx, const struct sp_scores_backward *args);
/* rotate.cu */
int sp_cuda_rotate(void *ctx, const struct sp_rotate *args);
/* embedding.cu */
int sp_cuda_embedding_forward(void *ctx, const struct sp_embedding_forward *args);
int sp_cuda_embedding_backward(void *ctx, const struct sp_embedding_backward *args);
/* words.cu */
int sp_cuda_words_forward(void *ctx, const struct sp_words *args);
int sp_cuda_words_backward(void *ctx, const struct sp_words *args);
/* head.cu, cross_entropy.cu */
int sp_cuda_gather_rows(void *ctx, const struct sp_row_move *args);
int sp_cuda_scatter_add_rows(void *ctx, const struct sp_row_move *args);
int sp_cuda_tanh_forward(void *ctx, struct sp_matrix x);
int sp_cuda_tanh_backward(void *ctx, const struct sp_tanh_backward *args);
int sp_cuda_cross_entropy(void *ctx, const struct sp_cross_entropy *args);
int sp_cuda_entropy_part(void *ctx, const struct sp_entropy_part *args);
int sp_cuda_entropy_whole(void *ctx, const struct sp_entropy_whole *args);
/* update.cu */
int sp_cuda_sum_squares(void *ctx, const struct sp_sum_squares *args);
int sp_cuda_decide(void *ctx, const struct sp_decide *args);
int sp_cuda_adamw(void *ctx, const struct sp_adamw *args);
int sp_cuda_add(void *ctx, float *y, const float *x, int64_t n);
/* measure.c */
int sp_cuda_gemm_rate(void *ctx, enum sp_dtype dtype, int64_t m, int64_t n, int64_t k, double seconds, double *flops_per_s);
int sp_cuda_memory_rate(void *ctx, double seconds, double *bytes_per_s);

/* table.c: the operations above, for each module made of these sources. */
extern const struct sp_compute_ops sp_cuda_ops;

#ifdef __cplusplus
}
#endif

#endif
