/* The second half of a layer: the MLP, for all rows tile by tile or for those alone that are read, and the joint behind it. */
#include "config.h"

#include "model/encoder_inside.h"

#include "base/size.h"

/* ---- what both halves use ---- */

struct sp_stream sp_encoder_stream(const struct sp_norm_layer *joint, int pre_norm)
{
	const struct sp_stream out = { .y = joint->y, .residual = pre_norm ? joint->s : joint->y };
	return out;
}

int sp_encoder_joint_backward(const struct sp_norm_layer *joint, const struct sp_layer_context *ctx,
                              const struct sp_encoder_scratch *s, int pre_norm, int open, int first_sum)
{
	const struct sp_matrix nothing = { 0 };
	if (open)
		return sp_norm_layer_backward(joint, ctx, nothing, s->dy, s->dx, s->dsum);
	return sp_norm_layer_backward(joint, ctx, s->dy, pre_norm && !first_sum ? s->dsum : nothing, s->dx,
	                              pre_norm ? s->dsum : s->dy);
}

int sp_encoder_adds_to_stream(const struct sp_encoder_layer *layer, const struct sp_encoder_attention *attention)
{
	return !layer->pre_norm && (!attention->tensor || sp_comm_rank(attention->tensor) == 0);
}

int sp_encoder_zero(const struct sp_layer_context *ctx, struct sp_matrix y)
{
	return sp_compute_zero(ctx->compute, y.data, (size_t)(y.rows * y.cols) * sp_dtype_size(y.dtype));
}

/* The MLP's hidden rows behind those at work are free. */
int sp_encoder_some_read(const struct sp_encoder_layer *layer, const struct sp_read_rows *read, int64_t at,
                         struct sp_read_rows *some)
{
	const int64_t n = sp_min(sp_read_rows_count(read) - at, layer->most_read);
	const struct sp_matrix hidden = layer->mlp.hidden;
	if (n <= 0)
		return 0;
	*some = sp_read_rows_part(read, at, n);
	some->room = sp_matrix_rows(hidden, n, hidden.rows - n);
	return 1;
}

/* ---- the rows that are read ---- */

static struct sp_mlp_layer mlp_of(const struct sp_encoder_layer *layer, int64_t rows)
{
	struct sp_mlp_layer mlp = layer->mlp;
	mlp.pre = sp_matrix_rows(mlp.pre, 0, rows);
	mlp.hidden = sp_matrix_rows(mlp.hidden, 0, rows);
	return mlp;
}

static int forward_some(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                        const struct sp_encoder_attention *attention, const struct sp_read_rows *some)
{
	const struct sp_matrix y = layer->joint_attention.y;
	const struct sp_mlp_layer mlp = mlp_of(layer, sp_read_rows_count(some));
	const struct sp_matrix to = sp_read_rows_room(some, 0, y.cols), from = sp_read_rows_room(some, y.cols, y.cols);
	int rc = sp_read_rows_gather(some, ctx, y, from);
	if (rc == SP_OK)
		rc = sp_mlp_layer_forward(&mlp, ctx, from, to);
	if (rc == SP_OK)
		rc = sp_encoder_tensor_sum(attention, to);
	return rc ? rc : sp_read_rows_add(some, ctx, to, layer->joint_mlp.s);
}

static int forward_read(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                        const struct sp_encoder_attention *attention, const struct sp_read_rows *read)
{
	struct sp_read_rows some;
	int rc = sp_encoder_zero(ctx, layer->joint_mlp.s);
	for (int64_t at = 0; rc == SP_OK && sp_encoder_some_read(layer, read, at, &some); at += layer->most_read)
		rc = forward_some(layer, ctx, attention, &some);
	if (rc)
		return rc;
	return sp_norm_layer_forward(&layer->joint_mlp, ctx, sp_encoder_stream(&layer->joint_attention, layer->pre_norm).residual);
}

/* dx takes the place of x. */
static int backward_some(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                         const struct sp_encoder_attention *attention, const struct sp_read_rows *some,
                         const struct sp_encoder_scratch *s)
{
	const int64_t h = s->dy.cols;
	const struct sp_mlp_layer mlp = mlp_of(layer, sp_read_rows_count(some));
	const struct sp_matrix dy = sp_read_rows_room(some, 0, h), x = sp_read_rows_room(some, h, h), dx = x;
	int rc = sp_read_rows_gather(some, ctx, layer->joint_attention.y, x);
	if (rc == SP_OK && layer->again)
		rc = sp_mlp_layer_again(&mlp, ctx, x);
	if (rc == SP_OK)
		rc = sp_read_rows_gather(some, ctx, s->dx, dy);
	if (rc == SP_OK)
		rc = sp_mlp_layer_backward(&mlp, ctx, x, dy, dx, 0);
	if (rc == SP_OK)
		rc = sp_encoder_tensor_sum(attention, dx);
	return rc ? rc : sp_read_rows_add(some, ctx, dx, s->dy);
}

static int backward_read(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                         const struct sp_encoder_attention *attention, const struct sp_read_rows *read,
                         const struct sp_encoder_scratch *s, int first_sum)
{
	struct sp_read_rows some;
	int rc = layer->again ? forward_read(layer, ctx, attention, read) : SP_OK;
	if (rc == SP_OK)
		rc = sp_encoder_joint_backward(&layer->joint_mlp, ctx, s, layer->pre_norm, layer->open, first_sum);
	if (rc == SP_OK && layer->pre_norm)
		rc = sp_encoder_zero(ctx, s->dy);
	for (int64_t at = 0; rc == SP_OK && sp_encoder_some_read(layer, read, at, &some); at += layer->most_read)
		rc = backward_some(layer, ctx, attention, &some, s);
	return rc;
}

/* ---- all rows ---- */

static struct sp_matrix rows_of(struct sp_matrix m, const struct sp_piece *p)
{
	return m.data ? sp_matrix_rows(m, p->row, p->rows) : m;
}

static struct sp_norm_layer joint_of(struct sp_norm_layer joint, const struct sp_piece *p)
{
	joint.s = rows_of(joint.s, p);
	joint.y = rows_of(joint.y, p);
	if (joint.mean.data) {
		joint.mean = sp_matrix_columns(joint.mean, p->row, p->rows);
		joint.rstd = sp_matrix_columns(joint.rstd, p->row, p->rows);
	}
	return joint;
}

/* A tile's rows as a layer of their own, as far as this half looks at it. */
static struct sp_encoder_layer layer_of(const struct sp_encoder_layer *layer, const struct sp_piece *p)
{
	struct sp_encoder_layer tile = *layer;
	tile.mlp = mlp_of(layer, p->rows);
	tile.joint_attention = joint_of(layer->joint_attention, p);
	tile.joint_mlp = joint_of(layer->joint_mlp, p);
	return tile;
}

static struct sp_layer_context context_of(const struct sp_layer_context *ctx, const struct sp_piece *p)
{
	struct sp_layer_context tile = *ctx;
	tile.rows = (struct sp_rows){ p->samples, p->tokens, ctx->rows.sample + p->sample, ctx->rows.first + (uint32_t)p->token };
	return tile;
}

static int forward_rows(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                        const struct sp_encoder_attention *attention)
{
	const struct sp_stream in = sp_encoder_stream(&layer->joint_attention, layer->pre_norm);
	int rc = sp_mlp_layer_forward(&layer->mlp, ctx, in.y, layer->joint_mlp.s);
	if (rc == SP_OK)
		rc = sp_encoder_tensor_sum(attention, layer->joint_mlp.s);
	return rc ? rc : sp_norm_layer_forward(&layer->joint_mlp, ctx, in.residual);
}

static int forward_tile(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                        const struct sp_encoder_attention *attention, const struct sp_piece *p)
{
	const struct sp_encoder_layer tile = layer_of(layer, p);
	const struct sp_layer_context tile_ctx = context_of(ctx, p);
	return forward_rows(&tile, &tile_ctx, attention);
}

static int backward_tile(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                         const struct sp_encoder_attention *attention, const struct sp_encoder_scratch *scratch,
                         const struct sp_piece *p, int first_sum)
{
	const struct sp_encoder_layer tile = layer_of(layer, p);
	const struct sp_layer_context tile_ctx = context_of(ctx, p);
	const struct sp_encoder_scratch s = {
		.dy = rows_of(scratch->dy, p), .dsum = rows_of(scratch->dsum, p), .dx = rows_of(scratch->dx, p)
	};
	int rc = layer->again ? forward_rows(&tile, &tile_ctx, attention) : SP_OK;
	if (rc == SP_OK)
		rc = sp_encoder_joint_backward(&tile.joint_mlp, &tile_ctx, &s, layer->pre_norm, layer->open, first_sum);
	if (rc == SP_OK)
		rc = sp_mlp_layer_backward(&tile.mlp, &tile_ctx, tile.joint_attention.y, s.dx, s.dy,
		                           sp_encoder_adds_to_stream(layer, attention));
	return rc ? rc : sp_encoder_tensor_sum(attention, s.dy);
}

/* ---- the half ---- */

int sp_encoder_mlp_forward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                           const struct sp_encoder_attention *attention, const struct sp_read_rows *read)
{
	int rc = SP_OK;
	if (read)
		return forward_read(layer, ctx, attention, read);
	for (int64_t i = 0; rc == SP_OK && i < layer->tiles.pieces; i++) {
		const struct sp_piece p = sp_cut_piece(&layer->tiles, i);
		rc = forward_tile(layer, ctx, attention, &p);
	}
	return rc;
}

int sp_encoder_mlp_backward(const struct sp_encoder_layer *layer, const struct sp_layer_context *ctx,
                            const struct sp_encoder_attention *attention, const struct sp_read_rows *read,
                            const struct sp_encoder_scratch *s, int first_sum)
{
	int rc = SP_OK;
	if (read)
		return backward_read(layer, ctx, attention, read, s, first_sum);
	for (int64_t i = 0; rc == SP_OK && i < layer->tiles.pieces; i++) {
		const struct sp_piece p = sp_cut_piece(&layer->tiles, i);
		rc = backward_tile(layer, ctx, attention, s, &p, first_sum);
	}
	return rc;
}
