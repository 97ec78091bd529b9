/* Attention of one rank that holds whole sequences: one step, nothing sent, keys and values read where the projection left
 * them. */
#include "config.h"

#include "attention/variants.h"
#include "base/log.h"

#include <stdlib.h>

struct full {
	struct sp_attention_setup setup;
	struct sp_matrix rows; /* l in forward, dots in backward */
	struct sp_matrix wide; /* the accumulator, or gradients, of activations of 16 bits */
};

static int full_check(const struct sp_attention_shape_host *shape)
{
	if (shape->ranks == 1)
		return SP_OK;
	return sp_fail(SP_ERR_SETTING, "parallel.attention = full needs whole sequences on one rank, but parallel.sequence = %d: "
	               "set parallel.attention = ring, or parallel.sequence = 1", shape->ranks);
}

static int full_create(const struct sp_attention_setup *setup, struct sp_arena *arena, void **work)
{
	struct full *f = calloc(1, sizeof *f);
	if (!f)
		return sp_fail(SP_ERR_MEMORY, "attention: no memory for %zu bytes", sizeof *f);
	f->setup = *setup;
	int rc = sp_attention_take_rows(&setup->shape, arena, &f->rows);
	if (rc == SP_OK)
		rc = sp_attention_take_wide(setup, arena, &f->wide);
	if (rc) {
		free(f);
		return rc;
	}
	*work = f;
	return SP_OK;
}

static void full_share(void *work, const struct sp_attention_parts *parts)
{
	struct full *f = work;
	sp_attention_share(&f->setup, parts, &f->rows);
}

static struct sp_attention_shape step_shape(const struct full *f, const struct sp_attention_call *call)
{
	struct sp_attention_shape shape = sp_attention_step_shape(&f->setup, call, 0, 0);
	shape.whole = sp_attention_whole(call, 0, 0);
	return shape;
}

static int full_forward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state)
{
	struct full *f = work;
	const struct sp_attention_qkv in = sp_attention_split(state->qkv);
	const struct sp_matrix acc = sp_attention_widen(state->o, f->wide);
	const struct sp_attention_forward step = {
		.shape = step_shape(f, call),
		.q = in.q,
		.k = in.k,
		.v = in.v,
		.acc = acc,
		.m = state->lse,
		.l = f->rows,
		.first = 1,
	};
	int rc = sp_compute_attention_forward(f->setup.compute, &step);
	return rc ? rc : sp_attention_end_forward(&f->setup, state, acc, f->rows);
}

static int full_backward(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state,
                         struct sp_matrix dout, struct sp_matrix dqkv)
{
	struct full *f = work;
	const struct sp_matrix summed = sp_attention_widen(dqkv, f->wide);
	const struct sp_attention_qkv in = sp_attention_split(state->qkv), out = sp_attention_split(summed);
	const struct sp_attention_backward step = {
		.shape = step_shape(f, call),
		.q = in.q,
		.k = in.k,
		.v = in.v,
		.o = state->o,
		.dout = dout,
		.lse = state->lse,
		.dots = f->rows,
		.dq = out.q,
		.dk = out.k,
		.dv = out.v,
		.overwrite_dq = 1,
		.overwrite_dkv = 1,
	};
	int rc = sp_attention_begin_backward(&f->setup, state, dout, f->rows);
	if (rc == SP_OK)
		rc = sp_compute_attention_backward(f->setup.compute, &step);
	return rc ? rc : sp_attention_narrow(&f->setup, summed, dqkv);
}

static uint64_t full_sent(const struct sp_attention_shape_host *shape)
{
	(void)shape;
	return 0;
}

const struct sp_attention_variant sp_attention_full = {
	.name = "full",
	.narrow = 1,
	.skips = 1,
	.repeats = 1,
	.check = full_check,
	.create = full_create,
	.destroy = free,
	.share = full_share,
	.forward = full_forward,
	.backward = full_backward,
	.sent_forward = full_sent,
	.sent_backward = full_sent,
};
