/* The model's own work, in floating-point operations: what any implementation has to do, whatever this one does.
 * May include: model/config.h. */
#ifndef SP_TRAIN_FLOPS_H
#define SP_TRAIN_FLOPS_H

#include "model/config.h"

#include <stdint.h>

/* What one step was made of, over all ranks. Padding does not count. */
struct sp_work {
	int64_t samples;   /* packed ones each for itself */
	int64_t tokens;    /* real ones */
	int64_t pairs;     /* sum over samples of (real tokens)^2: queries x keys that may meet */
	int64_t read_pairs; /* of them, those whose queries a head reads: what the last layer needs */
	int64_t predicted; /* tokens the MLM head sees */
	int64_t sequences; /* without packing as many as samples */
	int64_t near, read_near; /* pairs and read_pairs of layers with a window, which not all tokens meet in */
	int64_t micro_batches;
	int64_t uneven; /* summed over them, in millionths: by how much the rank that has most to do has more than the mean of those
	                   that share its sequences */
};

/* What tokens cost, forward and backward, in whole numbers: SP_TOKEN_COST_UNITS are 6 x hidden operations of products. */
enum { SP_TOKEN_COST_UNITS = 64 };
struct sp_token_cost {
	int64_t row;             /* each row of a layer's matrices, padding too */
	int64_t read, predicted; /* beyond that if a head reads it, if it is to be predicted */
	int64_t pair, read_pair; /* for each token of its sample; and if a head reads it */
};
/* With read_rows_only as in struct sp_model_options; an operation of attention takes as long as `attention` of products. */
struct sp_token_cost sp_flops_token(const struct sp_model_config *config, int read_rows_only, double attention);

/* By how much of the mean the rank with most to do has more, on average. */
static inline double sp_work_imbalance(const struct sp_work *work)
{
	return work->micro_batches ? 1e-6 * (double)work->uneven / (double)work->micro_batches : 0;
}

/* Forward and backward: 6 per weight and row of each matrix product, 12 x layers x hidden per query-key pair. The last layer
 * counts, but for its queries, keys and values, for the tokens that a head reads; recomputation does not count. */
double sp_flops_step(const struct sp_model_config *config, const struct sp_work *work);

#endif
