/* Attention to neighbours and global tokens (Beltagy et al. 2020, "Longformer"; ModernBERT's local layers, Warner et al. 2024): a
 * token attends to those at most `window` before and behind it and to the global tokens of its document, which attend to all
 * of it. So time and memory grow with S and not with S^2, and a rank needs no more of the others than what lies that near: halos.
 *
 * Pairs are shared out so that none counts twice:
 *   1. own tokens that are not global, with such tokens of this rank and of the halos, in the window;
 *   2. the same queries, with the global tokens' keys, which every rank has: `globals` a sample, wherever they are;
 *   3. the global tokens' queries, which every rank has, with this rank's keys, global ones among them: partial results, which
 *      all ranks gather and merge in the order of ranks.
 * The arrays that a call brings along take tokens out of either side by a document of -1, so that devices need know of no
 * global tokens. Backward goes the same way: gradients of halos go home, those of global tokens are summed over the ranks.
 *
 * Global tokens lie side by side, `globals` places a sample. As they have no positions there, dropout counts them from
 * GLOBAL_PLACE on: a pair of steps 2 and 3 has a counter of its own, the same for any number of ranks.
 *
 * The halo's keys set out first, and come while own keys are computed with; in backward they set out before the
 * layer's backward begins, and their gradients go home while own keys are computed with.
 *
 * Elements sent per layer and rank, with G = globals, N = the tokens of a sample in its halo (halo.h), and
 * r(x) = x made up to a multiple of P:
 *   forward   2 B N H + 2 (P - 1) / P r(3 B G H) + (P - 1) B G (H + 2 A)
 *   backward  4 B N H + 2 (P - 1) / P (r(B G H) + r(3 B G H))
 * Kept from forward, beside what all kinds keep: r(3 B G H) + B G (H + A). Held: a row vector, what is exchanged of the global
 * tokens, and the halos: 4 B N H for the N of a rank in the middle, in training 6. */
#include "config.h"

#include "attention/halo.h"
#include "attention/variants.h"
#include "base/log.h"
#include "base/size.h"
#include "base/trace.h"

#include <assert.h>
#include <stdlib.h>

/* Above all positions. */
static const uint32_t GLOBAL_PLACE = 0x80000000;

struct window {
	struct sp_attention_setup setup;
	int64_t hidden, slots;   /* H; B G: places of global tokens */
	int begun;               /* the halo is on its way */
	struct sp_matrix rows;   /* (B A, C): l in forward, dots in backward */
	struct sp_matrix tokens; /* (B G, 3 H): own global tokens, on their way in or out */
	struct sp_matrix parts;  /* (P, B G (H + 2 A)): what global queries find on each rank, see found_on() */
	struct sp_matrix dout;   /* (1, r(B G H)): of global tokens */
	struct sp_matrix dots;   /* (B A, G) */
	struct sp_matrix dqkv;   /* (1, r(3 B G H)): of global tokens */
	struct sp_halo halo;
	int32_t *doc;            /* [B N]: of the halo's tokens */
	struct sp_transfer globals;
};

/* ---- layout ---- */

static int64_t shared(const struct sp_attention_shape_host *s, int64_t cols)
{
	return sp_round_up(s->batch * s->choice.globals * cols * s->heads * s->head_dim, s->ranks);
}

static int64_t found(const struct sp_attention_shape_host *s)
{
	return s->batch * s->choice.globals * (s->heads * s->head_dim + 2 * s->heads);
}

static int64_t window_kept(const struct sp_attention_shape_host *s)
{
	return shared(s, 3) + s->batch * s->choice.globals * (s->heads * s->head_dim + s->heads);
}

static int window_check(const struct sp_attention_shape_host *s)
{
	if (s->choice.window < 1)
		return sp_fail(SP_ERR_SETTING, "parallel.attention = window needs model.window of at least 1");
	if (s->choice.globals < 1)
		return sp_fail(SP_ERR_SETTING, "parallel.attention = window needs model.globals of at least 1");
	return SP_OK;
}

static int layout_globals(struct window *w, struct sp_arena *arena)
{
	const struct sp_attention_shape_host *s = &w->setup.shape;
	int rc = sp_arena_take_matrix(arena, w->slots, 3 * w->hidden, &w->tokens);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, s->ranks, found(s), &w->parts);
	if (rc || w->setup.forward_only)
		return rc;
	rc = sp_arena_take_matrix(arena, 1, shared(s, 1), &w->dout);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, s->batch * s->heads, s->choice.globals, &w->dots);
	return rc ? rc : sp_arena_take_matrix(arena, 1, shared(s, 3), &w->dqkv);
}

static void window_destroy(void *work)
{
	struct window *w = work;
	if (w)
		sp_halo_close(&w->halo);
	free(w);
}

static int window_create(const struct sp_attention_setup *setup, struct sp_arena *arena, void **work)
{
	struct window *w = calloc(1, sizeof *w);
	void *doc = NULL;
	if (!w)
		return sp_fail(SP_ERR_MEMORY, "window attention: no memory for %zu bytes", sizeof *w);
	w->setup = *setup;
	w->hidden = setup->shape.heads * setup->shape.head_dim;
	w->slots = setup->shape.batch * setup->shape.choice.globals;
	int rc = sp_attention_take_rows(&setup->shape, arena, &w->rows);
	if (rc == SP_OK)
		rc = layout_globals(w, arena);
	if (rc == SP_OK)
		rc = sp_halo_open(&w->halo, &w->setup, arena);
	if (rc == SP_OK && setup->shape.ranks > 1)
		rc = sp_arena_take(arena, setup->shape.batch * sp_halo_most_tokens(&setup->shape), sizeof *w->doc, &doc);
	w->doc = doc;
	if (rc) {
		window_destroy(w);
		return rc;
	}
	*work = w;
	return SP_OK;
}

/* ---- matrices ---- */

/* Keys and values, the last two thirds of a projection's columns. */
static struct sp_matrix keys_of(struct sp_matrix qkv)
{
	return sp_matrix_columns(qkv, qkv.cols / 3, 2 * (qkv.cols / 3));
}

/* Of keys and values side by side, or of their gradients. */
static struct sp_matrix half(struct sp_matrix kv, int second)
{
	return sp_matrix_columns(kv, second * (kv.cols / 2), kv.cols / 2);
}

/* Of global tokens, (B G, cols), of what is summed over ranks. */
static struct sp_matrix slots_of(const struct window *w, struct sp_matrix whole, int64_t cols)
{
	return sp_matrix(whole.data, w->slots, cols);
}

/* What is kept of forward: projections, outputs and log-sum-exps of global tokens. */
struct kept {
	struct sp_matrix whole; /* (1, r(3 B G H)) */
	struct sp_matrix qkv, o, lse;
};

static struct kept kept_of(const struct window *w, const struct sp_attention_state *state)
{
	const struct sp_attention_shape_host *s = &w->setup.shape;
	const int64_t first = shared(s, 3), second = first + w->slots * w->hidden;
	float *at = state->kept.data;
	return (struct kept){ sp_matrix(at, 1, first), sp_matrix(at, w->slots, 3 * w->hidden),
		                  sp_matrix(at + first, w->slots, w->hidden),
		                  sp_matrix(at + second, s->batch * s->heads, s->choice.globals) };
}

/* What the global queries have found on a rank: (B G, H), and two of (B A, G). */
struct finding {
	struct sp_matrix acc, m, l;
};

static struct finding found_on(const struct window *w, int rank)
{
	const struct sp_attention_shape_host *s = &w->setup.shape;
	const int64_t lines = s->batch * s->heads;
	float *at = (float *)w->parts.data + rank * w->parts.cols;
	return (struct finding){ sp_matrix(at, w->slots, w->hidden),
		                     sp_matrix(at + w->slots * w->hidden, lines, s->choice.globals),
		                     sp_matrix(at + w->slots * w->hidden + lines * s->choice.globals, lines, s->choice.globals) };
}

/* ---- own global tokens to their places and back ---- */

/* to[slot] = from[row] of own global tokens; all other places are 0. */
static int take_in(const struct window *w, const struct sp_attention_globals *g, struct sp_matrix from, struct sp_matrix whole)
{
	const struct sp_matrix tokens = sp_matrix(w->tokens.data, g->own, from.cols);
	const struct sp_row_move out = { g->row, g->own, from, tokens };
	const struct sp_row_move in = { g->slot, g->own, tokens, slots_of(w, whole, from.cols) };
	int rc = sp_compute_zero(w->setup.compute, whole.data, (size_t)whole.cols * sizeof(float));
	if (rc == SP_OK)
		rc = sp_compute_gather_rows(w->setup.compute, &out);
	return rc ? rc : sp_compute_scatter_add_rows(w->setup.compute, &in);
}

/* to[row] += from[slot] of own global tokens. */
static int give_back(const struct window *w, const struct sp_attention_globals *g, struct sp_matrix from, struct sp_matrix to)
{
	const struct sp_matrix tokens = sp_matrix(w->tokens.data, g->own, from.cols);
	const struct sp_row_move out = { g->slot, g->own, from, tokens };
	const struct sp_row_move in = { g->row, g->own, tokens, to };
	int rc = sp_compute_gather_rows(w->setup.compute, &out);
	return rc ? rc : sp_compute_scatter_add_rows(w->setup.compute, &in);
}

/* ---- over the ranks ---- */

/* `whole`, (1, a multiple of P), becomes its sum over the ranks, in two steps: each has summed a share; all have all. The
 * transfer is waited for between them, and then by whoever reads it. */
static int sum_start(struct window *w, struct sp_matrix whole)
{
	if (w->setup.shape.ranks == 1)
		return SP_OK;
	w->globals = (struct sp_transfer){ .compute = w->setup.compute };
	const int rc = sp_comm_reduce_scatter_start(w->setup.comm, whole.data, whole.cols / w->setup.shape.ranks, SP_F32, &w->globals);
	return sp_attention_started(&w->setup, rc, &w->globals);
}

static int gather_start(struct window *w, struct sp_matrix whole)
{
	if (w->setup.shape.ranks == 1)
		return SP_OK;
	int rc = sp_comm_wait(w->setup.comm, &w->globals);
	w->globals = (struct sp_transfer){ .compute = w->setup.compute };
	if (rc == SP_OK)
		rc = sp_comm_all_gather_start(w->setup.comm, whole.data, whole.rows * whole.cols / w->setup.shape.ranks, SP_F32, &w->globals);
	return sp_attention_started(&w->setup, rc, &w->globals);
}

static int globals_wait(struct window *w)
{
	return w->setup.shape.ranks == 1 ? SP_OK : sp_comm_wait(w->setup.comm, &w->globals);
}

/* ---- who meets whom ---- */

/* Own queries that are not global, in the window, with such own keys. */
static struct sp_attention_shape own_shape(const struct window *w, const struct sp_attention_call *call)
{
	const struct sp_attention_shape_host *s = &w->setup.shape;
	struct sp_attention_shape shape = sp_attention_step_shape(&w->setup, call, s->rank, s->rank);
	shape.key_doc = call->globals.other + s->rank * s->batch * s->chunk;
	shape.query_doc = call->query_doc ? call->globals.read_other : shape.key_doc;
	shape.window = s->choice.window;
	return shape;
}

/* The same, with keys of a neighbour, whose documents are put side by side. */
static int part_shape(const struct window *w, const struct sp_attention_call *call, const struct sp_halo_part *p,
                      struct sp_attention_shape *shape)
{
	const struct sp_attention_shape_host *s = &w->setup.shape;
	const struct sp_matrix from = { (void *)(uintptr_t)(call->globals.other + p->rank * s->batch * s->chunk + p->first), s->batch,
		                            p->n, s->chunk, SP_I32 };
	const struct sp_matrix to = { w->doc + p->row, s->batch, p->n, p->n, SP_I32 };
	*shape = own_shape(w, call);
	shape->key_doc = to.data;
	shape->keys = p->n;
	shape->first_key = (uint32_t)(p->rank * s->chunk + p->first);
	return sp_compute_copy_rows(w->setup.compute, from, to);
}

/* The same queries, with global keys. */
static struct sp_attention_shape keys_shape(const struct window *w, const struct sp_attention_call *call)
{
	struct sp_attention_shape shape = own_shape(w, call);
	shape.keys = w->setup.shape.choice.globals;
	shape.key_doc = call->globals.doc;
	shape.first_key = GLOBAL_PLACE;
	shape.window = 0;
	return shape;
}

/* Global queries, with all own keys. */
static struct sp_attention_shape queries_shape(const struct window *w, const struct sp_attention_call *call)
{
	struct sp_attention_shape shape = sp_attention_step_shape(&w->setup, call, w->setup.shape.rank, w->setup.shape.rank);
	shape.chunk = w->setup.shape.choice.globals;
	shape.query_doc = call->globals.doc;
	shape.first_query = GLOBAL_PLACE;
	return shape;
}

/* ---- forward ---- */

static int forward_step(const struct window *w, const struct sp_attention_shape *shape, const struct sp_attention_state *state,
                        struct sp_matrix kv, int first)
{
	const struct sp_attention_forward step = {
		.shape = *shape,
		.q = sp_attention_split(state->qkv).q,
		.k = half(kv, 0),
		.v = half(kv, 1),
		.acc = state->o,
		.m = state->lse,
		.l = w->rows,
		.first = first,
	};
	return sp_compute_attention_forward(w->setup.compute, &step);
}

static int forward_neighbours(struct window *w, const struct sp_attention_call *call, const struct sp_attention_state *state)
{
	int rc = sp_halo_wait(&w->halo);
	sp_trace_begin(SP_TRACE_COMPUTE, "window forward neighbours", -1);
	for (struct sp_halo_part p = SP_HALO_BEFORE_ALL; rc == SP_OK && sp_halo_next(&w->halo, &p);) {
		struct sp_attention_shape shape;
		rc = part_shape(w, call, &p, &shape);
		if (rc == SP_OK)
			rc = forward_step(w, &shape, state, sp_halo_rows(&w->halo, w->halo.keys, &p), 0);
	}
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

static int forward_queries(struct window *w, const struct sp_attention_call *call, const struct sp_attention_state *state,
                           const struct kept *kept)
{
	const struct sp_matrix kv = keys_of(state->qkv);
	const struct finding here = found_on(w, w->setup.shape.rank);
	const struct sp_attention_forward step = {
		.shape = queries_shape(w, call),
		.q = sp_attention_split(kept->qkv).q,
		.k = half(kv, 0),
		.v = half(kv, 1),
		.acc = here.acc,
		.m = here.m,
		.l = here.l,
		.first = 1,
	};
	return sp_compute_attention_forward(w->setup.compute, &step);
}

/* What all ranks have found, as what one would have. */
static int merge(struct window *w, const struct kept *kept)
{
	const struct sp_attention_shape_host *s = &w->setup.shape;
	const struct finding all = found_on(w, 0);
	int rc = globals_wait(w);
	for (int r = 1; rc == SP_OK && r < s->ranks; r++) {
		const struct finding more = found_on(w, r);
		const struct sp_attention_merge op = { s->batch, s->heads, s->head_dim, s->choice.globals, all.acc, all.m, all.l,
			                                   more.acc, more.m, more.l };
		rc = sp_compute_attention_merge(w->setup.compute, &op);
	}
	const struct sp_attention_finish op = { s->batch, s->heads, s->head_dim, s->choice.globals, all.acc, all.m, all.l, kept->o,
		                                    kept->lse };
	return rc ? rc : sp_compute_attention_finish(w->setup.compute, &op);
}

/* Own keys: what is on its way meanwhile is the halo and the global tokens. */
static int forward_own(struct window *w, const struct sp_attention_call *call, const struct sp_attention_state *state,
                       const struct kept *kept)
{
	const struct sp_attention_shape shape = own_shape(w, call);
	int rc = sp_halo_start(&w->halo, keys_of(state->qkv));
	if (rc == SP_OK)
		rc = take_in(w, &call->globals, state->qkv, kept->whole);
	if (rc == SP_OK)
		rc = sum_start(w, kept->whole);
	sp_trace_begin(SP_TRACE_COMPUTE, "window forward own", -1);
	if (rc == SP_OK)
		rc = forward_step(w, &shape, state, keys_of(state->qkv), 1);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc ? rc : gather_start(w, kept->whole);
}

/* Global queries first: what they find travels while the others meet global keys. */
static int forward_globals(struct window *w, const struct sp_attention_call *call, const struct sp_attention_state *state,
                           const struct kept *kept)
{
	const struct sp_attention_shape shape = keys_shape(w, call);
	int rc = globals_wait(w);
	sp_trace_begin(SP_TRACE_COMPUTE, "window forward global", -1);
	if (rc == SP_OK)
		rc = forward_queries(w, call, state, kept);
	if (rc == SP_OK)
		rc = gather_start(w, w->parts);
	if (rc == SP_OK)
		rc = forward_step(w, &shape, state, keys_of(kept->qkv), 0);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

/* Rows of global tokens have met nothing in o, and are 0. */
static int window_forward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state)
{
	struct window *w = work;
	const struct kept kept = kept_of(w, state);
	int rc = forward_own(w, call, state, &kept);
	if (rc == SP_OK)
		rc = forward_neighbours(w, call, state);
	if (rc == SP_OK)
		rc = forward_globals(w, call, state, &kept);
	if (rc == SP_OK)
		rc = sp_attention_end_forward(&w->setup, state, state->o, w->rows);
	if (rc == SP_OK)
		rc = merge(w, &kept);
	return rc ? rc : give_back(w, &call->globals, kept.o, state->o);
}

/* ---- backward ---- */

/* What the backward pass is about. */
struct backward {
	const struct sp_attention_call *call;
	const struct sp_attention_state *state;
	struct sp_matrix dout, dqkv;
	struct kept kept;
	int met; /* dq holds something */
};

static int backward_step(const struct window *w, struct backward *b, const struct sp_attention_shape *shape, struct sp_matrix kv,
                         struct sp_matrix dkv)
{
	const struct sp_attention_backward step = {
		.shape = *shape,
		.q = sp_attention_split(b->state->qkv).q,
		.k = half(kv, 0),
		.v = half(kv, 1),
		.dout = b->dout,
		.lse = b->state->lse,
		.dots = w->rows,
		.dq = sp_attention_split(b->dqkv).q,
		.dk = half(dkv, 0),
		.dv = half(dkv, 1),
		.overwrite_dq = !b->met,
		.overwrite_dkv = 1,
	};
	b->met = 1;
	return sp_compute_attention_backward(w->setup.compute, &step);
}

/* The halo, whose gradients then go home. */
static int backward_neighbours(struct window *w, struct backward *b)
{
	int rc = sp_halo_wait(&w->halo);
	sp_trace_begin(SP_TRACE_COMPUTE, "window backward neighbours", -1);
	for (struct sp_halo_part p = SP_HALO_BEFORE_ALL; rc == SP_OK && sp_halo_next(&w->halo, &p);) {
		struct sp_attention_shape shape;
		rc = part_shape(w, b->call, &p, &shape);
		if (rc == SP_OK)
			rc = backward_step(w, b, &shape, sp_halo_rows(&w->halo, w->halo.keys, &p), sp_halo_rows(&w->halo, w->halo.gradients, &p));
	}
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc ? rc : sp_halo_send_home(&w->halo);
}

static int backward_own(struct window *w, struct backward *b)
{
	const struct sp_attention_shape shape = own_shape(w, b->call);
	sp_trace_begin(SP_TRACE_COMPUTE, "window backward own", -1);
	const int rc = backward_step(w, b, &shape, keys_of(b->state->qkv), keys_of(b->dqkv));
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

/* Global queries with own keys, whose gradients are added to. */
static int backward_queries(struct window *w, const struct backward *b, struct sp_matrix dqkv)
{
	const struct sp_matrix kv = keys_of(b->state->qkv), dkv = keys_of(b->dqkv);
	const struct sp_attention_backward step = {
		.shape = queries_shape(w, b->call),
		.q = sp_attention_split(b->kept.qkv).q,
		.k = half(kv, 0),
		.v = half(kv, 1),
		.dout = slots_of(w, w->dout, w->hidden),
		.lse = b->kept.lse,
		.dots = w->dots,
		.dq = sp_attention_split(dqkv).q,
		.dk = half(dkv, 0),
		.dv = half(dkv, 1),
		.overwrite_dq = 1,
	};
	return sp_compute_attention_backward(w->setup.compute, &step);
}

static int backward_globals(struct window *w, struct backward *b)
{
	const struct sp_attention_shape_host *s = &w->setup.shape;
	const struct sp_attention_shape shape = keys_shape(w, b->call);
	const struct sp_matrix dqkv = slots_of(w, w->dqkv, 3 * w->hidden);
	const struct sp_attention_dots dots = { s->batch, s->heads, s->head_dim, s->choice.globals, slots_of(w, w->dout, w->hidden),
		                                    b->kept.o, w->dots };
	int rc = globals_wait(w);
	sp_trace_begin(SP_TRACE_COMPUTE, "window backward global", -1);
	if (rc == SP_OK)
		rc = sp_compute_zero(w->setup.compute, w->dqkv.data, (size_t)w->dqkv.cols * sizeof(float));
	if (rc == SP_OK)
		rc = sp_compute_attention_dots(w->setup.compute, &dots);
	if (rc == SP_OK)
		rc = backward_queries(w, b, dqkv);
	if (rc == SP_OK)
		rc = backward_step(w, b, &shape, keys_of(b->kept.qkv), keys_of(dqkv));
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

/* What all ranks have of the global tokens' gradients, and of own tokens' that were others' halos. */
static int end_backward(struct window *w, const struct backward *b)
{
	int rc = sum_start(w, w->dqkv);
	if (rc == SP_OK)
		rc = sp_halo_add_home(&w->halo, keys_of(b->dqkv));
	if (rc == SP_OK)
		rc = gather_start(w, w->dqkv);
	if (rc == SP_OK)
		rc = globals_wait(w);
	return rc ? rc : give_back(w, &b->call->globals, slots_of(w, w->dqkv, 3 * w->hidden), b->dqkv);
}

static int window_begin_backward(void *work, const struct sp_attention_state *state)
{
	struct window *w = work;
	w->begun = 1;
	return sp_halo_start(&w->halo, keys_of(state->qkv));
}

static int window_backward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state,
                           struct sp_matrix dout, struct sp_matrix dqkv)
{
	struct window *w = work;
	struct backward b = { call, state, dout, dqkv, kept_of(w, state), 0 };
	int rc = w->begun ? SP_OK : sp_halo_start(&w->halo, keys_of(state->qkv));
	w->begun = 0;
	if (rc == SP_OK)
		rc = take_in(w, &call->globals, dout, w->dout);
	if (rc == SP_OK)
		rc = sum_start(w, w->dout);
	if (rc == SP_OK)
		rc = sp_attention_begin_backward(&w->setup, state, dout, w->rows);
	if (rc == SP_OK)
		rc = backward_neighbours(w, &b);
	if (rc == SP_OK)
		rc = gather_start(w, w->dout);
	if (rc == SP_OK)
		rc = backward_own(w, &b);
	if (rc == SP_OK)
		rc = backward_globals(w, &b);
	return rc ? rc : end_backward(w, &b);
}

/* ---- what is sent ---- */

static uint64_t summed(const struct sp_attention_shape_host *s, int64_t cols)
{
	return 2 * (uint64_t)(s->ranks - 1) * (uint64_t)(shared(s, cols) / s->ranks);
}

static uint64_t window_sent_forward(const struct sp_attention_shape_host *s)
{
	const int64_t halos = 2 * s->batch * sp_halo_tokens(s, s->rank) * s->heads * s->head_dim;
	return (uint64_t)halos + summed(s, 3) + (uint64_t)(s->ranks - 1) * (uint64_t)found(s);
}

static uint64_t window_sent_backward(const struct sp_attention_shape_host *s)
{
	const int64_t halos = 4 * s->batch * sp_halo_tokens(s, s->rank) * s->heads * s->head_dim;
	return (uint64_t)halos + summed(s, 1) + summed(s, 3);
}

const struct sp_attention_variant sp_attention_window = {
	.name = "window",
	.skips = 1,
	.has_globals = 1,
	.kept = window_kept,
	.check = window_check,
	.create = window_create,
	.destroy = window_destroy,
	.forward = window_forward,
	.begin_backward = window_begin_backward,
	.backward = window_backward,
	.sent_forward = window_sent_forward,
	.sent_backward = window_sent_backward,
};
