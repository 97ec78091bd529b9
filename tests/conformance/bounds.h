/* How far each operation may be from the float64 reference, in relative L2. May include: seqpar/compute.h. */
#ifndef SP_TESTS_CONFORMANCE_BOUNDS_H
#define SP_TESTS_CONFORMANCE_BOUNDS_H

#include <seqpar/compute.h>

enum bound {
	BOUND_LINEAR_FORWARD,
	BOUND_LINEAR_BACKWARD_INPUT,
	BOUND_LINEAR_BACKWARD_WEIGHT,
	BOUND_ACTIVATION_BACKWARD,
	BOUND_GELU_POINT,
	BOUND_NORM_SUM,
	BOUND_NORM_FORWARD,
	BOUND_NORM_FORWARD_OFFSET,
	BOUND_NORM_BACKWARD,
	BOUND_ATTENTION_FORWARD,
	BOUND_ATTENTION_FORWARD_HUGE,
	BOUND_ATTENTION_FINISH,
	BOUND_ATTENTION_MERGE,
	BOUND_ATTENTION_DOTS,
	BOUND_ATTENTION_BACKWARD,
	BOUND_SCORES,
	BOUND_SCORES_SOFTMAX,
	BOUND_ROTATE,
	BOUND_ROTATE_BACK,
	BOUND_EMBEDDING_FORWARD,
	BOUND_EMBEDDING_BACKWARD,
	BOUND_GATHER_ROWS,
	BOUND_SCATTER_ADD_ROWS,
	BOUND_CROSS_ENTROPY_LOSS,
	BOUND_CROSS_ENTROPY_GRADIENT,
	BOUND_WORDS_FORWARD,
	BOUND_WORDS,
	BOUND_ENTROPY_PART,
	BOUND_TANH,
	BOUND_TANH_BACKWARD,
	BOUND_SUM_SQUARES,
	BOUND_DECIDE,
	BOUND_ADAMW,
	BOUND_ADD,
	BOUNDS
};

/* Before all others: products in tf32 have wider bounds. */
void bound_precision(enum sp_precision precision);
double bound_limit(enum bound bound, enum sp_dtype dtype);
const char *bound_name(enum bound bound);
/* Remembers the largest error seen; bound_report prints all of them beside their bounds. */
void bound_seen(enum bound bound, enum sp_dtype dtype, double error);
void bound_report(void);

#endif
