#include "config.h"

#include "layers/mlm_head.h"

#include "base/size.h"
#include "layers/linear.h"

int sp_mlm_head_layout(struct sp_mlm_head *head, struct sp_arena *arena, int64_t tokens, int64_t hidden, int64_t vocab,
                       enum sp_dtype element)
{
	const int64_t rows = sp_min(SP_HEAD_ROWS, tokens);
	struct sp_matrix *const hidden_sized[] = { &head->x, &head->pre, &head->s, &head->y, &head->dy };
	int rc = SP_OK;
	head->rows = rows;
	for (int i = 0; rc == SP_OK && i < 5; i++)
		rc = sp_arena_take_matrix_of(arena, rows, hidden, element, hidden_sized[i]);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, 1, rows, &head->mean);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, 1, rows, &head->rstd);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix_of(arena, rows, vocab, element, &head->logits);
	if (rc == SP_OK && head->parts.parts > 1)
		rc = sp_arena_take_matrix(arena, head->parts.parts * rows, 4, &head->stats);
	return rc;
}

/* The same head with its scratch cut down to `rows` rows. */
static struct sp_mlm_head cut(const struct sp_mlm_head *head, int64_t rows)
{
	struct sp_mlm_head h = *head;
	struct sp_matrix *const tall[] = { &h.x, &h.pre, &h.s, &h.y, &h.dy, &h.logits };
	for (int i = 0; i < 6; i++)
		tall[i]->rows = rows;
	h.mean.cols = h.mean.stride = rows;
	h.rstd.cols = h.rstd.stride = rows;
	return h;
}

static int chunk_logits(const struct sp_mlm_head *h, const struct sp_layer_context *ctx, const int32_t *row, int64_t n,
                        struct sp_matrix x)
{
	const struct sp_row_move gather = { .index = row, .n = n, .x = x, .y = h->x };
	const struct sp_norm_forward norm = {
		.x = h->s,
		.gamma = h->norm.gamma.value,
		.beta = h->norm.beta.value,
		.y = h->y,
		.mean = h->mean,
		.rstd = h->rstd,
		.eps = ctx->eps,
		.dropout = { .keep = 65536 },
	};
	int rc = sp_compute_gather_rows(ctx->compute, &gather);
	if (rc == SP_OK)
		rc = sp_linear_layer_forward(&h->dense, ctx, h->x, h->s, h->act, h->pre);
	if (rc == SP_OK)
		rc = sp_compute_norm_forward(ctx->compute, &norm);
	return rc ? rc : sp_linear_layer_forward(&h->decoder, ctx, h->y, h->logits, SP_ACT_NONE, (struct sp_matrix){ 0 });
}

int sp_mlm_head_logits(const struct sp_mlm_head *head, const struct sp_layer_context *ctx, const int32_t *row, int64_t n,
                       struct sp_matrix x, struct sp_matrix *logits)
{
	const struct sp_mlm_head h = cut(head, n);
	*logits = h.logits;
	return chunk_logits(&h, ctx, row, n, x);
}

/* The loss of rows of which each part holds some columns: what each contributes to the softmax, then the whole. */
static int loss_of_parts(const struct sp_mlm_head *h, const struct sp_layer_context *ctx, const struct sp_mlm_targets *t)
{
	const struct sp_matrix stats = sp_matrix(h->stats.data, h->parts.parts * t->n, 4);
	const struct sp_entropy_part part = { h->logits, t->label, h->parts.first,
		                                  sp_matrix_rows(stats, h->parts.part * t->n, t->n) };
	const struct sp_entropy_whole whole = {
		.logits = h->logits,
		.label = t->label,
		.first = h->parts.first,
		.stats = stats,
		.parts = h->parts.parts,
		.loss = t->loss,
		.correct = t->correct,
		.scale = t->scale,
		.gradient = ctx->training,
	};
	int rc = sp_compute_entropy_part(ctx->compute, &part);
	if (rc == SP_OK)
		rc = h->parts.gather(h->parts.context, stats);
	return rc ? rc : sp_compute_entropy_whole(ctx->compute, &whole);
}

static int chunk_forward(const struct sp_mlm_head *h, const struct sp_layer_context *ctx, const struct sp_mlm_targets *t,
                         struct sp_matrix x)
{
	const struct sp_cross_entropy loss = {
		.logits = h->logits,
		.label = t->label,
		.loss = t->loss,
		.correct = t->correct,
		.scale = t->scale,
		.gradient = ctx->training,
	};
	int rc = chunk_logits(h, ctx, t->row, t->n, x);
	if (rc)
		return rc;
	return h->parts.parts > 1 ? loss_of_parts(h, ctx, t) : sp_compute_cross_entropy(ctx->compute, &loss);
}

/* On entry logits hold their gradient; dy becomes, in turn, the gradient of y, s, pre and x. */
static int chunk_backward(const struct sp_mlm_head *h, const struct sp_layer_context *ctx, const struct sp_mlm_targets *t,
                          struct sp_matrix dx)
{
	const struct sp_norm_backward norm = {
		.dy = h->dy,
		.s = h->s,
		.gamma = h->norm.gamma.value,
		.mean = h->mean,
		.rstd = h->rstd,
		.dx = h->dy,
		.dgamma = h->norm.gamma.grad,
		.dbeta = h->norm.beta.grad,
		.dropout = { .keep = 65536 },
	};
	const struct sp_activation_backward activation = { .pre = h->pre, .dx = h->dy, .act = h->act };
	/* y is no longer needed once the decoder's gradient is done: it takes the gradient of x. */
	const struct sp_row_move scatter = { .index = t->row, .n = t->n, .x = h->y, .y = dx };
	int rc = sp_linear_layer_backward_weight(&h->decoder.weight, &h->decoder.bias, ctx, h->logits, h->y);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_input(&h->decoder.weight, ctx, h->logits, h->dy, 0);
	if (rc == SP_OK && h->parts.parts > 1)
		rc = h->parts.sum(h->parts.context, h->dy);
	if (rc == SP_OK)
		rc = sp_compute_norm_backward(ctx->compute, &norm);
	if (rc == SP_OK)
		rc = sp_compute_activation_backward(ctx->compute, &activation);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_weight(&h->dense.weight, &h->dense.bias, ctx, h->dy, h->x);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_input(&h->dense.weight, ctx, h->dy, h->y, 0);
	return rc ? rc : sp_compute_scatter_add_rows(ctx->compute, &scatter);
}

int sp_mlm_head_run(const struct sp_mlm_head *head, const struct sp_layer_context *ctx, const struct sp_mlm_targets *targets,
                    struct sp_matrix x, struct sp_matrix dx)
{
	int rc = SP_OK;
	for (int64_t first = 0; rc == SP_OK && first < targets->n; first += head->rows) {
		struct sp_mlm_targets t = *targets;
		t.row += first;
		t.label += first;
		t.n = sp_min(head->rows, targets->n - first);
		const struct sp_mlm_head h = cut(head, t.n);
		rc = chunk_forward(&h, ctx, &t, x);
		if (rc == SP_OK && ctx->training)
			rc = chunk_backward(&h, ctx, &t, dx);
	}
	return rc;
}
