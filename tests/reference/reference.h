/* The compute table as plain float64 loops: what every backend is held against. May include: libc, seqpar/compute.h.
 *
 * Each function takes the argument struct of the operation it stands for, as documented in seqpar/compute.h, with two
 * differences: everything is host memory, and every matrix is SP_F64. Operations whose struct holds float pointers take
 * their arrays apart from it. Nothing is checked, nothing is fast, and nothing here was made from a backend's source. */
#ifndef SP_TESTS_REFERENCE_H
#define SP_TESTS_REFERENCE_H

#include <seqpar/compute.h>

/* Element (i, j) of a float64 matrix. */
static inline double *sp_at(struct sp_matrix m, int64_t i, int64_t j)
{
	return (double *)m.data + i * m.stride + j;
}

/* A packed float64 matrix over `data`. */
static inline struct sp_matrix sp_matrix_f64(double *data, int64_t rows, int64_t cols)
{
	struct sp_matrix m = { data, rows, cols, cols, SP_F64 };
	return m;
}

/* element.c: element i of an array of dtype SP_F32, SP_BF16 or SP_F16, stored rounded once to nearest, ties to even; the largest
 * finite number of the dtype and its least normal one. */
void sp_reference_store(enum sp_dtype dtype, double x, void *array, size_t i);
double sp_reference_load(enum sp_dtype dtype, const void *array, size_t i);
double sp_reference_largest(enum sp_dtype dtype);
double sp_reference_least(enum sp_dtype dtype);

/* dropout.c: Philox4x32-10, and the factor (0 or 65536 / keep) of column `column` under counter (column / 8, y, z, 0). */
void sp_reference_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);
double sp_reference_dropout(const struct sp_dropout *dropout, uint32_t column, uint32_t y, uint32_t z);
/* The same for column `column` of activation row `row`. */
double sp_reference_row_dropout(const struct sp_dropout *dropout, const struct sp_rows *rows, int64_t row, int64_t column);

/* linear.c */
double sp_reference_activation(enum sp_activation act, double x);
double sp_reference_activation_slope(enum sp_activation act, double x);
void sp_reference_linear_forward(const struct sp_linear_forward *args);
void sp_reference_linear_backward_input(const struct sp_linear_backward_input *args);
void sp_reference_linear_backward_weight(const struct sp_linear_backward_weight *args);
void sp_reference_activation_backward(const struct sp_activation_backward *args);

/* norm.c. Rows of LayerNorm are shared with the embedding: y = (s - mean) rstd gamma + beta of one row, and the gradient
 * ds[H] of s from that of y, with dgamma and dbeta added to. ds may be the row of dy. */
void sp_reference_norm_row(struct sp_matrix s, struct sp_matrix gamma, struct sp_matrix beta, double eps, int64_t row,
                           struct sp_matrix y, struct sp_matrix mean, struct sp_matrix rstd);
struct sp_reference_norm_gradient {
	struct sp_matrix dy, s, gamma, mean, rstd, dgamma, dbeta;
};
void sp_reference_norm_row_backward(const struct sp_reference_norm_gradient *args, int64_t row, double *ds);
void sp_reference_norm_forward(const struct sp_norm_forward *args);
void sp_reference_norm_backward(const struct sp_norm_backward *args);

/* attention.c */
void sp_reference_attention_forward(const struct sp_attention_forward *args);
void sp_reference_attention_finish(const struct sp_attention_finish *args);
void sp_reference_attention_merge(const struct sp_attention_merge *args);
void sp_reference_attention_dots(const struct sp_attention_dots *args);
void sp_reference_attention_backward(const struct sp_attention_backward *args);

/* rotate.c */
void sp_reference_rotate(const struct sp_rotate *args);

/* scores.c */
void sp_reference_scores_mask(const struct sp_scores_mask *args);
void sp_reference_scores_softmax(const struct sp_scores_softmax *args);
void sp_reference_scores_drop(const struct sp_scores_drop *args);
void sp_reference_scores_backward(const struct sp_scores_backward *args);

/* parts.c */
void sp_reference_words_forward(const struct sp_words *args);
void sp_reference_words_backward(const struct sp_words *args);
void sp_reference_entropy_part(const struct sp_entropy_part *args);

/* embedding.c */
void sp_reference_embedding_forward(const struct sp_embedding_forward *args);
void sp_reference_embedding_backward(const struct sp_embedding_backward *args);

/* head.c */
void sp_reference_gather_rows(const struct sp_row_move *args);
void sp_reference_scatter_add_rows(const struct sp_row_move *args);
void sp_reference_cross_entropy(const struct sp_cross_entropy *args);
void sp_reference_tanh_forward(struct sp_matrix x);
void sp_reference_tanh_backward(const struct sp_tanh_backward *args);

/* update.c: arrays of n values, and the numbers of the struct. */
void sp_reference_copy_rows(struct sp_matrix from, struct sp_matrix to);
void sp_reference_sum_squares(const double *x, int64_t n, double *sum);
void sp_reference_decide(struct sp_step *step, const struct sp_decide *args); /* args->step is not looked at */
void sp_reference_adamw(const struct sp_adamw *args, const struct sp_step *step, const double *g, double *w, double *m, double *v);
void sp_reference_add(double *y, const double *x, int64_t n);

#endif
