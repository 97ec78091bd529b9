/* Checked: attention, blockwise and on whole rows of scores, and rotary positions. */
#include "config.h"

#include "backend/compute_inside.h"

#include "base/log.h"

#include <inttypes.h>

/* ---- attention ---- */

static int sizes_fit(const char *op, int64_t batch, int64_t heads, int64_t head_dim, int64_t chunk, int64_t keys)
{
	if (batch < 0 || heads < 1 || head_dim < 1 || chunk < 0 || keys < 0)
		return sp_fail(SP_ERR_SHAPE, "%s: %" PRId64 " samples, %" PRId64 " heads of %" PRId64 ", %" PRId64 " queries, %" PRId64
		               " keys: expected at least one head of one column, and no negative number", op, batch, heads, head_dim,
		               chunk, keys);
	return SP_OK;
}

static int window_fits(const char *op, const struct sp_attention_shape *s)
{
	if (s->window >= 0 && !(s->window && s->whole))
		return SP_OK;
	return sp_fail(SP_ERR_SHAPE, "%s: a window of %" PRId64 " tokens%s", op, s->window, s->whole ? ", but all meet" : "");
}

static int shape_fits(const char *op, const struct sp_attention_shape *s)
{
	if (sizes_fit(op, s->batch, s->heads, s->head_dim, s->chunk, s->keys) || sp_operand_keep(op, &s->dropout) ||
	    window_fits(op, s) || sp_operand_there(op, "query_doc", s->query_doc, s->batch * s->chunk) || sp_operand_there(op, "key_doc", s->key_doc, s->batch * s->keys) ||
	    (sp_operand_dropped(&s->dropout) && sp_operand_there(op, "sample", s->sample, s->batch)))
		return SP_ERR_SHAPE;
	return SP_OK;
}

int sp_compute_attention_forward(struct sp_compute *c, const struct sp_attention_forward *a)
{
	const struct sp_attention_shape *s = &a->shape;
	int64_t T = s->batch * s->chunk, J = s->batch * s->keys, H = s->heads * s->head_dim, R = s->batch * s->heads;
	const struct sp_operand parts[] = {
		{ "q", a->q, T, H, SP_E },
		{ "k", a->k, J, H, SP_E },
		{ "v", a->v, J, H, SP_E },
		{ "acc", a->acc, T, H, SP_OUT },
		{ "m", a->m, R, s->chunk, SP_OUT },
		{ "l", a->l, R, s->chunk, SP_OUT },
	};
	if (shape_fits("attention_forward", s) || SP_OPERANDS_FIT("attention_forward", parts))
		return SP_ERR_SHAPE;
	struct sp_attention_forward polled = *a;
	sp_compute_give_poll(c, &polled.shape);
	sp_compute_begin(c, SP_CLASS_ATTENTION);
	return sp_compute_queued(c, c->ops->attention_forward(c->ctx, &polled));
}

int sp_compute_attention_finish(struct sp_compute *c, const struct sp_attention_finish *a)
{
	enum { O = 1, M = 2, L = 4 };
	int64_t T = a->batch * a->chunk, H = a->heads * a->head_dim, R = a->batch * a->heads;
	const struct sp_operand parts[] = {
		{ "acc", a->acc, T, H, 0, O },
		{ "m", a->m, R, a->chunk, 0, M },
		{ "l", a->l, R, a->chunk, 0, L },
		{ "o", a->o, T, H, SP_E | SP_OUT, O },
		{ "lse", a->lse, R, a->chunk, SP_OUT, M | L },
	};
	if (sizes_fit("attention_finish", a->batch, a->heads, a->head_dim, a->chunk, 0) || SP_OPERANDS_FIT("attention_finish", parts))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ATTENTION);
	return sp_compute_queued(c, c->ops->attention_finish(c->ctx, a));
}

int sp_compute_attention_merge(struct sp_compute *c, const struct sp_attention_merge *a)
{
	int64_t T = a->batch * a->chunk, H = a->heads * a->head_dim, R = a->batch * a->heads;
	const struct sp_operand parts[] = {
		{ "acc", a->acc, T, H, SP_OUT },
		{ "m", a->m, R, a->chunk, SP_OUT },
		{ "l", a->l, R, a->chunk, SP_OUT },
		{ "from_acc", a->from_acc, T, H },
		{ "from_m", a->from_m, R, a->chunk },
		{ "from_l", a->from_l, R, a->chunk },
	};
	if (sizes_fit("attention_merge", a->batch, a->heads, a->head_dim, a->chunk, 0) || SP_OPERANDS_FIT("attention_merge", parts))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ATTENTION);
	return sp_compute_queued(c, c->ops->attention_merge(c->ctx, a));
}

int sp_compute_attention_dots(struct sp_compute *c, const struct sp_attention_dots *a)
{
	int64_t T = a->batch * a->chunk, H = a->heads * a->head_dim;
	const struct sp_operand parts[] = {
		{ "dout", a->dout, T, H, SP_E },
		{ "o", a->o, T, H, SP_E },
		{ "dots", a->dots, a->batch * a->heads, a->chunk, SP_OUT },
	};
	if (sizes_fit("attention_dots", a->batch, a->heads, a->head_dim, a->chunk, 0) || SP_OPERANDS_FIT("attention_dots", parts))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ATTENTION);
	return sp_compute_queued(c, c->ops->attention_dots(c->ctx, a));
}

int sp_compute_attention_backward(struct sp_compute *c, const struct sp_attention_backward *a)
{
	const struct sp_attention_shape *s = &a->shape;
	int64_t T = s->batch * s->chunk, J = s->batch * s->keys, H = s->heads * s->head_dim, R = s->batch * s->heads;
	const struct sp_operand parts[] = {
		{ "q", a->q, T, H, SP_E },
		{ "k", a->k, J, H, SP_E },
		{ "v", a->v, J, H, SP_E },
		{ "o", a->o, T, H, SP_E | SP_OPTIONAL },
		{ "dout", a->dout, T, H, SP_E },
		{ "lse", a->lse, R, s->chunk },
		{ "dots", a->dots, R, s->chunk },
		{ "dq", a->dq, T, H, SP_OUT },
		{ "dk", a->dk, J, H, SP_OUT },
		{ "dv", a->dv, J, H, SP_OUT },
	};
	if (shape_fits("attention_backward", s) || SP_OPERANDS_FIT("attention_backward", parts))
		return SP_ERR_SHAPE;
	struct sp_attention_backward polled = *a;
	sp_compute_give_poll(c, &polled.shape);
	sp_compute_begin(c, SP_CLASS_ATTENTION);
	return sp_compute_queued(c, c->ops->attention_backward(c->ctx, &polled));
}

/* ---- attention on whole rows of scores ---- */

static int64_t score_rows(const struct sp_attention_shape *s)
{
	return s->batch * s->heads * s->chunk;
}

int sp_compute_scores_mask(struct sp_compute *c, const struct sp_scores_mask *a)
{
	const struct sp_operand parts[] = { { "s", a->s, score_rows(&a->shape), a->shape.keys, SP_OUT } };
	if (shape_fits("scores_mask", &a->shape) || SP_OPERANDS_FIT("scores_mask", parts))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ATTENTION);
	return sp_compute_queued(c, c->ops->scores_mask(c->ctx, a));
}

int sp_compute_scores_softmax(struct sp_compute *c, const struct sp_scores_softmax *a)
{
	const struct sp_operand parts[] = { { "s", a->s, a->s.rows, a->s.cols, SP_OUT }, { "lse", a->lse, 1, a->s.rows, SP_OUT } };
	if (SP_OPERANDS_FIT("scores_softmax", parts))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ATTENTION);
	return sp_compute_queued(c, c->ops->scores_softmax(c->ctx, a));
}

int sp_compute_scores_drop(struct sp_compute *c, const struct sp_scores_drop *a)
{
	enum { IN_PLACE = 1 };
	const int64_t rows = score_rows(&a->shape), keys = a->shape.keys;
	const struct sp_operand parts[] = { { "p", a->p, rows, keys, 0, IN_PLACE }, { "y", a->y, rows, keys, SP_OUT, IN_PLACE } };
	if (shape_fits("scores_drop", &a->shape) || SP_OPERANDS_FIT("scores_drop", parts))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ATTENTION);
	return sp_compute_queued(c, c->ops->scores_drop(c->ctx, a));
}

int sp_compute_scores_backward(struct sp_compute *c, const struct sp_scores_backward *a)
{
	const struct sp_attention_shape *s = &a->shape;
	const struct sp_operand parts[] = {
		{ "p", a->p, score_rows(s), s->keys },
		{ "ds", a->ds, score_rows(s), s->keys, SP_OUT },
		{ "dots", a->dots, s->batch * s->heads, s->chunk },
	};
	if (shape_fits("scores_backward", s) || SP_OPERANDS_FIT("scores_backward", parts))
		return SP_ERR_SHAPE;
	sp_compute_begin(c, SP_CLASS_ATTENTION);
	return sp_compute_queued(c, c->ops->scores_backward(c->ctx, a));
}

/* ---- rotary positions ---- */

int sp_compute_rotate(struct sp_compute *c, const struct sp_rotate *a)
{
	const struct sp_operand parts[] = { { "x", a->x, a->x.rows, a->x.cols, SP_E | SP_OUT } };
	if (SP_OPERANDS_FIT("rotate", parts) || sp_operand_there("rotate", "position", a->position, a->x.rows))
		return SP_ERR_SHAPE;
	if (a->head_dim < 2 || a->head_dim % 2 != 0 || a->x.cols % a->head_dim != 0 || !(a->base > 1))
		return sp_fail(SP_ERR_SHAPE, "rotate: %" PRId64 " columns, heads of %" PRId64 ", base %g", a->x.cols, a->head_dim, a->base);
	sp_compute_begin(c, SP_CLASS_ELEMENTS);
	return sp_compute_queued(c, c->ops->rotate(c->ctx, a));
}
