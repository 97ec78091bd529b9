#include "config.h"

#include "layers/order_head.h"

#include "base/size.h"
#include "layers/linear.h"

enum { ROWS = 256 }; /* so that scratch does not grow with the samples that are packed into a sequence */

int sp_order_head_layout(struct sp_order_head *head, struct sp_arena *arena, int64_t most, int64_t hidden,
                         enum sp_dtype element)
{
	const int64_t rows = sp_min(most, ROWS);
	struct sp_matrix *const parts[] = { &head->x, &head->pooled, &head->dpooled, &head->logits };
	int rc = SP_OK;
	for (int i = 0; rc == SP_OK && i < 4; i++)
		rc = sp_arena_take_matrix_of(arena, rows, i < 3 ? hidden : 2, element, parts[i]);
	return rc;
}

static int forward(const struct sp_order_head *h, const struct sp_layer_context *ctx, const struct sp_order_targets *t,
                   struct sp_matrix x)
{
	const struct sp_row_move gather = { .index = t->row, .n = t->n, .x = x, .y = h->x };
	const struct sp_cross_entropy loss = {
		.logits = h->logits,
		.label = t->label,
		.loss = t->loss,
		.correct = t->correct,
		.scale = t->scale,
		.gradient = ctx->training,
	};
	const struct sp_matrix nothing = { 0 };
	int rc = sp_compute_gather_rows(ctx->compute, &gather);
	if (rc == SP_OK)
		rc = sp_linear_layer_forward(&h->pooler, ctx, h->x, h->pooled, SP_ACT_NONE, nothing);
	if (rc == SP_OK)
		rc = sp_compute_tanh_forward(ctx->compute, h->pooled);
	if (rc == SP_OK)
		rc = sp_linear_layer_forward(&h->classifier, ctx, h->pooled, h->logits, SP_ACT_NONE, nothing);
	return rc ? rc : sp_compute_cross_entropy(ctx->compute, &loss);
}

static int backward(const struct sp_order_head *h, const struct sp_layer_context *ctx, const struct sp_order_targets *t,
                    struct sp_matrix dx)
{
	const struct sp_tanh_backward through_tanh = { .y = h->pooled, .dx = h->dpooled };
	/* pooled is free after tanh's gradient: it takes the gradient of x. */
	const struct sp_row_move scatter = { .index = t->row, .n = t->n, .x = h->pooled, .y = dx };
	int rc = sp_linear_layer_backward_weight(&h->classifier.weight, &h->classifier.bias, ctx, h->logits, h->pooled);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_input(&h->classifier.weight, ctx, h->logits, h->dpooled, 0);
	if (rc == SP_OK)
		rc = sp_compute_tanh_backward(ctx->compute, &through_tanh);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_weight(&h->pooler.weight, &h->pooler.bias, ctx, h->dpooled, h->x);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_input(&h->pooler.weight, ctx, h->dpooled, h->pooled, 0);
	return rc ? rc : sp_compute_scatter_add_rows(ctx->compute, &scatter);
}

int sp_order_head_run(const struct sp_order_head *head, const struct sp_layer_context *ctx,
                      const struct sp_order_targets *targets, struct sp_matrix x, struct sp_matrix dx)
{
	int rc = SP_OK;
	for (int64_t first = 0; rc == SP_OK && first < targets->n; first += head->x.rows) {
		struct sp_order_head h = *head;
		struct sp_order_targets t = *targets;
		t.n = sp_min(head->x.rows, targets->n - first);
		t.row += first;
		t.label += first;
		h.x.rows = h.pooled.rows = h.dpooled.rows = h.logits.rows = t.n;
		rc = forward(&h, ctx, &t, x);
		if (rc == SP_OK && ctx->training)
			rc = backward(&h, ctx, &t, dx);
	}
	return rc;
}
