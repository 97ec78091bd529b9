/* Backward of a ring in which the queries' side goes round (Sun et al. 2024, "BurstAttention", section 3.1): keys, values and
 * their gradients stay at home. What travels are queries, the gradients of their outputs, log-sum-exps and the row terms of the
 * softmax; and behind them, one hop, the gradients of queries: h + h + 2 n + h elements a token where keys, values and
 * their gradients are 4 h.
 *
 * It cannot set out before the gradients of outputs are there, so the first hop is waited for; own queries come last, as
 * own keys do.
 *
 * A message is (U T, 2 h + 2 n) elements in one piece: (U T, 2 h) queries beside gradients of outputs, then (U B n, C)
 * log-sum-exps, then (U B n, C) row terms. */
#include "config.h"

#include "attention/ring.h"

#include "base/trace.h"

/* The queries' side of a place, at home or in a message. */
struct side {
	struct sp_matrix q, dout, lse, dots;
};

static int64_t tokens(const struct sp_attention_ring *r)
{
	return r->setup.shape.batch * r->setup.shape.chunk;
}

int64_t sp_attention_ring_query_cols(const struct sp_attention_ring *r)
{
	return 2 * r->setup.shape.heads * (r->setup.shape.head_dim + 1);
}

int sp_attention_ring_layout_queries(struct sp_attention_ring *r, struct sp_arena *arena)
{
	const int64_t rows = r->blocks * tokens(r), cols = sp_attention_ring_query_cols(r);
	int rc = sp_arena_take_matrix(arena, rows, cols, &r->queries);
	return rc ? rc : sp_passing_create(&r->passing, rows, cols, r->setup.shape.heads * r->setup.shape.head_dim, arena);
}

/* Row vectors of a message of `rows` tokens. */
static struct sp_matrix lines_at(const struct sp_attention_ring *r, float *at, int64_t rows)
{
	const int64_t samples = r->blocks * r->setup.shape.batch;
	return sp_matrix(at, samples * r->setup.shape.heads, rows / samples);
}

static struct side in_message(const struct sp_attention_ring *r, struct sp_matrix message)
{
	const int64_t rows = message.rows, heads = r->setup.shape.heads, h = heads * r->setup.shape.head_dim;
	float *at = message.data;
	const struct sp_matrix features = sp_matrix(at, rows, 2 * h);
	return (struct side){
		.q = sp_matrix_columns(features, 0, h),
		.dout = sp_matrix_columns(features, h, h),
		.lse = lines_at(r, at + rows * 2 * h, rows),
		.dots = lines_at(r, at + rows * (2 * h + heads), rows),
	};
}

static struct side at_home(const struct sp_attention_ring_pass *pass)
{
	return (struct side){ pass->q, pass->dout, pass->lse, pass->dots };
}

static int set_out(struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass)
{
	struct sp_compute *c = r->setup.compute;
	const struct side to = in_message(r, r->queries);
	int rc = sp_compute_copy_rows(c, pass->q, to.q);
	if (rc == SP_OK)
		rc = sp_compute_copy_rows(c, pass->dout, to.dout);
	if (rc == SP_OK)
		rc = sp_compute_copy_rows(c, pass->lse, to.lse);
	if (rc == SP_OK)
		rc = sp_compute_copy_rows(c, pass->dots, to.dots);
	return rc ? rc : r->passing.way->keys_begin(&r->passing, r->queries);
}

/* Queries of block `other` of the place that is met at hop t against own keys of block `own`. */
static int step(const struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass, const struct side *side,
                struct sp_matrix dq, int hop, int own, int other)
{
	const int64_t t = tokens(r), lines = r->setup.shape.batch * r->setup.shape.heads, h = pass->q.cols;
	const int64_t there = side->q.rows / r->blocks;
	const int from = (r->place - hop + r->places) % r->places;
	const struct sp_matrix kv = sp_matrix_rows(pass->kv, own * t, t), dkv = sp_matrix_rows(pass->dkv, own * t, t);
	struct sp_attention_backward args = {
		.shape = sp_attention_step_shape(&r->setup, pass->call, from * r->blocks + other, r->place * r->blocks + own),
		.q = sp_matrix_rows(side->q, other * there, there),
		.k = sp_matrix_columns(kv, 0, h),
		.v = sp_matrix_columns(kv, h, h),
		.dout = sp_matrix_rows(side->dout, other * there, there),
		.lse = sp_matrix_rows(side->lse, other * lines, lines),
		.dots = sp_matrix_rows(side->dots, other * lines, lines),
		.dq = sp_matrix_rows(dq, other * there, there),
		.dk = sp_matrix_columns(dkv, 0, h),
		.dv = sp_matrix_columns(dkv, h, h),
		.overwrite_dq = own == 0,
		.overwrite_dkv = hop == 1 && other == 0,
	};
	args.shape.all_heads = r->all_heads;
	args.shape.first_head = r->first_head;
	return sp_compute_attention_backward(r->setup.compute, &args);
}

static int compute(const struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass, struct side side,
                   struct sp_matrix dq, int hop)
{
	int rc = SP_OK;
	sp_trace_begin(SP_TRACE_COMPUTE, "ring backward hop", hop);
	for (int own = 0; own < r->blocks; own++)
		for (int other = 0; rc == SP_OK && other < r->blocks; other++)
			rc = step(r, pass, &side, dq, hop, own, other);
	sp_trace_end(SP_TRACE_COMPUTE);
	return rc;
}

static int hop_of(struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass, int hop)
{
	struct sp_passing *p = &r->passing;
	struct sp_matrix message, dq;
	int rc = p->way->keys(p, hop, &message);
	if (rc == SP_OK)
		rc = p->way->gradients(p, hop, &dq);
	if (rc == SP_OK)
		rc = compute(r, pass, in_message(r, message), dq, hop);
	return rc ? rc : p->way->gradients_on(p, hop);
}

int sp_attention_ring_backward_queries(struct sp_attention_ring *r, const struct sp_attention_ring_pass *pass)
{
	struct sp_passing *p = &r->passing;
	struct sp_matrix sum;
	sp_passing_narrow(p, sp_attention_ring_query_cols(r), pass->q.cols);
	r->queries = sp_passing_block(p, sp_matrix(r->queries.data, p->kv[0].rows, p->kv[0].cols), 0);
	int rc = set_out(r, pass);
	for (int hop = 1; rc == SP_OK && hop < r->places; hop++)
		rc = hop_of(r, pass, hop);
	if (rc)
		return rc;
	p->way->keys_end(p);
	rc = compute(r, pass, at_home(pass), p->way->gradients_own(p), 0);
	if (rc == SP_OK)
		rc = p->way->gradients_home(p, &sum);
	return rc ? rc : sp_compute_copy_rows(r->setup.compute, sum, pass->dq);
}
