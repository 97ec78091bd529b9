/* Attention of own queries against the gathered keys and values of all ranks (the context parallelism of Llama 3, Dubey et
 * al. 2024, section 3.3.2). Simple, and its messages are long; but each rank holds the keys of whole sequences.
 *
 * parallel.gather_chunk bounds that: a piece is the same few tokens of every rank, gathered while the piece before is
 * computed with, and each is folded into the online softmax. In backward the pieces are gathered again; each rank computes
 * what its queries contribute to the gradients of all keys of a piece, and sends every rank its part: a reduce-scatter, by
 * an all-to-all into the arena and a sum in the order of ranks, so that all of its memory is planned. It goes on while the
 * next piece is computed.
 *
 * Elements sent per layer and rank: forward 2 (P - 1) B C H, backward 4 (P - 1) B C H.
 * Elements held, with R = B C or the rows of a piece: 2 P R H for keys and values, in training also 4 P R H for gradients; with
 * several pieces 4 P R H and 6 P R H. */
#include "config.h"

#include "attention/variants.h"
#include "base/cut.h"
#include "base/log.h"
#include "base/size.h"
#include "base/trace.h"

#include <stdlib.h>

struct gather {
	struct sp_attention_setup setup;
	int rank, ranks;
	struct sp_cut cut;
	struct sp_matrix rows;     /* (B A, C): l in forward, dots in backward */
	struct sp_matrix kv[2];    /* (P R, 2 H): keys and values side by side, rank after rank; one is computed with */
	struct sp_matrix grad[2];  /* (P R, 2 H): what own queries contribute; one is sent */
	struct sp_matrix arrived;  /* (P R, 2 H): what the queries of all ranks contribute to own keys */
	size_t *bytes;             /* [P] of each rank's part of a piece */
	struct sp_transfer keys[2], gradients;
};

/* Tokens of the rank that has most. */
static int64_t longest(const struct gather *g)
{
	int64_t most = 0;
	for (int r = 0; r < g->ranks; r++)
		most = sp_max(most, sp_attention_chunk(&g->setup, r));
	return most;
}

/* A piece is the same tokens on every rank, as far as it has them; its rows are those of the rank that has most. Of a rank: tokens of
 * each sample in the piece, all of them together, and where they begin among those that it holds. */
static int64_t tokens_in(const struct gather *g, const struct sp_piece *p, int rank)
{
	return sp_max(0, sp_min(p->tokens, sp_attention_chunk(&g->setup, rank) - p->token));
}

static int64_t rows_in(const struct gather *g, const struct sp_piece *p, int rank)
{
	return p->samples * tokens_in(g, p, rank);
}

static int64_t own_row(const struct gather *g, const struct sp_piece *p)
{
	const int64_t chunk = g->setup.shape.chunk;
	return p->sample * chunk + sp_min(p->token, chunk);
}

/* As many rows at a time as the choice allows, the same on every rank. One rank has nothing to gather. */
static void cut(struct gather *g)
{
	const struct sp_attention_shape_host *s = &g->setup.shape;
	const int64_t all = s->batch * s->chunk, wanted = s->choice.gather_chunk;
	g->cut = sp_cut_make(s->batch, s->chunk, wanted > 0 && g->ranks > 1 ? sp_min(wanted, all) : all);
}

static int layout(struct gather *g, struct sp_arena *arena)
{
	const struct sp_attention_shape_host *s = &g->setup.shape;
	struct sp_matrix *const gathered[] = { &g->kv[0], &g->kv[1], &g->grad[0], &g->grad[1], &g->arrived };
	const int second[] = { 0, 1, 0, 1, 0 };
	const int count = g->ranks == 1 ? 0 : g->setup.forward_only ? 2 : 5;
	int rc = sp_attention_take_rows(s, arena, &g->rows);
	for (int i = 0; rc == SP_OK && i < count; i++)
		if (g->cut.pieces > 1 || !second[i])
			rc = sp_arena_take_matrix(arena, g->ranks * g->cut.samples * g->cut.tokens, 2 * s->heads * s->head_dim, gathered[i]);
	return rc;
}

static void gather_destroy(void *work)
{
	struct gather *g = work;
	if (g)
		free(g->bytes);
	free(g);
}

static int gather_create(const struct sp_attention_setup *setup, struct sp_arena *arena, void **work)
{
	struct gather *g = calloc(1, sizeof *g);
	if (g)
		g->bytes = calloc((size_t)setup->shape.ranks, sizeof *g->bytes);
	if (!g || !g->bytes) {
		gather_destroy(g);
		return sp_fail(SP_ERR_MEMORY, "allgather attention: no memory for %zu bytes", sizeof *g);
	}
	g->setup = *setup;
	g->ranks = setup->shape.ranks;
	g->rank = setup->shape.rank;
	cut(g);
	int rc = layout(g, arena);
	if (rc) {
		gather_destroy(g);
		return rc;
	}
	*work = g;
	return SP_OK;
}

static void gather_share(void *work, const struct sp_attention_parts *parts)
{
	struct gather *g = work;
	sp_attention_share(&g->setup, parts, &g->rows);
	g->cut.chunk = longest(g); /* and no piece has more rows than before */
	g->cut.pieces = sp_ceil_div(g->cut.batch, g->cut.samples) * sp_ceil_div(g->cut.chunk, g->cut.tokens);
}

static int gather_check(const struct sp_attention_shape_host *shape)
{
	(void)shape;
	return SP_OK;
}

/* ---- what is sent ---- */

/* Rank `rank`'s part of a gathered piece. */
static struct sp_matrix part_of(const struct gather *g, struct sp_matrix gathered, const struct sp_piece *p, int rank)
{
	return sp_matrix_rows(gathered, rank * p->rows, rows_in(g, p, rank));
}

/* What the queries of rank `rank` contribute to own keys. */
static struct sp_matrix arrived_of(const struct gather *g, const struct sp_piece *p, int rank)
{
	return sp_matrix_rows(g->arrived, rank * p->rows, rows_in(g, p, g->rank));
}

static struct sp_matrix keys_of(const struct gather *g, struct sp_matrix qkv, const struct sp_piece *p)
{
	const int64_t hidden = qkv.cols / 3;
	return sp_matrix_rows(sp_matrix_columns(qkv, hidden, 2 * hidden), own_row(g, p), rows_in(g, p, g->rank));
}

static int gather_start(struct gather *g, const struct sp_attention_state *state, int64_t i)
{
	const struct sp_piece p = sp_cut_piece(&g->cut, i);
	struct sp_matrix kv = g->kv[i % 2];
	struct sp_transfer *transfer = &g->keys[i % 2];
	int rc = sp_compute_copy_rows(g->setup.compute, keys_of(g, state->qkv, &p), part_of(g, kv, &p, g->rank));
	if (rc)
		return rc;
	*transfer = (struct sp_transfer){ .compute = g->setup.compute };
	rc = sp_comm_all_gather_start(g->setup.comm, kv.data, p.rows * kv.cols, SP_F32, transfer);
	return sp_attention_started(&g->setup, rc, transfer);
}

/* The gradients of piece i go to where its keys are at home. */
static int scatter_start(struct gather *g, int64_t i)
{
	const struct sp_piece p = sp_cut_piece(&g->cut, i);
	const struct sp_all_to_all args = { g->grad[i % 2].data, g->bytes, g->arrived.data, g->bytes };
	for (int r = 0; r < g->ranks; r++)
		g->bytes[r] = (size_t)(p.rows * g->arrived.cols) * sizeof(float);
	g->gradients = (struct sp_transfer){ .compute = g->setup.compute };
	return sp_attention_started(&g->setup, sp_comm_all_to_all_start(g->setup.comm, &args, &g->gradients), &g->gradients);
}

/* Those that have arrived for piece i are added up. */
static int scatter_end(struct gather *g, int64_t i, struct sp_matrix dqkv)
{
	const struct sp_piece p = sp_cut_piece(&g->cut, i);
	const struct sp_matrix sum = arrived_of(g, &p, 0);
	int rc = sp_comm_wait(g->setup.comm, &g->gradients);
	for (int r = 1; rc == SP_OK && r < g->ranks; r++)
		rc = sp_compute_add(g->setup.compute, sum.data, arrived_of(g, &p, r).data, sum.rows * sum.cols);
	return rc ? rc : sp_compute_copy_rows(g->setup.compute, sum, keys_of(g, dqkv, &p));
}

/* ---- what is computed ---- */

/* Own queries of a piece's samples against a rank's keys of the piece. */
static struct sp_attention_shape step_shape(const struct gather *g, const struct sp_attention_call *call,
                                            const struct sp_piece *p, int rank)
{
	struct sp_attention_shape shape = sp_attention_step_shape(&g->setup, call, g->rank, rank);
	shape.batch = p->samples;
	shape.query_doc += p->sample * shape.chunk;
	shape.key_doc += p->sample * shape.keys + sp_min(p->token, shape.keys);
	shape.keys = tokens_in(g, p, rank);
	shape.sample += p->sample;
	shape.first_key += (uint32_t)p->token;
	return shape;
}

/* Rows of a piece's samples, of features or of row vectors. */
static struct sp_matrix queries_of(const struct gather *g, struct sp_matrix m, const struct sp_piece *p)
{
	const int64_t chunk = g->setup.shape.chunk;
	return sp_matrix_rows(m, p->sample * chunk, p->samples * chunk);
}

static struct sp_matrix lines_of(const struct gather *g, struct sp_matrix m, const struct sp_piece *p)
{
	const int64_t heads = g->setup.shape.heads;
	return sp_matrix_rows(m, p->sample * heads, p->samples * heads);
}

/* Own keys are read where they are: no need to wait for them. */
static struct sp_matrix step_keys(const struct gather *g, const struct sp_attention_state *state, const struct sp_piece *p,
                                  int64_t i, int rank)
{
	return rank == g->rank ? keys_of(g, state->qkv, p) : part_of(g, g->kv[i % 2], p, rank);
}

static int forward_step(const struct gather *g, const struct sp_attention_call *call, const struct sp_attention_state *state,
                        int64_t i, int rank)
{
	const struct sp_piece p = sp_cut_piece(&g->cut, i);
	const struct sp_matrix kv = step_keys(g, state, &p, i, rank);
	const int64_t hidden = kv.cols / 2;
	const struct sp_attention_forward step = {
		.shape = step_shape(g, call, &p, rank),
		.q = queries_of(g, sp_attention_split(state->qkv).q, &p),
		.k = sp_matrix_columns(kv, 0, hidden),
		.v = sp_matrix_columns(kv, hidden, hidden),
		.acc = queries_of(g, state->o, &p),
		.m = lines_of(g, state->lse, &p),
		.l = lines_of(g, g->rows, &p),
		.first = rank == g->rank && p.token == 0,
	};
	if (step.shape.keys == 0)
		return SP_OK;
	sp_trace_begin(SP_TRACE_COMPUTE, "allgather forward piece", (int)i);
	int rc = sp_compute_attention_forward(g->setup.compute, &step);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

/* What the backward pass is about. */
struct backward {
	const struct sp_attention_call *call;
	const struct sp_attention_state *state;
	struct sp_matrix dout, dqkv;
};

/* One rank's gradients are formed where they belong, those of several in a piece of all. */
static int backward_step(const struct gather *g, const struct backward *b, int64_t i, int rank)
{
	const struct sp_piece p = sp_cut_piece(&g->cut, i);
	const struct sp_matrix kv = step_keys(g, b->state, &p, i, rank);
	const struct sp_matrix dkv = g->ranks == 1 ? keys_of(g, b->dqkv, &p) : part_of(g, g->grad[i % 2], &p, rank);
	const int64_t hidden = kv.cols / 2;
	const struct sp_attention_backward step = {
		.shape = step_shape(g, b->call, &p, rank),
		.q = queries_of(g, sp_attention_split(b->state->qkv).q, &p),
		.k = sp_matrix_columns(kv, 0, hidden),
		.v = sp_matrix_columns(kv, hidden, hidden),
		.dout = queries_of(g, b->dout, &p),
		.lse = lines_of(g, b->state->lse, &p),
		.dots = lines_of(g, g->rows, &p),
		.dq = queries_of(g, sp_attention_split(b->dqkv).q, &p),
		.dk = sp_matrix_columns(dkv, 0, hidden),
		.dv = sp_matrix_columns(dkv, hidden, hidden),
		.overwrite_dq = rank == g->rank && p.token == 0,
		.overwrite_dkv = 1,
	};
	if (step.shape.keys == 0)
		return SP_OK;
	sp_trace_begin(SP_TRACE_COMPUTE, "allgather backward piece", (int)i);
	int rc = sp_compute_attention_backward(g->setup.compute, &step);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

/* ---- the passes ---- */

/* The next piece is on its way while piece i is computed, first with own keys, which hides the rest of this one's way. */
static int forward_piece(struct gather *g, const struct sp_attention_call *call, const struct sp_attention_state *state,
                         int64_t i)
{
	int rc = SP_OK;
	if (i + 1 < g->cut.pieces)
		rc = gather_start(g, state, i + 1);
	if (rc == SP_OK)
		rc = forward_step(g, call, state, i, g->rank);
	if (rc == SP_OK)
		rc = sp_comm_wait(g->setup.comm, &g->keys[i % 2]);
	for (int hop = 1; rc == SP_OK && hop < g->ranks; hop++)
		rc = forward_step(g, call, state, i, (g->rank + hop) % g->ranks);
	return rc;
}

static int gather_forward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state)
{
	struct gather *g = work;
	int rc = g->ranks > 1 ? gather_start(g, state, 0) : SP_OK;
	for (int64_t i = 0; rc == SP_OK && i < g->cut.pieces; i++)
		rc = forward_piece(g, call, state, i);
	return rc ? rc : sp_attention_end_forward(&g->setup, state, state->o, g->rows);
}

static int backward_piece(struct gather *g, const struct backward *b, int64_t i)
{
	int rc = SP_OK;
	if (i + 1 < g->cut.pieces)
		rc = gather_start(g, b->state, i + 1);
	if (rc == SP_OK)
		rc = backward_step(g, b, i, g->rank);
	if (rc == SP_OK)
		rc = sp_comm_wait(g->setup.comm, &g->keys[i % 2]);
	for (int hop = 1; rc == SP_OK && hop < g->ranks; hop++)
		rc = backward_step(g, b, i, (g->rank + hop) % g->ranks);
	if (rc == SP_OK && i > 0)
		rc = scatter_end(g, i - 1, b->dqkv);
	return rc || g->ranks == 1 ? rc : scatter_start(g, i);
}

static int gather_backward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state,
                           struct sp_matrix dout, struct sp_matrix dqkv)
{
	struct gather *g = work;
	const struct backward b = { call, state, dout, dqkv };
	int rc = sp_attention_begin_backward(&g->setup, state, dout, g->rows);
	if (rc == SP_OK && g->ranks > 1)
		rc = gather_start(g, state, 0);
	for (int64_t i = 0; rc == SP_OK && i < g->cut.pieces; i++)
		rc = backward_piece(g, &b, i);
	return rc || g->ranks == 1 ? rc : scatter_end(g, g->cut.pieces - 1, dqkv);
}

static uint64_t gather_sent_forward(const struct sp_attention_shape_host *s)
{
	return 2 * (uint64_t)(s->ranks - 1) * sp_attention_block(s);
}

static uint64_t gather_sent_backward(const struct sp_attention_shape_host *s)
{
	return 4 * (uint64_t)(s->ranks - 1) * sp_attention_block(s);
}

const struct sp_attention_variant sp_attention_allgather = {
	.name = "allgather",
	.skips = 1,
	.check = gather_check,
	.create = gather_create,
	.destroy = gather_destroy,
	.share = gather_share,
	.forward = gather_forward,
	.backward = gather_backward,
	.sent_forward = gather_sent_forward,
	.sent_backward = gather_sent_backward,
};
