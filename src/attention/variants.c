#include "config.h"

#include "attention/variants.h"

#include <math.h>

static void move_on(void *comm)
{
	/* A failure shows again, with its reason, when the transfer is waited for. */
	(void)sp_comm_progress(comm);
}

int64_t sp_attention_chunk(const struct sp_attention_setup *setup, int rank)
{
	return setup->parts.chunk ? setup->parts.chunk[rank] : setup->shape.chunk;
}

int64_t sp_attention_first(const struct sp_attention_setup *setup, int rank)
{
	return setup->parts.first ? setup->parts.first[rank] : rank * setup->shape.chunk;
}

void sp_attention_share(struct sp_attention_setup *setup, const struct sp_attention_parts *parts, struct sp_matrix *rows)
{
	setup->parts = *parts;
	setup->shape.chunk = parts->chunk[setup->shape.rank];
	*rows = sp_matrix(rows->data, rows->rows, setup->shape.chunk);
}

/* Documents of the tokens that a rank holds. */
static const int32_t *documents(const struct sp_attention_setup *setup, const struct sp_attention_call *call, int rank)
{
	const int64_t each = setup->parts.chunk ? setup->parts.most : setup->shape.chunk;
	return call->doc + rank * setup->shape.batch * each;
}

struct sp_attention_shape sp_attention_step_shape(const struct sp_attention_setup *setup, const struct sp_attention_call *call,
                                                  int rank, int keys_of)
{
	const struct sp_attention_shape_host *s = &setup->shape;
	const int polls = s->ranks > 1 && setup->overlap, read = call->query_doc && rank == s->rank;
	const struct sp_attention_shape step = {
		.batch = s->batch,
		.heads = s->heads,
		.head_dim = s->head_dim,
		.chunk = sp_attention_chunk(setup, rank),
		.keys = sp_attention_chunk(setup, keys_of),
		.scale = 1.0f / sqrtf((float)s->head_dim),
		.query_doc = read ? call->query_doc : documents(setup, call, rank),
		.key_doc = documents(setup, call, keys_of),
		.sample = call->sample,
		.first_query = (uint32_t)sp_attention_first(setup, rank),
		.first_key = (uint32_t)sp_attention_first(setup, keys_of),
		.dropout = call->dropout,
		.poll = polls ? move_on : NULL,
		.poll_ctx = polls ? setup->comm : NULL,
	};
	return step;
}

int sp_attention_whole(const struct sp_attention_call *call, int rank, int keys_of)
{
	return call->whole && call->whole[rank] && call->whole[keys_of];
}

struct sp_attention_qkv sp_attention_split(struct sp_matrix qkv)
{
	const int64_t hidden = qkv.cols / 3;
	const struct sp_attention_qkv parts = {
		.q = sp_matrix_columns(qkv, 0, hidden),
		.k = sp_matrix_columns(qkv, hidden, hidden),
		.v = sp_matrix_columns(qkv, 2 * hidden, hidden),
	};
	return parts;
}

uint64_t sp_attention_block(const struct sp_attention_shape_host *s)
{
	return (uint64_t)(s->batch * s->chunk * s->heads * s->head_dim);
}

int sp_attention_started(const struct sp_attention_setup *setup, int status, struct sp_transfer *transfer)
{
	return status || setup->overlap ? status : sp_comm_wait(setup->comm, transfer);
}

int sp_attention_take_rows(const struct sp_attention_shape_host *shape, struct sp_arena *arena, struct sp_matrix *rows)
{
	return sp_arena_take_matrix(arena, shape->batch * shape->heads, shape->chunk, rows);
}

int sp_attention_take_wide(const struct sp_attention_setup *setup, struct sp_arena *arena, struct sp_matrix *wide)
{
	const struct sp_attention_shape_host *s = &setup->shape;
	const int64_t cols = s->element == SP_F32 ? 0 : (setup->forward_only ? 1 : 3) * s->heads * s->head_dim;
	return sp_arena_take_matrix(arena, s->batch * s->chunk, cols, wide);
}

struct sp_matrix sp_attention_widen(struct sp_matrix narrow, struct sp_matrix wide)
{
	return narrow.dtype == SP_F32 ? narrow : sp_matrix(wide.data, narrow.rows, narrow.cols);
}

int sp_attention_narrow(const struct sp_attention_setup *setup, struct sp_matrix summed, struct sp_matrix narrow)
{
	return narrow.dtype == SP_F32 ? SP_OK : sp_compute_convert(setup->compute, summed, narrow);
}

int sp_attention_end_forward(const struct sp_attention_setup *setup, const struct sp_attention_state *state,
                             struct sp_matrix acc, struct sp_matrix l)
{
	const struct sp_attention_finish op = {
		.batch = setup->shape.batch,
		.heads = setup->shape.heads,
		.head_dim = setup->shape.head_dim,
		.chunk = setup->shape.chunk,
		.acc = acc,
		.m = state->lse,
		.l = l,
		.o = state->o,
		.lse = state->lse,
	};
	return sp_compute_attention_finish(setup->compute, &op);
}

int sp_attention_begin_backward(const struct sp_attention_setup *setup, const struct sp_attention_state *state,
                                struct sp_matrix dout, struct sp_matrix dots)
{
	const struct sp_attention_dots op = {
		.batch = setup->shape.batch,
		.heads = setup->shape.heads,
		.head_dim = setup->shape.head_dim,
		.chunk = setup->shape.chunk,
		.dout = dout,
		.o = state->o,
		.dots = dots,
	};
	return sp_compute_attention_dots(setup->compute, &op);
}
