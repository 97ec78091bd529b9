/* Ring self-attention as published (Li et al. 2021, section 3.2): two passes round the ring, whole rows of scores kept. Here to be
 * compared with: results and memory are the paper's, the errors of its code (a scale of sqrt(H), gradients of keys and
 * values divided by P) are not.
 *
 * Forward: keys go round, and each rank fills in the scores of its queries, block by block (RingQK); softmax of whole rows;
 * values go round, and outputs are summed up (RingAV). Backward: values go round for the gradients of probabilities, keys for
 * those of queries; what own queries contribute to the gradients of all keys and values is summed by an all-reduce each, of
 * which a rank keeps its tokens' part.
 *
 * Elements sent per layer and rank: forward 2 (P - 1) B C H, backward 6 (P - 1) B C H (two rings, two all-reduces), as
 * in the paper's section 3.2.2. Kept from forward, beside what all kinds keep: probabilities, B A C P C = B A S^2 / P, as in
 * its Table 2. Not in that table, as in its code: their gradients, B A C P C, a block of dropped ones, B A C C, and gradients of
 * all keys or values, P B C H; one layer's at a time. */
#include "config.h"

#include "attention/variants.h"
#include "base/log.h"
#include "base/trace.h"

#include <stdlib.h>

struct rsa {
	struct sp_attention_setup setup;
	int rank, ranks;
	struct sp_matrix dots;       /* (B A, C) */
	struct sp_matrix message[2]; /* (T, H): keys or values; one is computed with, the other received */
	struct sp_matrix dropped;    /* (B A C, C): a block of probabilities */
	struct sp_matrix ds;         /* (B A C, P C): gradients of probabilities, then of scores */
	struct sp_matrix whole;      /* (P T, H): gradients of all keys, or of all values, rank after rank */
};

/* What a pass is about; forward has no gradients. */
struct pass {
	struct rsa *r;
	const struct sp_attention_call *call;
	const struct sp_attention_state *state;
	struct sp_attention_qkv in, grad;
	struct sp_matrix dout;
};

static int rsa_check(const struct sp_attention_shape_host *shape)
{
	(void)shape;
	return SP_OK;
}

static int layout(struct rsa *r, struct sp_arena *arena)
{
	const struct sp_attention_shape_host *s = &r->setup.shape;
	const int64_t tokens = s->batch * s->chunk, hidden = s->heads * s->head_dim, lines = s->batch * s->heads * s->chunk;
	const int trains = !r->setup.forward_only;
	int rc = sp_attention_take_rows(s, arena, &r->dots);
	for (int i = 0; rc == SP_OK && r->ranks > 1 && i < 2; i++)
		rc = sp_arena_take_matrix(arena, tokens, hidden, &r->message[i]);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, lines, s->chunk, &r->dropped);
	if (rc == SP_OK && trains)
		rc = sp_arena_take_matrix(arena, lines, r->ranks * s->chunk, &r->ds);
	if (rc == SP_OK && trains)
		rc = sp_arena_take_matrix(arena, r->ranks * tokens, hidden, &r->whole);
	return rc;
}

static int rsa_create(const struct sp_attention_setup *setup, struct sp_arena *arena, void **work)
{
	struct rsa *r = calloc(1, sizeof *r);
	if (!r)
		return sp_fail(SP_ERR_MEMORY, "rsa attention: no memory for %zu bytes", sizeof *r);
	r->setup = *setup;
	r->rank = setup->shape.rank;
	r->ranks = setup->shape.ranks;
	int rc = layout(r, arena);
	if (rc) {
		free(r);
		return rc;
	}
	*work = r;
	return SP_OK;
}

/* ---- products of every sample and head ---- */

/* Head `a` of sample `b` in a matrix of tokens, and its rows of a block of scores. */
static struct sp_matrix features(const struct rsa *r, struct sp_matrix m, int64_t b, int64_t a)
{
	const struct sp_attention_shape_host *s = &r->setup.shape;
	return sp_matrix_columns(sp_matrix_rows(m, b * s->chunk, s->chunk), a * s->head_dim, s->head_dim);
}

static struct sp_matrix scores(const struct rsa *r, struct sp_matrix block, int64_t b, int64_t a)
{
	const struct sp_attention_shape_host *s = &r->setup.shape;
	return sp_matrix_rows(block, (b * s->heads + a) * s->chunk, s->chunk);
}

/* s = x y^T;  x = [x +] s y;  y += s^T x */
enum product { INTO_SCORES, INTO_QUERIES, ADD_TO_QUERIES, ADD_TO_KEYS };

static int multiply_head(const struct rsa *r, enum product product, struct sp_matrix x, struct sp_matrix y, struct sp_matrix s)
{
	struct sp_compute *c = r->setup.compute;
	if (product == INTO_SCORES)
		return sp_compute_linear_forward(c, &(struct sp_linear_forward){ .x = x, .w = y, .y = s });
	if (product == ADD_TO_KEYS)
		return sp_compute_linear_backward_weight(c, &(struct sp_linear_backward_weight){ .dy = s, .x = x, .dw = y });
	return sp_compute_linear_backward_input(c, &(struct sp_linear_backward_input){ .dy = s, .w = y, .dx = x,
	                                                                               .accumulate = product == ADD_TO_QUERIES });
}

/* x (T, H) of queries, y (T, H) of the keys of a block s (B A C, C). */
static int multiply(const struct rsa *r, enum product product, struct sp_matrix x, struct sp_matrix y, struct sp_matrix s)
{
	int rc = SP_OK;
	for (int64_t b = 0; rc == SP_OK && b < r->setup.shape.batch; b++)
		for (int64_t a = 0; rc == SP_OK && a < r->setup.shape.heads; a++) {
			rc = multiply_head(r, product, features(r, x, b, a), features(r, y, b, a), scores(r, s, b, a));
			if (r->ranks > 1 && r->setup.overlap)
				(void)sp_comm_progress(r->setup.comm); /* an error is met by the wait */
		}
	return rc;
}

/* ---- rings ---- */

/* What is done with the keys or values `x` (T, H) of rank `owner`. */
typedef int step(const struct pass *p, struct sp_matrix x, int owner);

static int pass_on(const struct rsa *r, int hop, struct sp_transfer *transfer)
{
	const struct sp_matrix out = r->message[hop % 2], in = r->message[(hop + 1) % 2];
	const size_t bytes = (size_t)(out.rows * out.cols) * sizeof(float);
	const struct sp_exchange args = {
		.send = out.data,
		.send_bytes = bytes,
		.to = (r->rank + 1) % r->ranks,
		.receive = in.data,
		.receive_bytes = bytes,
		.from = (r->rank + r->ranks - 1) % r->ranks,
	};
	*transfer = (struct sp_transfer){ .compute = r->setup.compute };
	return sp_attention_started(&r->setup, sp_comm_exchange_start(r->setup.comm, &args, transfer), transfer);
}

/* `own` goes round, and `meet` takes what each rank has of it. */
static int ring(const struct pass *p, struct sp_matrix own, const char *name, step *meet)
{
	const struct rsa *r = p->r;
	int rc = r->ranks > 1 ? sp_compute_copy_rows(r->setup.compute, own, r->message[0]) : SP_OK;
	for (int hop = 0; rc == SP_OK && hop < r->ranks; hop++) {
		struct sp_transfer next = { 0 };
		if (hop + 1 < r->ranks)
			rc = pass_on(r, hop, &next);
		sp_trace_begin(SP_TRACE_COMPUTE, name, hop);
		if (rc == SP_OK)
			rc = meet(p, hop == 0 ? own : r->message[hop % 2], (r->rank - hop + r->ranks) % r->ranks);
		sp_trace_end(SP_TRACE_COMPUTE);
		if (rc == SP_OK)
			rc = sp_comm_wait(r->setup.comm, &next);
	}
	return rc;
}

/* ---- forward ---- */

static struct sp_attention_shape shape_of(const struct pass *p, int owner)
{
	return sp_attention_step_shape(&p->r->setup, p->call, p->r->rank, owner);
}

static struct sp_matrix block_of(const struct pass *p, struct sp_matrix rows, int owner)
{
	const int64_t chunk = p->r->setup.shape.chunk;
	return sp_matrix_columns(rows, owner * chunk, chunk);
}

static int qk_step(const struct pass *p, struct sp_matrix k, int owner)
{
	const struct sp_scores_mask mask = { shape_of(p, owner), block_of(p, p->state->scores, owner) };
	int rc = multiply(p->r, INTO_SCORES, p->in.q, k, mask.s);
	return rc ? rc : sp_compute_scores_mask(p->r->setup.compute, &mask);
}

static int softmax(const struct pass *p)
{
	const struct sp_matrix lse = p->state->lse;
	const struct sp_scores_softmax args = { p->state->scores, sp_vector(lse.data, lse.rows * lse.cols) };
	return sp_compute_scores_softmax(p->r->setup.compute, &args);
}

/* The probabilities of a block as they are used: dropped. */
static int drop(const struct pass *p, int owner, struct sp_matrix *dropped)
{
	const struct sp_scores_drop args = { shape_of(p, owner), block_of(p, p->state->scores, owner), p->r->dropped };
	const int on = args.shape.dropout.keep < 65536;
	*dropped = on ? args.y : args.p;
	return on ? sp_compute_scores_drop(p->r->setup.compute, &args) : SP_OK;
}

static int av_step(const struct pass *p, struct sp_matrix v, int owner)
{
	struct sp_matrix dropped;
	int rc = drop(p, owner, &dropped);
	return rc ? rc : multiply(p->r, owner == p->r->rank ? INTO_QUERIES : ADD_TO_QUERIES, p->state->o, v, dropped);
}

static int rsa_forward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state)
{
	const struct pass p = { .r = work, .call = call, .state = state, .in = sp_attention_split(state->qkv) };
	int rc = ring(&p, p.in.k, "rsa QK hop", qk_step);
	if (rc == SP_OK)
		rc = softmax(&p);
	return rc ? rc : ring(&p, p.in.v, "rsa AV hop", av_step);
}

/* ---- backward ---- */

static int dp_step(const struct pass *p, struct sp_matrix v, int owner)
{
	const struct sp_scores_backward args = {
		shape_of(p, owner), block_of(p, p->state->scores, owner), block_of(p, p->r->ds, owner), p->r->dots,
	};
	int rc = multiply(p->r, INTO_SCORES, p->dout, v, args.ds);
	return rc ? rc : sp_compute_scores_backward(p->r->setup.compute, &args);
}

static int dq_step(const struct pass *p, struct sp_matrix k, int owner)
{
	return multiply(p->r, owner == p->r->rank ? INTO_QUERIES : ADD_TO_QUERIES, p->grad.q, k, block_of(p, p->r->ds, owner));
}

/* A rank's part of the gradients of all keys or values. */
static struct sp_matrix part_of(const struct rsa *r, int owner)
{
	const int64_t tokens = r->setup.shape.batch * r->setup.shape.chunk;
	return sp_matrix_rows(r->whole, owner * tokens, tokens);
}

static int sum_whole(const struct rsa *r, struct sp_matrix own)
{
	const int64_t elements = r->whole.rows * r->whole.cols;
	int rc = SP_OK;
	if (r->ranks > 1)
		rc = sp_comm_all_reduce_on(r->setup.comm, r->setup.compute, r->whole.data, elements, SP_F32, SP_SUM);
	return rc ? rc : sp_compute_copy_rows(r->setup.compute, part_of(r, r->rank), own);
}

/* The gradients of all values that own queries contribute to, then those of all keys; summed, own part kept. */
static int whole_values(const struct pass *p)
{
	const struct rsa *r = p->r;
	int rc = sp_compute_zero(r->setup.compute, r->whole.data, (size_t)(r->whole.rows * r->whole.cols) * sizeof(float));
	for (int owner = 0; rc == SP_OK && owner < r->ranks; owner++) {
		struct sp_matrix dropped;
		rc = drop(p, owner, &dropped);
		if (rc == SP_OK)
			rc = multiply(r, ADD_TO_KEYS, p->dout, part_of(r, owner), dropped);
	}
	return rc ? rc : sum_whole(r, p->grad.v);
}

static int whole_keys(const struct pass *p)
{
	const struct rsa *r = p->r;
	int rc = sp_compute_zero(r->setup.compute, r->whole.data, (size_t)(r->whole.rows * r->whole.cols) * sizeof(float));
	for (int owner = 0; rc == SP_OK && owner < r->ranks; owner++)
		rc = multiply(r, ADD_TO_KEYS, p->in.q, part_of(r, owner), block_of(p, r->ds, owner));
	return rc ? rc : sum_whole(r, p->grad.k);
}

static int rsa_backward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state,
                        struct sp_matrix dout, struct sp_matrix dqkv)
{
	struct rsa *r = work;
	const struct pass p = { r, call, state, sp_attention_split(state->qkv), sp_attention_split(dqkv), dout };
	int rc = sp_attention_begin_backward(&r->setup, state, dout, r->dots);
	if (rc == SP_OK)
		rc = ring(&p, p.in.v, "rsa dP hop", dp_step);
	if (rc == SP_OK)
		rc = whole_values(&p);
	if (rc == SP_OK)
		rc = ring(&p, p.in.k, "rsa dQ hop", dq_step);
	return rc ? rc : whole_keys(&p);
}

static uint64_t rsa_sent_forward(const struct sp_attention_shape_host *s)
{
	return 2 * (uint64_t)(s->ranks - 1) * sp_attention_block(s);
}

static uint64_t rsa_sent_backward(const struct sp_attention_shape_host *s)
{
	return 6 * (uint64_t)(s->ranks - 1) * sp_attention_block(s);
}

const struct sp_attention_variant sp_attention_rsa = {
	.name = "rsa",
	.keeps_scores = 1,
	.check = rsa_check,
	.create = rsa_create,
	.destroy = free,
	.forward = rsa_forward,
	.backward = rsa_backward,
	.sent_forward = rsa_sent_forward,
	.sent_backward = rsa_sent_backward,
};
