/* Each wrapper lists the parts of its operation with the shapes they must have; one function holds the list against what
 * was given. Shapes follow from one input of each operation (its x, or the sizes given as numbers). */
#include "config.h"

#include "backend/compute.h"

#include "backend/buffers.h"
#include "backend/module.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sp_compute {
	const char *name;
	const struct sp_compute_ops *ops;
	void *ctx;
	struct sp_buffers buffers;
	struct sp_compute_poll poll;
	int polling;
};

/* ---- opening ---- */

/* What "auto" tries, in this order. */
static const char *const best_first[] = { "cuda", "cpu" };

static int find_device(const char *name, const struct sp_module **module, char *why, size_t size)
{
	int status = sp_module_probe(name, module, why, size);
	if (status == SP_OK && !(*module)->compute)
		return sp_say(SP_ERR_ABSENT, why, size, "module %s passes messages and does not compute", name);
	return status;
}

static int find_best(const struct sp_module **module, char *why, size_t size)
{
	int status = SP_ERR_ABSENT;
	for (size_t i = 0; status && i < sizeof best_first / sizeof *best_first; i++)
		status = find_device(best_first[i], module, why, size);
	return status;
}

int sp_compute_open(const char *name, const struct sp_compute_options *options, struct sp_compute **compute)
{
	const struct sp_module *module = NULL;
	char why[512] = "";
	int any = strcmp(name, "auto") == 0;
	int status = any ? find_best(&module, why, sizeof why) : find_device(name, &module, why, sizeof why);
	if (status)
		return sp_fail(status, "backend.device=%s cannot be used: %s (seqpar info lists the modules)", name, why);

	struct sp_compute *c = malloc(sizeof *c);
	if (!c)
		return sp_fail(SP_ERR_MEMORY, "out of memory opening module %s", module->name);
	*c = (struct sp_compute){ .name = module->name, .ops = module->compute };
	status = c->ops->open(options, &c->ctx);
	if (status) {
		free(c);
		return status;
	}
	*compute = c;
	return SP_OK;
}

void sp_compute_close(struct sp_compute *c)
{
	if (!c)
		return;
	sp_buffers_free(&c->buffers, c->ops, c->ctx);
	c->ops->close(c->ctx);
	free(c);
}

const char *sp_compute_name(const struct sp_compute *c)
{
	return c->name;
}

void sp_compute_describe(struct sp_compute *c, char *text, size_t size, char *warning, size_t warning_size)
{
	c->ops->describe(c->ctx, text, size, warning, warning_size);
}

int sp_compute_has_parts(const struct sp_compute *c)
{
	const struct sp_compute_ops *o = c->ops;
	return o->words_forward && o->words_backward && o->entropy_part && o->entropy_whole;
}

int sp_compute_has_scores(const struct sp_compute *c)
{
	const struct sp_compute_ops *o = c->ops;
	return o->scores_mask && o->scores_softmax && o->scores_drop && o->scores_backward;
}

int sp_compute_has_rotate(const struct sp_compute *c)
{
	return c->ops->rotate != NULL;
}

int sp_compute_supports(struct sp_compute *c, const struct sp_compute_needs *needs)
{
	char why[512] = "";
	int status = c->ops->supports(c->ctx, needs, why, sizeof why);
	if (needs->parts > 1 && !sp_compute_has_parts(c))
		status = sp_say(SP_ERR_UNUSABLE, why, sizeof why, "it has no operations on parts of the vocabulary");
	if (needs->scores && !sp_compute_has_scores(c))
		status = sp_say(SP_ERR_UNUSABLE, why, sizeof why, "it has no operations on whole rows of attention scores");
	if (needs->rotary && !sp_compute_has_rotate(c))
		status = sp_say(SP_ERR_UNUSABLE, why, sizeof why, "it has no operation for model.position = rope");
	return status ? sp_fail(status, "backend.device=%s cannot do this: %s", c->name, why) : SP_OK;
}

int64_t sp_compute_chunk_multiple(struct sp_compute *c)
{
	return c->ops->chunk_multiple(c->ctx);
}

int sp_compute_threads(struct sp_compute *c)
{
	return c->ops->threads(c->ctx);
}

/* ---- checks ---- */

enum {
	OPTIONAL = 1, /* may be absent */
	ABSENT = 2,   /* must be absent */
	OUT = 4,      /* written: may not overlap another part */
};

/* A part of an operation and what it must look like. Two parts that share a bit of `alias` may be the same memory, if
 * they are exactly the same. */
struct part {
	const char *name;
	struct sp_matrix given;
	int64_t rows, cols;
	int flags, alias;
	enum sp_dtype dtype; /* SP_F32 where nothing is said */
};

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define FITS(op, parts) fits(op, parts, COUNT(parts))

static int refuse(const char *op, const struct part *p, const char *what)
{
	const struct sp_matrix *m = &p->given;
	return sp_fail(SP_ERR_SHAPE, "%s: %s %s: it is %" PRId64 " x %" PRId64 " %s, stride %" PRId64 ", at %p; expected %" PRId64
	               " x %" PRId64 " %s", op, p->name, what, m->rows, m->cols, sp_dtype_name(m->dtype), m->stride, m->data,
	               p->rows, p->cols, sp_dtype_name(p->dtype));
}

static int fits_alone(const char *op, const struct part *p)
{
	const struct sp_matrix *m = &p->given;
	if (p->flags & ABSENT)
		return m->data ? refuse(op, p, "must be absent here") : SP_OK;
	if (!m->data && p->flags & OPTIONAL)
		return SP_OK;
	if (p->rows < 0 || p->cols < 0 || m->rows != p->rows || m->cols != p->cols)
		return refuse(op, p, "has the wrong shape");
	if (m->dtype != p->dtype || sp_dtype_size(m->dtype) == 0)
		return refuse(op, p, "has the wrong dtype");
	if (m->stride < m->cols)
		return refuse(op, p, "has a stride smaller than its rows");
	if (!m->data && m->rows && m->cols)
		return refuse(op, p, "is required");
	return SP_OK;
}

static int same(const struct sp_matrix *a, const struct sp_matrix *b)
{
	return a->data == b->data && a->rows == b->rows && a->cols == b->cols && (a->stride == b->stride || a->rows < 2);
}

/* Columns of one packed matrix lie in each other's range without sharing an element. */
static int overlap(const struct sp_matrix *a, const struct sp_matrix *b)
{
	if (!a->data || !b->data || !a->rows || !b->rows || !a->cols || !b->cols)
		return 0;
	if ((uintptr_t)a->data > (uintptr_t)b->data)
		return overlap(b, a);
	uint64_t size = sp_dtype_size(a->dtype), apart = (uintptr_t)b->data - (uintptr_t)a->data;
	if (apart >= ((uint64_t)(a->rows - 1) * (uint64_t)a->stride + (uint64_t)a->cols) * size)
		return 0;
	uint64_t stride = (uint64_t)a->stride * size, column = apart % stride;
	int interleaved = a->dtype == b->dtype && a->stride == b->stride && column >= (uint64_t)a->cols * size &&
	                  column + (uint64_t)b->cols * size <= stride;
	return !interleaved;
}

static int fits(const char *op, const struct part *parts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fits_alone(op, &parts[i]))
			return SP_ERR_SHAPE;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++) {
			const struct part *p = &parts[i], *q = &parts[j];
			if (!((p->flags | q->flags) & OUT) || !overlap(&p->given, &q->given))
				continue;
			if (!(p->alias & q->alias) || !same(&p->given, &q->given))
				return sp_fail(SP_ERR_SHAPE, "%s: %s (at %p) and %s (at %p) overlap", op, p->name, p->given.data, q->name,
				               q->given.data);
		}
	return SP_OK;
}

static struct sp_matrix vector(const void *data, int64_t n)
{
	return sp_vector((float *)(uintptr_t)data, n);
}

/* `n` things at `pointer`, which may be NULL only if there are none. */
static int there(const char *op, const char *name, const void *pointer, int64_t n)
{
	if (n < 0 || (n > 0 && !pointer))
		return sp_fail(SP_ERR_SHAPE, "%s: %s is required: %" PRId64 " elements at %p", op, name, n, pointer);
	return SP_OK;
}

static int activation_fits(const char *op, enum sp_activation act)
{
	if ((unsigned)act > SP_ACT_GELU_TANH)
		return sp_fail(SP_ERR_SHAPE, "%s: there is no activation %d", op, (int)act);
	return SP_OK;
}

static int dropped(const struct sp_dropout *d)
{
	return d->keep < 65536;
}

static int keep_fits(const char *op, const struct sp_dropout *d)
{
	if (d->keep < 1 || d->keep > 65536)
		return sp_fail(SP_ERR_SHAPE, "%s: dropout keeps %" PRIu32 " / 65536: expected 1 to 65536", op, d->keep);
	return SP_OK;
}

/* Dropout of T rows needs their coordinates. */
static int dropout_fits(const char *op, const struct sp_dropout *d, const struct sp_rows *rows, int64_t T)
{
	if (keep_fits(op, d))
		return SP_ERR_SHAPE;
	if (!dropped(d))
		return SP_OK;
	if (rows->batch < 0 || rows->chunk < 0 || rows->batch * rows->chunk != T)
		return sp_fail(SP_ERR_SHAPE, "%s: dropout coordinates are of %" PRId64 " x %" PRId64 " rows: expected %" PRId64, op,
		               rows->batch, rows->chunk, T);
	return there(op, "rows.sample", rows->sample, T ? rows->batch : 0);
}

/* ---- transfers meanwhile ---- */

void sp_compute_set_poll(struct sp_compute *c, const struct sp_compute_poll *poll)
{
	c->poll = poll ? *poll : (struct sp_compute_poll){ 0 };
}

/* Passes the status of an operation on. */
static int queued(struct sp_compute *c, int status)
{
	if (c->poll.between && !c->polling && !status) {
		c->polling = 1;
		c->poll.between(c->poll.ctx);
		c->polling = 0;
	}
	return status;
}

static void give_poll(const struct sp_compute *c, struct sp_attention_shape *shape)
{
	if (shape->poll)
		return;
	shape->poll = c->poll.during;
	shape->poll_ctx = c->poll.ctx;
}

/* ---- memory and queue ---- */

int sp_compute_alloc(struct sp_compute *c, size_t bytes, void **memory)
{
	return c->ops->alloc(c->ctx, bytes, memory);
}

void sp_compute_free(struct sp_compute *c, void *memory)
{
	c->ops->free(c->ctx, memory);
}

int sp_compute_copy_in(struct sp_compute *c, void *device, const void *host, size_t bytes)
{
	if (there("copy_in", "device", device, bytes > 0) || there("copy_in", "host", host, bytes > 0))
		return SP_ERR_SHAPE;
	return bytes ? c->ops->copy_in(c->ctx, device, host, bytes) : SP_OK;
}

int sp_compute_copy_out(struct sp_compute *c, void *host, const void *device, size_t bytes)
{
	if (there("copy_out", "host", host, bytes > 0) || there("copy_out", "device", device, bytes > 0))
		return SP_ERR_SHAPE;
	return bytes ? c->ops->copy_out(c->ctx, host, device, bytes) : SP_OK;
}

int sp_compute_zero(struct sp_compute *c, void *device, size_t bytes)
{
	if (there("zero", "device", device, bytes > 0))
		return SP_ERR_SHAPE;
	return bytes ? c->ops->zero(c->ctx, device, bytes) : SP_OK;
}

int sp_compute_copy_rows(struct sp_compute *c, struct sp_matrix from, struct sp_matrix to)
{
	const struct part parts[] = {
		{ "from", from, from.rows, from.cols, .dtype = from.dtype },
		{ "to", to, from.rows, from.cols, OUT, .dtype = from.dtype },
	};
	if (FITS("copy_rows", parts))
		return SP_ERR_SHAPE;
	return c->ops->copy_rows(c->ctx, from, to);
}

int sp_compute_sync(struct sp_compute *c)
{
	return c->ops->sync(c->ctx);
}

int sp_compute_is_host_memory(const struct sp_compute *c)
{
	return !c->ops->alloc_host;
}

int sp_compute_buffer_take(struct sp_compute *c, size_t bytes, void **host)
{
	return sp_buffers_take(&c->buffers, c->ops, c->ctx, bytes, host);
}

void sp_compute_buffer_give(struct sp_compute *c, const void *host)
{
	sp_buffers_give(&c->buffers, host);
}

/* ---- linear ---- */

int sp_compute_linear_forward(struct sp_compute *c, const struct sp_linear_forward *a)
{
	int64_t T = a->x.rows, K = a->x.cols, N = a->w.rows;
	const struct part parts[] = {
		{ "x", a->x, T, K },
		{ "w", a->w, N, K },
		{ "bias", a->bias, 1, N, OPTIONAL },
		{ "y", a->y, T, N, OUT },
		{ "pre", a->pre, T, N, OUT | (a->act == SP_ACT_NONE ? OPTIONAL : 0) },
	};
	if (activation_fits("linear_forward", a->act) || FITS("linear_forward", parts))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->linear_forward(c->ctx, a));
}

int sp_compute_linear_backward_input(struct sp_compute *c, const struct sp_linear_backward_input *a)
{
	int64_t T = a->dy.rows, N = a->dy.cols, K = a->w.cols;
	const struct part parts[] = {
		{ "dy", a->dy, T, N },
		{ "w", a->w, N, K },
		{ "dx", a->dx, T, K, OUT },
		{ "pre", a->pre, T, K, a->act == SP_ACT_NONE ? OPTIONAL : 0 },
		{ "dbias", a->dbias, 1, K, OUT | (a->accumulate ? ABSENT : OPTIONAL) },
	};
	if (activation_fits("linear_backward_input", a->act) || FITS("linear_backward_input", parts))
		return SP_ERR_SHAPE;
	if (a->accumulate && a->act != SP_ACT_NONE)
		return sp_fail(SP_ERR_SHAPE, "linear_backward_input: activation %d cannot be undone while dx accumulates", a->act);
	return queued(c, c->ops->linear_backward_input(c->ctx, a));
}

int sp_compute_linear_backward_weight(struct sp_compute *c, const struct sp_linear_backward_weight *a)
{
	int64_t T = a->dy.rows, N = a->dy.cols, K = a->x.cols;
	const struct part parts[] = {
		{ "dy", a->dy, T, N },
		{ "x", a->x, T, K },
		{ "dw", a->dw, N, K, OUT },
		{ "dbias", a->dbias, 1, N, OUT | OPTIONAL },
	};
	if (FITS("linear_backward_weight", parts))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->linear_backward_weight(c->ctx, a));
}

int sp_compute_activation_backward(struct sp_compute *c, const struct sp_activation_backward *a)
{
	const struct part parts[] = {
		{ "pre", a->pre, a->pre.rows, a->pre.cols },
		{ "dx", a->dx, a->pre.rows, a->pre.cols, OUT },
	};
	if (activation_fits("activation_backward", a->act) || FITS("activation_backward", parts))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->activation_backward(c->ctx, a));
}

/* ---- norm ---- */

int sp_compute_norm_forward(struct sp_compute *c, const struct sp_norm_forward *a)
{
	int64_t T = a->x.rows, H = a->x.cols;
	int with_norm = a->y.data ? 0 : ABSENT;
	const struct part parts[] = {
		{ "x", a->x, T, H, OUT },
		{ "bias", a->bias, 1, H, OPTIONAL },
		{ "residual", a->residual, T, H, OPTIONAL },
		{ "gamma", a->gamma, 1, H, with_norm },
		{ "beta", a->beta, 1, H, with_norm },
		{ "y", a->y, T, H, OUT | OPTIONAL },
		{ "mean", a->mean, 1, T, OUT | with_norm },
		{ "rstd", a->rstd, 1, T, OUT | with_norm },
	};
	if (FITS("norm_forward", parts) || dropout_fits("norm_forward", &a->dropout, &a->rows, T))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->norm_forward(c->ctx, a));
}

int sp_compute_norm_backward(struct sp_compute *c, const struct sp_norm_backward *a)
{
	enum { DX = 1, DRESIDUAL = 2, BOTH = 4 };
	int64_t T = a->dx.rows, H = a->dx.cols;
	int with_norm = a->dy.data ? 0 : ABSENT, both = dropped(&a->dropout) ? 0 : BOTH;
	const struct part parts[] = {
		{ "dy", a->dy, T, H, OPTIONAL, DX | DRESIDUAL },
		{ "dsum", a->dsum, T, H, OPTIONAL, DX | DRESIDUAL },
		{ "s", a->s, T, H, with_norm },
		{ "gamma", a->gamma, 1, H, with_norm },
		{ "mean", a->mean, 1, T, with_norm },
		{ "rstd", a->rstd, 1, T, with_norm },
		{ "dx", a->dx, T, H, OUT, DX | both },
		{ "dresidual", a->dresidual, T, H, OUT | OPTIONAL, DRESIDUAL | both },
		{ "dbias", a->dbias, 1, H, OUT | OPTIONAL },
		{ "dgamma", a->dgamma, 1, H, OUT | with_norm },
		{ "dbeta", a->dbeta, 1, H, OUT | with_norm },
	};
	if (FITS("norm_backward", parts) || dropout_fits("norm_backward", &a->dropout, &a->rows, T))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->norm_backward(c->ctx, a));
}

/* ---- attention ---- */

static int sizes_fit(const char *op, int64_t batch, int64_t heads, int64_t head_dim, int64_t chunk, int64_t keys)
{
	if (batch < 0 || heads < 1 || head_dim < 1 || chunk < 0 || keys < 0)
		return sp_fail(SP_ERR_SHAPE, "%s: %" PRId64 " samples, %" PRId64 " heads of %" PRId64 ", %" PRId64 " queries, %" PRId64
		               " keys: expected at least one head of one column, and no negative number", op, batch, heads, head_dim,
		               chunk, keys);
	return SP_OK;
}

static int window_fits(const char *op, int64_t window)
{
	return window >= 0 ? SP_OK : sp_fail(SP_ERR_SHAPE, "%s: a window of %" PRId64 " tokens", op, window);
}

static int shape_fits(const char *op, const struct sp_attention_shape *s)
{
	if (sizes_fit(op, s->batch, s->heads, s->head_dim, s->chunk, s->keys) || keep_fits(op, &s->dropout) ||
	    window_fits(op, s->window) || there(op, "query_doc", s->query_doc, s->batch * s->chunk) || there(op, "key_doc", s->key_doc, s->batch * s->keys) ||
	    (dropped(&s->dropout) && there(op, "sample", s->sample, s->batch)))
		return SP_ERR_SHAPE;
	return SP_OK;
}

int sp_compute_attention_forward(struct sp_compute *c, const struct sp_attention_forward *a)
{
	const struct sp_attention_shape *s = &a->shape;
	int64_t T = s->batch * s->chunk, J = s->batch * s->keys, H = s->heads * s->head_dim, R = s->batch * s->heads;
	const struct part parts[] = {
		{ "q", a->q, T, H },
		{ "k", a->k, J, H },
		{ "v", a->v, J, H },
		{ "acc", a->acc, T, H, OUT },
		{ "m", a->m, R, s->chunk, OUT },
		{ "l", a->l, R, s->chunk, OUT },
	};
	if (shape_fits("attention_forward", s) || FITS("attention_forward", parts))
		return SP_ERR_SHAPE;
	struct sp_attention_forward polled = *a;
	give_poll(c, &polled.shape);
	return queued(c, c->ops->attention_forward(c->ctx, &polled));
}

int sp_compute_attention_finish(struct sp_compute *c, const struct sp_attention_finish *a)
{
	enum { O = 1, M = 2, L = 4 };
	int64_t T = a->batch * a->chunk, H = a->heads * a->head_dim, R = a->batch * a->heads;
	const struct part parts[] = {
		{ "acc", a->acc, T, H, 0, O },
		{ "m", a->m, R, a->chunk, 0, M },
		{ "l", a->l, R, a->chunk, 0, L },
		{ "o", a->o, T, H, OUT, O },
		{ "lse", a->lse, R, a->chunk, OUT, M | L },
	};
	if (sizes_fit("attention_finish", a->batch, a->heads, a->head_dim, a->chunk, 0) || FITS("attention_finish", parts))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->attention_finish(c->ctx, a));
}

int sp_compute_attention_merge(struct sp_compute *c, const struct sp_attention_merge *a)
{
	int64_t T = a->batch * a->chunk, H = a->heads * a->head_dim, R = a->batch * a->heads;
	const struct part parts[] = {
		{ "acc", a->acc, T, H, OUT },
		{ "m", a->m, R, a->chunk, OUT },
		{ "l", a->l, R, a->chunk, OUT },
		{ "from_acc", a->from_acc, T, H },
		{ "from_m", a->from_m, R, a->chunk },
		{ "from_l", a->from_l, R, a->chunk },
	};
	if (sizes_fit("attention_merge", a->batch, a->heads, a->head_dim, a->chunk, 0) || FITS("attention_merge", parts))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->attention_merge(c->ctx, a));
}

int sp_compute_attention_dots(struct sp_compute *c, const struct sp_attention_dots *a)
{
	int64_t T = a->batch * a->chunk, H = a->heads * a->head_dim;
	const struct part parts[] = {
		{ "dout", a->dout, T, H },
		{ "o", a->o, T, H },
		{ "dots", a->dots, a->batch * a->heads, a->chunk, OUT },
	};
	if (sizes_fit("attention_dots", a->batch, a->heads, a->head_dim, a->chunk, 0) || FITS("attention_dots", parts))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->attention_dots(c->ctx, a));
}

int sp_compute_attention_backward(struct sp_compute *c, const struct sp_attention_backward *a)
{
	const struct sp_attention_shape *s = &a->shape;
	int64_t T = s->batch * s->chunk, J = s->batch * s->keys, H = s->heads * s->head_dim, R = s->batch * s->heads;
	const struct part parts[] = {
		{ "q", a->q, T, H },
		{ "k", a->k, J, H },
		{ "v", a->v, J, H },
		{ "dout", a->dout, T, H },
		{ "lse", a->lse, R, s->chunk },
		{ "dots", a->dots, R, s->chunk },
		{ "dq", a->dq, T, H, OUT },
		{ "dk", a->dk, J, H, OUT },
		{ "dv", a->dv, J, H, OUT },
	};
	if (shape_fits("attention_backward", s) || FITS("attention_backward", parts))
		return SP_ERR_SHAPE;
	struct sp_attention_backward polled = *a;
	give_poll(c, &polled.shape);
	return queued(c, c->ops->attention_backward(c->ctx, &polled));
}

/* ---- attention on whole rows of scores ---- */

static int64_t score_rows(const struct sp_attention_shape *s)
{
	return s->batch * s->heads * s->chunk;
}

int sp_compute_scores_mask(struct sp_compute *c, const struct sp_scores_mask *a)
{
	const struct part parts[] = { { "s", a->s, score_rows(&a->shape), a->shape.keys, OUT } };
	if (shape_fits("scores_mask", &a->shape) || FITS("scores_mask", parts))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->scores_mask(c->ctx, a));
}

int sp_compute_scores_softmax(struct sp_compute *c, const struct sp_scores_softmax *a)
{
	const struct part parts[] = { { "s", a->s, a->s.rows, a->s.cols, OUT }, { "lse", a->lse, 1, a->s.rows, OUT } };
	if (FITS("scores_softmax", parts))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->scores_softmax(c->ctx, a));
}

int sp_compute_scores_drop(struct sp_compute *c, const struct sp_scores_drop *a)
{
	enum { IN_PLACE = 1 };
	const int64_t rows = score_rows(&a->shape), keys = a->shape.keys;
	const struct part parts[] = { { "p", a->p, rows, keys, 0, IN_PLACE }, { "y", a->y, rows, keys, OUT, IN_PLACE } };
	if (shape_fits("scores_drop", &a->shape) || FITS("scores_drop", parts))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->scores_drop(c->ctx, a));
}

int sp_compute_scores_backward(struct sp_compute *c, const struct sp_scores_backward *a)
{
	const struct sp_attention_shape *s = &a->shape;
	const struct part parts[] = {
		{ "p", a->p, score_rows(s), s->keys },
		{ "ds", a->ds, score_rows(s), s->keys, OUT },
		{ "dots", a->dots, s->batch * s->heads, s->chunk },
	};
	if (shape_fits("scores_backward", s) || FITS("scores_backward", parts))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->scores_backward(c->ctx, a));
}

/* ---- rotary positions ---- */

int sp_compute_rotate(struct sp_compute *c, const struct sp_rotate *a)
{
	const struct part parts[] = { { "x", a->x, a->x.rows, a->x.cols, OUT } };
	if (FITS("rotate", parts) || there("rotate", "position", a->position, a->x.rows))
		return SP_ERR_SHAPE;
	if (a->head_dim < 2 || a->head_dim % 2 != 0 || a->x.cols % a->head_dim != 0 || !(a->base > 1))
		return sp_fail(SP_ERR_SHAPE, "rotate: %" PRId64 " columns, heads of %" PRId64 ", base %g", a->x.cols, a->head_dim, a->base);
	return queued(c, c->ops->rotate(c->ctx, a));
}

/* ---- embedding ---- */

static int ids_fit(const char *op, const int32_t *token, const int32_t *pos, const int32_t *kind, int64_t T)
{
	return there(op, "token", token, T) || there(op, "pos", pos, T) || there(op, "kind", kind, T);
}

int sp_compute_embedding_forward(struct sp_compute *c, const struct sp_embedding_forward *a)
{
	enum { IN_PLACE = 1 };
	int64_t T = a->s.rows, H = a->s.cols;
	int with_norm = a->gamma.data ? 0 : ABSENT, in_place = a->gamma.data ? 0 : IN_PLACE;
	const struct part parts[] = {
		{ "word", a->word, a->word.rows, H },
		{ "position", a->position, a->position.rows, H, OPTIONAL },
		{ "type", a->type, a->type.rows, H },
		{ "gamma", a->gamma, 1, H, OPTIONAL },
		{ "beta", a->beta, 1, H, with_norm },
		{ "s", a->s, T, H, OUT, in_place },
		{ "y", a->y, T, H, OUT, in_place },
		{ "mean", a->mean, 1, T, OUT | with_norm },
		{ "rstd", a->rstd, 1, T, OUT | with_norm },
	};
	if (FITS("embedding_forward", parts) || ids_fit("embedding_forward", a->token, a->pos, a->kind, T) ||
	    dropout_fits("embedding_forward", &a->dropout, &a->rows, T))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->embedding_forward(c->ctx, a));
}

int sp_compute_embedding_backward(struct sp_compute *c, const struct sp_embedding_backward *a)
{
	int64_t T = a->dy.rows, H = a->dy.cols;
	int with_norm = a->gamma.data ? 0 : ABSENT;
	const struct part parts[] = {
		{ "dy", a->dy, T, H, OUT },
		{ "s", a->s, T, H, a->gamma.data ? 0 : OPTIONAL },
		{ "gamma", a->gamma, 1, H, OPTIONAL },
		{ "mean", a->mean, 1, T, with_norm },
		{ "rstd", a->rstd, 1, T, with_norm },
		{ "dword", a->dword, a->dword.rows, H, OUT },
		{ "dposition", a->dposition, a->dposition.rows, H, OUT | OPTIONAL },
		{ "dtype", a->dtype, a->dtype.rows, H, OUT },
		{ "dgamma", a->dgamma, 1, H, OUT | with_norm },
		{ "dbeta", a->dbeta, 1, H, OUT | with_norm },
	};
	if (FITS("embedding_backward", parts) || ids_fit("embedding_backward", a->token, a->pos, a->kind, T) ||
	    dropout_fits("embedding_backward", &a->dropout, &a->rows, T))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->embedding_backward(c->ctx, a));
}

/* ---- head ---- */

int sp_compute_gather_rows(struct sp_compute *c, const struct sp_row_move *a)
{
	const struct part parts[] = {
		{ "x", a->x, a->x.rows, a->x.cols },
		{ "y", a->y, a->n, a->x.cols, OUT },
	};
	if (FITS("gather_rows", parts) || there("gather_rows", "index", a->index, a->n))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->gather_rows(c->ctx, a));
}

int sp_compute_scatter_add_rows(struct sp_compute *c, const struct sp_row_move *a)
{
	const struct part parts[] = {
		{ "x", a->x, a->n, a->x.cols },
		{ "y", a->y, a->y.rows, a->x.cols, OUT },
	};
	if (FITS("scatter_add_rows", parts) || there("scatter_add_rows", "index", a->index, a->n))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->scatter_add_rows(c->ctx, a));
}

int sp_compute_cross_entropy(struct sp_compute *c, const struct sp_cross_entropy *a)
{
	int64_t n = a->logits.rows, V = a->logits.cols;
	const struct part parts[] = { { "logits", a->logits, n, n && V < 1 ? 1 : V, OUT } };
	if (FITS("cross_entropy", parts) || there("cross_entropy", "label", a->label, n) ||
	    there("cross_entropy", "loss", a->loss, 1))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->cross_entropy(c->ctx, a));
}

/* ---- vocabulary in parts ---- */

static int words_fit(const char *op, const struct sp_words *a, int backward)
{
	const int64_t T = a->y.rows, H = a->y.cols;
	const struct part parts[] = {
		{ backward ? "dword" : "word", a->word, a->word.rows, H, backward ? OUT : 0 },
		{ backward ? "dy" : "y", a->y, T, H, backward ? 0 : OUT },
	};
	return FITS(op, parts) || there(op, "token", a->token, T);
}

int sp_compute_words_forward(struct sp_compute *c, const struct sp_words *a)
{
	return words_fit("words_forward", a, 0) ? SP_ERR_SHAPE : queued(c, c->ops->words_forward(c->ctx, a));
}

int sp_compute_words_backward(struct sp_compute *c, const struct sp_words *a)
{
	return words_fit("words_backward", a, 1) ? SP_ERR_SHAPE : queued(c, c->ops->words_backward(c->ctx, a));
}

int sp_compute_entropy_part(struct sp_compute *c, const struct sp_entropy_part *a)
{
	const int64_t n = a->logits.rows, V = a->logits.cols;
	const struct part parts[] = {
		{ "logits", a->logits, n, n && V < 1 ? 1 : V },
		{ "stats", a->stats, n, 4, OUT },
	};
	if (FITS("entropy_part", parts) || there("entropy_part", "label", a->label, n))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->entropy_part(c->ctx, a));
}

int sp_compute_entropy_whole(struct sp_compute *c, const struct sp_entropy_whole *a)
{
	const int64_t n = a->logits.rows, V = a->logits.cols;
	const struct part parts[] = {
		{ "logits", a->logits, n, n && V < 1 ? 1 : V, OUT },
		{ "stats", a->stats, a->parts * n, 4 },
	};
	if (FITS("entropy_whole", parts) || there("entropy_whole", "label", a->label, n) ||
	    there("entropy_whole", "loss", a->loss, 1))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->entropy_whole(c->ctx, a));
}

int sp_compute_tanh_forward(struct sp_compute *c, struct sp_matrix x)
{
	const struct part parts[] = { { "x", x, x.rows, x.cols, OUT } };
	if (FITS("tanh_forward", parts))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->tanh_forward(c->ctx, x));
}

int sp_compute_tanh_backward(struct sp_compute *c, const struct sp_tanh_backward *a)
{
	const struct part parts[] = {
		{ "y", a->y, a->y.rows, a->y.cols },
		{ "dx", a->dx, a->y.rows, a->y.cols, OUT },
	};
	if (FITS("tanh_backward", parts))
		return SP_ERR_SHAPE;
	return queued(c, c->ops->tanh_backward(c->ctx, a));
}

/* ---- update ---- */

int sp_compute_sum_squares(struct sp_compute *c, const struct sp_sum_squares *a)
{
	if (there("sum_squares", "x", a->x, a->n) || there("sum_squares", "sum", a->sum, 1))
		return SP_ERR_SHAPE;
	return c->ops->sum_squares(c->ctx, a);
}

int sp_compute_clip_factor(struct sp_compute *c, const struct sp_clip_factor *a)
{
	if (there("clip_factor", "sum", a->sum, 1) || there("clip_factor", "factor", a->factor, 1))
		return SP_ERR_SHAPE;
	return c->ops->clip_factor(c->ctx, a);
}

int sp_compute_adamw(struct sp_compute *c, const struct sp_adamw *a)
{
	const struct part parts[] = {
		{ "w", vector(a->w, a->n), 1, a->n, OUT },
		{ "m", vector(a->m, a->n), 1, a->n, OUT },
		{ "v", vector(a->v, a->n), 1, a->n, OUT },
		{ "g", vector(a->g, a->n), 1, a->n },
		{ "factor", vector(a->factor, 1), 1, 1 },
	};
	if (FITS("adamw", parts))
		return SP_ERR_SHAPE;
	return c->ops->adamw(c->ctx, a);
}

int sp_compute_add(struct sp_compute *c, float *y, const float *x, int64_t n)
{
	const struct part parts[] = {
		{ "y", vector(y, n), 1, n, OUT },
		{ "x", vector(x, n), 1, n },
	};
	if (FITS("add", parts))
		return SP_ERR_SHAPE;
	return c->ops->add(c->ctx, y, x, n);
}

/* ---- measuring ---- */

int sp_compute_gemm_rate(struct sp_compute *c, int64_t m, int64_t n, int64_t k, double seconds, double *flops_per_s)
{
	if (m < 1 || n < 1 || k < 1)
		return sp_fail(SP_ERR_SHAPE, "gemm_rate: %" PRId64 " x %" PRId64 " x %" PRId64 " is no product to measure", m, n, k);
	return c->ops->gemm_rate(c->ctx, m, n, k, seconds, flops_per_s);
}

int sp_compute_memory_rate(struct sp_compute *c, double seconds, double *bytes_per_s)
{
	return c->ops->memory_rate(c->ctx, seconds, bytes_per_s);
}
