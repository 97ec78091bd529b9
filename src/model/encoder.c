#include "config.h"

#include "model/encoder.h"

#include "base/size.h"
#include "base/trace.h"
#include "layers/linear.h"

#include <stdio.h>
#include <string.h>

static void bind_joints(struct sp_encoder_layer *layer, const struct sp_binding *b, const struct sp_model_config *config,
                        const char *at)
{
	char name[96], next[96];
	const int last = layer->index + 1 == config->layers;
	snprintf(name, sizeof name, config->pre_norm ? "%s.ln" : "%s.attention.output.LayerNorm", at);
	layer->joint_attention.norm = sp_bind_norm(b, name);
	layer->joint_attention.bias = sp_bind(b, at, ".attention.output.dense.bias");
	layer->joint_mlp.bias = sp_bind(b, at, ".output.dense.bias");
	if (layer->open)
		return;
	if (!config->pre_norm)
		snprintf(next, sizeof next, "%s.output.LayerNorm", at);
	else if (last)
		snprintf(next, sizeof next, "bert.encoder.ln");
	else
		snprintf(next, sizeof next, "bert.encoder.layer.%lld.attention.ln", (long long)layer->index + 1);
	layer->joint_mlp.norm = sp_bind_norm(b, next);
}

/* With which keys and values are summed along the sequence. */
static void bind_sequence(struct sp_encoder_layer *layer, const struct sp_binding *b, const struct sp_model_config *config,
                          const char *at)
{
	if (config->linformer_k == 0)
		return;
	if (config->linformer_share == SP_LINFORMER_MODEL) {
		layer->sequence_key = layer->sequence_value = sp_bind(b, "bert.encoder.sequence", ".weight");
		return;
	}
	layer->sequence_key = sp_bind(b, at, ".sequence_key.weight");
	layer->sequence_value = sp_bind(b, at, ".sequence_value.weight");
}

void sp_encoder_layer_bind(struct sp_encoder_layer *layer, const struct sp_binding *b, const struct sp_model_config *config,
                           int64_t index)
{
	char at[64], name[96];
	snprintf(at, sizeof at, "bert.encoder.layer.%lld", (long long)index);
	layer->index = index;
	layer->attention_dropout = config->attention_dropout;
	layer->qkv.weight = sp_bind_three(b, at, ".attention.self.query.weight");
	layer->qkv.bias = sp_bind_three(b, at, ".attention.self.query.bias");
	layer->projection = sp_bind(b, at, ".attention.output.dense.weight");
	snprintf(name, sizeof name, "%s.intermediate.dense", at);
	layer->mlp.up = sp_bind_dense(b, name);
	layer->mlp.down = sp_bind(b, at, ".output.dense.weight");
	layer->mlp.act = config->activation;
	bind_sequence(layer, b, config, at);
	bind_joints(layer, b, config, at);
	layer->joint_attention.layer = layer->joint_mlp.layer = index + 1;
	layer->joint_attention.site = SP_SITE_ATTENTION_OUTPUT;
	layer->joint_mlp.site = SP_SITE_MLP_OUTPUT;
	layer->joint_attention.dropout = layer->joint_mlp.dropout = config->dropout;
}

struct sp_encoder_widths sp_encoder_widths(const struct sp_model_config *config, const struct sp_model_part *part)
{
	const int64_t heads = sp_part_size(part, config->heads);
	return (struct sp_encoder_widths){ config->hidden, heads, heads * (config->hidden / config->heads),
		                               sp_part_size(part, config->intermediate), 0, 0 };
}

/* Tensor ranks must decide alike, as they sum what they make of these rows, and their shares of a layer need not be equal. */
int64_t sp_encoder_most_read(const struct sp_model_config *config, const struct sp_model_part *part, int64_t rows)
{
	struct sp_model_part share = *part;
	int64_t most = rows;
	for (share.tensor = 0; share.tensor < sp_max(part->tensors, 1); share.tensor++) {
		const struct sp_encoder_widths w = sp_encoder_widths(config, &share);
		/* through the MLP, backward through the projection; forward takes less */
		most = sp_min(most, rows * w.intermediate / (w.intermediate + sp_max(2 * w.hidden, w.hidden + 2 * w.attention)));
	}
	return most;
}

int sp_encoder_tensor_sum(const struct sp_encoder_attention *attention, struct sp_matrix y)
{
	return attention->tensor ? sp_comm_all_reduce(attention->tensor, y.data, y.rows * y.cols, SP_F32, SP_SUM) : SP_OK;
}

int sp_encoder_scratch_layout(struct sp_encoder_scratch *scratch, struct sp_arena *arena, const struct sp_encoder_widths *w,
                              int64_t rows)
{
	int rc = sp_arena_take_matrix(arena, rows, w->hidden, &scratch->dx);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, rows, w->attention > w->intermediate ? w->attention : 0, &scratch->dout);
	return rc ? rc : sp_arena_take_matrix(arena, rows, 3 * w->attention > w->intermediate ? 3 * w->attention : 0, &scratch->dqkv);
}

/* ---- what a layer leaves behind ---- */

/* Where it lies: kept in a place of each layer's own, or lent to one layer after the other. */
enum place { KEPT, LENT, GIVEN };

struct left {
	struct sp_matrix *view;
	int64_t rows, cols;
	enum place place;
};

enum { LEFT = 15 };

/* The stream is always kept: y in a post-LN layer; in a pre-LN layer the sum, from which y is made again. Returns how many
 * there are: an open layer has no norm at its end. */
static int list(struct sp_encoder_layer *layer, const struct sp_encoder_widths *w, int64_t batch, int64_t chunk,
                enum sp_recompute recompute, struct left left[LEFT])
{
	const int64_t rows = batch * chunk;
	const enum place qkv = recompute == SP_RECOMPUTE_NONE ? KEPT : LENT;
	const enum place inner = recompute == SP_RECOMPUTE_LAYER ? LENT : KEPT;
	const enum place sum = layer->pre_norm ? KEPT : inner;
	const enum place y = layer->pre_norm && recompute == SP_RECOMPUTE_LAYER ? GIVEN : KEPT;
	const struct left all[LEFT] = {
		{ &layer->attention.qkv, rows, 3 * w->attention, qkv },
		{ &layer->attention.o, rows, w->attention, inner },
		{ &layer->attention.lse, batch * w->heads, chunk, inner },
		{ &layer->attention.scores, batch * w->heads * chunk, w->scores, inner },
		{ &layer->attention.projected, w->projected > 0, w->projected, inner },
		{ &layer->joint_attention.s, rows, w->hidden, inner },
		{ &layer->joint_attention.mean, 1, rows, inner },
		{ &layer->joint_attention.rstd, 1, rows, inner },
		{ &layer->joint_attention.y, rows, w->hidden, inner },
		{ &layer->mlp.pre, rows, w->intermediate, inner },
		{ &layer->mlp.hidden, rows, w->intermediate, inner },
		{ &layer->joint_mlp.s, rows, w->hidden, sum },
		{ &layer->joint_mlp.mean, 1, rows, inner },
		{ &layer->joint_mlp.rstd, 1, rows, inner },
		{ &layer->joint_mlp.y, rows, w->hidden, y },
	};
	memcpy(left, all, sizeof all);
	return LEFT - (layer->open ? 3 : 0);
}

static int take(const struct left *left, int count, enum place place, struct sp_arena *arena)
{
	int rc = SP_OK;
	for (int i = 0; rc == SP_OK && i < count; i++)
		if (left[i].place == place)
			rc = sp_arena_take_matrix(arena, left[i].rows, left[i].cols, left[i].view);
	return rc;
}

int sp_encoder_layer_layout(struct sp_encoder_layer *layer, struct sp_arena *arena, const struct sp_encoder_widths *widths,
                            int64_t batch, int64_t chunk, enum sp_recompute recompute)
{
	struct left left[LEFT];
	const int count = list(layer, widths, batch, chunk, recompute, left);
	return take(left, count, KEPT, arena);
}

int sp_encoder_layer_layout_lent(struct sp_encoder_layer *lent, struct sp_arena *arena, const struct sp_encoder_widths *widths,
                                 int64_t batch, int64_t chunk, enum sp_recompute recompute)
{
	struct left left[LEFT];
	const int count = list(lent, widths, batch, chunk, recompute, left);
	return take(left, count, LENT, arena);
}

void sp_encoder_layer_borrow(struct sp_encoder_layer *layer, const struct sp_encoder_layer *lent, enum sp_recompute recompute)
{
	const struct sp_encoder_widths any = { 0 };
	struct sp_encoder_layer from = *lent;
	struct left own[LEFT], theirs[LEFT];
	const int count = list(layer, &any, 0, 0, recompute, own);
	list(&from, &any, 0, 0, recompute, theirs);
	for (int i = 0; i < count; i++)
		if (own[i].place == LENT)
			*own[i].view = *theirs[i].view;
}

int sp_encoder_shared_layout(struct sp_encoder_shared *shared, struct sp_arena *arena, int64_t rows, int64_t hidden)
{
	struct sp_matrix *const tall[] = { &shared->stream, &shared->sum, &shared->normed };
	int rc = SP_OK;
	for (int i = 0; rc == SP_OK && i < 3; i++)
		rc = sp_arena_take_matrix(arena, rows, hidden, tall[i]);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, 1, rows, &shared->mean);
	return rc ? rc : sp_arena_take_matrix(arena, 1, rows, &shared->rstd);
}

/* Attention is done when the MLP begins: the larger of the two decides. */
int sp_encoder_shared_layout_inner(struct sp_encoder_shared *shared, struct sp_arena *arena,
                                   const struct sp_encoder_widths *widths, int64_t batch, int64_t chunk)
{
	const int64_t rows = batch * chunk, a = widths->attention, i = widths->intermediate;
	const size_t begin = arena->used;
	void *rest;
	int rc = sp_arena_take_matrix(arena, rows, i, &shared->pre);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, rows, i, &shared->hidden);
	const size_t mlp_end = arena->used;
	sp_arena_release(arena, begin);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, rows, 3 * a, &shared->qkv);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, rows, a, &shared->o);
	if (rc == SP_OK && arena->used < mlp_end)
		rc = sp_arena_take(arena, (int64_t)(mlp_end - arena->used), 1, &rest);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, batch * widths->heads, chunk, &shared->lse);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, batch * widths->heads * chunk, widths->scores, &shared->scores);
	return rc ? rc : sp_arena_take_matrix(arena, widths->projected > 0, widths->projected, &shared->projected);
}

/* Each joint writes where nothing is read any more. Post-LN: `stream` is read until attention's joint, whose output the
 * MLP's joint adds. Pre-LN: the sums change places, and what is normed is read at once. */
void sp_encoder_layer_share(struct sp_encoder_layer *layer, const struct sp_encoder_shared *shared)
{
	layer->attention = (struct sp_attention_state){ shared->qkv, shared->o, shared->lse, shared->scores, shared->projected };
	layer->mlp.pre = shared->pre;
	layer->mlp.hidden = shared->hidden;
	layer->joint_attention.mean = shared->mean;
	layer->joint_attention.rstd = shared->rstd;
	layer->joint_attention.s = shared->sum;
	layer->joint_attention.y = shared->normed;
	layer->joint_mlp.s = layer->pre_norm ? shared->stream : shared->sum;
	if (layer->open)
		return;
	layer->joint_mlp.mean = shared->mean;
	layer->joint_mlp.rstd = shared->rstd;
	layer->joint_mlp.y = layer->pre_norm ? shared->normed : shared->stream;
}

static struct sp_stream stream_of(const struct sp_norm_layer *joint, int pre_norm)
{
	const struct sp_stream out = { .y = joint->y, .residual = pre_norm ? joint->s : joint->y };
	return out;
}

struct sp_stream sp_encoder_layer_out(const struct sp_encoder_layer *layer)
{
	return stream_of(&layer->joint_mlp, layer->pre_norm);
}

static struct sp_attention_call call_of(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                                        const struct sp_encoder_attention *attention, const struct sp_read_rows *read)
{
	const struct sp_attention_call call = {
		.doc = attention->doc,
		.query_doc = read ? read->doc : NULL,
		.sample = attention->sample,
		.dropout = sp_layer_dropout(ctx, layer->index + 1, SP_SITE_ATTENTION, layer->attention_dropout),
		.length = attention->length,
		.projections = { layer->sequence_key.value, layer->sequence_value.value, layer->sequence_key.grad,
		                 layer->sequence_value.grad },
	};
	return call;
}

/* The MLP's hidden rows behind those that are read are free. */
static const struct sp_read_rows *with_room(const struct sp_encoder_layer *layer, const struct sp_read_rows *read,
                                            struct sp_read_rows *own)
{
	const struct sp_matrix hidden = layer->mlp.hidden;
	if (!read)
		return NULL;
	const int64_t n = sp_read_rows_count(read);
	*own = *read;
	own->room = sp_matrix_rows(hidden, n, hidden.rows - n);
	return own;
}

/* Queries and keys, or their gradients, by the tokens' positions; the backward of a rotation is the rotation back. */
static int rotate(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                  const struct sp_encoder_attention *attention, struct sp_matrix qkv, int inverse)
{
	const int64_t width = qkv.cols / 3, heads = layer->attention.lse.rows / ctx->rows.batch;
	const struct sp_rotate op = { attention->position, sp_matrix_columns(qkv, 0, 2 * width), width / heads,
		                          attention->rope_base, inverse };
	return attention->rope_base > 0 ? sp_compute_rotate(ctx->compute, &op) : SP_OK;
}

/* Queries, keys and values. */
static int project(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                   const struct sp_encoder_attention *attention, struct sp_stream in)
{
	const struct sp_matrix nothing = { 0 }, qkv = layer->attention.qkv;
	const int rc = sp_linear_layer_forward(&layer->qkv, ctx, in.y, qkv, SP_ACT_NONE, nothing);
	return rc ? rc : rotate(layer, ctx, attention, qkv, 0);
}

/* What heads have found, as features of the stream: the input of the joint. */
static int project_out(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                       const struct sp_encoder_attention *attention, const struct sp_read_rows *read)
{
	const struct sp_matrix s = layer->joint_attention.s, o = layer->attention.o;
	const struct sp_matrix from = read ? sp_read_rows_room(read, s.cols, o.cols) : o;
	const struct sp_matrix to = read ? sp_read_rows_room(read, 0, s.cols) : s;
	int rc = read ? sp_read_rows_gather(read, ctx, o, from) : SP_OK;
	if (rc == SP_OK)
		rc = sp_linear_layer_forward_plain(&layer->projection, ctx, from, to);
	if (rc == SP_OK)
		rc = sp_encoder_tensor_sum(attention, to);
	return rc || !read ? rc : sp_read_rows_put(read, ctx, to, s);
}

static int attention_forward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                             const struct sp_encoder_attention *attention, struct sp_stream in,
                             const struct sp_read_rows *read)
{
	const struct sp_attention_call call = call_of(layer, ctx, attention, read);
	int rc = project(layer, ctx, attention, in);
	if (rc == SP_OK)
		rc = attention->variant->forward(attention->work, &call, &layer->attention);
	if (rc == SP_OK)
		rc = project_out(layer, ctx, attention, read);
	return rc ? rc : sp_norm_layer_forward(&layer->joint_attention, ctx, in.residual);
}

/* The MLP as it is for all rows, or with as many rows as are read. */
static struct sp_mlp_layer mlp_of(const struct sp_encoder_layer *layer, const struct sp_read_rows *read)
{
	struct sp_mlp_layer mlp = layer->mlp;
	if (read) {
		mlp.pre = sp_matrix_rows(mlp.pre, 0, sp_read_rows_count(read));
		mlp.hidden = sp_matrix_rows(mlp.hidden, 0, sp_read_rows_count(read));
	}
	return mlp;
}

static int mlp_forward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                       const struct sp_encoder_attention *attention, const struct sp_read_rows *read)
{
	const struct sp_stream in = stream_of(&layer->joint_attention, layer->pre_norm);
	const struct sp_mlp_layer mlp = mlp_of(layer, read);
	const struct sp_matrix s = layer->joint_mlp.s;
	const struct sp_matrix from = read ? sp_read_rows_room(read, s.cols, s.cols) : in.y;
	const struct sp_matrix to = read ? sp_read_rows_room(read, 0, s.cols) : s;
	int rc = read ? sp_read_rows_gather(read, ctx, in.y, from) : SP_OK;
	if (rc == SP_OK)
		rc = sp_mlp_layer_forward(&mlp, ctx, from, to);
	if (rc == SP_OK)
		rc = sp_encoder_tensor_sum(attention, to);
	if (rc == SP_OK && read)
		rc = sp_read_rows_put(read, ctx, to, s);
	return rc ? rc : sp_norm_layer_forward(&layer->joint_mlp, ctx, in.residual);
}

static int run(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
               const struct sp_encoder_attention *attention, struct sp_stream in, const struct sp_read_rows *read)
{
	int rc = attention_forward(layer, ctx, attention, in, read);
	return rc ? rc : mlp_forward(layer, ctx, attention, read);
}

int sp_encoder_layer_forward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                             const struct sp_encoder_attention *attention, struct sp_stream in,
                             const struct sp_read_rows *read)
{
	struct sp_read_rows own;
	sp_trace_begin(SP_TRACE_COMPUTE, "forward layer", (int)layer->index);
	int rc = run(layer, ctx, attention, in, with_room(layer, read, &own));
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

int sp_encoder_layer_again(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                           const struct sp_encoder_attention *attention, struct sp_stream in, const struct sp_read_rows *read,
                           enum sp_recompute recompute)
{
	struct sp_read_rows own;
	int rc = SP_OK;
	if (recompute == SP_RECOMPUTE_NONE)
		return SP_OK;
	sp_trace_begin(SP_TRACE_COMPUTE, "again layer", (int)layer->index);
	if (recompute == SP_RECOMPUTE_ATTENTION)
		rc = project(layer, ctx, attention, in);
	else
		rc = run(layer, ctx, attention, in, with_room(layer, read, &own));
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

/* The gradient through a joint: dx to the block's output, and to the residual where the stream keeps its gradient: in dsum
 * (pre-LN), or in dy, which the block's own gradient is then added to (post-LN). */
static int joint_backward(const struct sp_norm_layer *joint, const struct sp_layer_context *ctx,
                          const struct sp_encoder_scratch *s, int pre_norm, int open, int first_sum)
{
	const struct sp_matrix nothing = { 0 };
	if (open)
		return sp_norm_layer_backward(joint, ctx, nothing, s->dy, s->dx, s->dsum);
	return sp_norm_layer_backward(joint, ctx, s->dy, pre_norm && !first_sum ? s->dsum : nothing, s->dx,
	                              pre_norm ? s->dsum : s->dy);
}

/* Whether a block's gradient is added to what the stream already holds of it (post-LN). Where tensor ranks sum, one of them
 * brings that in. */
static int adds_to_stream(const struct sp_encoder_layer *layer, const struct sp_encoder_attention *attention)
{
	return !layer->pre_norm && (!attention->tensor || sp_comm_rank(attention->tensor) == 0);
}

/* Of the rows that are read alone. dx takes the place of x. */
static int mlp_backward_read(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                             const struct sp_encoder_attention *attention, const struct sp_read_rows *read,
                             const struct sp_encoder_scratch *s)
{
	const int64_t h = s->dy.cols;
	const struct sp_mlp_layer mlp = mlp_of(layer, read);
	const struct sp_matrix dy = sp_read_rows_room(read, 0, h), x = sp_read_rows_room(read, h, h), dx = x;
	int rc = sp_read_rows_gather(read, ctx, s->dx, dy);
	if (rc == SP_OK)
		rc = sp_read_rows_gather(read, ctx, layer->joint_attention.y, x);
	if (rc == SP_OK)
		rc = sp_mlp_layer_backward(&mlp, ctx, x, dy, dx, 0);
	if (rc == SP_OK)
		rc = sp_encoder_tensor_sum(attention, dx);
	if (rc)
		return rc;
	return layer->pre_norm ? sp_read_rows_put(read, ctx, dx, s->dy) : sp_read_rows_add(read, ctx, dx, s->dy);
}

static int mlp_backward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                        const struct sp_encoder_attention *attention, const struct sp_read_rows *read,
                        const struct sp_encoder_scratch *s, int first_sum)
{
	int rc = joint_backward(&layer->joint_mlp, ctx, s, layer->pre_norm, layer->open, first_sum);
	if (rc)
		return rc;
	if (read)
		return mlp_backward_read(layer, ctx, attention, read, s);
	rc = sp_mlp_layer_backward(&layer->mlp, ctx, layer->joint_attention.y, s->dx, s->dy, adds_to_stream(layer, attention));
	return rc ? rc : sp_encoder_tensor_sum(attention, s->dy);
}

/* The gradient of what heads have found, from that of the joint's input in s->dx. */
static int project_out_backward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                                const struct sp_read_rows *read, const struct sp_encoder_scratch *s, struct sp_matrix dout)
{
	const int64_t h = s->dx.cols, a = dout.cols;
	const struct sp_matrix o = read ? sp_read_rows_room(read, h, a) : layer->attention.o;
	const struct sp_matrix dx = read ? sp_read_rows_room(read, 0, h) : s->dx;
	const struct sp_matrix to = read ? sp_read_rows_room(read, h + a, a) : dout;
	int rc = read ? sp_read_rows_gather(read, ctx, layer->attention.o, o) : SP_OK;
	if (rc == SP_OK && read)
		rc = sp_read_rows_gather(read, ctx, s->dx, dx);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_weight(&layer->projection, NULL, ctx, dx, o);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_input(&layer->projection, ctx, dx, to, 0);
	return rc || !read ? rc : sp_read_rows_put(read, ctx, to, dout);
}

/* What the MLP's backward has left behind, as so many columns, where that is wide enough. */
static struct sp_matrix room_of(struct sp_matrix left, struct sp_matrix otherwise, int64_t cols)
{
	return sp_matrix(left.cols >= cols ? left.data : otherwise.data, left.rows, cols);
}

static int attention_backward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                              const struct sp_encoder_attention *attention, struct sp_stream in,
                              const struct sp_read_rows *read, const struct sp_encoder_scratch *s)
{
	const struct sp_attention_call call = call_of(layer, ctx, attention, read);
	const struct sp_matrix dqkv = room_of(layer->mlp.hidden, s->dqkv, layer->attention.qkv.cols);
	const struct sp_matrix dout = room_of(layer->mlp.pre, s->dout, layer->attention.o.cols);
	int rc = joint_backward(&layer->joint_attention, ctx, s, layer->pre_norm, 0, 0);
	if (rc == SP_OK)
		rc = project_out_backward(layer, ctx, read, s, dout);
	if (rc == SP_OK)
		rc = attention->variant->backward(attention->work, &call, &layer->attention, dout, dqkv);
	if (rc == SP_OK)
		rc = rotate(layer, ctx, attention, dqkv, 1);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_weight(&layer->qkv.weight, &layer->qkv.bias, ctx, dqkv, in.y);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_input(&layer->qkv.weight, ctx, dqkv, s->dy, adds_to_stream(layer, attention));
	return rc ? rc : sp_encoder_tensor_sum(attention, s->dy);
}

/* Keys and values set out before the MLP is at work. */
static int begin_attention_backward(const struct sp_encoder_layer *layer, const struct sp_encoder_attention *attention)
{
	const struct sp_attention_variant *variant = attention->variant;
	return variant->begin_backward ? variant->begin_backward(attention->work, &layer->attention) : SP_OK;
}

int sp_encoder_layer_backward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                              const struct sp_encoder_attention *attention, struct sp_stream in,
                              const struct sp_read_rows *read, const struct sp_encoder_scratch *scratch, int first_sum)
{
	struct sp_read_rows own;
	sp_trace_begin(SP_TRACE_COMPUTE, "backward layer", (int)layer->index);
	int rc = begin_attention_backward(layer, attention);
	read = with_room(layer, read, &own);
	if (rc == SP_OK)
		rc = mlp_backward(layer, ctx, attention, read, scratch, first_sum);
	if (rc == SP_OK)
		rc = attention_backward(layer, ctx, attention, in, read, scratch);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}
