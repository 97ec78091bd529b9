/* Keys and values go from place to place, each passing on what it has received; their gradients follow one hop behind. */
#include "config.h"

#include "attention/passing.h"

#include "attention/variants.h"

static size_t message_bytes(struct sp_matrix m)
{
	return (size_t)m.rows * (size_t)m.cols * sp_dtype_size(m.dtype);
}

/* `out` goes to the next rank, what the previous one sends arrives in `in`. With overlap off it has arrived on return. */
static int pass_on(struct sp_passing *p, struct sp_matrix out, struct sp_matrix in, struct sp_transfer *transfer)
{
	const struct sp_exchange args = {
		.send = out.data,
		.send_bytes = message_bytes(out),
		.to = sp_passing_rank(p, 1),
		.receive = in.data,
		.receive_bytes = message_bytes(in),
		.from = sp_passing_rank(p, -1),
	};
	transfer->compute = p->setup->compute;
	return sp_attention_started(p->setup, sp_comm_exchange_start(p->setup->comm, &args, transfer), transfer);
}

static int keys_on(struct sp_passing *p, int hop)
{
	const struct sp_matrix here = p->kv[hop % 2], next = p->kv[(hop + 1) % 2];
	return pass_on(p, sp_passing_block(p, here, hop), sp_passing_block(p, next, hop + 1), &p->keys_under_way);
}

static int keys_begin(struct sp_passing *p, struct sp_matrix own)
{
	int rc = sp_compute_copy_rows(p->setup->compute, own, sp_passing_block(p, p->kv[0], 0));
	return rc ? rc : keys_on(p, 0);
}

static int keys(struct sp_passing *p, int hop, struct sp_matrix *kv)
{
	int rc = sp_comm_wait(p->setup->comm, &p->keys_under_way);
	if (rc == SP_OK && hop + 1 < p->places)
		rc = keys_on(p, hop);
	*kv = sp_passing_block(p, p->kv[hop % 2], hop);
	return rc;
}

static void keys_end(struct sp_passing *p)
{
	(void)p;
}

/* Hop t: travel[t % 2] is on its way in (none at t = 1) with what the ranks before have summed for the keys at hand. */
static int gradients(struct sp_passing *p, int hop, struct sp_matrix *dkv)
{
	*dkv = sp_passing_block(p, hop == 1 ? p->travel[1] : p->fresh, hop);
	return SP_OK;
}

static int add_fresh(struct sp_passing *p, struct sp_matrix sum)
{
	int rc = sp_comm_wait(p->setup->comm, &p->gradients_under_way);
	return rc ? rc : sp_compute_add(p->setup->compute, sum.data, p->fresh.data, sum.rows * sum.cols);
}

static int gradients_on(struct sp_passing *p, int hop)
{
	const struct sp_matrix here = sp_passing_block(p, p->travel[hop % 2], hop);
	const struct sp_matrix next = sp_passing_block(p, p->travel[(hop + 1) % 2], hop + 1);
	int rc = hop == 1 ? SP_OK : add_fresh(p, here);
	return rc ? rc : pass_on(p, here, next, &p->gradients_under_way);
}

static struct sp_matrix gradients_own(struct sp_passing *p)
{
	return sp_passing_block(p, p->fresh, 0);
}

static int gradients_home(struct sp_passing *p, struct sp_matrix *sum)
{
	*sum = sp_passing_block(p, p->travel[p->places % 2], 0);
	return add_fresh(p, *sum);
}

static int settle(struct sp_passing *p)
{
	(void)p;
	return SP_OK;
}

const struct sp_passing_way sp_passing_by_messages = {
	.keys_begin = keys_begin,
	.keys = keys,
	.keys_end = keys_end,
	.gradients = gradients,
	.gradients_on = gradients_on,
	.gradients_own = gradients_own,
	.gradients_home = gradients_home,
	.settle = settle,
};
