/* Ring self-attention (Li et al. 2021, section 3.2, "Ring Self-Attention"), blockwise.
 *
 * Rank s of P meets, at hop t, the keys and values of rank (s - t) mod P, while it passes those of the hop before on to
 * rank s + 1. Where the paper keeps whole score rows (C, S) and sends keys and values round separately, here one message
 * carries both and an online softmax folds each block in, so no buffer grows with S beyond this rank's share.
 * In backward the gradients of keys and values travel with them, one hop behind: while hop t is computed into `fresh`, the
 * sum of the ranks before comes in; the two are added and sent on during hop t + 1. After P sends they are home. The paper
 * sums them with two all-reduces over the whole sequence instead; its code also divides them by P, which is wrong.
 *
 * Elements sent per layer and rank: forward 2 (P - 1) B C H; backward 4 (P - 1) B C H and a last hop of 2 B C H. */
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

/* One place sends nothing, and its own keys are read in place. */
int sp_attention_ring_layout(struct sp_attention_ring *r, struct sp_arena *arena)
{
	const struct sp_attention_shape_host *s = &r->setup.shape;
	struct sp_matrix *const messages[] = { &r->kv[0], &r->kv[1], &r->fresh, &r->travel[0], &r->travel[1] };
	const int count = r->places == 1 ? 0 : r->setup.forward_only ? 2 : 5;
	int rc = sp_arena_take_matrix(arena, r->blocks * s->batch * s->heads, s->chunk, &r->rows);
	for (int i = 0; rc == SP_OK && i < count; i++)
		rc = sp_arena_take_matrix(arena, r->blocks * tokens(r), 2 * s->heads * s->head_dim, messages[i]);
	return rc;
}

/* ---- messages ---- */

static size_t message_bytes(struct sp_matrix m)
{
	return (size_t)m.rows * (size_t)m.cols * sizeof(float);
}

/* `out` goes to the next place, what the previous one sends arrives in `in`. With overlap off it has arrived on return. */
static int pass_on(const struct sp_attention_ring *r, struct sp_matrix out, struct sp_matrix in, struct sp_transfer *transfer)
{
	const int rank = r->setup.shape.rank, ranks = r->setup.shape.ranks;
	const struct sp_exchange args = {
		.send = out.data,
		.send_bytes = message_bytes(out),
		.to = (rank + r->blocks) % ranks,
		.receive = in.data,
		.receive_bytes = message_bytes(in),
		.from = (rank + ranks - r->blocks) % ranks,
	};
	transfer->compute = r->setup.compute;
	return sp_attention_started(&r->setup, sp_comm_exchange_start(r->setup.comm, &args, transfer), transfer);
}

static int pass_keys_on(const struct sp_attention_ring *r, int hop, struct sp_transfer *keys)
{
	return hop + 1 < r->places ? pass_on(r, r->kv[hop % 2], r->kv[(hop + 1) % 2], keys) : SP_OK;
}

/* Own keys and values, packed into one message. */
static int pack_own(const struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass)
{
	return r->places == 1 ? SP_OK : sp_compute_copy_rows(r->setup.compute, pass->kv, r->kv[0]);
}

/* ---- blocks ---- */

/* A block's rows of a matrix of tokens, and of row vectors. */
static struct sp_matrix tokens_of(const struct sp_attention_ring *r, struct sp_matrix m, int block)
{
	return sp_matrix_rows(m, block * tokens(r), tokens(r));
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
	struct sp_attention_shape shape =
		sp_attention_step_shape(&r->setup, call, r->place * r->blocks + own, from * r->blocks + other);
	shape.all_heads = r->all_heads;
	shape.first_head = r->first_head;
	return shape;
}

/* Keys and values of hop t: at home in the projection, later in a message. */
static struct sp_matrix hop_keys(const struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass, int hop)
{
	return hop == 0 ? pass->kv : r->kv[hop % 2];
}

/* ---- forward ---- */

static int forward_step(const struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass, int hop, int own,
                        int other)
{
	const struct sp_matrix kv = tokens_of(r, hop_keys(r, pass, hop), other);
	const int64_t h = pass->q.cols;
	const struct sp_attention_forward step = {
		.shape = step_shape(r, pass->call, hop, own, other),
		.q = tokens_of(r, pass->q, own),
		.k = sp_matrix_columns(kv, 0, h),
		.v = sp_matrix_columns(kv, h, h),
		.acc = tokens_of(r, pass->o, own),
		.m = lines_of(r, pass->lse, own),
		.l = lines_of(r, r->rows, own),
		.first = hop == 0 && other == 0,
	};
	return sp_compute_attention_forward(r->setup.compute, &step);
}

static int forward_compute(const struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass, int hop)
{
	int rc = SP_OK;
	sp_trace_begin(SP_TRACE_COMPUTE, "ring forward hop", hop);
	for (int own = 0; own < r->blocks; own++)
		for (int other = 0; rc == SP_OK && other < r->blocks; other++)
			rc = forward_step(r, pass, hop, own, other);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

/* The blocks are as more samples. */
static int end_forward(const struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass)
{
	const struct sp_attention_state state = { .o = pass->o, .lse = pass->lse };
	struct sp_attention_setup all = r->setup;
	all.shape.batch *= r->blocks;
	return sp_attention_end_forward(&all, &state, r->rows);
}

int sp_attention_ring_forward(struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass)
{
	int rc = pack_own(r, pass);
	for (int hop = 0; rc == SP_OK && hop < r->places; hop++) {
		struct sp_transfer keys = { 0 };
		rc = pass_keys_on(r, hop, &keys);
		if (rc == SP_OK)
			rc = forward_compute(r, pass, hop);
		if (rc == SP_OK)
			rc = sp_comm_wait(r->setup.comm, &keys);
	}
	return rc ? rc : end_forward(r, pass);
}

/* ---- backward ---- */

static int backward_step(const struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass, struct sp_matrix dkv,
                         int hop, int own, int other)
{
	const struct sp_matrix kv = tokens_of(r, hop_keys(r, pass, hop), other), grad = tokens_of(r, dkv, other);
	const int64_t h = pass->q.cols;
	const struct sp_attention_backward step = {
		.shape = step_shape(r, pass->call, hop, own, other),
		.q = tokens_of(r, pass->q, own),
		.k = sp_matrix_columns(kv, 0, h),
		.v = sp_matrix_columns(kv, h, h),
		.dout = tokens_of(r, pass->dout, own),
		.lse = lines_of(r, pass->lse, own),
		.dots = lines_of(r, pass->dots, own),
		.dq = tokens_of(r, pass->dq, own),
		.dk = sp_matrix_columns(grad, 0, h),
		.dv = sp_matrix_columns(grad, h, h),
		.overwrite_dq = hop == 0 && other == 0,
		.overwrite_dkv = own == 0,
	};
	return sp_compute_attention_backward(r->setup.compute, &step);
}

/* Gradients of hop t: dq at home, those of keys and values overwritten in `dkv` (U T, 2 h). */
static int backward_compute(const struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass, struct sp_matrix dkv,
                            int hop)
{
	int rc = SP_OK;
	sp_trace_begin(SP_TRACE_COMPUTE, "ring backward hop", hop);
	for (int own = 0; own < r->blocks; own++)
		for (int other = 0; rc == SP_OK && other < r->blocks; other++)
			rc = backward_step(r, pass, dkv, hop, own, other);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

/* Hop t: `travel[t % 2]` is on its way in (none at t = 0) with the gradients that the places before have summed for the keys
 * at hand. Ours are added to it, and it goes on while the next hop is computed; at the end it is home in travel[R % 2]. */
static int backward_hop(const struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass,
                        struct sp_transfer *gradients, int hop)
{
	struct sp_matrix here = r->travel[hop % 2], next = r->travel[(hop + 1) % 2];
	struct sp_transfer keys = { 0 };
	int rc = pass_keys_on(r, hop, &keys);
	if (rc == SP_OK)
		rc = backward_compute(r, pass, hop == 0 ? here : r->fresh, hop);
	if (rc == SP_OK)
		rc = sp_comm_wait(r->setup.comm, gradients);
	if (rc == SP_OK && hop > 0)
		rc = sp_compute_add(r->setup.compute, here.data, r->fresh.data, here.rows * here.cols);
	if (rc == SP_OK)
		rc = pass_on(r, here, next, gradients);
	return rc ? rc : sp_comm_wait(r->setup.comm, &keys);
}

int sp_attention_ring_backward(struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass)
{
	struct sp_transfer gradients = { 0 };
	if (r->places == 1)
		return backward_compute(r, pass, pass->dkv, 0);
	int rc = pack_own(r, pass);
	for (int hop = 0; rc == SP_OK && hop < r->places; hop++)
		rc = backward_hop(r, pass, &gradients, hop);
	if (rc == SP_OK)
		rc = sp_comm_wait(r->setup.comm, &gradients);
	if (rc == SP_OK)
		rc = sp_compute_copy_rows(r->setup.compute, r->travel[r->places % 2], pass->dkv);
	return rc;
}

/* ---- the kind: each rank is a place, its tokens are one block ---- */

static int ring_check(const struct sp_attention_shape_host *shape)
{
	(void)shape;
	return SP_OK;
}

static int ring_create(const struct sp_attention_setup *setup, struct sp_arena *arena, void **work)
{
	struct sp_attention_ring *r = calloc(1, sizeof *r);
	if (!r)
		return sp_fail(SP_ERR_MEMORY, "ring attention: no memory for %zu bytes", sizeof *r);
	*r = (struct sp_attention_ring){ .setup = *setup, .blocks = 1, .place = setup->shape.rank, .places = setup->shape.ranks };
	int rc = sp_attention_ring_layout(r, arena);
	if (rc) {
		free(r);
		return rc;
	}
	*work = r;
	return SP_OK;
}

/* Keys and values, the last two thirds of a projection's columns. */
static struct sp_matrix keys_of(struct sp_matrix qkv)
{
	const int64_t hidden = qkv.cols / 3;
	return sp_matrix_columns(qkv, hidden, 2 * hidden);
}

static int ring_forward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state)
{
	const struct sp_attention_ring_pass pass = {
		.call = call,
		.q = sp_attention_split(state->qkv).q,
		.kv = keys_of(state->qkv),
		.o = state->o,
		.lse = state->lse,
	};
	return sp_attention_ring_forward(work, &pass);
}

static int ring_backward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state,
                         struct sp_matrix dout, struct sp_matrix dqkv)
{
	struct sp_attention_ring *r = work;
	const struct sp_attention_ring_pass pass = {
		.call = call,
		.q = sp_attention_split(state->qkv).q,
		.kv = keys_of(state->qkv),
		.lse = state->lse,
		.dout = dout,
		.dots = r->rows,
		.dq = sp_attention_split(dqkv).q,
		.dkv = keys_of(dqkv),
	};
	int rc = sp_attention_begin_backward(&r->setup, state, dout, r->rows);
	return rc ? rc : sp_attention_ring_backward(r, &pass);
}

uint64_t sp_attention_ring_sent_forward(int places, uint64_t block)
{
	return 2 * (uint64_t)(places - 1) * block;
}

uint64_t sp_attention_ring_sent_backward(int places, uint64_t block)
{
	return places == 1 ? 0 : (4 * (uint64_t)(places - 1) + 2) * block;
}

static uint64_t ring_sent_forward(const struct sp_attention_shape_host *s)
{
	return sp_attention_ring_sent_forward(s->ranks, sp_attention_block(s));
}

static uint64_t ring_sent_backward(const struct sp_attention_shape_host *s)
{
	return sp_attention_ring_sent_backward(s->ranks, sp_attention_block(s));
}

const struct sp_attention_variant sp_attention_ring = {
	.name = "ring",
	.check = ring_check,
	.create = ring_create,
	.destroy = free,
	.forward = ring_forward,
	.backward = ring_backward,
	.sent_forward = ring_sent_forward,
	.sent_backward = ring_sent_backward,
};
