/* A compute device as the core sees it: the table of operations behind wrappers that check arguments.
 * May include: base, seqpar/{tensor,compute}.h.
 *
 * The contract of each operation is in seqpar/compute.h. A wrapper logs and returns SP_ERR_SHAPE when shapes, strides or
 * dtypes do not fit or something required is absent; nothing is then queued. */
#ifndef SP_BACKEND_COMPUTE_H
#define SP_BACKEND_COMPUTE_H

#include <seqpar/compute.h>
#include <seqpar/status.h>

struct sp_compute;

/* Opens module `name` ("cpu"), or the best usable one for "auto"; logs and returns why not. */
int sp_compute_open(const char *name, const struct sp_compute_options *options, struct sp_compute **compute);
void sp_compute_close(struct sp_compute *c); /* NULL accepted */
const char *sp_compute_name(const struct sp_compute *c);
void sp_compute_describe(struct sp_compute *c, char *text, size_t size, char *warning, size_t warning_size);
/* Logs the reason and returns SP_ERR_UNUSABLE if the device cannot do it. */
int sp_compute_supports(struct sp_compute *c, const struct sp_compute_needs *needs);
int64_t sp_compute_chunk_multiple(struct sp_compute *c);
int sp_compute_threads(struct sp_compute *c);
/* "blas" or "onednn", or "" where there is no choice: what makes a product with (m, n) results of k terms. */
const char *sp_compute_multiplies(struct sp_compute *c, enum sp_dtype dtype, int64_t m, int64_t n, int64_t k);

/* What the host does for transfers that are under way while layers compute. Nothing is called inside of `between`. */
struct sp_compute_poll {
	void (*between)(void *ctx); /* after each operation of a layer or head has been queued; may queue more */
	void (*during)(void *ctx);  /* in a long operation that was given no poll of its own; may not use this device */
	void *ctx;
};
void sp_compute_set_poll(struct sp_compute *c, const struct sp_compute_poll *poll); /* is copied; NULL: nothing any more */

int sp_compute_alloc(struct sp_compute *c, size_t bytes, void **memory);
void sp_compute_free(struct sp_compute *c, void *memory);
int sp_compute_copy_in(struct sp_compute *c, void *device, const void *host, size_t bytes);
int sp_compute_copy_out(struct sp_compute *c, void *host, const void *device, size_t bytes);
int sp_compute_upload(struct sp_compute *c, void *device, const void *host, size_t bytes);
int sp_compute_zero(struct sp_compute *c, void *device, size_t bytes);
int sp_compute_copy_rows(struct sp_compute *c, struct sp_matrix from, struct sp_matrix to);
/* 1 if this backend has the next one. */
int sp_compute_has_convert(const struct sp_compute *c);
int sp_compute_convert(struct sp_compute *c, struct sp_matrix from, struct sp_matrix to);
int sp_compute_sync(struct sp_compute *c);
/* Whether memory from sp_compute_alloc is host memory. */
int sp_compute_is_host_memory(const struct sp_compute *c);
/* Name of the communication module that passes this device's memory itself, and its queue; NULL if there is none. */
const char *sp_compute_queue(struct sp_compute *c, void **queue);
/* A host buffer of at least `bytes`, which belongs to the device and is kept until it is closed; only if memory from
 * sp_compute_alloc is not host memory. */
int sp_compute_buffer_take(struct sp_compute *c, size_t bytes, void **host);
void sp_compute_buffer_give(struct sp_compute *c, const void *host);

/* 1 if this backend has graphs. Between graph_begin and graph_end memory is neither allocated nor copied to or from the host, nothing is
 * waited for, and no transfer is moved on: SP_ERR_ARGUMENT, logged. See backend/graphs.h. */
int sp_compute_has_graphs(const struct sp_compute *c);
int sp_compute_graph_begin(struct sp_compute *c);
int sp_compute_graph_end(struct sp_compute *c, void **graph);
int sp_compute_graph_launch(struct sp_compute *c, void *graph);
void sp_compute_graph_free(struct sp_compute *c, void *graph);

int sp_compute_linear_forward(struct sp_compute *c, const struct sp_linear_forward *args);
int sp_compute_linear_backward_input(struct sp_compute *c, const struct sp_linear_backward_input *args);
int sp_compute_linear_backward_weight(struct sp_compute *c, const struct sp_linear_backward_weight *args);
int sp_compute_activation_backward(struct sp_compute *c, const struct sp_activation_backward *args);
int sp_compute_norm_forward(struct sp_compute *c, const struct sp_norm_forward *args);
int sp_compute_norm_backward(struct sp_compute *c, const struct sp_norm_backward *args);
int sp_compute_attention_forward(struct sp_compute *c, const struct sp_attention_forward *args);
int sp_compute_attention_finish(struct sp_compute *c, const struct sp_attention_finish *args);
int sp_compute_attention_merge(struct sp_compute *c, const struct sp_attention_merge *args);
int sp_compute_attention_dots(struct sp_compute *c, const struct sp_attention_dots *args);
int sp_compute_attention_backward(struct sp_compute *c, const struct sp_attention_backward *args);
/* 1 if this backend has the next four. */
int sp_compute_has_scores(const struct sp_compute *c);
int sp_compute_scores_mask(struct sp_compute *c, const struct sp_scores_mask *args);
int sp_compute_scores_softmax(struct sp_compute *c, const struct sp_scores_softmax *args);
int sp_compute_scores_drop(struct sp_compute *c, const struct sp_scores_drop *args);
int sp_compute_scores_backward(struct sp_compute *c, const struct sp_scores_backward *args);
/* 1 if this backend has the next one. */
int sp_compute_has_rotate(const struct sp_compute *c);
int sp_compute_rotate(struct sp_compute *c, const struct sp_rotate *args);
int sp_compute_embedding_forward(struct sp_compute *c, const struct sp_embedding_forward *args);
int sp_compute_embedding_backward(struct sp_compute *c, const struct sp_embedding_backward *args);
int sp_compute_gather_rows(struct sp_compute *c, const struct sp_row_move *args);
int sp_compute_scatter_add_rows(struct sp_compute *c, const struct sp_row_move *args);
/* 1 if this backend has the next four. */
int sp_compute_has_parts(const struct sp_compute *c);
int sp_compute_words_forward(struct sp_compute *c, const struct sp_words *args);
int sp_compute_words_backward(struct sp_compute *c, const struct sp_words *args);
int sp_compute_entropy_part(struct sp_compute *c, const struct sp_entropy_part *args);
int sp_compute_entropy_whole(struct sp_compute *c, const struct sp_entropy_whole *args);
int sp_compute_cross_entropy(struct sp_compute *c, const struct sp_cross_entropy *args);
int sp_compute_tanh_forward(struct sp_compute *c, struct sp_matrix x);
int sp_compute_tanh_backward(struct sp_compute *c, const struct sp_tanh_backward *args);
int sp_compute_sum_squares(struct sp_compute *c, const struct sp_sum_squares *args);
int sp_compute_decide(struct sp_compute *c, const struct sp_decide *args);
int sp_compute_adamw(struct sp_compute *c, const struct sp_adamw *args);
int sp_compute_add(struct sp_compute *c, float *y, const float *x, int64_t n);

/* ---- what the time goes into ---- */

/* Classes of operations. Each operation is in one, whatever it is called for. */
enum sp_class {
	SP_CLASS_PRODUCTS = 0, /* matrix products with what is done in the same operation */
	SP_CLASS_ATTENTION,    /* its steps and what belongs to them; of whole rows of scores all but the products */
	SP_CLASS_ELEMENTS,     /* norms, embeddings, cross-entropy, rotations, sums, rows and memory that are copied, converted or zeroed */
	SP_CLASS_OPTIMIZER,    /* norm of gradients, decision, update */
	SP_CLASS_COPIES,       /* between host and device */
	SP_CLASSES
};
const char *sp_class_name(enum sp_class which); /* "products", "attention", ... */

/* From here on operations are timed: by the device's own clock if it has one (`mark`), else by the host's around each with a
 * sync(). Nothing else about them changes, but that graphs are not made of them (backend/graphs.h). SP_ERR_MEMORY, logged. */
int sp_compute_shares_start(struct sp_compute *c);
int sp_compute_is_timed(const struct sp_compute *c); /* between start and stop */
void sp_compute_shares_stop(struct sp_compute *c);
/* Seconds of each class since this was called last, or since the start. Waits for the device. */
int sp_compute_shares_take(struct sp_compute *c, double seconds[SP_CLASSES]);

int sp_compute_gemm_rate(struct sp_compute *c, enum sp_dtype dtype, int64_t m, int64_t n, int64_t k, double seconds,
                         double *flops_per_s);
int sp_compute_memory_rate(struct sp_compute *c, double seconds, double *bytes_per_s);

#endif
