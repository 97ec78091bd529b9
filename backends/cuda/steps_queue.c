/* A whole step by the library: where its operands and results lie, and how these become part of what there is. */
#include "config.h"

#include "cuda/kernels.h"
#include "cuda/steps.h"

enum { APART = 256 }; /* bytes: parts of the scratch begin at multiples of it */

struct sp_cuda_sdpa_shape sp_cuda_steps_forward_shape(const struct sp_attention_forward *args)
{
	const struct sp_attention_shape *s = &args->shape;
	return (struct sp_cuda_sdpa_shape){
		.dtype = args->q.dtype,
		.batch = s->batch,
		.heads = s->heads,
		.head_dim = s->head_dim,
		.chunk = s->chunk,
		.keys = s->keys,
		.q = args->q.stride,
		.k = args->k.stride,
		.v = args->v.stride,
		.o = s->heads * s->head_dim,
	};
}

struct sp_cuda_sdpa_shape sp_cuda_steps_backward_shape(const struct sp_attention_backward *args)
{
	const struct sp_attention_shape *s = &args->shape;
	return (struct sp_cuda_sdpa_shape){
		.backward = 1,
		.dtype = args->q.dtype,
		.batch = s->batch,
		.heads = s->heads,
		.head_dim = s->head_dim,
		.chunk = s->chunk,
		.keys = s->keys,
		.q = args->q.stride,
		.k = args->k.stride,
		.v = args->v.stride,
		.o = args->o.stride,
		.dout = args->dout.stride,
	};
}

/* ---- room for what the library writes ---- */

/* Bytes taken so far, and where they begin; without memory it only counts. */
struct room {
	char *base;
	size_t used;
};

static void *take(struct room *r, size_t bytes)
{
	void *at = r->base ? r->base + r->used : NULL;
	r->used += (bytes + APART - 1) / APART * APART;
	return at;
}

static void lay_out(struct room *r, const struct sp_cuda_sdpa_shape *s, const struct sp_cuda_sdpa_plan *plan,
                    struct sp_cuda_sdpa_data *data)
{
	const size_t width = (size_t)(s->heads * s->head_dim), size = sp_dtype_size((enum sp_dtype)s->dtype);
	const size_t queries = (size_t)(s->batch * s->chunk) * width, keys = (size_t)(s->batch * s->keys) * width;
	const size_t lines = (size_t)(s->batch * s->heads * s->chunk);
	data->stats = take(r, lines * sizeof(float));
	data->workspace = take(r, plan->workspace);
	if (!s->backward) {
		data->o = take(r, queries * size);
		return;
	}
	data->dq = take(r, queries * size);
	data->dk = take(r, keys * size);
	data->dv = take(r, keys * size);
	data->dots = take(r, lines * sizeof(float));
	data->dq_sums = take(r, queries * sizeof(float));
}

static int take_room(struct sp_cuda *cuda, const struct sp_cuda_sdpa_shape *s, const struct sp_cuda_sdpa_plan *plan,
                     struct sp_cuda_sdpa_data *data)
{
	struct room room = { NULL, 0 };
	lay_out(&room, s, plan, data);
	room.base = sp_cuda_scratch(cuda, room.used);
	room.used = 0;
	if (!room.base)
		return SP_ERR_MEMORY;
	lay_out(&room, s, plan, data);
	return SP_OK;
}

/* ---- queueing ---- */

int sp_cuda_steps_queue_forward(struct sp_cuda *cuda, struct sp_cuda_sdpa_plan *plan, const struct sp_attention_forward *args)
{
	const struct sp_cuda_sdpa_shape s = sp_cuda_steps_forward_shape(args);
	struct sp_cuda_sdpa_data data = { .q = args->q.data, .k = args->k.data, .v = args->v.data, .scale = args->shape.scale };
	int status = take_room(cuda, &s, plan, &data);
	if (status == SP_OK)
		status = cuda->sdpa->run(cuda->sdpa, plan, &data);
	if (status)
		return status;
	const struct sp_cuda_found found = {
		.batch = s.batch,
		.heads = s.heads,
		.head_dim = s.head_dim,
		.chunk = s.chunk,
		.o = sp_matrix_of(data.o, s.batch * s.chunk, s.heads * s.head_dim, args->q.dtype),
		.stats = sp_matrix(data.stats, s.batch * s.heads, s.chunk),
		.acc = args->acc,
		.m = args->m,
		.l = args->l,
		.first = args->first,
	};
	return sp_cuda_attention_found(cuda, &found);
}

/* Gradients of 16 bits, (rows, A D) without gaps, overwrite what there is, or are added to it. */
static int hand_over(struct sp_cuda *cuda, void *from, enum sp_dtype dtype, struct sp_matrix to, int overwrite)
{
	const struct sp_matrix gradient = sp_matrix_of(from, to.rows, to.cols, dtype);
	return overwrite ? sp_cuda_convert(cuda, gradient, to) : sp_cuda_add_converted(cuda, gradient, to);
}

int sp_cuda_steps_queue_backward(struct sp_cuda *cuda, struct sp_cuda_sdpa_plan *plan, const struct sp_attention_backward *args)
{
	const struct sp_cuda_sdpa_shape s = sp_cuda_steps_backward_shape(args);
	const enum sp_dtype dtype = args->q.dtype;
	struct sp_cuda_sdpa_data data = {
		.q = args->q.data,
		.k = args->k.data,
		.v = args->v.data,
		.o = args->o.data,
		.dout = args->dout.data,
		.scale = args->shape.scale,
	};
	int status = take_room(cuda, &s, plan, &data);
	if (status == SP_OK)
		status = sp_cuda_attention_stats(cuda, args->lse, sp_matrix(data.stats, args->lse.rows, args->lse.cols));
	if (status == SP_OK)
		status = cuda->sdpa->run(cuda->sdpa, plan, &data);
	if (status == SP_OK)
		status = hand_over(cuda, data.dq, dtype, args->dq, args->overwrite_dq);
	if (status == SP_OK)
		status = hand_over(cuda, data.dk, dtype, args->dk, args->overwrite_dkv);
	return status ? status : hand_over(cuda, data.dv, dtype, args->dv, args->overwrite_dkv);
}
