/* Attention to a projected sequence (Wang et al. 2020, "Linformer", equation 7): keys and values are summed along the sequence
 * to k rows with learned weights, and the queries attend to these. So neither time nor memory grows with S^2, and what
 * ranks send does not depend on S at all: each projects its own tokens, by their positions in the whole sequence, and the
 * k rows are summed over the ranks. The sequence parallel paper has it as its sparse attention (Li et al. 2021, table 3); it
 * does not say that the projections of parts have to be summed, and a ring of them is not needed then.
 *
 * With E and F (positions, k) of a share of the heads, and C tokens here:
 *   forward   K' = sum over ranks of E^T K,  V' alike with F;  o = softmax(scale q K'^T) V'
 *   backward  dK', dV' from the queries here, summed over ranks;  dK = E dK',  dE += K dK'^T;  dV, dF alike.
 * Projected rows are nobody's document: a query that is no padding meets all of them. Padding projects to nothing, it has no
 * place in these products. Dropout draws from the query's position and the number of the projected row.
 *
 * Elements sent per layer and rank: forward and backward 2 (P - 1) / P of N each, where N is 2 B k H, rounded up to a multiple
 * of P: a reduce-scatter and an all-gather. Kept from forward, beside what all kinds keep: N. Held: a row vector, and in
 * training N and a block of BLOCK tokens' gradients of the weights. */
#include "config.h"

#include "attention/variants.h"
#include "base/log.h"
#include "base/size.h"
#include "base/trace.h"

#include <assert.h>
#include <stdlib.h>

enum { BLOCK = 1024 }; /* tokens whose gradients of the weights are formed at a time */

struct linformer {
	struct sp_attention_setup setup;
	int64_t k, shares;          /* of the heads, each with weights of its own: n */
	struct sp_matrix rows;      /* (B A, C): l in forward, dots in backward */
	struct sp_matrix gradients; /* (1, N): of projected keys and values */
	struct sp_matrix block;     /* (BLOCK, n k) or fewer rows: of the weights' gradients */
	int32_t *doc;               /* [B k]: 0 */
};

/* Of what is projected: keys or values, with their weights. */
struct side {
	struct sp_matrix tokens, dtokens; /* (T, H), columns of the packed projection, and of its gradient */
	struct sp_matrix rows, drows;     /* (B k, H) */
	struct sp_matrix weights, dweights;
};

/* N */
static int64_t linformer_kept(const struct sp_attention_shape_host *s)
{
	return sp_round_up(2 * s->batch * s->choice.linformer_k * s->heads * s->head_dim, s->ranks);
}

static int linformer_check(const struct sp_attention_shape_host *shape)
{
	if (shape->choice.linformer_k > 0)
		return SP_OK;
	return sp_fail(SP_ERR_SETTING, "parallel.attention = linformer needs model.linformer_k of at least 1");
}

static int layout(struct linformer *l, struct sp_arena *arena)
{
	const struct sp_attention_shape_host *s = &l->setup.shape;
	void *doc = NULL;
	int rc = sp_attention_take_rows(s, arena, &l->rows);
	if (rc == SP_OK)
		rc = sp_arena_take(arena, s->batch * l->k, sizeof *l->doc, &doc);
	if (rc == SP_OK && !l->setup.forward_only)
		rc = sp_arena_take_matrix(arena, 1, linformer_kept(s), &l->gradients);
	if (rc == SP_OK && !l->setup.forward_only)
		rc = sp_arena_take_matrix(arena, sp_min(s->chunk, BLOCK), l->shares * l->k, &l->block);
	l->doc = doc;
	return rc;
}

static int linformer_create(const struct sp_attention_setup *setup, struct sp_arena *arena, void **work)
{
	struct linformer *l = calloc(1, sizeof *l);
	if (!l)
		return sp_fail(SP_ERR_MEMORY, "linformer attention: no memory for %zu bytes", sizeof *l);
	l->setup = *setup;
	l->k = setup->shape.choice.linformer_k;
	l->shares = setup->shape.choice.linformer_per_head ? setup->shape.heads : 1;
	int rc = layout(l, arena);
	if (rc) {
		free(l);
		return rc;
	}
	*work = l;
	return SP_OK;
}

/* ---- which rows are whose ---- */

/* Own tokens of sample b that are not padding: they come first. */
static int64_t real(const struct linformer *l, const struct sp_attention_call *call, int64_t b)
{
	const struct sp_attention_shape_host *s = &l->setup.shape;
	return sp_max(0, sp_min(call->length[b] - s->rank * s->chunk, s->chunk));
}

/* Own tokens [first, first + count) of sample b. */
struct some {
	int64_t b, first, count;
};

/* Of (T, H): these tokens, features of one share of the heads. */
static struct sp_matrix tokens_of(const struct linformer *l, struct sp_matrix m, const struct some *t, int64_t share)
{
	const int64_t width = m.cols / l->shares;
	return sp_matrix_columns(sp_matrix_rows(m, t->b * l->setup.shape.chunk + t->first, t->count), share * width, width);
}

/* Of (B k, H): the rows of their sample. */
static struct sp_matrix rows_of(const struct linformer *l, struct sp_matrix m, const struct some *t, int64_t share)
{
	const int64_t width = m.cols / l->shares;
	return sp_matrix_columns(sp_matrix_rows(m, t->b * l->k, l->k), share * width, width);
}

/* Of (positions, n k): their rows. */
static struct sp_matrix weights_of(const struct linformer *l, struct sp_matrix m, const struct some *t)
{
	const struct sp_attention_shape_host *s = &l->setup.shape;
	return sp_matrix_rows(m, s->rank * s->chunk + t->first, t->count);
}

static struct sp_matrix share_of(const struct linformer *l, struct sp_matrix weights, int64_t share)
{
	return sp_matrix_columns(weights, share * l->k, l->k);
}

/* Keys, then values. Forward has no dqkv. */
static void both_sides(const struct linformer *l, const struct sp_attention_call *call, const struct sp_attention_state *state,
                       struct sp_matrix dqkv, struct side sides[2])
{
	const struct sp_attention_shape_host *s = &l->setup.shape;
	const int64_t rows = s->batch * l->k, hidden = s->heads * s->head_dim;
	const struct sp_attention_qkv in = sp_attention_split(state->qkv), out = sp_attention_split(dqkv);
	const struct sp_attention_projections *p = &call->projections;
	float *to = state->kept.data, *grad = l->gradients.data;
	sides[0] = (struct side){ in.k, out.k, sp_matrix(to, rows, hidden), sp_matrix(grad, rows, hidden), p->key, p->dkey };
	sides[1] = (struct side){ in.v, out.v, sp_matrix(to + rows * hidden, rows, hidden),
		                      sp_matrix(grad ? grad + rows * hidden : NULL, rows, hidden), p->value, p->dvalue };
}

/* ---- over the ranks ---- */

static int zero(const struct linformer *l, struct sp_matrix packed)
{
	return sp_compute_zero(l->setup.compute, packed.data, (size_t)(packed.rows * packed.cols) * sizeof(float));
}

/* Each rank sums a share of it and tells the others. */
static int sum(const struct linformer *l, struct sp_matrix projected)
{
	struct sp_comm *comm = l->setup.comm;
	const int64_t own = projected.cols / l->setup.shape.ranks;
	struct sp_transfer scatter = { .compute = l->setup.compute }, gather = { .compute = l->setup.compute };
	if (l->setup.shape.ranks == 1)
		return SP_OK;
	int rc = sp_comm_reduce_scatter_start(comm, projected.data, own, SP_F32, &scatter);
	if (rc == SP_OK)
		rc = sp_comm_wait(comm, &scatter);
	if (rc == SP_OK)
		rc = sp_comm_all_gather_start(comm, projected.data, own, SP_F32, &gather);
	return rc ? rc : sp_comm_wait(comm, &gather);
}

/* ---- of the tokens of a sample; each share of the heads for itself ---- */

typedef int work_on(const struct linformer *l, const struct side *s, const struct some *t);

/* rows += weights^T tokens */
static int project(const struct linformer *l, const struct side *s, const struct some *t)
{
	int rc = SP_OK;
	for (int64_t h = 0; rc == SP_OK && h < l->shares; h++) {
		const struct sp_linear_backward_weight args = {
			.dy = share_of(l, weights_of(l, s->weights, t), h),
			.x = tokens_of(l, s->tokens, t, h),
			.dw = rows_of(l, s->rows, t, h),
		};
		rc = sp_compute_linear_backward_weight(l->setup.compute, &args);
	}
	return rc;
}

/* dtokens = weights drows */
static int to_tokens(const struct linformer *l, const struct side *s, const struct some *t)
{
	int rc = SP_OK;
	for (int64_t h = 0; rc == SP_OK && h < l->shares; h++) {
		const struct sp_linear_backward_input args = {
			.dy = share_of(l, weights_of(l, s->weights, t), h),
			.w = rows_of(l, s->drows, t, h),
			.dx = tokens_of(l, s->dtokens, t, h),
		};
		rc = sp_compute_linear_backward_input(l->setup.compute, &args);
	}
	return rc;
}

/* dweights += tokens drows^T, of at most BLOCK tokens */
static int block_to_weights(const struct linformer *l, const struct side *s, const struct some *t)
{
	const struct sp_matrix block = sp_matrix_rows(l->block, 0, t->count), to = weights_of(l, s->dweights, t);
	int rc = SP_OK;
	for (int64_t h = 0; rc == SP_OK && h < l->shares; h++) {
		const struct sp_linear_forward args = {
			.x = tokens_of(l, s->tokens, t, h),
			.w = rows_of(l, s->drows, t, h),
			.y = share_of(l, block, h),
		};
		rc = sp_compute_linear_forward(l->setup.compute, &args);
	}
	return rc ? rc : sp_compute_add(l->setup.compute, to.data, block.data, block.rows * block.cols);
}

static int to_weights(const struct linformer *l, const struct side *s, const struct some *t)
{
	int rc = SP_OK;
	for (int64_t at = 0; rc == SP_OK && at < t->count; at += BLOCK) {
		const struct some few = { t->b, t->first + at, sp_min(BLOCK, t->count - at) };
		rc = block_to_weights(l, s, &few);
	}
	return rc;
}

static int both(const struct linformer *l, const struct sp_attention_call *call, const struct side sides[2], work_on *work)
{
	int rc = SP_OK;
	for (int64_t i = 0; rc == SP_OK && i < 2 * l->setup.shape.batch; i++) {
		const struct some t = { i / 2, 0, real(l, call, i / 2) };
		if (t.count > 0)
			rc = work(l, &sides[i % 2], &t);
	}
	return rc;
}

/* ---- the passes ---- */

static int project_both(const struct linformer *l, const struct sp_attention_call *call, const struct sp_attention_state *state,
                        const struct side sides[2])
{
	sp_trace_begin(SP_TRACE_COMPUTE, "linformer projection", -1);
	int rc = zero(l, state->kept);
	if (rc == SP_OK)
		rc = both(l, call, sides, project);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc ? rc : sum(l, state->kept);
}

/* Own queries against projected rows, which are of the one document that there is. */
static int step_shape(const struct linformer *l, const struct sp_attention_call *call, struct sp_attention_shape *shape)
{
	const struct sp_attention_shape_host *s = &l->setup.shape;
	*shape = sp_attention_step_shape(&l->setup, call, s->rank, 0);
	shape->keys = l->k;
	shape->key_doc = l->doc;
	return sp_compute_zero(l->setup.compute, l->doc, (size_t)(s->batch * l->k) * sizeof *l->doc);
}

static int linformer_forward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state)
{
	const struct linformer *l = work;
	struct side sides[2];
	both_sides(l, call, state, (struct sp_matrix){ 0 }, sides);
	struct sp_attention_forward step = {
		.q = sp_attention_split(state->qkv).q,
		.k = sides[0].rows,
		.v = sides[1].rows,
		.acc = state->o,
		.m = state->lse,
		.l = l->rows,
		.first = 1,
	};
	int rc = project_both(l, call, state, sides);
	if (rc == SP_OK)
		rc = step_shape(l, call, &step.shape);
	if (rc == SP_OK)
		rc = sp_compute_attention_forward(l->setup.compute, &step);
	return rc ? rc : sp_attention_end_forward(&l->setup, state, state->o, l->rows);
}

/* Padding has given nothing, and gets nothing back. */
static int zero_padding(const struct linformer *l, const struct sp_attention_call *call, struct sp_matrix dqkv)
{
	const int64_t chunk = l->setup.shape.chunk;
	int rc = SP_OK;
	assert(dqkv.stride == dqkv.cols && "rows of gradients are packed");
	for (int64_t b = 0; rc == SP_OK && b < l->setup.shape.batch; b++) {
		const int64_t n = real(l, call, b);
		rc = zero(l, sp_matrix_rows(dqkv, b * chunk + n, chunk - n));
	}
	return rc;
}

/* Gradients of queries, and what the queries here contribute to those of projected rows. */
static int backward_step(const struct linformer *l, const struct sp_attention_call *call, const struct sp_attention_state *state,
                         struct sp_matrix dout, struct sp_matrix dqkv, const struct side sides[2])
{
	struct sp_attention_backward step = {
		.q = sp_attention_split(state->qkv).q,
		.k = sides[0].rows,
		.v = sides[1].rows,
		.dout = dout,
		.lse = state->lse,
		.dots = l->rows,
		.dq = sp_attention_split(dqkv).q,
		.dk = sides[0].drows,
		.dv = sides[1].drows,
		.overwrite_dq = 1,
		.overwrite_dkv = 1,
	};
	int rc = sp_attention_begin_backward(&l->setup, state, dout, l->rows);
	if (rc == SP_OK)
		rc = step_shape(l, call, &step.shape);
	return rc ? rc : sp_compute_attention_backward(l->setup.compute, &step);
}

static int linformer_backward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state,
                              struct sp_matrix dout, struct sp_matrix dqkv)
{
	const struct linformer *l = work;
	struct side sides[2];
	both_sides(l, call, state, dqkv, sides);
	int rc = zero_padding(l, call, dqkv);
	if (rc == SP_OK)
		rc = zero(l, l->gradients); /* also what is sent with it to make up shares */
	if (rc == SP_OK)
		rc = backward_step(l, call, state, dout, dqkv, sides);
	if (rc == SP_OK)
		rc = sum(l, l->gradients);
	sp_trace_begin(SP_TRACE_COMPUTE, "linformer projection backward", -1);
	if (rc == SP_OK)
		rc = both(l, call, sides, to_tokens);
	if (rc == SP_OK)
		rc = both(l, call, sides, to_weights);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

static uint64_t linformer_sent(const struct sp_attention_shape_host *s)
{
	return 2 * (uint64_t)(s->ranks - 1) * (uint64_t)(linformer_kept(s) / s->ranks);
}

const struct sp_attention_variant sp_attention_linformer = {
	.name = "linformer",
	.skips = 1,
	.projects = 1,
	.kept = linformer_kept,
	.check = linformer_check,
	.create = linformer_create,
	.destroy = free,
	.forward = linformer_forward,
	.backward = linformer_backward,
	.sent_forward = linformer_sent,
	.sent_backward = linformer_sent,
};
