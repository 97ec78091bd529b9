/* Heads exchanged for tokens: Ulysses (Jacobs et al. 2023), alone or inside of a ring (USP, Fang & Zhao 2024).
 *
 * The P ranks of a sequence are R groups of U neighbours. Inside of a group an all-to-all gives each rank the tokens of the
 * whole group for some of the heads; with these the groups' ranks of the same number form a ring of R places, on which each
 * attends to all tokens; another all-to-all brings the outputs home. `ulysses` is U = P: no ring is left. `hybrid` takes U from
 * parallel.ulysses. What arrives is used as it lies: the tokens of U ranks are U blocks of the ring.
 *
 * A heads are shared out as evenly as they go, without padding: rank u of a group has n_u of them, the first ones one more.
 * Each needs one, so U is at most A: of the heads of a tensor rank, if there are several. All lay out buffers for the most.
 *
 * Kept from forward are queries, keys, values, outputs and log-sum-exps of own tokens, as by every kind; backward exchanges
 * them again, with the gradient of the outputs and the row terms of the softmax.
 *
 * Elements sent per layer and rank, with T = B C tokens, n own heads of D features, h = n D:
 *   forward    3 T D (A - n) + T (D + 1) n (U - 1)        and of the ring 2 (R - 1) U T h
 *   backward   T (4 D + 2) (A - n) + 3 T D n (U - 1)      and of the ring 4 (R - 1) U T h
 * With n = A / U that is 4 (U - 1) / U and 7 (U - 1) / U times B C H, and the terms of rows. */
#include "config.h"

#include "attention/ring.h"
#include "attention/variants.h"

#include "base/log.h"

#include <stdlib.h>

struct ulysses {
	struct sp_attention_setup setup;
	int members, own, first; /* U; which of them this is; the group's first rank in the sequence */
	int64_t heads, most;     /* own ones, and the most that any rank has */
	struct sp_attention_ring ring;
	/* of own tokens, one part a member: what is sent to them, or has come from them */
	struct sp_matrix home;   /* (T, 3 H), in training (T, 4 H) */
	struct sp_matrix lse, dots;       /* (B A, C) */
	/* of own heads, tokens of one member after the other; room for `most` heads */
	struct sp_matrix in;     /* (U T, 3 h), in training (U T, 4 h) */
	struct sp_matrix out;    /* (U T, h), in training (U T, 3 h) */
	struct sp_matrix ring_lse, ring_dots; /* (U B n, C) */
	size_t *send_bytes, *receive_bytes; /* [P] */
};

/* ---- who has which heads ---- */

static int64_t heads_of(const struct sp_attention_shape_host *s, int members, int member)
{
	return s->heads / members + (member < s->heads % members);
}

static int64_t first_head_of(const struct sp_attention_shape_host *s, int members, int member)
{
	const int64_t more = s->heads % members;
	return s->heads / members * member + (member < more ? member : more);
}

/* The largest divisor of the ranks that leaves no rank without a head. */
static int most_members(const struct sp_attention_shape_host *s)
{
	int u = s->ranks < s->heads ? s->ranks : (int)s->heads;
	while (s->ranks % u != 0)
		u--;
	return u;
}

static int hybrid_members(const struct sp_attention_shape_host *s)
{
	return s->choice.ulysses > 0 ? s->choice.ulysses : most_members(s);
}

static int ulysses_check(const struct sp_attention_shape_host *s)
{
	if (s->ranks <= s->heads)
		return SP_OK;
	return sp_fail(SP_ERR_SETTING, "parallel.attention = ulysses shares the %lld heads of a rank (model.heads / parallel.tensor) "
	               "among parallel.sequence = %d, which leaves ranks without any: set parallel.attention = hybrid, or ring",
	               (long long)s->heads, s->ranks);
}

static int hybrid_check(const struct sp_attention_shape_host *s)
{
	const int u = hybrid_members(s);
	if (s->ranks % u != 0)
		return sp_fail(SP_ERR_SETTING, "parallel.ulysses = %d does not divide parallel.sequence = %d: give it a divisor, or 0",
		               u, s->ranks);
	if (u > s->heads)
		return sp_fail(SP_ERR_SETTING, "parallel.ulysses = %d is more than the %lld heads of a rank (model.heads / "
		               "parallel.tensor), which leaves ranks without any: set it to %d or less", u, (long long)s->heads,
		               most_members(s));
	return SP_OK;
}

/* ---- layout ---- */

static int layout(struct ulysses *u, struct sp_arena *arena)
{
	const struct sp_attention_shape_host *s = &u->setup.shape;
	const int64_t tokens = s->batch * s->chunk, all = u->members * tokens, most = u->most * s->head_dim;
	const int64_t lines = u->members * s->batch * u->most;
	const int trains = !u->setup.forward_only;
	int rc = sp_arena_take_matrix(arena, tokens, (trains ? 4 : 3) * s->heads * s->head_dim, &u->home);
	if (rc == SP_OK)
		rc = sp_attention_take_rows(s, arena, &u->lse);
	if (rc == SP_OK && trains)
		rc = sp_attention_take_rows(s, arena, &u->dots);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, all, (trains ? 4 : 3) * most, &u->in);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, all, (trains ? 3 : 1) * most, &u->out);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, lines, s->chunk, &u->ring_lse);
	if (rc == SP_OK && trains)
		rc = sp_arena_take_matrix(arena, lines, s->chunk, &u->ring_dots);
	u->ring.setup.shape.heads = u->most;
	if (rc == SP_OK)
		rc = sp_attention_ring_layout(&u->ring, arena);
	return rc;
}

/* What was laid out for the most heads, cut down to the own ones. */
static void narrow(struct sp_matrix *m, int64_t rows, int64_t cols)
{
	if (m->data)
		*m = sp_matrix(m->data, rows, cols);
}

static void narrow_ring(struct ulysses *u)
{
	struct sp_attention_ring *r = &u->ring;
	const struct sp_attention_shape_host *s = &u->setup.shape;
	r->setup.shape.heads = u->heads;
	r->all_heads = (uint32_t)s->heads;
	r->first_head = (uint32_t)first_head_of(s, u->members, u->own);
	narrow(&r->rows, u->members * s->batch * u->heads, s->chunk);
	sp_passing_narrow(&r->passing, 2 * u->heads * s->head_dim, (s->choice.ring_queries ? 1 : 2) * u->heads * s->head_dim);
}

static void ulysses_destroy(void *work)
{
	struct ulysses *u = work;
	if (u) {
		sp_attention_ring_release(&u->ring);
		free(u->send_bytes);
		free(u->receive_bytes);
	}
	free(u);
}

static struct ulysses *allocate(const struct sp_attention_setup *setup)
{
	const size_t ranks = (size_t)setup->shape.ranks;
	struct ulysses *u = calloc(1, sizeof *u);
	if (u) {
		u->send_bytes = calloc(ranks, sizeof *u->send_bytes);
		u->receive_bytes = calloc(ranks, sizeof *u->receive_bytes);
	}
	if (u && u->send_bytes && u->receive_bytes)
		return u;
	ulysses_destroy(u);
	sp_fail(SP_ERR_MEMORY, "ulysses attention: no memory for the counts of %zu ranks", ranks);
	return NULL;
}

static int create(const struct sp_attention_setup *setup, int members, struct sp_arena *arena, void **work)
{
	const struct sp_attention_shape_host *s = &setup->shape;
	struct ulysses *u = allocate(setup);
	if (!u)
		return SP_ERR_MEMORY;
	u->setup = *setup;
	u->members = members;
	u->own = s->rank % members;
	u->first = s->rank - u->own;
	u->heads = heads_of(s, members, u->own);
	u->most = heads_of(s, members, 0);
	u->ring = (struct sp_attention_ring){ .setup = *setup, .blocks = members, .place = s->rank / members,
		                                  .places = s->ranks / members };
	int rc = layout(u, arena);
	if (rc) {
		ulysses_destroy(u);
		return rc;
	}
	narrow_ring(u);
	*work = u;
	return SP_OK;
}

static int ulysses_create(const struct sp_attention_setup *setup, struct sp_arena *arena, void **work)
{
	return create(setup, setup->shape.ranks, arena, work);
}

static int hybrid_create(const struct sp_attention_setup *setup, struct sp_arena *arena, void **work)
{
	return create(setup, hybrid_members(&setup->shape), arena, work);
}

/* ---- parts of own tokens, by heads ---- */

/* `count` matrices (T, H) side by side, and member `i`'s heads of each in a part (T, count n D). */
static struct sp_matrix part_of(const struct ulysses *u, int count, int i)
{
	const struct sp_attention_shape_host *s = &u->setup.shape;
	const int64_t tokens = s->batch * s->chunk, width = count * s->head_dim;
	float *data = u->home.data;
	return sp_matrix(data + first_head_of(s, u->members, i) * tokens * width, tokens, heads_of(s, u->members, i) * width);
}

enum way { TO_MEMBERS, FROM_MEMBERS };

static int copy(const struct ulysses *u, enum way way, struct sp_matrix own, struct sp_matrix part)
{
	return way == TO_MEMBERS ? sp_compute_copy_rows(u->setup.compute, own, part)
	                         : sp_compute_copy_rows(u->setup.compute, part, own);
}

static int move_features(const struct ulysses *u, enum way way, const struct sp_matrix *own, int count)
{
	const struct sp_attention_shape_host *s = &u->setup.shape;
	int rc = SP_OK;
	for (int i = 0; i < u->members; i++) {
		const int64_t first = first_head_of(s, u->members, i) * s->head_dim, width = heads_of(s, u->members, i) * s->head_dim;
		for (int k = 0; rc == SP_OK && k < count; k++)
			rc = copy(u, way, sp_matrix_columns(own[k], first, width),
			          sp_matrix_columns(part_of(u, count, i), k * width, width));
	}
	return rc;
}

/* Row vectors: `own` (B A, C), and parts (B n, C) behind each other in `parts`. */
static int move_rows(const struct ulysses *u, enum way way, struct sp_matrix own, struct sp_matrix parts)
{
	const struct sp_attention_shape_host *s = &u->setup.shape;
	int rc = SP_OK;
	for (int i = 0; i < u->members; i++) {
		const int64_t first = first_head_of(s, u->members, i), n = heads_of(s, u->members, i);
		for (int64_t b = 0; rc == SP_OK && b < s->batch; b++)
			rc = copy(u, way, sp_matrix_rows(own, b * s->heads + first, n),
			          sp_matrix_rows(parts, s->batch * first + b * n, n));
	}
	return rc;
}

/* ---- exchanges ---- */

/* Between the parts of own tokens and those of own heads; `each`: elements of one token's one head. */
static int exchange_start(struct ulysses *u, enum way way, void *send, void *receive, int64_t each,
                          struct sp_transfer *transfer)
{
	const struct sp_attention_shape_host *s = &u->setup.shape;
	const size_t head = (size_t)(s->batch * s->chunk * each) * sizeof(float);
	const struct sp_all_to_all args = { send, u->send_bytes, receive, u->receive_bytes };
	for (int i = 0; i < u->members; i++) {
		const size_t theirs = head * (size_t)heads_of(s, u->members, i), own = head * (size_t)u->heads;
		u->send_bytes[u->first + i] = way == TO_MEMBERS ? theirs : own;
		u->receive_bytes[u->first + i] = way == TO_MEMBERS ? own : theirs;
	}
	*transfer = (struct sp_transfer){ .compute = u->setup.compute };
	return sp_attention_started(&u->setup, sp_comm_all_to_all_start(u->setup.comm, &args, transfer), transfer);
}

static int wait_all(struct ulysses *u, struct sp_transfer *transfer, int count)
{
	int rc = SP_OK;
	for (int i = 0; rc == SP_OK && i < count; i++)
		rc = sp_comm_wait(u->setup.comm, &transfer[i]);
	return rc;
}

/* Own tokens' features, `count` matrices (T, H), to who has the heads: (U T, count h). */
static int send_features(struct ulysses *u, const struct sp_matrix *own, int count, struct sp_transfer *transfer)
{
	int rc = move_features(u, TO_MEMBERS, own, count);
	return rc ? rc : exchange_start(u, TO_MEMBERS, u->home.data, u->in.data, count * u->setup.shape.head_dim, transfer);
}

static int send_rows(struct ulysses *u, struct sp_matrix own, struct sp_matrix parts, struct sp_matrix there,
                     struct sp_transfer *transfer)
{
	int rc = move_rows(u, TO_MEMBERS, own, parts);
	return rc ? rc : exchange_start(u, TO_MEMBERS, parts.data, there.data, 1, transfer);
}

/* ---- passes ---- */

/* Matrices of own heads side by side in rows of U T tokens. */
static struct sp_matrix of_heads(const struct ulysses *u, struct sp_matrix room, int count)
{
	const struct sp_attention_shape_host *s = &u->setup.shape;
	return sp_matrix(room.data, u->members * s->batch * s->chunk, count * u->heads * s->head_dim);
}

static struct sp_matrix lines(const struct ulysses *u, struct sp_matrix room)
{
	return sp_matrix(room.data, u->members * u->setup.shape.batch * u->heads, u->setup.shape.chunk);
}

static int bring_home(struct ulysses *u, const struct sp_attention_state *state)
{
	struct sp_transfer transfer[2] = { { 0 } };
	int rc = exchange_start(u, FROM_MEMBERS, u->out.data, u->home.data, u->setup.shape.head_dim, &transfer[0]);
	if (rc == SP_OK)
		rc = exchange_start(u, FROM_MEMBERS, u->ring_lse.data, u->lse.data, 1, &transfer[1]);
	if (rc == SP_OK)
		rc = wait_all(u, transfer, 2);
	if (rc == SP_OK)
		rc = move_features(u, FROM_MEMBERS, &state->o, 1);
	return rc ? rc : move_rows(u, FROM_MEMBERS, state->lse, u->lse);
}

static int ulysses_forward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state)
{
	struct ulysses *u = work;
	const struct sp_attention_qkv own = sp_attention_split(state->qkv);
	const struct sp_matrix in = of_heads(u, u->in, 3), sent[] = { own.q, own.k, own.v };
	const int64_t h = in.cols / 3;
	const struct sp_attention_ring_pass pass = {
		.call = call,
		.q = sp_matrix_columns(in, 0, h),
		.kv = sp_matrix_columns(in, h, 2 * h),
		.acc = of_heads(u, u->out, 1),
		.o = of_heads(u, u->out, 1),
		.lse = lines(u, u->ring_lse),
	};
	struct sp_transfer transfer = { 0 };
	int rc = send_features(u, sent, 3, &transfer);
	if (rc == SP_OK)
		rc = wait_all(u, &transfer, 1);
	if (rc == SP_OK)
		rc = sp_attention_ring_forward(&u->ring, &pass);
	return rc ? rc : bring_home(u, state);
}

/* The dots of own tokens lie where gradients will: nothing else is there yet. */
static int send_all(struct ulysses *u, const struct sp_attention_state *state, struct sp_matrix dout)
{
	const struct sp_attention_qkv own = sp_attention_split(state->qkv);
	const struct sp_matrix sent[] = { own.q, own.k, own.v, dout };
	const struct sp_matrix dots = sp_matrix(u->out.data, state->lse.rows, state->lse.cols);
	struct sp_transfer transfer[3] = { { 0 } };
	int rc = sp_attention_begin_backward(&u->setup, state, dout, dots);
	if (rc == SP_OK)
		rc = send_features(u, sent, 4, &transfer[0]);
	if (rc == SP_OK)
		rc = send_rows(u, state->lse, u->lse, u->ring_lse, &transfer[1]);
	if (rc == SP_OK)
		rc = send_rows(u, dots, u->dots, u->ring_dots, &transfer[2]);
	return rc ? rc : wait_all(u, transfer, 3);
}

static int ulysses_backward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state,
                            struct sp_matrix dout, struct sp_matrix dqkv)
{
	struct ulysses *u = work;
	const struct sp_attention_qkv own = sp_attention_split(dqkv);
	const struct sp_matrix in = of_heads(u, u->in, 4), out = of_heads(u, u->out, 3), arrives[] = { own.q, own.k, own.v };
	const int64_t h = in.cols / 4;
	const struct sp_attention_ring_pass pass = {
		.call = call,
		.q = sp_matrix_columns(in, 0, h),
		.kv = sp_matrix_columns(in, h, 2 * h),
		.dout = sp_matrix_columns(in, 3 * h, h),
		.lse = lines(u, u->ring_lse),
		.dots = lines(u, u->ring_dots),
		.dq = sp_matrix_columns(out, 0, h),
		.dkv = sp_matrix_columns(out, h, 2 * h),
	};
	struct sp_transfer transfer = { 0 };
	int rc = send_all(u, state, dout);
	if (rc == SP_OK)
		rc = sp_attention_ring_backward(&u->ring, &pass);
	if (rc == SP_OK)
		rc = exchange_start(u, FROM_MEMBERS, out.data, u->home.data, 3 * u->setup.shape.head_dim, &transfer);
	if (rc == SP_OK)
		rc = wait_all(u, &transfer, 1);
	return rc ? rc : move_features(u, FROM_MEMBERS, arrives, 3);
}

static int ulysses_settle(void *work)
{
	struct ulysses *u = work;
	return sp_attention_ring_settle(&u->ring);
}

/* ---- what is sent ---- */

struct counts {
	uint64_t tokens, width, others, own; /* T, D, A - n, n (U - 1) */
	int64_t all, heads;                  /* U T, n */
	int places;
};

static struct counts counts_of(const struct sp_attention_shape_host *s, int members)
{
	const int64_t n = heads_of(s, members, s->rank % members);
	return (struct counts){
		.tokens = (uint64_t)(s->batch * s->chunk),
		.width = (uint64_t)s->head_dim,
		.others = (uint64_t)(s->heads - n),
		.own = (uint64_t)(n * (members - 1)),
		.all = members * s->batch * s->chunk,
		.heads = n,
		.places = s->ranks / members,
	};
}

static uint64_t sent_forward(const struct sp_attention_shape_host *s, int members)
{
	const struct counts c = counts_of(s, members);
	return c.tokens * (3 * c.width * c.others + (c.width + 1) * c.own) +
	       sp_attention_ring_sent_forward(s, c.places, c.all, c.heads);
}

static uint64_t sent_backward(const struct sp_attention_shape_host *s, int members)
{
	const struct counts c = counts_of(s, members);
	return c.tokens * ((4 * c.width + 2) * c.others + 3 * c.width * c.own) +
	       sp_attention_ring_sent_backward(s, c.places, c.all, c.heads);
}

static uint64_t ulysses_sent_forward(const struct sp_attention_shape_host *s)
{
	return sent_forward(s, s->ranks);
}

static uint64_t ulysses_sent_backward(const struct sp_attention_shape_host *s)
{
	return sent_backward(s, s->ranks);
}

static uint64_t hybrid_sent_forward(const struct sp_attention_shape_host *s)
{
	return sent_forward(s, hybrid_members(s));
}

static uint64_t hybrid_sent_backward(const struct sp_attention_shape_host *s)
{
	return sent_backward(s, hybrid_members(s));
}

const struct sp_attention_variant sp_attention_ulysses = {
	.name = "ulysses",
	.check = ulysses_check,
	.create = ulysses_create,
	.destroy = ulysses_destroy,
	.forward = ulysses_forward,
	.backward = ulysses_backward,
	.settle = ulysses_settle,
	.sent_forward = ulysses_sent_forward,
	.sent_backward = ulysses_sent_backward,
};

const struct sp_attention_variant sp_attention_hybrid = {
	.name = "hybrid",
	.check = hybrid_check,
	.create = hybrid_create,
	.destroy = ulysses_destroy,
	.forward = ulysses_forward,
	.backward = ulysses_backward,
	.settle = ulysses_settle,
	.sent_forward = hybrid_sent_forward,
	.sent_backward = hybrid_sent_backward,
};
