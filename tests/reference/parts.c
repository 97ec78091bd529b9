#include "config.h"

#include "reference/reference.h"

#include <math.h>

static int held(const struct sp_words *args, int64_t t, int64_t *id)
{
	*id = args->token[t] - args->first;
	return *id >= 0 && *id < args->word.rows;
}

void sp_reference_words_forward(const struct sp_words *args)
{
	for (int64_t t = 0; t < args->y.rows; t++)
		for (int64_t h = 0; h < args->y.cols; h++) {
			int64_t id;
			*sp_at(args->y, t, h) = held(args, t, &id) ? *sp_at(args->word, id, h) : 0;
		}
}

void sp_reference_words_backward(const struct sp_words *args)
{
	for (int64_t t = 0; t < args->y.rows; t++)
		for (int64_t h = 0; h < args->y.cols; h++) {
			int64_t id;
			if (held(args, t, &id))
				*sp_at(args->word, id, h) += *sp_at(args->y, t, h);
		}
}

void sp_reference_entropy_part(const struct sp_entropy_part *args)
{
	for (int64_t i = 0; i < args->logits.rows; i++) {
		const int64_t V = args->logits.cols, label = args->label[i] - args->first;
		const int here = label >= 0 && label < V;
		int64_t best = 0;
		double sum = 0;
		for (int64_t v = 1; v < V; v++)
			if (*sp_at(args->logits, i, v) > *sp_at(args->logits, i, best))
				best = v;
		for (int64_t v = 0; v < V; v++)
			sum += exp(*sp_at(args->logits, i, v) - *sp_at(args->logits, i, best));
		*sp_at(args->stats, i, 0) = *sp_at(args->logits, i, best);
		*sp_at(args->stats, i, 1) = sum;
		*sp_at(args->stats, i, 2) = here ? *sp_at(args->logits, i, label) : -INFINITY;
		*sp_at(args->stats, i, 3) = here && best == label;
	}
}
