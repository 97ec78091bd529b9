/* Checked: what the heads do, a shared vocabulary, the optimiser. */
#include "config.h"

#include "backend/compute_inside.h"

/* ---- head ---- */

int sp_compute_gather_rows(struct sp_compute *c, const struct sp_row_move *a)
{
	const struct sp_operand parts[] = {
		{ "x", a->x, a->x.rows, a->x.cols, SP_E },
		{ "y", a->y, a->n, a->x.cols, SP_E | SP_OUT },
	};
	if (SP_OPERANDS_FIT("gather_rows", parts) || sp_operand_there("gather_rows", "index", a->index, a->n))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->gather_rows(c->ctx, a));
}

int sp_compute_scatter_add_rows(struct sp_compute *c, const struct sp_row_move *a)
{
	const struct sp_operand parts[] = {
		{ "x", a->x, a->n, a->x.cols, SP_E },
		{ "y", a->y, a->y.rows, a->x.cols, SP_E | SP_OUT },
	};
	if (SP_OPERANDS_FIT("scatter_add_rows", parts) || sp_operand_there("scatter_add_rows", "index", a->index, a->n))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->scatter_add_rows(c->ctx, a));
}

int sp_compute_cross_entropy(struct sp_compute *c, const struct sp_cross_entropy *a)
{
	int64_t n = a->logits.rows, V = a->logits.cols;
	const struct sp_operand parts[] = { { "logits", a->logits, n, n && V < 1 ? 1 : V, SP_E | SP_OUT } };
	if (SP_OPERANDS_FIT("cross_entropy", parts) || sp_operand_there("cross_entropy", "label", a->label, n) ||
	    sp_operand_there("cross_entropy", "loss", a->loss, 1))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->cross_entropy(c->ctx, a));
}

/* ---- vocabulary in parts ---- */

static int words_fit(const char *op, const struct sp_words *a, int backward)
{
	const int64_t T = a->y.rows, H = a->y.cols;
	const struct sp_operand parts[] = {
		{ backward ? "dword" : "word", a->word, a->word.rows, H, backward ? SP_OUT : 0 },
		{ backward ? "dy" : "y", a->y, T, H, SP_E | (backward ? 0 : SP_OUT) },
	};
	return SP_OPERANDS_FIT(op, parts) || sp_operand_there(op, "token", a->token, T);
}

int sp_compute_words_forward(struct sp_compute *c, const struct sp_words *a)
{
	if (words_fit("words_forward", a, 0))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->words_forward(c->ctx, a));
}

int sp_compute_words_backward(struct sp_compute *c, const struct sp_words *a)
{
	if (words_fit("words_backward", a, 1))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->words_backward(c->ctx, a));
}

int sp_compute_entropy_part(struct sp_compute *c, const struct sp_entropy_part *a)
{
	const int64_t n = a->logits.rows, V = a->logits.cols;
	const struct sp_operand parts[] = {
		{ "logits", a->logits, n, n && V < 1 ? 1 : V, SP_E },
		{ "stats", a->stats, n, 4, SP_OUT },
	};
	if (SP_OPERANDS_FIT("entropy_part", parts) || sp_operand_there("entropy_part", "label", a->label, n))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->entropy_part(c->ctx, a));
}

int sp_compute_entropy_whole(struct sp_compute *c, const struct sp_entropy_whole *a)
{
	const int64_t n = a->logits.rows, V = a->logits.cols;
	const struct sp_operand parts[] = {
		{ "logits", a->logits, n, n && V < 1 ? 1 : V, SP_E | SP_OUT },
		{ "stats", a->stats, a->parts * n, 4 },
	};
	if (SP_OPERANDS_FIT("entropy_whole", parts) || sp_operand_there("entropy_whole", "label", a->label, n) ||
	    sp_operand_there("entropy_whole", "loss", a->loss, 1))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->entropy_whole(c->ctx, a));
}

int sp_compute_tanh_forward(struct sp_compute *c, struct sp_matrix x)
{
	const struct sp_operand parts[] = { { "x", x, x.rows, x.cols, SP_E | SP_OUT } };
	if (SP_OPERANDS_FIT("tanh_forward", parts))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->tanh_forward(c->ctx, x));
}

int sp_compute_tanh_backward(struct sp_compute *c, const struct sp_tanh_backward *a)
{
	const struct sp_operand parts[] = {
		{ "y", a->y, a->y.rows, a->y.cols, SP_E },
		{ "dx", a->dx, a->y.rows, a->y.cols, SP_E | SP_OUT },
	};
	if (SP_OPERANDS_FIT("tanh_backward", parts))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->tanh_backward(c->ctx, a));
}

/* ---- update ---- */

int sp_compute_sum_squares(struct sp_compute *c, const struct sp_sum_squares *a)
{
	if (sp_operand_there("sum_squares", "x", a->x, a->n) || sp_operand_there("sum_squares", "sum", a->sum, 1))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_OPTIMIZER);
	return sp_compute_ended(c, c->ops->sum_squares(c->ctx, a));
}

int sp_compute_decide(struct sp_compute *c, const struct sp_decide *a)
{
	if (sp_operand_there("decide", "step", a->step, 1))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_OPTIMIZER);
	return sp_compute_ended(c, c->ops->decide(c->ctx, a));
}

int sp_compute_adamw(struct sp_compute *c, const struct sp_adamw *a)
{
	const struct sp_operand parts[] = {
		{ "w", sp_operand_vector(a->w, a->n), 1, a->n, SP_OUT },
		{ "m", sp_operand_vector(a->m, a->n), 1, a->n, SP_OUT },
		{ "v", sp_operand_vector(a->v, a->n), 1, a->n, SP_OUT },
		{ "g", sp_operand_vector(a->g, a->n), 1, a->n },
	};
	if (SP_OPERANDS_FIT("adamw", parts) || sp_operand_there("adamw", "step", a->step, 1))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_OPTIMIZER);
	return sp_compute_ended(c, c->ops->adamw(c->ctx, a));
}

int sp_compute_add(struct sp_compute *c, float *y, const float *x, int64_t n)
{
	const struct sp_operand parts[] = {
		{ "y", sp_operand_vector(y, n), 1, n, SP_OUT },
		{ "x", sp_operand_vector(x, n), 1, n },
	};
	if (SP_OPERANDS_FIT("add", parts))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_ended(c, c->ops->add(c->ctx, y, x, n));
}
