/* Kernels that several operations share, as functions that queue them. May include: cuda/cuda.h. */
#ifndef SP_CUDA_KERNELS_H
#define SP_CUDA_KERNELS_H

#include "cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* activation.cu. y = act(pre) */
int sp_cuda_activate(struct sp_cuda *cuda, struct sp_matrix pre, struct sp_matrix y, enum sp_activation act);
/* x[i][j] = bias[j] (0 without data), or += it if `add` */
int sp_cuda_spread_bias(struct sp_cuda *cuda, struct sp_matrix bias, struct sp_matrix x, int add);
/* x *= act'(pre) unless act is NONE (x is then not written); sums[j] += sum over rows of x unless sums has no data. */
int sp_cuda_sweep(struct sp_cuda *cuda, struct sp_matrix x, struct sp_matrix pre, enum sp_activation act,
                  struct sp_matrix sums);

/* attention_forward.cu, attention_backward.cu: the steps by own kernels. */
int sp_cuda_attention_own_forward(struct sp_cuda *cuda, const struct sp_attention_forward *args);
int sp_cuda_attention_own_backward(struct sp_cuda *cuda, const struct sp_attention_backward *args);
/* attention_cores_*.cu: the steps of 16-bit matrices, on tensor cores. */
int sp_cuda_attention_cores_forward(struct sp_cuda *cuda, const struct sp_attention_forward *args);
int sp_cuda_attention_cores_backward(struct sp_cuda *cuda, const struct sp_attention_backward *args);

/* attention_found.cu. What queries have found among other keys, folded in as by sp_cuda_attention_merge:
 *   o (B C, A D) E, heads of a multiple of 8 columns   stats (B A, C): ln of the sum of e^score   acc, m, l: of struct
 *   sp_attention_forward; `first`: overwritten. */
struct sp_cuda_found {
	int64_t batch, heads, head_dim, chunk;
	struct sp_matrix o, stats, acc, m, l;
	int first;
};
int sp_cuda_attention_found(struct sp_cuda *cuda, const struct sp_cuda_found *found);
/* stats = lse, without gaps, but a number with which e^(score - lse) is 0 where that is -inf. */
int sp_cuda_attention_stats(struct sp_cuda *cuda, struct sp_matrix lse, struct sp_matrix stats);

/* convert.cu. to (float32) += from (E) */
int sp_cuda_add_converted(struct sp_cuda *cuda, struct sp_matrix from, struct sp_matrix to);

/* norm.cu. sp_cuda_norm_backward where y went through a dropout, `behind`, of the same rows: dy is the gradient after that. */
int sp_cuda_norm_backward_behind(struct sp_cuda *cuda, const struct sp_norm_backward *args, const struct sp_dropout *behind);

/* embedding.cu. table[id[i] - first] += rows[i] for the ids that the table holds; rows of one id in row order. Uses the scratch. */
int sp_cuda_add_to_table(struct sp_cuda *cuda, const int32_t *id, struct sp_matrix rows, struct sp_matrix table, int32_t first);

/* sums.cu. totals[k][j] += sums[0][k][j] + sums[1][k][j] + ... for j < n, parts in order; NULL totals are left out. */
enum { SP_CUDA_MOST_TOTALS = 3 };
struct sp_cuda_totals {
	float *total[SP_CUDA_MOST_TOTALS];
	int kinds;
};
int sp_cuda_sum_up(struct sp_cuda *cuda, const float *sums, int64_t parts, int64_t n, struct sp_cuda_totals totals);
/* *total += sums[0] + sums[1] + ..., and *count += counts[0] + ... unless count is NULL; always the same order. */
int sp_cuda_sum_numbers(struct sp_cuda *cuda, const double *sums, const int *counts, int64_t n, double *total,
                        int64_t *count);

#ifdef __cplusplus
}
#endif

#endif
