/* Ring self-attention (Li et al. 2021, section 3.2, "Ring Self-Attention"), blockwise.
 *
 * Place s of P meets, at hop t, the keys and values of place (s - t) mod P. Where the paper keeps whole score rows (C, S) and
 * sends keys and values round separately, here one message carries both and an online softmax folds each block in, so no
 * buffer grows with S beyond this rank's share.
 * In backward the gradients of keys and values travel with them, one hop behind: at hop t a rank adds its own to the sum
 * of the ranks before, which goes on during the next hop. The own keys come last, at hop 0: what the other ranks have summed
 * for them arrives meanwhile, so that no transfer is left to wait for at the end; and the first keys of the others can set
 * out long before, while the layer does something else. The paper sums gradients with two all-reduces over the whole sequence
 * instead; its code also divides them by P, which is wrong.
 *
 * With parallel.ring = q backward passes queries round instead: ring_queries.c.
 *
 * Elements sent per layer and rank: forward 2 (P - 1) B C H; backward 4 (P - 1) B C H, or 3 (P - 1) B C H and
 * 2 (P - 1) B C A with queries. Keys and values of 16 bits count half; gradients travel in float32. */
#include "config.h"

#include "attention/ring.h"

#include "base/log.h"
#include "base/trace.h"

#include <stdlib.h>

/* ---- layout ---- */

static int64_t tokens(const struct sp_attention_ring *r)
{
	return r->setup.shape.batch * r->setup.shape.chunk;
}

/* One place sends nothing, and its own keys are read where they are. */
int sp_attention_ring_layout(struct sp_attention_ring *r, struct sp_arena *arena)
{
	const struct sp_attention_shape_host *s = &r->setup.shape;
	int rc = sp_arena_take_matrix(arena, r->blocks * s->batch * s->heads, s->chunk, &r->rows);
	if (rc || r->places == 1)
		return rc;
	r->passing = (struct sp_passing){ .setup = &r->setup, .stride = r->blocks, .places = r->places };
	if (s->choice.ring_queries && !r->setup.forward_only)
		return sp_attention_ring_layout_queries(r, arena);
	const int64_t cols = 2 * s->heads * s->head_dim;
	return sp_passing_create(&r->passing, r->blocks * tokens(r), cols, cols, arena);
}

void sp_attention_ring_release(struct sp_attention_ring *r)
{
	sp_passing_destroy(&r->passing);
}

int sp_attention_ring_settle(struct sp_attention_ring *r)
{
	return r->places == 1 ? SP_OK : r->passing.way->settle(&r->passing);
}

/* ---- blocks ---- */

/* A block's rows of a matrix of tokens, and of row vectors. */
static struct sp_matrix tokens_of(const struct sp_attention_ring *r, struct sp_matrix m, int block)
{
	const int64_t each = m.rows / r->blocks;
	return sp_matrix_rows(m, block * each, each);
}

static struct sp_matrix lines_of(const struct sp_attention_ring *r, struct sp_matrix m, int block)
{
	const int64_t lines = r->setup.shape.batch * r->setup.shape.heads;
	return sp_matrix_rows(m, block * lines, lines);
}

/* Queries of block `own` against the keys of block `other` that are here at hop t. */
static struct sp_attention_shape step_shape(const struct sp_attention_ring *r, const struct sp_attention_call *call, int hop,
                                            int own, int other)
{
	const int from = (r->place - hop + r->places) % r->places;
	const int mine = r->place * r->blocks + own, theirs = from * r->blocks + other;
	struct sp_attention_shape shape = sp_attention_step_shape(&r->setup, call, mine, theirs);
	shape.whole = sp_attention_whole(call, mine, theirs);
	shape.all_heads = r->all_heads;
	shape.first_head = r->first_head;
	return shape;
}

/* Keys and values of hop t: at home in the projection, later those of another place. */
static int hop_keys(struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass, int hop, struct sp_matrix *kv)
{
	*kv = pass->kv;
	return hop == 0 ? SP_OK : r->passing.way->keys(&r->passing, hop, kv);
}

/* ---- forward ---- */

static int forward_step(const struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass, struct sp_matrix keys,
                        int hop, int own, int other)
{
	const struct sp_matrix kv = tokens_of(r, keys, other);
	const int64_t h = pass->q.cols;
	const struct sp_attention_forward step = {
		.shape = step_shape(r, pass->call, hop, own, other),
		.q = tokens_of(r, pass->q, own),
		.k = sp_matrix_columns(kv, 0, h),
		.v = sp_matrix_columns(kv, h, h),
		.acc = tokens_of(r, pass->acc, own),
		.m = lines_of(r, pass->lse, own),
		.l = lines_of(r, r->rows, own),
		.first = hop == 0 && other == 0,
	};
	return sp_compute_attention_forward(r->setup.compute, &step);
}

static int forward_hop(struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass, int hop)
{
	struct sp_matrix keys;
	int rc = hop_keys(r, pass, hop, &keys);
	sp_trace_begin(SP_TRACE_COMPUTE, "ring forward hop", hop);
	for (int own = 0; own < r->blocks; own++)
		for (int other = 0; rc == SP_OK && other < r->blocks; other++)
			rc = forward_step(r, pass, keys, hop, own, other);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

/* The blocks are as more samples. */
static int end_forward(const struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass)
{
	const struct sp_attention_state state = { .o = pass->o, .lse = pass->lse };
	struct sp_attention_setup all = r->setup;
	all.shape.batch *= r->blocks;
	return sp_attention_end_forward(&all, &state, pass->acc, r->rows);
}

int sp_attention_ring_forward(struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass)
{
	sp_passing_narrow(&r->passing, pass->kv.cols, r->passing.fresh.cols);
	int rc = r->places == 1 ? SP_OK : r->passing.way->keys_begin(&r->passing, pass->kv);
	for (int hop = 0; rc == SP_OK && hop < r->places; hop++)
		rc = forward_hop(r, pass, hop);
	if (rc == SP_OK && r->places > 1)
		r->passing.way->keys_end(&r->passing);
	return rc ? rc : end_forward(r, pass);
}

/* ---- backward ---- */

static int backward_step(const struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass, struct sp_matrix keys,
                         struct sp_matrix dkv, int hop, int own, int other)
{
	const struct sp_matrix kv = tokens_of(r, keys, other), grad = tokens_of(r, dkv, other);
	const int64_t h = pass->q.cols;
	const struct sp_attention_backward step = {
		.shape = step_shape(r, pass->call, hop, own, other),
		.q = tokens_of(r, pass->q, own),
		.k = sp_matrix_columns(kv, 0, h),
		.v = sp_matrix_columns(kv, h, h),
		.o = tokens_of(r, pass->o, own),
		.dout = tokens_of(r, pass->dout, own),
		.lse = lines_of(r, pass->lse, own),
		.dots = lines_of(r, pass->dots, own),
		.dq = tokens_of(r, pass->dq, own),
		.dk = sp_matrix_columns(grad, 0, h),
		.dv = sp_matrix_columns(grad, h, h),
		.overwrite_dq = hop == 1 % r->places && other == 0,
		.overwrite_dkv = own == 0,
	};
	return sp_compute_attention_backward(r->setup.compute, &step);
}

/* Gradients of hop t: dq at home, those of keys and values overwritten in `dkv` (U T, 2 h). */
static int backward_compute(struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass, struct sp_matrix dkv, int hop)
{
	struct sp_matrix keys;
	int rc = hop_keys(r, pass, hop, &keys);
	sp_trace_begin(SP_TRACE_COMPUTE, "ring backward hop", hop);
	for (int own = 0; own < r->blocks; own++)
		for (int other = 0; rc == SP_OK && other < r->blocks; other++)
			rc = backward_step(r, pass, keys, dkv, hop, own, other);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

/* Hop t > 0: gradients of another place's keys, which go on with those of the places before. */
static int backward_hop(struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass, int hop)
{
	struct sp_passing *p = &r->passing;
	struct sp_matrix dkv;
	int rc = p->way->gradients(p, hop, &dkv);
	if (rc == SP_OK)
		rc = backward_compute(r, pass, dkv, hop);
	return rc ? rc : p->way->gradients_on(p, hop);
}

static int backward_own(struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass)
{
	struct sp_passing *p = &r->passing;
	struct sp_matrix sum;
	int rc = backward_compute(r, pass, p->way->gradients_own(p), 0);
	if (rc == SP_OK)
		rc = p->way->gradients_home(p, &sum);
	return rc ? rc : sp_compute_copy_rows(r->setup.compute, sum, pass->dkv);
}

int sp_attention_ring_begin_backward(struct sp_attention_ring *r, struct sp_matrix kv)
{
	if (r->places == 1 || r->passing.begun || r->setup.shape.choice.ring_queries)
		return SP_OK;
	r->passing.begun = 1;
	return r->passing.way->keys_begin(&r->passing, kv);
}

int sp_attention_ring_backward(struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass)
{
	if (r->places == 1)
		return backward_compute(r, pass, pass->dkv, 0);
	if (r->setup.shape.choice.ring_queries)
		return sp_attention_ring_backward_queries(r, pass);
	int rc = sp_attention_ring_begin_backward(r, pass->kv);
	r->passing.begun = 0;
	for (int hop = 1; rc == SP_OK && hop < r->places; hop++)
		rc = backward_hop(r, pass, hop);
	if (rc)
		return rc;
	r->passing.way->keys_end(&r->passing);
	return backward_own(r, pass);
}

/* ---- the kind: each rank is a place, its tokens are one block ---- */

static int ring_check(const struct sp_attention_shape_host *shape)
{
	(void)shape;
	return SP_OK;
}

static void ring_destroy(void *work)
{
	if (work)
		sp_attention_ring_release(work);
	free(work);
}

static int ring_create(const struct sp_attention_setup *setup, struct sp_arena *arena, void **work)
{
	struct sp_attention_ring *r = calloc(1, sizeof *r);
	if (!r)
		return sp_fail(SP_ERR_MEMORY, "ring attention: no memory for %zu bytes", sizeof *r);
	*r = (struct sp_attention_ring){ .setup = *setup, .blocks = 1, .place = setup->shape.rank, .places = setup->shape.ranks };
	int rc = sp_attention_take_wide(setup, arena, &r->wide);
	if (rc == SP_OK)
		rc = sp_attention_ring_layout(r, arena);
	if (rc) {
		ring_destroy(r);
		return rc;
	}
	*work = r;
	return SP_OK;
}

static void ring_share(void *work, const struct sp_attention_parts *parts)
{
	struct sp_attention_ring *r = work;
	sp_attention_share(&r->setup, parts, &r->rows);
}

/* Keys and values, the last two thirds of a projection's columns. */
static struct sp_matrix keys_of(struct sp_matrix qkv)
{
	const int64_t hidden = qkv.cols / 3;
	return sp_matrix_columns(qkv, hidden, 2 * hidden);
}

static int ring_forward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state)
{
	struct sp_attention_ring *r = work;
	const struct sp_attention_ring_pass pass = {
		.call = call,
		.q = sp_attention_split(state->qkv).q,
		.kv = keys_of(state->qkv),
		.acc = sp_attention_widen(state->o, r->wide),
		.o = state->o,
		.lse = state->lse,
	};
	return sp_attention_ring_forward(r, &pass);
}

static int ring_begin_backward(void *work, const struct sp_attention_state *state)
{
	return sp_attention_ring_begin_backward(work, keys_of(state->qkv));
}

static int ring_settle(void *work)
{
	return sp_attention_ring_settle(work);
}

static int ring_backward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state,
                         struct sp_matrix dout, struct sp_matrix dqkv)
{
	struct sp_attention_ring *r = work;
	const struct sp_matrix summed = sp_attention_widen(dqkv, r->wide);
	const struct sp_attention_ring_pass pass = {
		.call = call,
		.q = sp_attention_split(state->qkv).q,
		.kv = keys_of(state->qkv),
		.o = state->o,
		.lse = state->lse,
		.dout = dout,
		.dots = r->rows,
		.dq = sp_attention_split(summed).q,
		.dkv = keys_of(summed),
	};
	int rc = sp_attention_begin_backward(&r->setup, state, dout, r->rows);
	if (rc == SP_OK)
		rc = sp_attention_ring_backward(r, &pass);
	return rc ? rc : sp_attention_narrow(&r->setup, summed, dqkv);
}

/* Of a feature of keys and values together: two words, or one. */
static uint64_t keys_weight(const struct sp_attention_shape_host *s)
{
	return 2 * sp_dtype_size(s->element) / sizeof(float);
}

uint64_t sp_attention_ring_sent_forward(const struct sp_attention_shape_host *s, int places, int64_t tokens, int64_t heads)
{
	return (uint64_t)(places - 1) * (uint64_t)(tokens * heads * s->head_dim) * keys_weight(s);
}

uint64_t sp_attention_ring_sent_backward(const struct sp_attention_shape_host *s, int places, int64_t tokens, int64_t heads)
{
	const int64_t each = s->choice.ring_queries ? 3 * s->head_dim + 2 : ((int64_t)keys_weight(s) + 2) * s->head_dim;
	return (uint64_t)(places - 1) * (uint64_t)(tokens * heads * each);
}

static uint64_t ring_sent_forward(const struct sp_attention_shape_host *s)
{
	return sp_attention_ring_sent_forward(s, s->ranks, s->batch * s->chunk, s->heads);
}

static uint64_t ring_sent_backward(const struct sp_attention_shape_host *s)
{
	return sp_attention_ring_sent_backward(s, s->ranks, s->batch * s->chunk, s->heads);
}

const struct sp_attention_variant sp_attention_ring = {
	.name = "ring",
	.narrow = 1,
	.skips = 1,
	.repeats = 1,
	.check = ring_check,
	.create = ring_create,
	.destroy = ring_destroy,
	.share = ring_share,
	.forward = ring_forward,
	.begin_backward = ring_begin_backward,
	.backward = ring_backward,
	.settle = ring_settle,
	.sent_forward = ring_sent_forward,
	.sent_backward = ring_sent_backward,
};
