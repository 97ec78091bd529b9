/* Ranks that share memory: each leaves its keys and values where they are, and the others compute with them there. What is
 * passed is counters. A rank writes over a block when those who read it have said that they have.
 *
 * Keys: round n lies in kv[0] when KEYS is n; READ_KEYS of a rank is the last round of which it has read all others' keys.
 * Gradients: block n of a rank lies in gradient(n) when SUMS is n. Place s + 1 adds it to its own block n + 1, which is about
 * the same keys, and last to the keys' owner's; READ_SUMS is the last block that a rank has read of the place before. All
 * places send out R - 1 blocks a backward pass, so they count alike. */
#include "config.h"

#include "attention/passing.h"

enum { KEYS, READ_KEYS, SUMS, READ_SUMS };

static uint64_t message_bytes(struct sp_matrix m)
{
	return (uint64_t)m.rows * (uint64_t)m.cols * sp_dtype_size(m.dtype);
}

/* The matrix of another rank that lies where `m` lies here. */
static struct sp_matrix as_of(const struct sp_passing *p, struct sp_matrix m, int rank)
{
	m.data = (char *)sp_comm_window_of(p->window, rank) + ((const char *)m.data - p->first);
	return m;
}

/* Three in turn, so that the next rank may be a hop behind; of two ranks each sends one in a layer. */
static uint64_t turns(const struct sp_passing *p)
{
	return p->places > 2 ? 3 : 2;
}

static struct sp_matrix gradient(const struct sp_passing *p, uint64_t block)
{
	const struct sp_matrix turn[] = { p->travel[0], p->travel[1], p->fresh };
	return turn[block % turns(p)];
}

/* A block may be written when the next rank has read that which lay there before. */
static int room_for(struct sp_passing *p, uint64_t block)
{
	const uint64_t n = turns(p);
	return block <= n ? SP_OK : sp_comm_window_await(p->window, sp_passing_rank(p, 1), READ_SUMS, block - n);
}

static int all_have_read(struct sp_passing *p)
{
	int rc = SP_OK;
	for (int hop = 1; rc == SP_OK && hop < p->places; hop++)
		rc = sp_comm_window_await(p->window, sp_passing_rank(p, hop), READ_KEYS, p->rounds);
	return rc;
}

/* Each block is read by all others: as many bytes as if every rank had passed it on. */
static int keys_begin(struct sp_passing *p, struct sp_matrix own)
{
	const struct sp_matrix to = sp_passing_block(p, p->kv[0], 0);
	int rc = all_have_read(p);
	if (rc == SP_OK)
		rc = sp_compute_copy_rows(p->setup->compute, own, to);
	if (rc == SP_OK)
		sp_comm_window_post(p->window, KEYS, ++p->rounds, (uint64_t)(p->places - 1) * message_bytes(to));
	return rc;
}

static int keys(struct sp_passing *p, int hop, struct sp_matrix *kv)
{
	const int owner = sp_passing_rank(p, -hop);
	if (hop > 1)
		sp_comm_window_leave(p->window, sp_passing_rank(p, 1 - hop));
	*kv = as_of(p, sp_passing_block(p, p->kv[0], hop), owner);
	return sp_comm_window_await(p->window, owner, KEYS, p->rounds);
}

static void keys_end(struct sp_passing *p)
{
	sp_comm_window_leave(p->window, sp_passing_rank(p, 1 - p->places));
	sp_comm_window_post(p->window, READ_KEYS, p->rounds, 0);
}

static int gradients(struct sp_passing *p, int hop, struct sp_matrix *dkv)
{
	*dkv = sp_passing_block(p, gradient(p, p->sums + 1), hop);
	return room_for(p, p->sums + 1);
}

/* Adds the last block of the rank before. */
static int add_previous(struct sp_passing *p, struct sp_matrix to, uint64_t block)
{
	const struct sp_matrix from = as_of(p, gradient(p, block), sp_passing_rank(p, -1));
	int rc = sp_comm_window_await(p->window, sp_passing_rank(p, -1), SUMS, block);
	if (rc == SP_OK)
		rc = sp_compute_add(p->setup->compute, to.data, from.data, to.rows * to.cols);
	if (rc == SP_OK)
		sp_comm_window_post(p->window, READ_SUMS, block, 0);
	sp_comm_window_leave(p->window, sp_passing_rank(p, -1));
	return rc;
}

static int gradients_on(struct sp_passing *p, int hop)
{
	const struct sp_matrix own = sp_passing_block(p, gradient(p, p->sums + 1), hop);
	int rc = hop == 1 ? SP_OK : add_previous(p, own, p->sums);
	if (rc == SP_OK)
		sp_comm_window_post(p->window, SUMS, ++p->sums, message_bytes(own));
	return rc;
}

/* Nothing is received into kv[1] here. Gradients are at most as wide. */
static struct sp_matrix gradients_own(struct sp_passing *p)
{
	return sp_passing_block(p, sp_matrix(p->kv[1].data, p->fresh.rows, p->fresh.cols), 0);
}

static int gradients_home(struct sp_passing *p, struct sp_matrix *sum)
{
	*sum = gradients_own(p);
	return add_previous(p, *sum, p->sums);
}

static int settle(struct sp_passing *p)
{
	int rc = all_have_read(p);
	return rc || p->sums == 0 ? rc : sp_comm_window_await(p->window, sp_passing_rank(p, 1), READ_SUMS, p->sums);
}

const struct sp_passing_way sp_passing_in_place = {
	.keys_begin = keys_begin,
	.keys = keys,
	.keys_end = keys_end,
	.gradients = gradients,
	.gradients_on = gradients_on,
	.gradients_own = gradients_own,
	.gradients_home = gradients_home,
	.settle = settle,
};
