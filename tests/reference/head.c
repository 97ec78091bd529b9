#include "config.h"

#include "reference/reference.h"

#include <math.h>

void sp_reference_gather_rows(const struct sp_row_move *args)
{
	for (int64_t i = 0; i < args->n; i++)
		for (int64_t h = 0; h < args->y.cols; h++)
			*sp_at(args->y, i, h) = *sp_at(args->x, args->index[i], h);
}

void sp_reference_scatter_add_rows(const struct sp_row_move *args)
{
	for (int64_t i = 0; i < args->n; i++)
		for (int64_t h = 0; h < args->x.cols; h++)
			*sp_at(args->y, args->index[i], h) += *sp_at(args->x, i, h);
}

/* The largest logit is taken out of the sum of exponentials: ln sum e^z = M + ln sum e^(z - M). */
static void cross_entropy_row(const struct sp_cross_entropy *args, int64_t i)
{
	const int64_t V = args->logits.cols;
	int64_t best = 0;
	for (int64_t v = 1; v < V; v++)
		if (*sp_at(args->logits, i, v) > *sp_at(args->logits, i, best))
			best = v;
	const double largest = *sp_at(args->logits, i, best);
	double sum = 0;
	for (int64_t v = 0; v < V; v++)
		sum += exp(*sp_at(args->logits, i, v) - largest);
	*args->loss += largest + log(sum) - *sp_at(args->logits, i, args->label[i]);
	if (args->correct)
		*args->correct += best == args->label[i];
	if (args->gradient)
		for (int64_t v = 0; v < V; v++) {
			double *z = sp_at(args->logits, i, v);
			*z = args->scale * (exp(*z - largest) / sum - (v == args->label[i]));
		}
}

void sp_reference_cross_entropy(const struct sp_cross_entropy *args)
{
	for (int64_t i = 0; i < args->logits.rows; i++)
		cross_entropy_row(args, i);
}

void sp_reference_tanh_forward(struct sp_matrix x)
{
	for (int64_t i = 0; i < x.rows; i++)
		for (int64_t j = 0; j < x.cols; j++)
			*sp_at(x, i, j) = tanh(*sp_at(x, i, j));
}

void sp_reference_tanh_backward(const struct sp_tanh_backward *args)
{
	for (int64_t i = 0; i < args->dx.rows; i++)
		for (int64_t j = 0; j < args->dx.cols; j++)
			*sp_at(args->dx, i, j) *= 1 - pow(*sp_at(args->y, i, j), 2);
}
