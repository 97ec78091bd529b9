#include "config.h"

#include "train/evaluate.h"

#include "base/log.h"
#include "base/size.h"

#include <math.h>

static int run(struct sp_setup *setup, enum sp_split split, int64_t batches, struct sp_evaluation *e)
{
	double mlm = 0, order = 0, correct = 0, ordered = 0, samples = 0;
	int64_t predicted = 0, sequences = 0, tokens = 0;
	for (int64_t i = 0; i < batches; i++) {
		struct sp_outcome o;
		int status = sp_setup_pass(setup, split, (uint64_t)i, 0, 1, &o);
		if (status)
			return status;
		mlm += o.mlm * (double)o.work.predicted;
		order += o.order * (double)o.work.samples;
		correct += (double)o.correct;
		ordered += (double)o.ordered;
		predicted += o.work.predicted;
		samples += (double)o.work.samples;
		sequences += o.work.sequences;
		tokens += o.work.tokens;
	}
	*e = (struct sp_evaluation){ .predicted = predicted,
		                         .samples = (int64_t)samples,
		                         .sequences = sequences,
		                         .order_loss = order / samples,
		                         .order_accuracy = ordered / samples };
	e->fill = (double)tokens / ((double)sequences * (double)setup->shard.length);
	e->mlm = predicted ? mlm / (double)predicted : 0;
	e->accuracy = predicted ? correct / (double)predicted : 0;
	e->loss = e->mlm + e->order_loss;
	e->perplexity = exp(fmin(e->mlm, 700)); /* stays a number */
	return SP_OK;
}

int sp_evaluate(struct sp_setup *setup, struct sp_evaluation *e)
{
	int status = run(setup, SP_VALID, setup->settings->train.eval_iters, e);
	if (status || isfinite(e->loss))
		return status;
	return sp_fail(SP_ERR_NUMERIC,
	               "the validation loss is not finite; lower optimizer.lr or raise optimizer.warmup_fraction");
}

int sp_evaluate_split(struct sp_setup *setup, enum sp_split split, int64_t sequences, struct sp_evaluation *e)
{
	const int64_t batches = sp_ceil_div(sequences, setup->settings->train.global_batch);
	sp_batches_limit(setup->batches, sequences);
	int status = run(setup, split, batches, e);
	sp_batches_limit(setup->batches, INT64_MAX);
	if (status || isfinite(e->loss))
		return status;
	return sp_fail(SP_ERR_NUMERIC, "the loss is not finite: the model's weights are damaged");
}
