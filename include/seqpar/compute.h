/* The compute table: everything seqpar asks of a device. May include: libc, seqpar/tensor.h.
 *
 * A backend implements struct sp_compute_ops; the core calls it only through the checking wrappers of
 * src/backend/compute.h, so an implementation may rely on the shapes and aliasing written here. Unless a member says
 * otherwise:
 *   - all pointers inside argument structs are device memory, the structs themselves are host memory and are not kept;
 *   - an operation is queued: it runs after what was queued before and may still run on return; outputs are valid after
 *     sync(). (The cpu backend finishes before it returns.) None blocks the host except sync, copy_in and copy_out;
 *   - outputs are overwritten; members that accumulate say so; inputs and outputs do not overlap unless stated;
 *   - any size may be zero, which is a no-op that still overwrites what has size;
 *   - results repeat bit for bit for the same build, device, thread count and arguments, but for gradients of
 *     attention by cuDNN, which SP_ATTENTION_AUTO may take as well;
 *   - returns SP_OK or SP_ERR_DEVICE, SP_ERR_MEMORY.
 * Matrices are float32 unless they are marked E. All that are marked so in one operation have one dtype: SP_F32, or what the
 * backend was asked about in sp_compute_needs.dtype, SP_BF16 or SP_F16. Whatever E is, arithmetic between reading and
 * writing is that of float32; what is written is rounded once, to nearest, ties to even; sums over rows that are
 * accumulated in float32 may add what was there before or after this rounding.
 * Letters: B samples, C tokens of this rank per sample, T = B * C rows (sample-major), H hidden, A heads, D = H / A,
 * V vocabulary. Bounds on the error of each operation are in tests/conformance. */
#ifndef SEQPAR_COMPUTE_H
#define SEQPAR_COMPUTE_H

#include <seqpar/tensor.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sp_activation {
	SP_ACT_NONE = 0,
	SP_ACT_GELU,      /* x * Phi(x), by erf (Hendrycks & Gimpel 2016) */
	SP_ACT_GELU_TANH, /* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
};

/* Dropout by counter (Philox4x32-10, Salmon et al. 2011): a decision depends on the key and on global coordinates, never
 * on the rank, so every layout and backend draws the same mask, and backward redraws it instead of storing it.
 * One Philox call gives eight decisions for eight neighbouring columns j = 8 c .. 8 c + 7: the j-th uses the (j mod 8)-th
 * 16-bit half of the output, low half of word 0 first; the element is kept if half < keep, and then multiplied by
 * 65536 / keep. keep = 65536 turns dropout off (no random numbers are drawn); keep is at least 1. */
struct sp_dropout {
	uint32_t key[2];
	uint32_t keep;
	/* Optional: the key is these two words of device memory, as they are when the operation runs, and `key` is not looked at. So
	 * what a graph repeats draws anew each time. */
	const uint32_t *key_at;
};

/* Where the T = batch * chunk rows of a rank's activations lie in the global batch. Row b * chunk + i is token
 * first + i of sample sample[b]. Counters of hidden dropout: (column / 8, first + i, sample[b], 0). */
struct sp_rows {
	int64_t batch, chunk;
	const uint32_t *sample; /* [batch], device memory */
	uint32_t first;
};

/* y = act(x w^T + bias).
 *   x (T, K) E   w (N, K) E   bias (1, N) optional   y (T, N) E
 *   pre (T, N) E optional: x w^T + bias before the activation, kept for backward; required if act is not NONE.
 * With E of 16 bits bias may be rounded to E before it is added, and y may be the activation of pre as it is written: libraries
 * of matrix products add biases of the result's type only, and backward, too, knows pre only as it was written. */
struct sp_linear_forward {
	struct sp_matrix x, w, bias, y, pre;
	enum sp_activation act;
};

/* dx = [beta dx +] (dy w) * act'(pre), and dbias += column sums of the new dx.
 *   dy (T, N) E   w (N, K) E   dx (T, K) E, overwritten, or added to if `accumulate` (then act must be NONE, dbias absent)
 *   pre (T, K) E required if act is not NONE   dbias (1, K) optional, accumulates */
struct sp_linear_backward_input {
	struct sp_matrix dy, w, dx, pre, dbias;
	enum sp_activation act;
	int accumulate;
};

/* dw += dy^T x, dbias += column sums of dy.
 *   dy (T, N) E   x (T, K) E   dw (N, K) accumulates   dbias (1, N) optional, accumulates */
struct sp_linear_backward_weight {
	struct sp_matrix dy, x, dw, dbias;
};

/* dx *= act'(pre), in place: the gradient through an activation that no GEMM precedes. pre, dx (T, N) E */
struct sp_activation_backward {
	struct sp_matrix pre, dx;
	enum sp_activation act;
};

/* s = residual + dropout(x + bias);  y = (s - mean(s)) * rstd(s) * gamma + beta, rows at a time, in fp32, with
 * rstd = 1 / sqrt(var(s) + eps) and var the biased variance (Ba et al. 2016).
 *   x (T, H) E in: the layer's output; out: s, kept for backward. The norm is that of s before it is rounded to E.
 *   bias (1, H) optional, residual (T, H) E optional   gamma, beta (1, H)   y (T, H) E   mean, rstd (1, T)
 * y absent: only s is formed (gamma, beta, mean, rstd are then absent too). residual may not alias x or y.
 * `rows` gives the dropout coordinates; it may be all zero if dropout.keep is 65536. */
struct sp_norm_forward {
	struct sp_matrix x, bias, residual, gamma, beta, y, mean, rstd;
	float eps;
	struct sp_dropout dropout;
	struct sp_rows rows;
};

/* The backward of sp_norm_forward. With g = LayerNorm backward of dy (0 if dy is absent) + dsum (0 if absent):
 * dresidual = g,  dx = dropout mask * g,  dbias += column sums of dx,
 * dgamma += sum over rows of dy * xhat,  dbeta += sum over rows of dy.
 *   dy (T, H) E optional, with s (T, H) E, mean, rstd (1, T), gamma (1, H), dgamma, dbeta (1, H)
 *   dsum (T, H) E optional: gradient that reaches s past the norm
 *   dresidual (T, H) E optional, dx (T, H) E: may alias dy or dsum exactly; dresidual and dx may be the same only if dropout
 *   is off. dbias (1, H) optional, accumulates. */
struct sp_norm_backward {
	struct sp_matrix dy, dsum, s, gamma, mean, rstd;
	struct sp_matrix dx, dresidual, dbias, dgamma, dbeta;
	struct sp_dropout dropout;
	struct sp_rows rows;
};

/* Shape and coordinates shared by the two attention steps. q holds `chunk` tokens a sample, k and v `keys`.
 * Head a of token (b, i) is columns [a D, a D + D) of row b * chunk + i (of row b * keys + j for keys), so q, k, v may be
 * columns of one packed projection. Query i may attend to key j when query_doc == key_doc and both are >= 0.
 * Attention dropout draws with counter ((first_key + j) / 8, first_query + i, sample[b] * A + a, 0); where the heads are but
 * some of a sample's, A is replaced by `all_heads` and a by first_head + a.
 * With a window they must also be no further apart than that, at positions first_query + i and first_key + j: work on those
 * that are is all that should be done, so that it grows with the tokens, not with their square. */
struct sp_attention_shape {
	int64_t batch, heads, head_dim, chunk, keys;
	float scale;              /* 1 / sqrt(D) */
	const int32_t *query_doc; /* [batch][chunk], host-readable copies are not needed */
	const int32_t *key_doc;   /* [batch][keys] */
	const uint32_t *sample;   /* [batch] */
	uint32_t first_query, first_key;
	int64_t window; /* query and key meet only if their positions differ by at most this; 0: whatever their positions */
	uint32_t all_heads, first_head; /* 0, 0: all are here */
	/* A promise, or 0: every query of every sample may attend to every key, so a backend need not look at documents; there is no
	 * window. Queries that nobody reads may be among them, with query_doc -1: what is found for them does not matter, and
	 * their dout is 0. The same in forward and backward of a step. */
	int whole;
	struct sp_dropout dropout;
	/* optional: called now and then by the calling thread while a long operation runs, so that a communication library
	 * without a thread of its own moves on; must not call back into this backend. NULL: nothing to do. */
	void (*poll)(void *poll_ctx);
	void *poll_ctx;
};

/* Word 2 of the counters of head a of a sample. */
static inline uint32_t sp_attention_line(const struct sp_attention_shape *shape, uint32_t sample, int64_t a)
{
	return sample * (shape->all_heads ? shape->all_heads : (uint32_t)shape->heads) + shape->first_head + (uint32_t)a;
}

/* One block of keys folded into the online softmax (Milakov & Gimelshein 2018; Dao et al. 2022, algorithm 1):
 *   m' = max(m, max_j s_j),  l' = l e^(m - m') + sum_j e^(s_j - m'),
 *   acc' = acc e^(m - m') + sum_j mask_j e^(s_j - m') v_j,   s_j = scale q . k_j over allowed keys j.
 *   q (B C, A D) E   k, v (B keys, A D) E   acc (B C, A D)   m, l (B A, C)
 * Where E has 16 bits, what products are made with may be rounded to it: here mask_j e^(s_j - m'), in backward z p and ds. l is the
 * sum of what was not rounded.
 * first != 0: m, l, acc hold nothing yet and are overwritten (as if -inf, 0, 0); else they are updated.
 * m is natural units of s; -inf where nothing was allowed so far. In a step with shape.whole, m' may be another number no less than
 * the maximum and near it, such as ln of the sum: l e^m and acc e^m are what is defined. */
struct sp_attention_forward {
	struct sp_attention_shape shape;
	struct sp_matrix q, k, v, acc, m, l;
	int first;
};

/* o = acc / l, lse = m + ln l; rows with l = 0 give o = 0, lse = -inf.
 *   acc (B C, A D), o (B C, A D) E, may be the same memory if E is float32   m, l, lse (B A, C); lse may alias m or l */
struct sp_attention_finish {
	int64_t batch, heads, head_dim, chunk;
	struct sp_matrix acc, m, l, o, lse;
};

/* What some queries have found among other keys, folded in as if those keys came next:
 *   m' = max(m, from_m),  l' = l e^(m - m') + from_l e^(from_m - m'),  acc' likewise; nothing found is m = -inf, l = 0, acc = 0.
 *   acc, from_acc (B C, A D)   m, l, from_m, from_l (B A, C)   acc, m, l updated */
struct sp_attention_merge {
	int64_t batch, heads, head_dim, chunk;
	struct sp_matrix acc, m, l, from_acc, from_m, from_l;
};

/* dots[b, a, i] = sum over d of dout * o: the row term D of the softmax backward (Dao et al. 2022, algorithm 4).
 *   dout, o (B C, A D) E   dots (B A, C) */
struct sp_attention_dots {
	int64_t batch, heads, head_dim, chunk;
	struct sp_matrix dout, o, dots;
};

/* Gradients through one block of keys. With p_j = e^(s_j - lse) and dropout factor z_j (0 or 65536 / keep):
 *   dv_j += sum_i z p dout_i,   ds = p (z dout . v_j - dots),   dq_i += scale ds k_j,   dk_j += scale ds q_i.
 *   q, dout (B C, A D) E   k, v (B keys, A D) E   dq (B C, A D)   dk, dv (B keys, A D)   lse, dots (B A, C)
 *   o (B C, A D) E optional: what `dots` was made of, for backends that make it again
 * dq, dk, dv accumulate, or are overwritten where the two flags say so. Rows with lse = -inf
 * contribute nothing. */
struct sp_attention_backward {
	struct sp_attention_shape shape;
	struct sp_matrix q, k, v, o, dout, lse, dots, dq, dk, dv;
	int overwrite_dq, overwrite_dkv;
};

/* Attention on whole rows of scores, as the paper has it (Li et al. 2021, section 3.2): the scores of a block of keys are
 * products q k^T of the queries of every sample and head, (B A C, keys), query i of head a of sample b in row
 * (b A + a) C + i; the blocks of all keys side by side are the whole rows. Of the shape, head_dim and window are not looked at.
 *
 * mask: s = scale s where query and key may meet, -inf where not. In place, a block.
 * softmax: p = e^(s - lse), lse = ln sum_j e^s_j, over whole rows, in place; rows of nothing but -inf become 0, their lse
 *   -inf. lse (1, rows).
 * drop: y = z p, z the dropout factor (0 or 65536 / keep) of struct sp_attention_shape. A block; y may be p.
 * backward: ds = scale p (z dp - dots), in place of dp. A block; dots (B A, C). */
struct sp_scores_mask {
	struct sp_attention_shape shape;
	struct sp_matrix s;
};

struct sp_scores_softmax {
	struct sp_matrix s, lse;
};

struct sp_scores_drop {
	struct sp_attention_shape shape;
	struct sp_matrix p, y;
};

struct sp_scores_backward {
	struct sp_attention_shape shape;
	struct sp_matrix p, ds, dots;
};

/* Rotary position embedding (Su et al. 2021), in place, of each head of D columns of row t, the halves of a head turned against each
 * other as in GPT-NeoX and transformers' LLaMA: with angle a_j = position[t] base^(-2 j / D), for j < D / 2
 *   x_j' = x_j cos a_j - x_(j + D/2) sin a_j,   x_(j + D/2)' = x_(j + D/2) cos a_j + x_j sin a_j;
 * `inverse`: by -a_j, which is its backward. cos and sin are those of the angle in float64, rounded.
 *   position [T] int32, 0 .. 2^30   x (T, A D) E, D even   base > 1 */
struct sp_rotate {
	const int32_t *position;
	struct sp_matrix x;
	int64_t head_dim;
	double base;
	int inverse;
};

/* s = word[token] + position[pos] + type[kind];  y = dropout(LayerNorm(s)), or dropout(s) if gamma is absent (then beta,
 * mean, rstd are absent too). position may be absent: nothing is added of it.
 *   token, pos, kind [T] int32   word (V, H), position (M, H), type (K, H)   s, y (T, H) E   mean, rstd (1, T)
 * Ids are not checked on the device; the data layer guarantees their range. s and y may be the same only if gamma is
 * absent. */
struct sp_embedding_forward {
	const int32_t *token, *pos, *kind;
	struct sp_matrix word, position, type, gamma, beta, s, y, mean, rstd;
	float eps;
	struct sp_dropout dropout;
	struct sp_rows rows;
};

/* Adds the gradients of the tables (and of position, gamma, beta if present); dy is overwritten (it ends as the gradient of s).
 * dy, s: E.
 * Rows of the same id are summed in row order. */
struct sp_embedding_backward {
	const int32_t *token, *pos, *kind;
	struct sp_matrix dy, s, gamma, mean, rstd;
	struct sp_matrix dword, dposition, dtype, dgamma, dbeta;
	struct sp_dropout dropout;
	struct sp_rows rows;
};

/* y[i] = x[index[i]]  (gather)  or  y[index[i]] += x[i] (scatter_add; indices are distinct).  index [n] int32   x, y E */
struct sp_row_move {
	const int32_t *index;
	int64_t n;
	struct sp_matrix x, y;
};

/* Cross-entropy of n rows, in fp32, loss and gradient together, in place.
 *   logits (n, V) E in; out, if `gradient`: scale * (softmax(logits) - onehot(label)); else undefined
 *   label [n] int32 in [0, V)
 *   loss: one float64 on the device, accumulates sum over rows of (ln sum_j e^logit_j - logit_label)
 *   correct: one int64 on the device, optional, accumulates rows whose largest logit is the label's (first on ties) */
struct sp_cross_entropy {
	struct sp_matrix logits;
	const int32_t *label;
	double *loss;
	int64_t *correct;
	float scale;
	int gradient;
};

/* What tensor parallelism needs: the word table shared out by rows, the logits by columns (Shoeybi et al. 2019, section 3).
 * A part holds ids [first, first + its rows or columns).
 *
 * forward: y[i] = word[token[i] - first], or 0 if the part does not hold that id; the sum over parts is the lookup.
 * backward: dword[token[i] - first] += dy[i] for ids that it holds; rows of the same id in row order.
 *   token [T] int32   word, dword (V of the part, H)   y, dy (T, H) E */
struct sp_words {
	const int32_t *token;
	int32_t first;
	struct sp_matrix word, y; /* backward: dword, dy */
};

/* What one part contributes to the softmax of n rows: stats[i] = (max_j z_ij, sum_j e^(z_ij - max), z at the label or
 * -inf if it is not here, 1 if that is the first of the part's largest else 0).
 *   logits (n, V of the part) E in   label [n] int32, whole ids   stats (n, 4) */
struct sp_entropy_part {
	struct sp_matrix logits;
	const int32_t *label;
	int32_t first;
	struct sp_matrix stats;
};

/* sp_cross_entropy of a part, from the stats of all `parts` parts in their order: (parts n, 4).
 *   logits (n, V of the part) E in; out, if `gradient`: scale * (softmax over all parts - onehot(label)), this part's
 *   columns; else undefined   loss, correct: of whole rows, the same on every part */
struct sp_entropy_whole {
	struct sp_matrix logits;
	const int32_t *label;
	int32_t first;
	struct sp_matrix stats;
	int64_t parts;
	double *loss;
	int64_t *correct;
	float scale;
	int gradient;
};

/* tanh, in place: forward x = tanh(x); backward dx *= 1 - y * y, y the forward's result. Same shape, E. */
struct sp_tanh_backward {
	struct sp_matrix y, dx;
};

/* sum (float64, device) += sum of x_i^2 over finite and non-finite values alike; the sum is not finite exactly if some x
 * is not (or the sum of squares exceeds float64). */
struct sp_sum_squares {
	const float *x;
	int64_t n;
	double *sum;
};

/* What becomes of an optimizer's step, decided on the device so that the host need not wait for it, in device memory. `sum` is
 * summed into by who takes the step, the rest is written by `decide` and at the beginning of training. */
struct sp_step {
	double sum;                     /* of squares of all gradients, which are those of scale * loss */
	float scale;                    /* what the loss of this step was multiplied by; after decide: of the next step */
	float factor;                   /* what gradients are multiplied by */
	float correction1, correction2; /* of the moments: 1 - beta1^taken, 1 - beta2^taken */
	int32_t take;                   /* 1: the step is taken; 0: a gradient is not finite, and nothing is updated */
	int32_t since;                  /* steps taken since the scale was changed, or since one was not taken */
	int64_t taken;                  /* steps taken, this one among them */
};

/* With norm = sqrt(sum) / scale, the L2 norm of the gradients of the loss:
 *   sum finite:  take = 1, taken += 1, since += 1, corrections of `taken` steps, computed in float64,
 *                factor = min(1, max_norm / (norm + 1e-6)) / scale, or 1 / scale if max_norm <= 0;
 *                where growth > 0 and since >= growth: scale = min(2 scale, SP_SCALE_MOST), since = 0
 *   not finite:  take = 0, factor = 0, since = 0, corrections and taken as they were;
 *                where growth > 0: scale = max(scale / 2, SP_SCALE_LEAST)
 * Dynamic loss scaling (Micikevicius et al. 2018, section 3.2) where growth > 0; else scale stays. Wants scale > 0. */
struct sp_decide {
	struct sp_step *step; /* device */
	float max_norm;       /* gradients are clipped to this norm (Pascanu et al. 2013) */
	double beta1, beta2;
	int32_t growth;
};
#define SP_SCALE_LEAST 1.0f
#define SP_SCALE_MOST 16777216.0f

/* AdamW (Loshchilov & Hutter 2019) on n values, with g' = g * step->factor, where step->take is not 0 (else nothing changes):
 *   m = beta1 m + (1 - beta1) g',  v = beta2 v + (1 - beta2) g'^2,
 *   w = w - lr (m / step->correction1 / (sqrt(v / step->correction2) + eps) + decay w) */
struct sp_adamw {
	float *w, *m, *v;
	const float *g;
	const struct sp_step *step; /* device */
	int64_t n;
	float lr, beta1, beta2, eps, decay;
};

/* How matrix products of fp32 matrices are computed; all else is fp32 whatever this says. */
enum sp_precision {
	SP_PRECISION_FP32 = 0,
	SP_PRECISION_TF32, /* operands rounded to 10 bits behind the point, sums in fp32: NVIDIA's tensor cores */
};

/* What computes steps of attention, where a backend has a choice. */
enum sp_attention_kernel {
	SP_ATTENTION_AUTO = 0,
	SP_ATTENTION_FLASH, /* its own kernels */
	SP_ATTENTION_CUDNN, /* NVIDIA's cuDNN, steps that it cannot do its own; open gives SP_ERR_UNUSABLE where there is none */
};

/* Which library makes matrix products, for a backend that has several. */
enum sp_products {
	SP_PRODUCTS_AUTO = 0, /* chosen by dtype, sizes and processor */
	SP_PRODUCTS_BLAS,
	SP_PRODUCTS_ONEDNN,
};

struct sp_compute_options {
	int threads; /* host threads to use; 0: the backend decides */
	int device;  /* this rank's number among those of the machine: a backend with n devices takes number device % n */
	enum sp_precision precision; /* open gives SP_ERR_UNUSABLE where the backend has no such products */
	enum sp_attention_kernel attention_kernel;
	enum sp_products products;   /* SP_ERR_ABSENT, SP_ERR_UNUSABLE where it has not this library; but for AUTO, only if it has `multiplies` */
};

/* What a configuration will ask for, so that it is refused at set-up and not at step 3000. */
struct sp_compute_needs {
	enum sp_dtype dtype; /* E of all operations */
	int64_t head_dim;
	float attention_dropout;
	int parts; /* tensor parallelism: more than one part of the vocabulary */
	int scores; /* attention on whole rows of scores */
	int rotary; /* rotate */
	enum sp_dtype attention_dtype; /* E of the attention operations: dtype, or SP_F32 for kinds of attention that take only that */
	int never_whole; /* no step of attention will be promised to be whole */
};

struct sp_compute_ops {
	/* ---- context. `ctx` is the backend's own; one per process is enough. ---- */
	int (*open)(const struct sp_compute_options *options, void **ctx);
	void (*close)(void *ctx); /* NULL accepted */
	/* One line about library, device, threads; and, in `warning`, what holds it back and the remedy, or "". Host only. */
	void (*describe)(void *ctx, char *text, size_t size, char *warning, size_t warning_size);
	/* SP_OK, or SP_ERR_UNUSABLE with the reason in `why`. */
	int (*supports)(void *ctx, const struct sp_compute_needs *needs, char *why, size_t size);
	/* Tokens per rank and sample are rounded up to a multiple of this; at least 1. */
	int64_t (*chunk_multiple)(void *ctx);
	int (*threads)(void *ctx);
	/* "blas" or "onednn": what makes a product with (m, n) results of k terms, of matrices of this dtype. Optional: NULL means that
	 * there is no choice. */
	const char *(*multiplies)(void *ctx, enum sp_dtype dtype, int64_t m, int64_t n, int64_t k);

	/* ---- memory and queue ---- */
	int (*alloc)(void *ctx, size_t bytes, void **memory); /* 64-byte aligned at least; bytes 0 gives a valid pointer */
	void (*free)(void *ctx, void *memory);                /* NULL accepted */
	int (*copy_in)(void *ctx, void *device, const void *host, size_t bytes);  /* finished on return */
	int (*copy_out)(void *ctx, void *host, const void *device, size_t bytes); /* finished on return, after all queued */
	/* Queued: host memory is left alone until the next sync() or copy_out(). The host need not wait if it is from alloc_host(). */
	int (*upload)(void *ctx, void *device, const void *host, size_t bytes);
	int (*zero)(void *ctx, void *device, size_t bytes);
	int (*copy_rows)(void *ctx, struct sp_matrix from, struct sp_matrix to); /* same rows, cols and dtype; any strides */
	/* to = from, both E but each an E of its own; same rows and cols, any strides. What float16 cannot hold becomes infinite;
	 * what is not a number stays none. Optional: NULL where `supports` knows float32 alone. */
	int (*convert)(void *ctx, struct sp_matrix from, struct sp_matrix to);
	int (*sync)(void *ctx); /* waits for all queued operations; reports their errors */
	/* Host memory that copy_in and copy_out are fastest with. Optional, both or neither; NULL means that memory from alloc()
	 * is host memory, which a message-passing library may read and write. bytes 0 gives a valid pointer; free_host takes NULL. */
	int (*alloc_host)(void *ctx, size_t bytes, void **memory);
	void (*free_host)(void *ctx, void *memory);
	/* Name of the communication module that passes this backend's memory itself, and, in *queue, what it queues its transfers
	 * after: the context's queue as the library behind both knows it. Optional: NULL means that there is none. */
	const char *(*queue)(void *ctx, void **queue);

	/* ---- marks: what operations take, by the device's own clock, without stopping for it. Optional, both or neither; NULL: an
	 * operation has ended when sync() after it returns, and the host's clock tells. ---- */
	/* Queued: remembers under this number, from 0, when the queue came here. A number may be used again. */
	int (*mark)(void *ctx, int64_t number);
	/* Seconds from one mark to another that came after it; only after a sync() that both were queued before. */
	int (*between)(void *ctx, int64_t from, int64_t to, double *seconds);

	/* ---- graphs: operations that are queued again and again, queued as one. Optional, all or none. ----
	 * Between graph_begin and graph_end what is called is not done but becomes part of a graph, with its arguments; only operations,
	 * zero, copy_rows and convert may be, and only such as have been done before with the same sizes, dtypes and alignments, for
	 * libraries choose and allocate at first use. The memory that they were given must stay. */
	int (*graph_begin)(void *ctx);
	/* After graph_begin, in any case. *graph is set unless an error is returned: one of this call, or of what was called since. */
	int (*graph_end)(void *ctx, void **graph);
	int (*graph_launch)(void *ctx, void *graph); /* queued, as if its operations were called */
	void (*graph_free)(void *ctx, void *graph);  /* not while it may run; NULL accepted */

	/* ---- linear ---- */
	int (*linear_forward)(void *ctx, const struct sp_linear_forward *args);
	int (*linear_backward_input)(void *ctx, const struct sp_linear_backward_input *args);
	int (*linear_backward_weight)(void *ctx, const struct sp_linear_backward_weight *args);
	int (*activation_backward)(void *ctx, const struct sp_activation_backward *args);

	/* ---- norm ---- */
	int (*norm_forward)(void *ctx, const struct sp_norm_forward *args);
	int (*norm_backward)(void *ctx, const struct sp_norm_backward *args);

	/* ---- attention ---- */
	int (*attention_forward)(void *ctx, const struct sp_attention_forward *args);
	int (*attention_finish)(void *ctx, const struct sp_attention_finish *args);
	int (*attention_merge)(void *ctx, const struct sp_attention_merge *args);
	int (*attention_dots)(void *ctx, const struct sp_attention_dots *args);
	int (*attention_backward)(void *ctx, const struct sp_attention_backward *args);

	/* ---- attention on whole rows of scores; all NULL: `supports` is not asked, who needs them is refused ---- */
	int (*scores_mask)(void *ctx, const struct sp_scores_mask *args);
	int (*scores_softmax)(void *ctx, const struct sp_scores_softmax *args);
	int (*scores_drop)(void *ctx, const struct sp_scores_drop *args);
	int (*scores_backward)(void *ctx, const struct sp_scores_backward *args);

	/* ---- rotary positions; NULL: `supports` is not asked, who needs it is refused ---- */
	int (*rotate)(void *ctx, const struct sp_rotate *args);

	/* ---- embedding ---- */
	int (*embedding_forward)(void *ctx, const struct sp_embedding_forward *args);
	int (*embedding_backward)(void *ctx, const struct sp_embedding_backward *args);

	/* ---- head ---- */
	int (*gather_rows)(void *ctx, const struct sp_row_move *args);
	int (*scatter_add_rows)(void *ctx, const struct sp_row_move *args);
	int (*cross_entropy)(void *ctx, const struct sp_cross_entropy *args);
	int (*tanh_forward)(void *ctx, struct sp_matrix x);
	int (*tanh_backward)(void *ctx, const struct sp_tanh_backward *args);

	/* ---- vocabulary in parts; all NULL: `supports` refuses more than one part ---- */
	int (*words_forward)(void *ctx, const struct sp_words *args);
	int (*words_backward)(void *ctx, const struct sp_words *args);
	int (*entropy_part)(void *ctx, const struct sp_entropy_part *args);
	int (*entropy_whole)(void *ctx, const struct sp_entropy_whole *args);

	/* ---- update ---- */
	int (*sum_squares)(void *ctx, const struct sp_sum_squares *args);
	int (*decide)(void *ctx, const struct sp_decide *args);
	int (*adamw)(void *ctx, const struct sp_adamw *args);
	int (*add)(void *ctx, float *y, const float *x, int64_t n); /* y += x */

	/* ---- measuring: what this device can do at best, with the threads of this context; blocks the host ---- */
	/* Floating-point operations per second of y = x w^T, x (m, k), w (n, k), y (m, n), all of `dtype`, by the plain product of the
	 * library that multiplies such matrices here, however it runs fastest, repeated for about `seconds`; the median is returned.
	 * dtype: SP_F32, in the precision the backend was opened with, or SP_BF16 or SP_F16; where products in that are made by widening
	 * matrices to float32, the rate is that of float32. */
	int (*gemm_rate)(void *ctx, enum sp_dtype dtype, int64_t m, int64_t n, int64_t k, double seconds, double *flops_per_s);
	/* Bytes per second read and written by y = y + x over arrays much larger than the caches. */
	int (*memory_rate)(void *ctx, double seconds, double *bytes_per_s);
};

#ifdef __cplusplus
}
#endif

#endif
