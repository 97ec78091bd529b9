#include "config.h"

#include "reference/reference.h"

#include <math.h>

/* Row r of the scores: sample, head and query. */
struct place {
	int64_t b, a, i;
};

static struct place place_of(const struct sp_attention_shape *s, int64_t r)
{
	const struct place p = { r / (s->heads * s->chunk), r / s->chunk % s->heads, r % s->chunk };
	return p;
}

static double factor(const struct sp_attention_shape *s, struct place p, int64_t j)
{
	if (s->dropout.keep == 65536)
		return 1;
	const uint32_t heads = s->all_heads ? s->all_heads : (uint32_t)s->heads;
	return sp_reference_dropout(&s->dropout, s->first_key + (uint32_t)j, s->first_query + (uint32_t)p.i,
	                            s->sample[p.b] * heads + s->first_head + (uint32_t)p.a);
}

void sp_reference_scores_mask(const struct sp_scores_mask *args)
{
	const struct sp_attention_shape *s = &args->shape;
	for (int64_t r = 0; r < args->s.rows; r++)
		for (int64_t j = 0; j < args->s.cols; j++) {
			const struct place p = place_of(s, r);
			const int32_t own = s->query_doc[p.b * s->chunk + p.i], other = s->key_doc[p.b * s->keys + j];
			double *x = sp_at(args->s, r, j);
			*x = own == other && own >= 0 ? s->scale * *x : -INFINITY;
		}
}

void sp_reference_scores_softmax(const struct sp_scores_softmax *args)
{
	for (int64_t r = 0; r < args->s.rows; r++) {
		double max = -INFINITY, sum = 0;
		for (int64_t j = 0; j < args->s.cols; j++)
			max = fmax(max, *sp_at(args->s, r, j));
		for (int64_t j = 0; j < args->s.cols && max > -INFINITY; j++)
			sum += exp(*sp_at(args->s, r, j) - max);
		const double lse = max > -INFINITY ? max + log(sum) : -INFINITY;
		for (int64_t j = 0; j < args->s.cols; j++)
			*sp_at(args->s, r, j) = max > -INFINITY ? exp(*sp_at(args->s, r, j) - lse) : 0;
		*sp_at(args->lse, 0, r) = lse;
	}
}

void sp_reference_scores_drop(const struct sp_scores_drop *args)
{
	for (int64_t r = 0; r < args->p.rows; r++)
		for (int64_t j = 0; j < args->p.cols; j++)
			*sp_at(args->y, r, j) = factor(&args->shape, place_of(&args->shape, r), j) * *sp_at(args->p, r, j);
}

void sp_reference_scores_backward(const struct sp_scores_backward *args)
{
	const struct sp_attention_shape *s = &args->shape;
	for (int64_t r = 0; r < args->p.rows; r++)
		for (int64_t j = 0; j < args->p.cols; j++) {
			const struct place p = place_of(s, r);
			double *x = sp_at(args->ds, r, j);
			*x = s->scale * *sp_at(args->p, r, j) * (factor(s, p, j) * *x - *sp_at(args->dots, p.b * s->heads + p.a, p.i));
		}
}
