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

#include "attention/variants.h"
#include "base/log.h"
#include "base/trace.h"

#include <stdlib.h>

struct ring {
	struct sp_attention_setup setup;
	int rank, ranks;
	struct sp_matrix rows;     /* (B A, C): l in forward, dots in backward */
	struct sp_matrix kv[2];    /* (T, 2 H): keys and values side by side; one is computed with, the other received */
	struct sp_matrix fresh;    /* (T, 2 H): this hop's gradients of keys and values */
	struct sp_matrix travel[2]; /* (T, 2 H): one is sent, the other received */
};

static int ring_check(const struct sp_attention_shape_host *shape)
{
	(void)shape;
	return SP_OK;
}

static int take_message(const struct sp_attention_setup *setup, struct sp_arena *arena, struct sp_matrix *message)
{
	const struct sp_attention_shape_host *s = &setup->shape;
	return sp_arena_take_matrix(arena, s->batch * s->chunk, 2 * s->heads * s->head_dim, message);
}

/* One rank sends nothing, and its own keys are read in place. */
static int layout(struct ring *r, struct sp_arena *arena)
{
	struct sp_matrix *const messages[] = { &r->kv[0], &r->kv[1], &r->fresh, &r->travel[0], &r->travel[1] };
	const int count = r->ranks == 1 ? 0 : r->setup.forward_only ? 2 : 5;
	int rc = sp_attention_take_rows(&r->setup.shape, arena, &r->rows);
	for (int i = 0; rc == SP_OK && i < count; i++)
		rc = take_message(&r->setup, arena, messages[i]);
	return rc;
}

static int ring_create(const struct sp_attention_setup *setup, struct sp_arena *arena, void **work)
{
	struct ring *r = calloc(1, sizeof *r);
	if (!r)
		return sp_fail(SP_ERR_MEMORY, "ring attention: no memory for %zu bytes", sizeof *r);
	r->setup = *setup;
	r->ranks = setup->shape.ranks;
	r->rank = sp_attention_rank(setup);
	int rc = layout(r, arena);
	if (rc) {
		free(r);
		return rc;
	}
	*work = r;
	return SP_OK;
}

static size_t message_bytes(struct sp_matrix m)
{
	return (size_t)m.rows * (size_t)m.cols * sizeof(float);
}

/* `out` goes to the next rank, what the previous one sends arrives in `in`. With overlap off it has arrived on return. */
static int pass_on(struct ring *r, struct sp_matrix out, struct sp_matrix in, struct sp_transfer *transfer)
{
	const struct sp_exchange args = {
		.send = out.data,
		.send_bytes = message_bytes(out),
		.to = (r->rank + 1) % r->ranks,
		.receive = in.data,
		.receive_bytes = message_bytes(in),
		.from = (r->rank + r->ranks - 1) % r->ranks,
	};
	transfer->compute = r->setup.compute;
	return sp_attention_started(&r->setup, sp_comm_exchange_start(r->setup.comm, &args, transfer), transfer);
}

/* This rank's queries against the keys it holds at hop t. */
static struct sp_attention_shape hop_shape(const struct ring *r, const struct sp_attention_call *call, int hop)
{
	const int owner = (r->rank - hop + r->ranks) % r->ranks;
	return sp_attention_step_shape(&r->setup, call, r->rank, owner);
}

/* Keys and values of hop t: at home in the projection, later in a message. */
static struct sp_attention_qkv hop_keys(const struct ring *r, const struct sp_attention_state *state, int hop)
{
	struct sp_attention_qkv in = sp_attention_split(state->qkv);
	const int64_t hidden = in.q.cols;
	if (hop > 0) {
		in.k = sp_matrix_columns(r->kv[hop % 2], 0, hidden);
		in.v = sp_matrix_columns(r->kv[hop % 2], hidden, hidden);
	}
	return in;
}

/* Keys and values are the last two thirds of the projection's columns: packed into one message. */
static int pack_own(struct ring *r, const struct sp_attention_state *state)
{
	const int64_t hidden = state->qkv.cols / 3;
	if (r->ranks == 1)
		return SP_OK;
	return sp_compute_copy_rows(r->setup.compute, sp_matrix_columns(state->qkv, hidden, 2 * hidden), r->kv[0]);
}

static int forward_step(struct ring *r, const struct sp_attention_call *call, const struct sp_attention_state *state, int hop)
{
	const struct sp_attention_qkv in = hop_keys(r, state, hop);
	const struct sp_attention_forward step = {
		.shape = hop_shape(r, call, hop),
		.q = in.q,
		.k = in.k,
		.v = in.v,
		.acc = state->o,
		.m = state->lse,
		.l = r->rows,
		.first = hop == 0,
	};
	sp_trace_begin(SP_TRACE_COMPUTE, "ring forward hop", hop);
	int rc = sp_compute_attention_forward(r->setup.compute, &step);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

static int ring_forward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state)
{
	struct ring *r = work;
	int rc = pack_own(r, state);
	for (int hop = 0; rc == SP_OK && hop < r->ranks; hop++) {
		struct sp_transfer keys = { 0 };
		if (hop + 1 < r->ranks)
			rc = pass_on(r, r->kv[hop % 2], r->kv[(hop + 1) % 2], &keys);
		if (rc == SP_OK)
			rc = forward_step(r, call, state, hop);
		if (rc == SP_OK)
			rc = sp_comm_wait(r->setup.comm, &keys);
	}
	return rc ? rc : sp_attention_end_forward(&r->setup, state, r->rows);
}

/* Gradients of hop t: dq at home, those of keys and values overwritten in `dkv` (T, 2 H). */
static int backward_step(struct ring *r, const struct sp_attention_call *call, const struct sp_attention_state *state,
                         struct sp_matrix dout, struct sp_matrix dq, struct sp_matrix dkv, int hop)
{
	const struct sp_attention_qkv in = hop_keys(r, state, hop);
	const int64_t hidden = dq.cols;
	const struct sp_attention_backward step = {
		.shape = hop_shape(r, call, hop),
		.q = in.q,
		.k = in.k,
		.v = in.v,
		.dout = dout,
		.lse = state->lse,
		.dots = r->rows,
		.dq = dq,
		.dk = sp_matrix_columns(dkv, 0, hidden),
		.dv = sp_matrix_columns(dkv, hidden, hidden),
		.overwrite_dq = hop == 0,
		.overwrite_dkv = 1,
	};
	sp_trace_begin(SP_TRACE_COMPUTE, "ring backward hop", hop);
	int rc = sp_compute_attention_backward(r->setup.compute, &step);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

/* Hop t: `travel[t % 2]` is on its way in (none at t = 0) with the gradients that the ranks before have summed for the keys
 * at hand. Ours are added to it, and it goes on while the next hop is computed; at the end it is home in travel[P % 2]. */
static int backward_hop(struct ring *r, const struct sp_attention_call *call, const struct sp_attention_state *state,
                        struct sp_matrix dout, struct sp_matrix dq, struct sp_transfer *gradients, int hop)
{
	struct sp_compute *c = r->setup.compute;
	struct sp_comm *comm = r->setup.comm;
	struct sp_matrix here = r->travel[hop % 2], next = r->travel[(hop + 1) % 2];
	struct sp_transfer keys = { 0 };
	int rc = SP_OK;
	if (hop + 1 < r->ranks)
		rc = pass_on(r, r->kv[hop % 2], r->kv[(hop + 1) % 2], &keys);
	if (rc == SP_OK)
		rc = backward_step(r, call, state, dout, dq, hop == 0 ? here : r->fresh, hop);
	if (rc == SP_OK)
		rc = sp_comm_wait(comm, gradients);
	if (rc == SP_OK && hop > 0)
		rc = sp_compute_add(c, here.data, r->fresh.data, here.rows * here.cols);
	if (rc == SP_OK)
		rc = pass_on(r, here, next, gradients);
	return rc ? rc : sp_comm_wait(comm, &keys);
}

static int backward_many(struct ring *r, const struct sp_attention_call *call, const struct sp_attention_state *state,
                         struct sp_matrix dout, struct sp_matrix dqkv)
{
	const int64_t hidden = dqkv.cols / 3;
	struct sp_transfer gradients = { 0 };
	int rc = pack_own(r, state);
	for (int hop = 0; rc == SP_OK && hop < r->ranks; hop++)
		rc = backward_hop(r, call, state, dout, sp_matrix_columns(dqkv, 0, hidden), &gradients, hop);
	if (rc == SP_OK)
		rc = sp_comm_wait(r->setup.comm, &gradients);
	if (rc == SP_OK)
		rc = sp_compute_copy_rows(r->setup.compute, r->travel[r->ranks % 2], sp_matrix_columns(dqkv, hidden, 2 * hidden));
	return rc;
}

static int ring_backward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state,
                         struct sp_matrix dout, struct sp_matrix dqkv)
{
	struct ring *r = work;
	const int64_t hidden = dqkv.cols / 3;
	int rc = sp_attention_begin_backward(&r->setup, state, dout, r->rows);
	if (rc)
		return rc;
	if (r->ranks > 1)
		return backward_many(r, call, state, dout, dqkv);
	return backward_step(r, call, state, dout, sp_matrix_columns(dqkv, 0, hidden),
	                     sp_matrix_columns(dqkv, hidden, 2 * hidden), 0);
}

static uint64_t ring_sent_forward(const struct sp_attention_shape_host *s)
{
	return 2 * (uint64_t)(s->ranks - 1) * sp_attention_block(s);
}

static uint64_t ring_sent_backward(const struct sp_attention_shape_host *s)
{
	return s->ranks == 1 ? 0 : (4 * (uint64_t)(s->ranks - 1) + 2) * sp_attention_block(s);
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
