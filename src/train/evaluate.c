#include "config.h"

#include "train/evaluate.h"

#include "base/log.h"

#include <math.h>

int sp_evaluate(struct sp_setup *setup, struct sp_evaluation *e)
{
	double mlm = 0, order = 0, correct = 0, ordered = 0, samples = 0;
	int64_t predicted = 0;
	for (int64_t i = 0; i < setup->settings->train.eval_iters; i++) {
		struct sp_outcome o;
		int status = sp_setup_pass(setup, SP_VALID, (uint64_t)i, 0, &o);
		if (status)
			return status;
		mlm += o.mlm * (double)o.work.predicted;
		order += o.order * (double)o.work.samples;
		correct += (double)o.correct;
		ordered += (double)o.ordered;
		predicted += o.work.predicted;
		samples += (double)o.work.samples;
	}
	*e = (struct sp_evaluation){ .predicted = predicted,
		                         .order_loss = order / samples,
		                         .order_accuracy = ordered / samples };
	e->mlm = predicted ? mlm / (double)predicted : 0;
	e->accuracy = predicted ? correct / (double)predicted : 0;
	e->loss = e->mlm + e->order_loss;
	e->perplexity = exp(fmin(e->mlm, 700)); /* stays a number */
	if (isfinite(e->loss))
		return SP_OK;
	return sp_fail(SP_ERR_NUMERIC,
	               "the validation loss is not finite; lower optimizer.lr or raise optimizer.warmup_fraction");
}
