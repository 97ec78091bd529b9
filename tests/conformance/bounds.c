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
 * missing term gives (1e-3 and more). */
static const struct {
	const char *operation;
	double limit[SP_DTYPES];
	const char *reason;
} bounds[BOUNDS] = {
	[BOUND_LINEAR_FORWARD] = { "linear_forward", { [SP_F32] = 1e-6 }, "u sqrt(K), K up to 1100; GELU adds 2 u" },
	[BOUND_LINEAR_BACKWARD_INPUT] = { "linear_backward_input", { [SP_F32] = 1e-6 }, "u sqrt(N) and the GELU slope" },
	[BOUND_LINEAR_BACKWARD_WEIGHT] = { "linear_backward_weight", { [SP_F32] = 1e-6 }, "u sqrt(T), T up to 1100" },
	[BOUND_ACTIVATION_BACKWARD] = { "activation_backward", { [SP_F32] = 1e-6 }, "a polynomial's, few u, and a product" },
	[BOUND_GELU_POINT] = { "gelu, each point", { [SP_F32] = 5e-7 }, "error of Phi times |x|: a polynomial's, few u" },
	[BOUND_NORM_SUM] = { "norm_forward, s", { [SP_F32] = 2e-7 }, "two additions and a product: three roundings" },
	[BOUND_NORM_FORWARD] = { "norm_forward",
	                         { [SP_F32] = 6e-6 },
	                         "error of s over the row's spread; H = 768 squares, one by one: 2e-6" },
	[BOUND_NORM_FORWARD_OFFSET] = { "norm_forward, offset rows",
	                                { [SP_F32] = 3e-5 },
	                                "mean / spread = 30: u 30 in s - mean; E[s^2] - mean^2 would give u 900" },
	[BOUND_NORM_BACKWARD] = { "norm_backward", { [SP_F32] = 2e-6 }, "few u of |rstd gamma dy|, from which means are taken" },
	[BOUND_ATTENTION_FORWARD] = { "attention_forward", { [SP_F32] = 2e-6 }, "u |score| through exp, then u sqrt(keys)" },
	[BOUND_ATTENTION_FORWARD_HUGE] = { "attention_forward, huge scores",
	                                   { [SP_F32] = 1e-4 },
	                                   "u |score| through exp, |score| up to 1000" },
	[BOUND_ATTENTION_FINISH] = { "attention_finish", { [SP_F32] = 4e-7 }, "one division or one logarithm" },
	[BOUND_ATTENTION_MERGE] = { "attention_merge", { [SP_F32] = 1e-6 }, "u |m - from_m| through exp, two products and a sum" },
	[BOUND_ATTENTION_DOTS] = { "attention_dots", { [SP_F32] = 6e-7 }, "u sqrt(D)" },
	[BOUND_ATTENTION_BACKWARD] = { "attention_backward", { [SP_F32] = 2e-6 }, "u (|score| + |lse|) through exp, then sums" },
	[BOUND_ROTATE] = { "rotate", { [SP_F32] = 3e-7 }, "sine and cosine within 1.6 u, two products and a sum" },
	[BOUND_EMBEDDING_FORWARD] = { "embedding_forward", { [SP_F32] = 6e-6 }, "as norm_forward" },
	[BOUND_EMBEDDING_BACKWARD] = { "embedding_backward", { [SP_F32] = 4e-6 }, "as norm_backward, then sums of up to 700 rows" },
	[BOUND_GATHER_ROWS] = { "gather_rows", { [SP_F32] = 0 }, "a copy" },
	[BOUND_SCATTER_ADD_ROWS] = { "scatter_add_rows", { [SP_F32] = 1e-7 }, "one addition" },
	[BOUND_CROSS_ENTROPY_LOSS] = { "cross_entropy, loss", { [SP_F32] = 4e-7 }, "u |logit|, then float64" },
	[BOUND_CROSS_ENTROPY_GRADIENT] = { "cross_entropy, gradient", { [SP_F32] = 4e-7 }, "exp and a sum of V positive terms" },
	[BOUND_WORDS] = { "words_backward", { [SP_F32] = 1e-6 }, "sums of up to 300 rows" },
	[BOUND_ENTROPY_PART] = { "entropy_part", { [SP_F32] = ENTROPY_PART }, "exp and a sum of V positive terms" },
	[BOUND_SCORES] = { "scores_mask, _drop, _backward", { [SP_F32] = 2e-7 }, "three roundings" },
	[BOUND_SCORES_SOFTMAX] = { "scores_softmax", { [SP_F32] = 4e-7 }, "exp and a sum of positive terms" },
	[BOUND_TANH] = { "tanh_forward", { [SP_F32] = 3e-7 }, "a polynomial's, few u" },
	[BOUND_TANH_BACKWARD] = { "tanh_backward", { [SP_F32] = 2e-7 }, "three roundings" },
	[BOUND_SUM_SQUARES] = { "sum_squares", { [SP_F32] = 1e-12 }, "squares and sums in float64" },
	[BOUND_CLIP_FACTOR] = { "clip_factor", { [SP_F32] = 3e-7 }, "a few roundings" },
	[BOUND_ADAMW] = { "adamw", { [SP_F32] = 5e-7 }, "about ten roundings a step, five steps" },
	[BOUND_ADD] = { "add", { [SP_F32] = 1e-7 }, "one addition" },
};

/* Rounding both operands to 10 bits behind the point costs each term 2^-11 twice at most; what is lost is spread like the terms, so
 * as much of the sum. GELU and its slope pass it on. */
static const double limit_of_tf32 = 1e-3;

static double worst[BOUNDS];
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

void bound_seen(enum bound bound, double error)
{
	worst[bound] = fmax(worst[bound], error);
}

void bound_report(enum sp_dtype dtype)
{
	printf("# %-32s %-9s %-9s %s\n", "relative L2 error of", "largest", "bound", "what the bound allows for");
	for (int i = 0; i < BOUNDS; i++)
		printf("# %-32s %-9.2g %-9.2g %s\n", bounds[i].operation, worst[i], bound_limit((enum bound)i, dtype), bounds[i].reason);
	fflush(stdout); /* a leak check at exit may end the process before its buffers are written */
}
