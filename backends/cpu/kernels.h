/* The kernels that are compiled once per instruction set, and their table. May include: libc, seqpar/compute.h.
 *
 * A kernel runs on the calling thread and works on a range of rows or elements; the files without _kernels in their
 * name share out ranges between threads. Floating-point sums are taken in an order fixed by the arguments.
 *
 * To add a kernel: one line in SP_CPU_KERNELS, and its definition `void SP_KERNEL(name)(...)` in a file listed in
 * cpu_kernel_sources (local.mk), which includes cpu/kernels.h and, for exp and random bits, cpu/vmath.h. All else in
 * such a file is static: the linker could take an inline function with a global name for code that runs everywhere. */
#ifndef SP_CPU_KERNELS_H
#define SP_CPU_KERNELS_H

#include <seqpar/compute.h>

#include <stddef.h>
#include <stdint.h>

#define SP_CPU_KERNELS(X)                                                                                             \
	/* Rows [first, end) of the operation of the same name. `room`: for SP_CPU_ROOM_ROWS rows of H floats (cpu.h) if \
	 * activations are not float32, else NULL. */                                                                     \
	X(norm_forward, (const struct sp_norm_forward *args, int64_t first, int64_t end, float *room))                    \
	X(embedding_forward, (const struct sp_embedding_forward *args, int64_t first, int64_t end, float *room))          \
	/* The same; dgamma, dbeta, dbias are this range's sums over rows, [H] each, overwritten. */                      \
	X(norm_backward, (const struct sp_norm_backward *args, int64_t first, int64_t end, float *dgamma, float *dbeta,   \
	                  float *dbias, float *room))                                                                     \
	/* Up to the gradient of s; dgamma and dbeta as above. */                                                         \
	X(embedding_rows_backward, (const struct sp_embedding_backward *args, int64_t first, int64_t end, float *dgamma,  \
	                            float *dbeta, float *room))                                                           \
	/* Columns [first, end) of all three tables, all rows in order. */                                                \
	X(embedding_tables_backward, (const struct sp_embedding_backward *args, int64_t first, int64_t end))              \
	/* From float32 or bfloat16 to either. */                                                                         \
	X(convert, (const struct sp_matrix *from, const struct sp_matrix *to))                                            \
	X(add_rows, (const struct sp_row_move *args, int64_t first, int64_t end))                                         \
	/* One row of logits: the loss, and 1 in *correct if the label's logit is the first of the largest. */            \
	X(cross_entropy_row, (float *logits, int64_t n, int32_t label, float scale, int gradient, double *loss,           \
	                      int *correct))                                                                              \
	X(entropy_part_row, (const float *logits, int64_t n, int64_t label, float *stats))                                \
	/* `label` outside [0, n): in another part. */                                                                    \
	X(entropy_whole_row, (float *logits, int64_t n, int64_t label, float max, double sum, float scale))               \
	/* Columns [first, end), all rows in order. */                                                                    \
	X(words_backward, (const struct sp_words *args, int64_t first, int64_t end))                                      \
	/* y = act(pre), or a copy if act is NONE. */                                                                  \
	X(activate, (enum sp_activation act, const struct sp_matrix *pre, const struct sp_matrix *y))                     \
	/* dx *= act'(pre) unless act is NONE; sums, if not NULL: column sums of the new dx, float32, overwritten. */     \
	X(activate_backward, (enum sp_activation act, const struct sp_matrix *pre, const struct sp_matrix *dx, float *sums)) \
	X(column_sums, (const struct sp_matrix *x, float *sums)) /* overwritten */                                        \
	X(fill_rows, (const float *row, const struct sp_matrix *y)) /* every row of y = row, or 0 if row is NULL */       \
	/* Attention; the layouts are those of cpu/attention.h. The block of a product that is kept in registers, */      \
	/* and whether pairs of bfloat16 can be multiplied. */                                                            \
	X(attention_block, (int *rows, int *columns, int *pairs))                                                         \
	/* y = factor x as panels; rows n .. padded - 1 are zero, and so are those whose doc (optional, [n]) is negative. */ \
	X(attention_pack, (const struct sp_cpu_attention_rows *x, float factor, const int32_t *doc, float *y,              \
	                   int64_t padded, int64_t width))                                                                \
	/* From panels of n rows, a multiple of the block's columns, to turned. */                                        \
	X(attention_turn, (const float *x, int64_t n, int64_t depth, float *y))                                           \
	/* Of pairs: rows, of `depth` words; panels; and from rows of pairs to turned. What is zero is as above. */       \
	X(attention_pack_rows, (const struct sp_cpu_attention_rows *x, const int32_t *doc, float *y, int64_t padded,      \
	                        int64_t depth))                                                                           \
	X(attention_pack_pairs, (const struct sp_cpu_attention_rows *x, const int32_t *doc, float *y, int64_t padded,     \
	                         int64_t width))                                                                          \
	X(attention_turn_rows, (const float *x, int64_t n, int64_t depth, float *y))                                      \
	/* y = [y +] factor x, x the first n rows of panels of `padded` rows. */                                          \
	X(attention_unpack, (const float *x, int64_t padded, float factor, int add, const struct sp_cpu_attention_rows *y)) \
	X(attention_forward, (const struct sp_cpu_attention_forward_tile *f))                                             \
	X(attention_backward, (const struct sp_cpu_attention_backward_tile *b))                                           \
	/* Tokens [first, end) of sample b. */                                                                            \
	X(attention_finish, (const struct sp_attention_finish *args, int64_t b, int64_t first, int64_t end))              \
	X(attention_merge, (const struct sp_attention_merge *args, int64_t b, int64_t first, int64_t end))                \
	X(attention_dots, (const struct sp_attention_dots *args, int64_t b, int64_t first, int64_t end))                  \
	/* Rows [first, end) of the operation of the same name. */                                                        \
	X(scores_mask, (const struct sp_scores_mask *args, int64_t first, int64_t end))                                   \
	X(scores_softmax, (const struct sp_scores_softmax *args, int64_t first, int64_t end))                             \
	X(scores_drop, (const struct sp_scores_drop *args, int64_t first, int64_t end))                                   \
	X(scores_backward, (const struct sp_scores_backward *args, int64_t first, int64_t end))                           \
	/* Rows [first, end); frequency[j] = base^(-2 j / D), j < D / 2. */                                               \
	X(rotate, (const struct sp_rotate *args, const double *frequency, int64_t first, int64_t end))                    \
	/* Row i. */                                                                                                      \
	X(tanh_forward, (const struct sp_matrix *x, int64_t i))                                                           \
	X(tanh_backward, (const struct sp_tanh_backward *args, int64_t i))                                                \
	X(sum_squares, (const float *x, int64_t n, double *sum)) /* overwritten */                                        \
	X(adamw, (const struct sp_adamw *args, int64_t first, int64_t end))                                               \
	X(add, (float *y, const float *x, int64_t n))

struct sp_cpu_attention_rows;
struct sp_cpu_attention_forward_tile;
struct sp_cpu_attention_backward_tile;

struct sp_cpu_kernels {
	const char *isa;
#define X(name, parameters) void (*name) parameters;
	SP_CPU_KERNELS(X)
#undef X
};

/* The i-th variant that was compiled, best first; NULL after the last. */
const struct sp_cpu_kernels *sp_cpu_kernels_at(size_t i);
/* Whether this processor, and the operating system, can run it. */
int sp_cpu_kernels_runnable(const struct sp_cpu_kernels *kernels);
/* The best variant that runs here, or the one named in SEQPAR_CPU_ISA; NULL if that one does not run here. */
const struct sp_cpu_kernels *sp_cpu_kernels_choose(void);

#ifdef ISA
#define SP_PASTE3(a, b, c) a##b##c
#define SP_KERNEL_OF(name, isa) SP_PASTE3(sp_cpu_##name, _, isa)
#define SP_KERNEL(name) SP_KERNEL_OF(name, ISA)
#define X(name, parameters) void SP_KERNEL(name) parameters;
SP_CPU_KERNELS(X)
#undef X
#endif

#endif
