#include "config.h"

#include "conformance/bounds.h"

#include <math.h>
#include <stdio.h>

/* Instrumented loops have no vectors: up to 2048 terms then have one fp32 accumulator instead of eight or more. */
#ifdef __SANITIZE_ADDRESS__
#define ENTROPY_PART 1e-6
#else
#define ENTROPY_PART 4e-7
#endif

/* u = 2^-24 = 6e-8 is what one fp32 rounding may cost. Sums of n terms in random order of size lose about u sqrt(n) of
 * their own norm when added one by one, less when added in blocks. Most bounds are three to ten times what the cpu backend
 * shows on the sizes tested, so that another order of summation fits, and all are far below what a wrong formula, mask or
 * missing term gives (1e-3 and more).
 *
 * A result that is written in 16 bits is that of fp32 arithmetic, rounded once more: half a unit in the last place, 2^-8 of a
 * bfloat16 and 2^-11 of a float16, is what that may cost each element and so the whole. Over many elements, whose places between
 * powers of two differ, it comes to 0.4 of that; a tensor of one element may lose all. Inputs are rounded for both sides, so what
 * is fp32 in spite of them is held to fp32's bound; a wrong formula is seen there first. */
#define ROUNDED(f32, times) { [SP_F32] = f32, [SP_BF16] = f32 + times * 0x1p-8, [SP_F16] = f32 + times * 0x1p-11 }

static const struct {
	const char *operation;
	double limit[SP_DTYPES];
	const char *reason;
} bounds[BOUNDS] = {
	[BOUND_LINEAR_FORWARD] = { "linear_forward", ROUNDED(1e-6, 1), "u sqrt(K), K up to 1100; GELU adds 2 u" },
	[BOUND_LINEAR_BACKWARD_INPUT] = { "linear_backward_input", ROUNDED(1e-6, 1), "u sqrt(N) and the GELU slope" },
	[BOUND_LINEAR_BACKWARD_WEIGHT] = { "linear_backward_weight", { [SP_F32] = 1e-6 }, "u sqrt(T), T up to 1100" },
	[BOUND_ACTIVATION_BACKWARD] = { "activation_backward", ROUNDED(1e-6, 1), "a polynomial's, few u, and a product" },
	[BOUND_GELU_POINT] = { "gelu, each point", ROUNDED(5e-7, 1), "error of Phi times |x|: a polynomial's, few u" },
	[BOUND_NORM_SUM] = { "norm_forward, s", ROUNDED(2e-7, 1), "two additions and a product: three roundings" },
	[BOUND_NORM_FORWARD] = { "norm_forward",
	                         ROUNDED(6e-6, 1),
	                         "error of s over the row's spread; H = 768 squares, one by one: 2e-6" },
	[BOUND_NORM_FORWARD_OFFSET] = { "norm_forward, offset rows",
	                                ROUNDED(3e-5, 1),
	                                "mean / spread = 30: u 30 in s - mean; E[s^2] - mean^2 would give u 900" },
	[BOUND_NORM_BACKWARD] = { "norm_backward", ROUNDED(2e-6, 1), "few u of |rstd gamma dy|, from which means are taken" },
	[BOUND_ATTENTION_FORWARD] = { "attention_forward", ROUNDED(2e-6, 1), "u |score| through exp, then u sqrt(keys); a rounded factor" },
	[BOUND_ATTENTION_FORWARD_HUGE] = { "attention_forward, huge scores",
	                                   ROUNDED(1e-4, 1),
	                                   "u |score| through exp, |score| up to 1000" },
	[BOUND_ATTENTION_FINISH] = { "attention_finish", ROUNDED(4e-7, 1), "one division or one logarithm" },
	[BOUND_ATTENTION_MERGE] = { "attention_merge", { [SP_F32] = 1e-6 }, "u |m - from_m| through exp, two products and a sum" },
	[BOUND_ATTENTION_DOTS] = { "attention_dots", { [SP_F32] = 6e-7 }, "u sqrt(D)" },
	[BOUND_ATTENTION_BACKWARD] = { "attention_backward", ROUNDED(2e-6, 2), "u (|score| + |lse|) through exp, then sums; a factor" },
	[BOUND_ROTATE] = { "rotate", ROUNDED(3e-7, 1), "sine and cosine within 1.6 u, two products and a sum" },
	[BOUND_ROTATE_BACK] = { "rotate, there and back", ROUNDED(3e-7, 2), "as rotate; of 16 bits rounded twice" },
	[BOUND_EMBEDDING_FORWARD] = { "embedding_forward", ROUNDED(6e-6, 1), "as norm_forward" },
	[BOUND_EMBEDDING_BACKWARD] = { "embedding_backward", ROUNDED(4e-6, 1), "as norm_backward, then sums of up to 700 rows" },
	[BOUND_GATHER_ROWS] = { "gather_rows", { [SP_F32] = 0 }, "a copy" },
	[BOUND_SCATTER_ADD_ROWS] = { "scatter_add_rows", ROUNDED(1e-7, 1), "one addition" },
	[BOUND_CROSS_ENTROPY_LOSS] = { "cross_entropy, loss", { [SP_F32] = 4e-7 }, "u |logit|, then float64" },
	[BOUND_CROSS_ENTROPY_GRADIENT] = { "cross_entropy, gradient", ROUNDED(4e-7, 1), "exp and a sum of V positive terms" },
	[BOUND_WORDS_FORWARD] = { "words_forward", ROUNDED(0, 1), "a copy" },
	[BOUND_WORDS] = { "words_backward", { [SP_F32] = 1e-6 }, "sums of up to 300 rows" },
	[BOUND_ENTROPY_PART] = { "entropy_part", { [SP_F32] = ENTROPY_PART }, "exp and a sum of V positive terms" },
	[BOUND_SCORES] = { "scores_mask, _drop, _backward", { [SP_F32] = 2e-7 }, "three roundings" },
	[BOUND_SCORES_SOFTMAX] = { "scores_softmax", { [SP_F32] = 4e-7 }, "exp and a sum of positive terms" },
	[BOUND_TANH] = { "tanh_forward", ROUNDED(3e-7, 1), "a polynomial's, few u" },
	[BOUND_TANH_BACKWARD] = { "tanh_backward", ROUNDED(2e-7, 1), "three roundings" },
	[BOUND_SUM_SQUARES] = { "sum_squares", { [SP_F32] = 1e-12 }, "squares and sums in float64" },
	[BOUND_DECIDE] = { "decide", { [SP_F32] = 3e-7 }, "a few roundings" },
	[BOUND_ADAMW] = { "adamw", { [SP_F32] = 5e-7 }, "about ten roundings a step, five steps" },
	[BOUND_ADD] = { "add", { [SP_F32] = 1e-7 }, "one addition" },
};

/* Rounding both operands to 10 bits behind the point costs each term 2^-11 twice at most; what is lost is spread like the terms, so
 * as much of the sum. GELU and its slope pass it on. */
static const double limit_of_tf32 = 1e-3;

static double worst[BOUNDS][SP_DTYPES];
static enum sp_precision precision;

void bound_precision(enum sp_precision p)
{
	precision = p;
}

static int is_product(enum bound bound)
{
	return bound == BOUND_LINEAR_FORWARD || bound == BOUND_LINEAR_BACKWARD_INPUT || bound == BOUND_LINEAR_BACKWARD_WEIGHT;
}

double bound_limit(enum bound bound, enum sp_dtype dtype)
{
	return precision == SP_PRECISION_TF32 && is_product(bound) ? limit_of_tf32 : bounds[bound].limit[dtype];
}

const char *bound_name(enum bound bound)
{
	return bounds[bound].operation;
}

void bound_seen(enum bound bound, enum sp_dtype dtype, double error)
{
	worst[bound][dtype] = fmax(worst[bound][dtype], error);
}

void bound_report(void)
{
	printf("# %-32s %-5s %-9s %-9s %s\n", "relative L2 error of", "dtype", "largest", "bound", "what the bound allows for");
	for (int i = 0; i < BOUNDS; i++)
		for (int dtype = 0; dtype < SP_DTYPES; dtype++)
			if (dtype == SP_F32 || worst[i][dtype] > 0)
				printf("# %-32s %-5s %-9.2g %-9.2g %s\n", bounds[i].operation, sp_dtype_name((enum sp_dtype)dtype), worst[i][dtype],
				       bound_limit((enum bound)i, (enum sp_dtype)dtype), bounds[i].reason);
	fflush(stdout); /* a leak check at exit may end the process before its buffers are written */
}
