#include "config.h"

#include "train/flops.h"

double sp_flops_step(const struct sp_model_config *c, const struct sp_work *work)
{
	double h = (double)c->hidden, layers = (double)c->layers;
	double layer = h * (4 * h + 2 * (double)c->intermediate); /* query, key, value, output; two of the MLP */
	double head = h * (h + (double)c->vocab_size);            /* transform and tied decoder */
	double order = c->sentence_order ? h * (h + 2) : 0;       /* pooler and classifier */
	return 6 * (layers * layer * (double)work->tokens + head * (double)work->predicted +
	            order * (double)work->samples) +
	       12 * layers * h * (double)work->pairs;
}
