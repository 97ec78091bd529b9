/* Checked: dense layers, norms, the embedding. */
#include "config.h"

#include "backend/compute_inside.h"

#include "base/log.h"

/* ---- linear ---- */

int sp_compute_linear_forward(struct sp_compute *c, const struct sp_linear_forward *a)
{
	int64_t T = a->x.rows, K = a->x.cols, N = a->w.rows;
	const struct sp_operand parts[] = {
		{ "x", a->x, T, K, SP_E },
		{ "w", a->w, N, K, SP_E },
		{ "bias", a->bias, 1, N, SP_OPTIONAL },
		{ "y", a->y, T, N, SP_E | SP_OUT },
		{ "pre", a->pre, T, N, SP_E | SP_OUT | (a->act == SP_ACT_NONE ? SP_OPTIONAL : 0) },
	};
	if (sp_operand_activation("linear_forward", a->act) || SP_OPERANDS_FIT("linear_forward", parts))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_PRODUCTS);
	return sp_compute_queued(c, c->ops->linear_forward(c->ctx, a));
}

int sp_compute_linear_backward_input(struct sp_compute *c, const struct sp_linear_backward_input *a)
{
	int64_t T = a->dy.rows, N = a->dy.cols, K = a->w.cols;
	const struct sp_operand parts[] = {
		{ "dy", a->dy, T, N, SP_E },
		{ "w", a->w, N, K, SP_E },
		{ "dx", a->dx, T, K, SP_E | SP_OUT },
		{ "pre", a->pre, T, K, SP_E | (a->act == SP_ACT_NONE ? SP_OPTIONAL : 0) },
		{ "dbias", a->dbias, 1, K, SP_OUT | (a->accumulate ? SP_ABSENT : SP_OPTIONAL) },
	};
	if (sp_operand_activation("linear_backward_input", a->act) || SP_OPERANDS_FIT("linear_backward_input", parts))
		return SP_ERR_SHAPE;
	if (a->accumulate && a->act != SP_ACT_NONE)
		return sp_fail(SP_ERR_SHAPE, "linear_backward_input: activation %d cannot be undone while dx accumulates", a->act);
	sp_compute_begin(c, SP_CLASS_PRODUCTS);
	return sp_compute_queued(c, c->ops->linear_backward_input(c->ctx, a));
}

int sp_compute_linear_backward_weight(struct sp_compute *c, const struct sp_linear_backward_weight *a)
{
	int64_t T = a->dy.rows, N = a->dy.cols, K = a->x.cols;
	const struct sp_operand parts[] = {
		{ "dy", a->dy, T, N, SP_E },
		{ "x", a->x, T, K, SP_E },
		{ "dw", a->dw, N, K, SP_OUT },
		{ "dbias", a->dbias, 1, N, SP_OUT | SP_OPTIONAL },
	};
	if (SP_OPERANDS_FIT("linear_backward_weight", parts))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_PRODUCTS);
	return sp_compute_queued(c, c->ops->linear_backward_weight(c->ctx, a));
}

int sp_compute_activation_backward(struct sp_compute *c, const struct sp_activation_backward *a)
{
	const struct sp_operand parts[] = {
		{ "pre", a->pre, a->pre.rows, a->pre.cols, SP_E },
		{ "dx", a->dx, a->pre.rows, a->pre.cols, SP_E | SP_OUT },
	};
	if (sp_operand_activation("activation_backward", a->act) || SP_OPERANDS_FIT("activation_backward", parts))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->activation_backward(c->ctx, a));
}

/* ---- norm ---- */

int sp_compute_norm_forward(struct sp_compute *c, const struct sp_norm_forward *a)
{
	int64_t T = a->x.rows, H = a->x.cols;
	int with_norm = a->y.data ? 0 : SP_ABSENT;
	const struct sp_operand parts[] = {
		{ "x", a->x, T, H, SP_E | SP_OUT },
		{ "bias", a->bias, 1, H, SP_OPTIONAL },
		{ "residual", a->residual, T, H, SP_E | SP_OPTIONAL },
		{ "gamma", a->gamma, 1, H, with_norm },
		{ "beta", a->beta, 1, H, with_norm },
		{ "y", a->y, T, H, SP_E | SP_OUT | SP_OPTIONAL },
		{ "mean", a->mean, 1, T, SP_OUT | with_norm },
		{ "rstd", a->rstd, 1, T, SP_OUT | with_norm },
	};
	if (SP_OPERANDS_FIT("norm_forward", parts) || sp_operand_dropout("norm_forward", &a->dropout, &a->rows, T))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->norm_forward(c->ctx, a));
}

int sp_compute_norm_backward(struct sp_compute *c, const struct sp_norm_backward *a)
{
	enum { DX = 1, DRESIDUAL = 2, BOTH = 4 };
	int64_t T = a->dx.rows, H = a->dx.cols;
	int with_norm = a->dy.data ? 0 : SP_ABSENT, both = sp_operand_dropped(&a->dropout) ? 0 : BOTH;
	const struct sp_operand parts[] = {
		{ "dy", a->dy, T, H, SP_E | SP_OPTIONAL, DX | DRESIDUAL },
		{ "dsum", a->dsum, T, H, SP_E | SP_OPTIONAL, DX | DRESIDUAL },
		{ "s", a->s, T, H, SP_E | with_norm },
		{ "gamma", a->gamma, 1, H, with_norm },
		{ "mean", a->mean, 1, T, with_norm },
		{ "rstd", a->rstd, 1, T, with_norm },
		{ "dx", a->dx, T, H, SP_E | SP_OUT, DX | both },
		{ "dresidual", a->dresidual, T, H, SP_E | SP_OUT | SP_OPTIONAL, DRESIDUAL | both },
		{ "dbias", a->dbias, 1, H, SP_OUT | SP_OPTIONAL },
		{ "dgamma", a->dgamma, 1, H, SP_OUT | with_norm },
		{ "dbeta", a->dbeta, 1, H, SP_OUT | with_norm },
	};
	if (SP_OPERANDS_FIT("norm_backward", parts) || sp_operand_dropout("norm_backward", &a->dropout, &a->rows, T))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->norm_backward(c->ctx, a));
}

/* ---- embedding ---- */

static int ids_fit(const char *op, const int32_t *token, const int32_t *pos, const int32_t *kind, int64_t T)
{
	return sp_operand_there(op, "token", token, T) || sp_operand_there(op, "pos", pos, T) || sp_operand_there(op, "kind", kind, T);
}

int sp_compute_embedding_forward(struct sp_compute *c, const struct sp_embedding_forward *a)
{
	enum { IN_PLACE = 1 };
	int64_t T = a->s.rows, H = a->s.cols;
	int with_norm = a->gamma.data ? 0 : SP_ABSENT, in_place = a->gamma.data ? 0 : IN_PLACE;
	const struct sp_operand parts[] = {
		{ "word", a->word, a->word.rows, H },
		{ "position", a->position, a->position.rows, H, SP_OPTIONAL },
		{ "type", a->type, a->type.rows, H },
		{ "gamma", a->gamma, 1, H, SP_OPTIONAL },
		{ "beta", a->beta, 1, H, with_norm },
		{ "s", a->s, T, H, SP_E | SP_OUT, in_place },
		{ "y", a->y, T, H, SP_E | SP_OUT, in_place },
		{ "mean", a->mean, 1, T, SP_OUT | with_norm },
		{ "rstd", a->rstd, 1, T, SP_OUT | with_norm },
	};
	if (SP_OPERANDS_FIT("embedding_forward", parts) || ids_fit("embedding_forward", a->token, a->pos, a->kind, T) ||
	    sp_operand_dropout("embedding_forward", &a->dropout, &a->rows, T))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->embedding_forward(c->ctx, a));
}

int sp_compute_embedding_backward(struct sp_compute *c, const struct sp_embedding_backward *a)
{
	int64_t T = a->dy.rows, H = a->dy.cols;
	int with_norm = a->gamma.data ? 0 : SP_ABSENT;
	const struct sp_operand parts[] = {
		{ "dy", a->dy, T, H, SP_E | SP_OUT },
		{ "s", a->s, T, H, SP_E | (a->gamma.data ? 0 : SP_OPTIONAL) },
		{ "gamma", a->gamma, 1, H, SP_OPTIONAL },
		{ "mean", a->mean, 1, T, with_norm },
		{ "rstd", a->rstd, 1, T, with_norm },
		{ "dword", a->dword, a->dword.rows, H, SP_OUT },
		{ "dposition", a->dposition, a->dposition.rows, H, SP_OUT | SP_OPTIONAL },
		{ "dtype", a->dtype, a->dtype.rows, H, SP_OUT },
		{ "dgamma", a->dgamma, 1, H, SP_OUT | with_norm },
		{ "dbeta", a->dbeta, 1, H, SP_OUT | with_norm },
	};
	if (SP_OPERANDS_FIT("embedding_backward", parts) || ids_fit("embedding_backward", a->token, a->pos, a->kind, T) ||
	    sp_operand_dropout("embedding_backward", &a->dropout, &a->rows, T))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->embedding_backward(c->ctx, a));
}
