#include "config.h"

#include "train/flops.h"

/* Scores, and sums of values: of each pair of tokens that meet, or of each token and projected row, with the projections of both. In
 * the last layer of the queries that are read. */
static double attention(const struct sp_model_config *c, const struct sp_work *work, double read)
{
	const double h = (double)c->hidden, layers = (double)c->layers;
	if (c->linformer_k > 0)
		return 12 * h * (double)c->linformer_k * ((2 * layers - 1) * (double)work->tokens + read);
	double sum = 0;
	for (int64_t i = 0; i < c->layers; i++) {
		const int last = i + 1 == c->layers, all = sp_model_layer_meets_all(c, i);
		sum += (double)(all ? last ? work->read_pairs : work->pairs : last ? work->read_near : work->near);
	}
	return 12 * h * sum;
}

struct sp_token_cost sp_flops_token(const struct sp_model_config *c, int read_rows_only, double attention)
{
	const int64_t later = c->hidden + 2 * c->intermediate; /* output; two of the MLP */
	const int64_t pair = (int64_t)(2 * SP_TOKEN_COST_UNITS * attention + 0.5);
	struct sp_token_cost cost = {
		.row = SP_TOKEN_COST_UNITS * (c->layers * 3 * c->hidden + (c->layers - 1) * later),
		.read = SP_TOKEN_COST_UNITS * later,
		.predicted = SP_TOKEN_COST_UNITS * (c->hidden + c->vocab_size),
		.pair = (c->layers - 1) * pair,
		.read_pair = pair,
	};
	if (read_rows_only)
		return cost;
	cost.row += cost.read;
	cost.pair += cost.read_pair;
	cost.read = cost.read_pair = 0;
	return cost;
}

double sp_flops_step(const struct sp_model_config *c, const struct sp_work *work)
{
	double h = (double)c->hidden, layers = (double)c->layers, samples = c->sentence_order ? (double)work->samples : 0;
	double in = h * 3 * h;                              /* query, key, value */
	double out = h * (h + 2 * (double)c->intermediate); /* output; two of the MLP */
	double head = h * (h + (double)c->vocab_size);      /* transform and tied decoder */
	double order = h * (h + 2);                         /* pooler and classifier */
	double read = (double)work->predicted + samples;    /* of the last layer's tokens, by the heads */
	return 6 * ((layers * in + (layers - 1) * out) * (double)work->tokens + out * read + head * (double)work->predicted +
	            order * samples) +
	       attention(c, work, read);
}
