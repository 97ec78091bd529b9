#include "config.h"

#include "model/encoder_inside.h"

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
	layer->projection = sp_bind_factor(b, at, ".attention.output.dense.weight");
	snprintf(name, sizeof name, "%s.intermediate.dense", at);
	layer->mlp.up = sp_bind_dense(b, name);
	layer->mlp.down = sp_bind_factor(b, at, ".output.dense.weight");
	layer->mlp.act = config->activation;
	bind_sequence(layer, b, config, at);
	bind_joints(layer, b, config, at);
	layer->joint_attention.layer = layer->joint_mlp.layer = index + 1;
	layer->joint_attention.site = SP_SITE_ATTENTION_OUTPUT;
	layer->joint_mlp.site = SP_SITE_MLP_OUTPUT;
	layer->joint_attention.dropout = layer->joint_mlp.dropout = config->dropout;
}

static struct sp_encoder_widths widths_of(const struct sp_model_config *config, const struct sp_model_part *part)
{
	const int64_t heads = sp_part_size(part, config->heads);
	return (struct sp_encoder_widths){
		.hidden = config->hidden,
		.heads = heads,
		.attention = heads * (config->hidden / config->heads),
		.intermediate = sp_part_size(part, config->intermediate),
	};
}

struct sp_encoder_widths sp_encoder_widths(const struct sp_model_config *config, const struct sp_model_part *part)
{
	struct sp_encoder_widths w = widths_of(config, part);
	struct sp_model_part share = *part;
	w.least_intermediate = w.intermediate;
	for (share.tensor = 0; share.tensor < part->tensors; share.tensor++) {
		const struct sp_encoder_widths other = widths_of(config, &share);
		w.least_intermediate = sp_min(w.least_intermediate, other.intermediate);
		w.most_attention = sp_max(w.most_attention, other.attention);
	}
	w.most_attention = sp_max(w.most_attention, w.attention);
	return w;
}

/* Rows for which there is room in the MLP's buffers, through the MLP, and backward through the projection; forward takes less. */
static int64_t most_read(const struct sp_encoder_widths *w, int64_t rows)
{
	return rows * w->least_intermediate / (w->least_intermediate + sp_max(2 * w->hidden, w->hidden + 2 * w->most_attention));
}

int sp_encoder_tensor_sum(const struct sp_encoder_attention *attention, struct sp_matrix y)
{
	if (!attention->tensor)
		return SP_OK;
	return sp_comm_all_reduce_on(attention->tensor, attention->compute, y.data, y.rows * y.cols, y.dtype, SP_SUM);
}

/* One of the three matrices that lie where dqkv will. */
static struct sp_matrix third(const struct sp_encoder_scratch *scratch, int i)
{
	const int64_t rows = scratch->three.rows / 3;
	return scratch->three.data ? sp_matrix_rows(scratch->three, i * rows, rows) :
	                             sp_matrix_of(NULL, rows, scratch->three.cols, scratch->three.dtype);
}

int sp_encoder_scratch_layout(struct sp_encoder_scratch *scratch, struct sp_arena *arena, const struct sp_encoder_widths *w,
                              int64_t rows, enum sp_recompute recompute)
{
	if (recompute == SP_RECOMPUTE_LAYER) {
		int rc = sp_arena_take_matrix_of(arena, 3 * rows, w->hidden, w->element, &scratch->three);
		scratch->dx = third(scratch, 2);
		return rc;
	}
	const int64_t dout = w->attention > w->intermediate ? w->attention : 0;
	const int64_t dqkv = 3 * w->attention > w->intermediate ? 3 * w->attention : 0;
	int rc = sp_arena_take_matrix_of(arena, rows, w->hidden, w->element, &scratch->dx);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix_of(arena, rows, dout, w->element, &scratch->dout);
	return rc ? rc : sp_arena_take_matrix_of(arena, rows, dqkv, w->element, &scratch->dqkv);
}

int sp_encoder_wide_layout(struct sp_encoder_wide *wide, struct sp_arena *arena, const struct sp_encoder_widths *w, int64_t rows,
                           int forward_only)
{
	struct sp_matrix *const view[] = { &wide->qkv, &wide->o, &wide->dout, &wide->dqkv };
	const int64_t cols[] = { 3 * w->attention, w->attention, w->attention, 3 * w->attention };
	int rc = SP_OK;
	for (int i = 0; rc == SP_OK && i < (forward_only ? 2 : 4); i++)
		rc = sp_arena_take_matrix(arena, rows, cols[i], view[i]);
	return rc;
}

/* ---- what a layer leaves behind ---- */

/* Where it lies: kept in a place of each layer's own, or lent to one layer after the other: in a place of its own, or where
 * dqkv will be. */
enum place { KEPT, LENT, THIRD, GIVEN };

struct left {
	struct sp_matrix *view;
	int64_t rows, cols;
	enum place place;
	enum sp_dtype dtype;
};

enum { LEFT = 15 };

/* The stream is always kept: y in a post-LN layer; in a pre-LN layer the sum, from which y is made again. Returns how many
 * there are: an open layer has no norm at its end. */
static int list(struct sp_encoder_layer *layer, const struct sp_encoder_widths *w, int64_t batch, int64_t chunk,
                enum sp_recompute recompute, struct left left[LEFT])
{
	const int64_t rows = batch * chunk, mlp_rows = layer->tiles.samples * layer->tiles.tokens;
	const enum place qkv = recompute == SP_RECOMPUTE_NONE ? KEPT : LENT;
	const enum place inner = recompute == SP_RECOMPUTE_LAYER ? LENT : KEPT;
	const enum place joint = recompute == SP_RECOMPUTE_LAYER ? THIRD : KEPT;
	const enum place sum = layer->pre_norm ? KEPT : inner;
	const enum place y = layer->pre_norm && recompute == SP_RECOMPUTE_LAYER ? GIVEN : KEPT;
	const enum sp_dtype e = w->element;
	const struct left all[LEFT] = {
		{ &layer->attention.qkv, rows, 3 * w->attention, qkv, e },
		{ &layer->attention.o, rows, w->attention, inner, e },
		{ &layer->attention.lse, batch * w->heads, chunk, inner, SP_F32 },
		{ &layer->attention.scores, batch * w->heads * chunk, w->scores, inner, SP_F32 },
		{ &layer->attention.kept, w->kept > 0, w->kept, inner, SP_F32 },
		{ &layer->joint_attention.s, rows, w->hidden, joint, e },
		{ &layer->joint_attention.mean, 1, rows, inner, SP_F32 },
		{ &layer->joint_attention.rstd, 1, rows, inner, SP_F32 },
		{ &layer->joint_attention.y, rows, w->hidden, joint, e },
		{ &layer->mlp.pre, mlp_rows, w->intermediate, inner, e },
		{ &layer->mlp.hidden, mlp_rows, w->intermediate, inner, e },
		{ &layer->joint_mlp.s, rows, w->hidden, sum, e },
		{ &layer->joint_mlp.mean, 1, rows, inner, SP_F32 },
		{ &layer->joint_mlp.rstd, 1, rows, inner, SP_F32 },
		{ &layer->joint_mlp.y, rows, w->hidden, y, e },
	};
	memcpy(left, all, sizeof all);
	return LEFT - (layer->open ? 3 : 0);
}

static int take(const struct left *left, int count, enum place place, struct sp_arena *arena)
{
	int rc = SP_OK;
	for (int i = 0; rc == SP_OK && i < count; i++)
		if (left[i].place == place)
			rc = sp_arena_take_matrix_of(arena, left[i].rows, left[i].cols, left[i].dtype, left[i].view);
	return rc;
}

/* What is not kept from forward for backward need not be there for all rows at once. */
static struct sp_cut tiles_of(const struct sp_encoder_widths *widths, int64_t batch, int64_t chunk, int all)
{
	return sp_cut_make(batch, chunk, all ? batch * chunk : widths->tile);
}

static void read_so_many(struct sp_encoder_layer *layer, const struct sp_encoder_widths *widths, int64_t rows)
{
	layer->most_read = most_read(widths, layer->tiles.samples * layer->tiles.tokens);
	layer->reads = layer->most_read > 0 ? most_read(widths, rows) : 0;
}

static void cut(struct sp_encoder_layer *layer, const struct sp_encoder_widths *widths, int64_t batch, int64_t chunk,
                enum sp_recompute recompute)
{
	layer->again = recompute == SP_RECOMPUTE_LAYER;
	layer->tiles = tiles_of(widths, batch, chunk, !layer->again);
	layer->room = layer->tiles.samples * layer->tiles.tokens;
	read_so_many(layer, widths, batch * chunk);
}

int sp_encoder_layer_reads(const struct sp_encoder_layer *layer, int64_t rows)
{
	return rows <= layer->reads;
}

int sp_encoder_layer_layout(struct sp_encoder_layer *layer, struct sp_arena *arena, const struct sp_encoder_widths *widths,
                            int64_t batch, int64_t chunk, enum sp_recompute recompute)
{
	struct left left[LEFT];
	cut(layer, widths, batch, chunk, recompute);
	const int count = list(layer, widths, batch, chunk, recompute, left);
	return take(left, count, KEPT, arena);
}

int sp_encoder_layer_layout_lent(struct sp_encoder_layer *lent, struct sp_arena *arena, const struct sp_encoder_widths *widths,
                                 int64_t batch, int64_t chunk, enum sp_recompute recompute, const struct sp_encoder_scratch *scratch)
{
	struct left left[LEFT];
	cut(lent, widths, batch, chunk, recompute);
	const int count = list(lent, widths, batch, chunk, recompute, left);
	if (recompute == SP_RECOMPUTE_LAYER) {
		lent->joint_attention.s = third(scratch, 0);
		lent->joint_attention.y = third(scratch, 1);
	}
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
		if (own[i].place == LENT || own[i].place == THIRD)
			*own[i].view = *theirs[i].view;
}

void sp_encoder_layer_fit(struct sp_encoder_layer *layer, const struct sp_encoder_widths *widths, int64_t batch, int64_t chunk)
{
	struct left left[LEFT];
	layer->tiles = sp_cut_make(batch, chunk, layer->room);
	read_so_many(layer, widths, batch * chunk);
	const int count = list(layer, widths, batch, chunk, SP_RECOMPUTE_NONE, left); /* which decides about places alone */
	for (int i = 0; i < count; i++)
		*left[i].view = sp_matrix_of(left[i].view->data, left[i].rows, left[i].cols, left[i].dtype);
}

int sp_encoder_shared_layout(struct sp_encoder_shared *shared, struct sp_arena *arena, const struct sp_encoder_widths *widths,
                             int64_t rows)
{
	struct sp_matrix *const tall[] = { &shared->stream, &shared->sum, &shared->normed };
	int rc = SP_OK;
	for (int i = 0; rc == SP_OK && i < 3; i++)
		rc = sp_arena_take_matrix_of(arena, rows, widths->hidden, widths->element, tall[i]);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, 1, rows, &shared->mean);
	return rc ? rc : sp_arena_take_matrix(arena, 1, rows, &shared->rstd);
}

/* Attention is done when the MLP begins: the larger of the two decides. */
int sp_encoder_shared_layout_inner(struct sp_encoder_shared *shared, struct sp_arena *arena,
                                   const struct sp_encoder_widths *widths, int64_t batch, int64_t chunk)
{
	const int64_t rows = batch * chunk, a = widths->attention, i = widths->intermediate;
	const enum sp_dtype e = widths->element;
	const size_t begin = arena->used;
	void *rest;
	shared->tiles = tiles_of(widths, batch, chunk, 0);
	const int64_t mlp_rows = shared->tiles.samples * shared->tiles.tokens;
	int rc = sp_arena_take_matrix_of(arena, mlp_rows, i, e, &shared->pre);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix_of(arena, mlp_rows, i, e, &shared->hidden);
	const size_t mlp_end = arena->used;
	sp_arena_release(arena, begin);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix_of(arena, rows, 3 * a, e, &shared->qkv);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix_of(arena, rows, a, e, &shared->o);
	if (rc == SP_OK && arena->used < mlp_end)
		rc = sp_arena_take(arena, (int64_t)(mlp_end - arena->used), 1, &rest);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, batch * widths->heads, chunk, &shared->lse);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, batch * widths->heads * chunk, widths->scores, &shared->scores);
	return rc ? rc : sp_arena_take_matrix(arena, widths->kept > 0, widths->kept, &shared->kept);
}

/* Each joint writes where nothing is read any more. Post-LN: `stream` is read until attention's joint, whose output the
 * MLP's joint adds. Pre-LN: the sums change places, and what is normed is read at once. */
void sp_encoder_layer_share(struct sp_encoder_layer *layer, const struct sp_encoder_shared *shared)
{
	layer->attention = (struct sp_attention_state){ shared->qkv, shared->o, shared->lse, shared->scores, shared->kept };
	layer->tiles = shared->tiles;
	layer->room = shared->tiles.samples * shared->tiles.tokens;
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

struct sp_stream sp_encoder_layer_out(const struct sp_encoder_layer *layer)
{
	return sp_encoder_stream(&layer->joint_mlp, layer->pre_norm);
}

static struct sp_attention_call call_of(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                                        const struct sp_encoder_attention *attention, const struct sp_read_rows *read)
{
	const struct sp_attention_call call = {
		.doc = attention->doc,
		.query_doc = read ? read->doc : NULL,
		.whole = attention->whole,
		.sample = attention->sample,
		.dropout = sp_layer_dropout(ctx, layer->index + 1, SP_SITE_ATTENTION, layer->attention_dropout),
		.length = attention->length,
		.projections = { layer->sequence_key.value, layer->sequence_value.value, layer->sequence_key.grad,
		                 layer->sequence_value.grad },
		.globals = attention->globals,
	};
	return call;
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

/* ---- attention, which may want float32 whatever activations are ---- */

static int converts(const struct sp_encoder_attention *attention)
{
	return attention->wide.qkv.cols > 0;
}

/* What attention is given of a layer: its own, or where that is converted to and from. */
static struct sp_attention_state state_of(const struct sp_encoder_layer *layer, const struct sp_encoder_attention *attention)
{
	struct sp_attention_state state = layer->attention;
	if (!converts(attention))
		return state;
	state.qkv = attention->wide.qkv;
	state.o = attention->wide.o;
	return state;
}

static int attend(const struct sp_encoder_layer *layer, const struct sp_encoder_attention *attention,
                  const struct sp_attention_call *call)
{
	const struct sp_attention_state state = state_of(layer, attention);
	int rc = converts(attention) ? sp_compute_convert(attention->compute, layer->attention.qkv, state.qkv) : SP_OK;
	if (rc == SP_OK)
		rc = attention->variant->forward(attention->work, call, &state);
	return rc || !converts(attention) ? rc : sp_compute_convert(attention->compute, state.o, layer->attention.o);
}

/* Keys and values set out before the MLP is at work. */
static int begin_attention_backward(const struct sp_encoder_layer *layer, const struct sp_encoder_attention *attention)
{
	const struct sp_attention_variant *variant = attention->variant;
	const struct sp_attention_state state = state_of(layer, attention);
	int rc = converts(attention) ? sp_compute_convert(attention->compute, layer->attention.qkv, state.qkv) : SP_OK;
	return rc || !variant->begin_backward ? rc : variant->begin_backward(attention->work, &state);
}

static int attend_backward(const struct sp_encoder_layer *layer, const struct sp_encoder_attention *attention,
                           const struct sp_attention_call *call, struct sp_matrix dout, struct sp_matrix dqkv)
{
	const struct sp_attention_state state = state_of(layer, attention);
	const struct sp_encoder_wide *wide = &attention->wide;
	if (!converts(attention))
		return attention->variant->backward(attention->work, call, &state, dout, dqkv);
	int rc = sp_compute_convert(attention->compute, layer->attention.o, state.o);
	if (rc == SP_OK)
		rc = sp_compute_convert(attention->compute, dout, wide->dout);
	if (rc == SP_OK)
		rc = attention->variant->backward(attention->work, call, &state, wide->dout, wide->dqkv);
	return rc ? rc : sp_compute_convert(attention->compute, wide->dqkv, dqkv);
}

/* ---- the first half ---- */

/* A few of the rows that are read. */
static int project_out_some(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                            const struct sp_encoder_attention *attention, const struct sp_read_rows *some)
{
	const struct sp_matrix s = layer->joint_attention.s, o = layer->attention.o;
	const struct sp_matrix from = sp_read_rows_room(some, s.cols, o.cols), to = sp_read_rows_room(some, 0, s.cols);
	int rc = sp_read_rows_gather(some, ctx, o, from);
	if (rc == SP_OK)
		rc = sp_linear_layer_forward_plain(&layer->projection, ctx, from, to);
	if (rc == SP_OK)
		rc = sp_encoder_tensor_sum(attention, to);
	return rc ? rc : sp_read_rows_add(some, ctx, to, s);
}

static int project_out_read(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                            const struct sp_encoder_attention *attention, const struct sp_read_rows *read)
{
	struct sp_read_rows some;
	int rc = sp_encoder_zero(ctx, layer->joint_attention.s);
	for (int64_t at = 0; rc == SP_OK && sp_encoder_some_read(layer, read, at, &some); at += layer->most_read)
		rc = project_out_some(layer, ctx, attention, &some);
	return rc;
}

/* What heads have found, as features of the stream: the input of the joint. */
static int project_out(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                       const struct sp_encoder_attention *attention, const struct sp_read_rows *read)
{
	const struct sp_matrix s = layer->joint_attention.s, o = layer->attention.o;
	if (read)
		return project_out_read(layer, ctx, attention, read);
	const int rc = sp_linear_layer_forward_plain(&layer->projection, ctx, o, s);
	return rc ? rc : sp_encoder_tensor_sum(attention, s);
}

static int attention_forward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                             const struct sp_encoder_attention *attention, struct sp_stream in,
                             const struct sp_read_rows *read)
{
	const struct sp_attention_call call = call_of(layer, ctx, attention, read);
	int rc = project(layer, ctx, attention, in);
	if (rc == SP_OK)
		rc = attend(layer, attention, &call);
	if (rc == SP_OK)
		rc = project_out(layer, ctx, attention, read);
	return rc ? rc : sp_norm_layer_forward(&layer->joint_attention, ctx, in.residual);
}

int sp_encoder_layer_forward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                             const struct sp_encoder_attention *attention, struct sp_stream in,
                             const struct sp_read_rows *read)
{
	int rc = attention_forward(layer, ctx, attention, in, read);
	return rc ? rc : sp_encoder_mlp_forward(layer, ctx, attention, read);
}

int sp_encoder_layer_again(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                           const struct sp_encoder_attention *attention, struct sp_stream in, const struct sp_read_rows *read,
                           enum sp_recompute recompute)
{
	int rc = SP_OK;
	if (recompute == SP_RECOMPUTE_NONE)
		return SP_OK;
	sp_trace_begin(SP_TRACE_COMPUTE, "again layer", (int)layer->index);
	if (recompute == SP_RECOMPUTE_ATTENTION)
		rc = project(layer, ctx, attention, in);
	else
		rc = attention_forward(layer, ctx, attention, in, read);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

static int project_out_backward_some(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                                     const struct sp_read_rows *some, struct sp_matrix from, struct sp_matrix dout)
{
	const int64_t h = from.cols, a = dout.cols;
	const struct sp_matrix dx = sp_read_rows_room(some, 0, h), o = sp_read_rows_room(some, h, a),
						   to = sp_read_rows_room(some, h + a, a);
	int rc = sp_read_rows_gather(some, ctx, layer->attention.o, o);
	if (rc == SP_OK)
		rc = sp_read_rows_gather(some, ctx, from, dx);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_weight(&layer->projection, NULL, ctx, dx, o);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_input(&layer->projection, ctx, dx, to, 0);
	return rc ? rc : sp_read_rows_add(some, ctx, to, dout);
}

/* The gradient of what heads have found, from that of the joint's input. */
static int project_out_backward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                                const struct sp_read_rows *read, struct sp_matrix dx, struct sp_matrix dout)
{
	struct sp_read_rows some;
	int rc = read ? sp_encoder_zero(ctx, dout) :
	                sp_linear_layer_backward_weight(&layer->projection, NULL, ctx, dx, layer->attention.o);
	if (rc || !read)
		return rc ? rc : sp_linear_layer_backward_input(&layer->projection, ctx, dx, dout, 0);
	for (int64_t at = 0; rc == SP_OK && sp_encoder_some_read(layer, read, at, &some); at += layer->most_read)
		rc = project_out_backward_some(layer, ctx, &some, dx, dout);
	return rc;
}

/* What the MLP's backward has left behind, as so many columns, where that is wide enough. */
static struct sp_matrix room_of(struct sp_matrix left, struct sp_matrix otherwise, int64_t cols)
{
	return sp_matrix_of(left.cols >= cols ? left.data : otherwise.data, left.rows, cols, left.dtype);
}

/* Of what is not kept the MLP has no more than a tile, but the joints are done with what they have been lent, and with dx. */
static struct sp_matrix dout_of(const struct sp_encoder_layer *layer, const struct sp_encoder_scratch *s)
{
	const struct sp_matrix o = layer->attention.o;
	return layer->again ? sp_matrix_of(layer->joint_mlp.s.data, o.rows, o.cols, o.dtype) : room_of(layer->mlp.pre, s->dout, o.cols);
}

static struct sp_matrix dqkv_of(const struct sp_encoder_layer *layer, const struct sp_encoder_scratch *s)
{
	const struct sp_matrix qkv = layer->attention.qkv;
	return layer->again ? sp_matrix_of(s->three.data, qkv.rows, qkv.cols, qkv.dtype) : room_of(layer->mlp.hidden, s->dqkv, qkv.cols);
}

static int attention_backward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                              const struct sp_encoder_attention *attention, struct sp_stream in,
                              const struct sp_read_rows *read, const struct sp_encoder_scratch *s)
{
	const struct sp_attention_call call = call_of(layer, ctx, attention, read);
	const struct sp_matrix dout = dout_of(layer, s), dqkv = dqkv_of(layer, s);
	int rc = sp_encoder_joint_backward(&layer->joint_attention, ctx, s, layer->pre_norm, 0, 0);
	if (rc == SP_OK)
		rc = project_out_backward(layer, ctx, read, s->dx, dout);
	if (rc == SP_OK)
		rc = attend_backward(layer, attention, &call, dout, dqkv);
	if (rc == SP_OK)
		rc = rotate(layer, ctx, attention, dqkv, 1);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_weight(&layer->qkv.weight, &layer->qkv.bias, ctx, dqkv, in.y);
	if (rc == SP_OK)
		rc = sp_linear_layer_backward_input(&layer->qkv.weight, ctx, dqkv, s->dy, sp_encoder_adds_to_stream(layer, attention));
	return rc ? rc : sp_encoder_tensor_sum(attention, s->dy);
}

int sp_encoder_layer_backward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                              const struct sp_encoder_attention *attention, struct sp_stream in,
                              const struct sp_read_rows *read, const struct sp_encoder_scratch *scratch, int first_sum)
{
	int rc = begin_attention_backward(layer, attention);
	if (rc == SP_OK)
		rc = sp_encoder_mlp_backward(layer, ctx, attention, read, scratch, first_sum);
	return rc ? rc : attention_backward(layer, ctx, attention, in, read, scratch);
}
