/* Inside the cpu backend: its context and the operations of its table. May include: base, seqpar/compute.h.
 *
 * Operations finish before they return. Each opens OpenMP regions of cpu->threads threads; a library's product is only ever
 * called from inside one, single-threaded. Work is cut into parts by sizes and thread count alone and parts, not
 * threads, own partial sums, so results repeat bit for bit even where OpenMP grants fewer threads. */
#ifndef SP_CPU_H
#define SP_CPU_H

#include "cpu/kernels.h"

#include <seqpar/compute.h>
#include <stddef.h>
#include <stdint.h>

struct sp_cpu {
	const struct sp_cpu_kernels *kernels;
	int threads; /* of every parallel region */
	int asked;   /* the number wanted; differs from threads only where the system did not grant it */
	int blas_threads; /* inside a parallel region, as the BLAS says; 0 if it does not say */
	int bf16; /* 1 if activations in bfloat16 were asked for */
	enum sp_products products;
	struct sp_onednn *onednn; /* NULL: none is used */
	char no_onednn[256];      /* then why not, where nobody said */
	int bound, cores, ranks; /* cores this process may run on, cores of the machine, ranks of this job on it */
	void *scratch;
	size_t scratch_size;
};

/* At least `bytes` of memory, 64-byte aligned, that stays valid until the next call or the end of the operation; NULL
 * (logged) if there is none. It grows to the largest request and is kept, so a training step allocates nothing. */
void *sp_cpu_scratch(struct sp_cpu *cpu, size_t bytes);

/* room.c. Number of the calling thread in its parallel region. */
int sp_cpu_thread(void);

/* Scratch whose first `front` bytes are the caller's, and behind them, unless `element` is float32, `floats` floats for each
 * thread to widen activations into. Valid as long as what sp_cpu_scratch gives. */
struct sp_cpu_room {
	void *front;
	float *floats;
	size_t each;
};
int sp_cpu_room_open(struct sp_cpu *cpu, enum sp_dtype element, int64_t floats, size_t front, struct sp_cpu_room *room);
/* The calling thread's; NULL if element was float32. */
float *sp_cpu_room_of_thread(const struct sp_cpu_room *room);

/* Rows of n activations that a kernel of whole rows may have to hold at once; n + 15 floats each at most. */
enum { SP_CPU_ROOM_ROWS = 5 };

/* m as float32: itself, or widened into rows of `room` without gaps. */
struct sp_matrix sp_cpu_widened(const struct sp_cpu *cpu, struct sp_matrix m, float *room);
/* Rounded to `to`, unless that is float32 and `from` therefore is where it belongs. */
void sp_cpu_put_back(const struct sp_cpu *cpu, const struct sp_matrix *from, const struct sp_matrix *to);

/* Part `part` of `parts` nearly equal ones of [0, n), cut at multiples of `grain`. */
void sp_cpu_part(int64_t n, int64_t grain, int64_t parts, int64_t part, int64_t *first, int64_t *end);

/* sums.c. Sums over rows, such as the gradient of a bias: into how many parts to cut them, */
int64_t sp_cpu_sum_parts(const struct sp_cpu *cpu, int64_t rows);
/* and totals[k][j] += sums[0][k][j] + sums[1][k][j] + ..., in that order, for j < n; NULL totals are left out. */
void sp_cpu_sum_up(const struct sp_cpu *cpu, const float *sums, int64_t parts, int kinds, int64_t n,
                   float *const *totals);

/* context.c */
int sp_cpu_open(const struct sp_compute_options *options, void **ctx);
void sp_cpu_close(void *ctx);
int sp_cpu_supports(void *ctx, const struct sp_compute_needs *needs, char *why, size_t size);
int64_t sp_cpu_chunk_multiple(void *ctx);
int sp_cpu_threads(void *ctx);
/* threads.c: the number of threads for a rank that may decide itself; fills bound, cores and ranks. */
int sp_cpu_default_threads(struct sp_cpu *cpu);
/* describe.c */
void sp_cpu_describe(void *ctx, char *text, size_t size, char *warning, size_t warning_size);

/* memory.c */
int sp_cpu_alloc(void *ctx, size_t bytes, void **memory);
void sp_cpu_free(void *ctx, void *memory);
int sp_cpu_copy_in(void *ctx, void *device, const void *host, size_t bytes);
int sp_cpu_copy_out(void *ctx, void *host, const void *device, size_t bytes);
int sp_cpu_zero(void *ctx, void *device, size_t bytes);
int sp_cpu_copy_rows(void *ctx, struct sp_matrix from, struct sp_matrix to);
int sp_cpu_convert(void *ctx, struct sp_matrix from, struct sp_matrix to);
int sp_cpu_sync(void *ctx);

/* products.c */
const char *sp_cpu_multiplies(void *ctx, enum sp_dtype element, int64_t m, int64_t n, int64_t k);
/* linear.c */
int sp_cpu_linear_forward(void *ctx, const struct sp_linear_forward *args);
int sp_cpu_linear_backward_input(void *ctx, const struct sp_linear_backward_input *args);
int sp_cpu_linear_backward_weight(void *ctx, const struct sp_linear_backward_weight *args);
/* norm.c */
int sp_cpu_norm_forward(void *ctx, const struct sp_norm_forward *args);
int sp_cpu_norm_backward(void *ctx, const struct sp_norm_backward *args);
/* attention.c */
int sp_cpu_attention_forward(void *ctx, const struct sp_attention_forward *args);
int sp_cpu_attention_finish(void *ctx, const struct sp_attention_finish *args);
int sp_cpu_attention_merge(void *ctx, const struct sp_attention_merge *args);
int sp_cpu_attention_dots(void *ctx, const struct sp_attention_dots *args);
int sp_cpu_attention_backward(void *ctx, const struct sp_attention_backward *args);
/* rotate.c */
int sp_cpu_rotate(void *ctx, const struct sp_rotate *args);
/* embedding.c */
int sp_cpu_embedding_forward(void *ctx, const struct sp_embedding_forward *args);
int sp_cpu_embedding_backward(void *ctx, const struct sp_embedding_backward *args);
/* head.c */
int sp_cpu_gather_rows(void *ctx, const struct sp_row_move *args);
int sp_cpu_scatter_add_rows(void *ctx, const struct sp_row_move *args);
/* parts.c */
int sp_cpu_words_forward(void *ctx, const struct sp_words *args);
int sp_cpu_words_backward(void *ctx, const struct sp_words *args);
int sp_cpu_scores_mask(void *ctx, const struct sp_scores_mask *args);
int sp_cpu_scores_softmax(void *ctx, const struct sp_scores_softmax *args);
int sp_cpu_scores_drop(void *ctx, const struct sp_scores_drop *args);
int sp_cpu_scores_backward(void *ctx, const struct sp_scores_backward *args);
int sp_cpu_entropy_part(void *ctx, const struct sp_entropy_part *args);
int sp_cpu_entropy_whole(void *ctx, const struct sp_entropy_whole *args);
/* head.c, continued */
int sp_cpu_cross_entropy(void *ctx, const struct sp_cross_entropy *args);
int sp_cpu_tanh_forward(void *ctx, struct sp_matrix x);
int sp_cpu_tanh_backward(void *ctx, const struct sp_tanh_backward *args);
int sp_cpu_activation_backward(void *ctx, const struct sp_activation_backward *args);
/* update.c */
int sp_cpu_sum_squares(void *ctx, const struct sp_sum_squares *args);
int sp_cpu_decide(void *ctx, const struct sp_decide *args);
int sp_cpu_adamw(void *ctx, const struct sp_adamw *args);
int sp_cpu_add(void *ctx, float *y, const float *x, int64_t n);
/* measure.c */
int sp_cpu_gemm_rate(void *ctx, enum sp_dtype dtype, int64_t m, int64_t n, int64_t k, double seconds, double *flops_per_s);
int sp_cpu_memory_rate(void *ctx, double seconds, double *bytes_per_s);

#endif
