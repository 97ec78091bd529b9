/* How good the model is on validation data. May include: train/setup.h. */
#ifndef SP_TRAIN_EVALUATE_H
#define SP_TRAIN_EVALUATE_H

#include "train/setup.h"

struct sp_evaluation {
	double loss;           /* mlm + order */
	double mlm;            /* mean over all predicted tokens */
	double perplexity;     /* e^mlm, at most e^700 */
	double accuracy;       /* of predicted tokens */
	double order_loss, order_accuracy; /* 0 when sentence_order is off */
	int64_t predicted;     /* tokens it is about */
	int64_t samples, sequences;
	double fill;           /* share of the sequences' places that hold tokens */
};

/* The first train.eval_iters global batches of the validation split, the same every time, without dropout. Means are
 * over all ranks and batches. Collective over the world. SP_ERR_NUMERIC, logged, if the loss is not finite. */
int sp_evaluate(struct sp_setup *setup, struct sp_evaluation *evaluation);

/* The same for the first `sequences` sequences of a split, however they fall into batches: the figures depend neither on ranks
 * nor on batch sizes. */
int sp_evaluate_split(struct sp_setup *setup, enum sp_split split, int64_t sequences, struct sp_evaluation *evaluation);

#endif
