#include "config.h"

#include "reference/reference.h"

#include <math.h>

/* A query row (b, a, i) of one attention step: its row in q, acc, dq is `row`, its row in m, l, lse, dots is `head`. */
struct query {
	int64_t b, a, i, row, head;
};

static struct query query_of(const struct sp_attention_shape *s, int64_t b, int64_t a, int64_t i)
{
	struct query r = { b, a, i, b * s->chunk + i, b * s->heads + a };
	return r;
}

static int allowed(const struct sp_attention_shape *s, struct query r, int64_t j)
{
	const int32_t mine = s->query_doc[r.b * s->chunk + r.i], theirs = s->key_doc[r.b * s->keys + j];
	const int64_t apart = (int64_t)s->first_query + r.i - (int64_t)s->first_key - j;
	return mine == theirs && mine >= 0 && (s->window == 0 || (apart <= s->window && apart >= -s->window));
}

/* Row `x_row` of x times row `y_row` of y, over the columns of head a. */
static double head_dot(struct sp_matrix x, int64_t x_row, struct sp_matrix y, int64_t y_row, int64_t a, int64_t D)
{
	double sum = 0;
	for (int64_t d = a * D; d < a * D + D; d++)
		sum += *sp_at(x, x_row, d) * *sp_at(y, y_row, d);
	return sum;
}

static double dropout_of(const struct sp_attention_shape *s, struct query r, int64_t j)
{
	if (s->dropout.keep == 65536)
		return 1;
	const uint32_t heads = s->all_heads ? s->all_heads : (uint32_t)s->heads;
	const uint32_t z = s->sample[r.b] * heads + s->first_head + (uint32_t)r.a;
	return sp_reference_dropout(&s->dropout, s->first_key + (uint32_t)j, s->first_query + (uint32_t)r.i, z);
}

static void forward_row(const struct sp_attention_forward *args, struct query r)
{
	const struct sp_attention_shape *s = &args->shape;
	const int64_t D = s->head_dim;
	double m = args->first ? -INFINITY : *sp_at(args->m, r.head, r.i);
	double l = args->first ? 0 : *sp_at(args->l, r.head, r.i);
	double largest = m;
	for (int64_t j = 0; j < s->keys; j++)
		if (allowed(s, r, j))
			largest = fmax(largest, s->scale * head_dot(args->q, r.row, args->k, r.b * s->keys + j, r.a, D));
	const double shrink = m == -INFINITY ? 0 : exp(m - largest);
	for (int64_t d = r.a * D; d < r.a * D + D; d++)
		*sp_at(args->acc, r.row, d) = args->first ? 0 : *sp_at(args->acc, r.row, d) * shrink;
	l *= shrink;
	for (int64_t j = 0; j < s->keys; j++) {
		if (!allowed(s, r, j))
			continue;
		const double score = s->scale * head_dot(args->q, r.row, args->k, r.b * s->keys + j, r.a, D);
		const double e = exp(score - largest), z = dropout_of(s, r, j);
		l += e;
		for (int64_t d = r.a * D; d < r.a * D + D; d++)
			*sp_at(args->acc, r.row, d) += z * e * *sp_at(args->v, r.b * s->keys + j, d);
	}
	*sp_at(args->m, r.head, r.i) = largest;
	*sp_at(args->l, r.head, r.i) = l;
}

void sp_reference_attention_forward(const struct sp_attention_forward *args)
{
	for (int64_t b = 0; b < args->shape.batch; b++)
		for (int64_t a = 0; a < args->shape.heads; a++)
			for (int64_t i = 0; i < args->shape.chunk; i++)
				forward_row(args, query_of(&args->shape, b, a, i));
}

void sp_reference_attention_finish(const struct sp_attention_finish *args)
{
	const int64_t D = args->head_dim;
	for (int64_t b = 0; b < args->batch; b++)
		for (int64_t a = 0; a < args->heads; a++)
			for (int64_t i = 0; i < args->chunk; i++) {
				const int64_t row = b * args->chunk + i, head = b * args->heads + a;
				const double m = *sp_at(args->m, head, i), l = *sp_at(args->l, head, i);
				for (int64_t d = a * D; d < a * D + D; d++)
					*sp_at(args->o, row, d) = l == 0 ? 0 : *sp_at(args->acc, row, d) / l;
				*sp_at(args->lse, head, i) = l == 0 ? -INFINITY : m + log(l);
			}
}

void sp_reference_attention_merge(const struct sp_attention_merge *args)
{
	const int64_t D = args->head_dim;
	for (int64_t b = 0; b < args->batch; b++)
		for (int64_t a = 0; a < args->heads; a++)
			for (int64_t i = 0; i < args->chunk; i++) {
				const int64_t row = b * args->chunk + i, head = b * args->heads + a;
				const double m = *sp_at(args->m, head, i), from = *sp_at(args->from_m, head, i), most = fmax(m, from);
				const double keep = m == -INFINITY ? 0 : exp(m - most), add = from == -INFINITY ? 0 : exp(from - most);
				for (int64_t d = a * D; d < a * D + D; d++)
					*sp_at(args->acc, row, d) = keep * *sp_at(args->acc, row, d) + add * *sp_at(args->from_acc, row, d);
				*sp_at(args->l, head, i) = keep * *sp_at(args->l, head, i) + add * *sp_at(args->from_l, head, i);
				*sp_at(args->m, head, i) = most;
			}
}

void sp_reference_attention_dots(const struct sp_attention_dots *args)
{
	for (int64_t b = 0; b < args->batch; b++)
		for (int64_t a = 0; a < args->heads; a++)
			for (int64_t i = 0; i < args->chunk; i++) {
				const int64_t row = b * args->chunk + i;
				*sp_at(args->dots, b * args->heads + a, i) =
					head_dot(args->dout, row, args->o, row, a, args->head_dim);
			}
}

static void fill_zero(struct sp_matrix m)
{
	for (int64_t i = 0; i < m.rows; i++)
		for (int64_t j = 0; j < m.cols; j++)
			*sp_at(m, i, j) = 0;
}

/* What query row r and key j of its sample add to the three gradients. */
static void backward_pair(const struct sp_attention_backward *args, struct query r, int64_t j)
{
	const struct sp_attention_shape *s = &args->shape;
	const int64_t D = s->head_dim, key = r.b * s->keys + j;
	const double score = s->scale * head_dot(args->q, r.row, args->k, key, r.a, D);
	const double p = exp(score - *sp_at(args->lse, r.head, r.i)), z = dropout_of(s, r, j);
	const double dp = z * head_dot(args->dout, r.row, args->v, key, r.a, D);
	const double ds = p * (dp - *sp_at(args->dots, r.head, r.i));
	for (int64_t d = r.a * D; d < r.a * D + D; d++) {
		*sp_at(args->dv, key, d) += z * p * *sp_at(args->dout, r.row, d);
		*sp_at(args->dq, r.row, d) += s->scale * ds * *sp_at(args->k, key, d);
		*sp_at(args->dk, key, d) += s->scale * ds * *sp_at(args->q, r.row, d);
	}
}

void sp_reference_attention_backward(const struct sp_attention_backward *args)
{
	const struct sp_attention_shape *s = &args->shape;
	if (args->overwrite_dq)
		fill_zero(args->dq);
	if (args->overwrite_dkv) {
		fill_zero(args->dk);
		fill_zero(args->dv);
	}
	for (int64_t b = 0; b < s->batch; b++)
		for (int64_t a = 0; a < s->heads; a++)
			for (int64_t i = 0; i < s->chunk; i++) {
				const struct query r = query_of(s, b, a, i);
				if (*sp_at(args->lse, r.head, i) == -INFINITY)
					continue;
				for (int64_t j = 0; j < s->keys; j++)
					if (allowed(s, r, j))
						backward_pair(args, r, j);
			}
}
