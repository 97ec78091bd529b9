/* Transfers: started, handed to NCCL on the communicator's stream, and ordered before what is computed later. */
#include "config.h"

#include "nccl/link.h"

#include "base/log.h"
#include "nccl/device.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

struct sp_nccl_request {
	struct sp_nccl_request *next, *next_of_all;
	ncclResult_t (*call)(const struct sp_nccl_link *link, const struct sp_nccl_request *r);
	struct sp_exchange exchange;
	char *send, *receive;
	size_t *send_bytes, *receive_bytes; /* [size]; its own copy */
	size_t count;
	ncclDataType_t type;
	ncclRedOp_t op;
	void *ready;         /* what had been computed when it was started */
	void *finished;      /* on the side stream, behind the transfer; */
	int on_stream;       /* recorded */
	void *before, *after; /* on the queue, around its wait for that; */
	int ordered;         /* recorded */
};

static const ncclDataType_t types[SP_DTYPES] = {
	[SP_F32] = ncclFloat32, [SP_F64] = ncclFloat64,   [SP_I32] = ncclInt32,
	[SP_I64] = ncclInt64,   [SP_BF16] = ncclBfloat16, [SP_F16] = ncclFloat16,
};

/* ---- calls, which NCCL may finish in the background ---- */

/* Of two results the one that says more. */
static ncclResult_t worse(ncclResult_t a, ncclResult_t b)
{
	return a == ncclSuccess || (a == ncclInProgress && b != ncclSuccess) ? b : a;
}

static ncclResult_t send_part(const struct sp_nccl_link *l, const char *data, size_t bytes, int to)
{
	return bytes ? sp_nccl.Send(data, bytes, ncclInt8, to, l->nccl, l->side) : ncclSuccess;
}

static ncclResult_t receive_part(const struct sp_nccl_link *l, char *data, size_t bytes, int from)
{
	return bytes ? sp_nccl.Recv(data, bytes, ncclInt8, from, l->nccl, l->side) : ncclSuccess;
}

static ncclResult_t call_exchange(const struct sp_nccl_link *l, const struct sp_nccl_request *r)
{
	const struct sp_exchange *e = &r->exchange;
	ncclResult_t result = sp_nccl.GroupStart();
	result = worse(result, send_part(l, e->send, e->send_bytes, e->to));
	result = worse(result, receive_part(l, e->receive, e->receive_bytes, e->from));
	return worse(result, sp_nccl.GroupEnd());
}

static ncclResult_t call_all_to_all(const struct sp_nccl_link *l, const struct sp_nccl_request *r)
{
	const char *send = r->send;
	char *receive = r->receive;
	ncclResult_t result = sp_nccl.GroupStart();
	for (int i = 0; i < l->size; send += r->send_bytes[i], receive += r->receive_bytes[i], i++)
		if (i != l->rank) {
			result = worse(result, send_part(l, send, r->send_bytes[i], i));
			result = worse(result, receive_part(l, receive, r->receive_bytes[i], i));
		}
	return worse(result, sp_nccl.GroupEnd());
}

static size_t share(const struct sp_nccl_link *l, const struct sp_nccl_request *r)
{
	return (size_t)l->rank * r->exchange.send_bytes;
}

static ncclResult_t call_reduce_scatter(const struct sp_nccl_link *l, const struct sp_nccl_request *r)
{
	return sp_nccl.ReduceScatter(r->send, r->send + share(l, r), r->count, r->type, ncclSum, l->nccl, l->side);
}

static ncclResult_t call_all_gather(const struct sp_nccl_link *l, const struct sp_nccl_request *r)
{
	return sp_nccl.AllGather(r->send + share(l, r), r->send, r->count, r->type, l->nccl, l->side);
}

static ncclResult_t call_all_reduce(const struct sp_nccl_link *l, const struct sp_nccl_request *r)
{
	return sp_nccl.AllReduce(r->send, r->send, r->count, r->type, r->op, l->nccl, l->side);
}

/* ---- requests ---- */

static int make_events(struct sp_nccl_request *r)
{
	return sp_nccl_event_create(0, &r->ready) || sp_nccl_event_create(0, &r->finished) ||
	       sp_nccl_event_create(1, &r->before) || sp_nccl_event_create(1, &r->after);
}

static struct sp_nccl_request *make(struct sp_nccl_link *l)
{
	struct sp_nccl_request *r = calloc(1, sizeof *r);
	if (!r) {
		sp_fail(SP_ERR_COMM, "out of memory for a transfer");
		return NULL;
	}
	r->next_of_all = l->all;
	l->all = r;
	r->send_bytes = calloc(2 * (size_t)l->size, sizeof *r->send_bytes);
	r->receive_bytes = r->send_bytes + l->size;
	if (!r->send_bytes)
		sp_fail(SP_ERR_COMM, "out of memory for a transfer");
	return r->send_bytes && !make_events(r) ? r : NULL;
}

void sp_nccl_free_requests(struct sp_nccl_link *link)
{
	while (link->all) {
		struct sp_nccl_request *r = link->all;
		link->all = r->next_of_all;
		sp_nccl_event_destroy(r->ready);
		sp_nccl_event_destroy(r->finished);
		sp_nccl_event_destroy(r->before);
		sp_nccl_event_destroy(r->after);
		free(r->send_bytes);
		free(r);
	}
}

/* A request whose transfer comes after what the queue holds now. */
static struct sp_nccl_request *take(struct sp_nccl_link *l)
{
	if (sp_nccl_has_failed())
		return NULL;
	struct sp_nccl_request *r = l->spare;
	if (r)
		l->spare = r->next;
	else
		r = make(l);
	if (!r || sp_nccl_event_record(r->ready, l->queue)) {
		sp_nccl_give_up();
		return NULL;
	}
	r->next = NULL;
	r->on_stream = r->ordered = 0;
	return r;
}

/* ---- what has been started, one after the other ---- */

static int came_on_stream(struct sp_nccl_link *l, struct sp_nccl_request *r)
{
	r->on_stream = 1;
	return sp_nccl_event_record(r->finished, l->side) ? sp_nccl_give_up() : SP_OK;
}

static struct sp_nccl_request *take_first(struct sp_nccl_link *l)
{
	struct sp_nccl_request *r = l->first;
	l->first = r->next;
	if (!l->first)
		l->last = NULL;
	return r;
}

static int call_next(struct sp_nccl_link *l)
{
	struct sp_nccl_request *r = take_first(l);
	if (sp_nccl_stream_wait(l->side, r->ready))
		return sp_nccl_give_up();
	const ncclResult_t result = r->call(l, r);
	if (result == ncclInProgress)
		l->calling = r;
	else if (result != ncclSuccess)
		return sp_nccl_failed(l, "a transfer", result);
	return result == ncclSuccess ? came_on_stream(l, r) : SP_OK;
}

int sp_nccl_progress(void *comm)
{
	struct sp_nccl_link *l = comm;
	ncclResult_t state;
	int status = sp_nccl_look(l, &state);
	if (status || state == ncclInProgress)
		return status;
	if (l->calling) {
		status = came_on_stream(l, l->calling);
		l->calling = NULL;
	}
	while (!status && l->first && !l->calling)
		status = call_next(l);
	return status;
}

static int start(struct sp_nccl_link *l, struct sp_nccl_request *r, void **request)
{
	if (l->last)
		l->last->next = r;
	else
		l->first = r;
	l->last = r;
	*request = r;
	return sp_nccl_progress(l);
}

/* ---- starts ---- */

int sp_nccl_exchange_start(void *comm, const struct sp_exchange *args, void **request)
{
	struct sp_nccl_link *l = comm;
	*request = NULL;
	if (args->to == l->rank && args->from == l->rank)
		return sp_nccl_copy(args->receive, args->send, args->send_bytes, l->queue) ? sp_nccl_give_up() : SP_OK;
	if (args->send_bytes + args->receive_bytes == 0)
		return SP_OK;
	struct sp_nccl_request *r = take(l);
	if (!r)
		return SP_ERR_COMM;
	r->call = call_exchange;
	r->exchange = *args;
	return start(l, r, request);
}

static size_t sum_of(const size_t *bytes, int n)
{
	size_t sum = 0;
	for (int i = 0; i < n; i++)
		sum += bytes[i];
	return sum;
}

/* The own part needs no message. */
static int copy_own(const struct sp_nccl_link *l, const struct sp_all_to_all *args)
{
	const int me = l->rank;
	const char *from = (const char *)args->send + sum_of(args->send_bytes, me);
	char *to = (char *)args->receive + sum_of(args->receive_bytes, me);
	return args->send_bytes[me] ? sp_nccl_copy(to, from, args->send_bytes[me], l->queue) : SP_OK;
}

int sp_nccl_all_to_all_start(void *comm, const struct sp_all_to_all *args, void **request)
{
	struct sp_nccl_link *l = comm;
	*request = NULL;
	if (copy_own(l, args))
		return sp_nccl_give_up();
	const size_t others = sum_of(args->send_bytes, l->size) + sum_of(args->receive_bytes, l->size);
	if (others == 2 * args->send_bytes[l->rank])
		return SP_OK;
	struct sp_nccl_request *r = take(l);
	if (!r)
		return SP_ERR_COMM;
	r->call = call_all_to_all;
	r->send = (char *)args->send;
	r->receive = args->receive;
	memcpy(r->send_bytes, args->send_bytes, (size_t)l->size * sizeof *r->send_bytes);
	memcpy(r->receive_bytes, args->receive_bytes, (size_t)l->size * sizeof *r->receive_bytes);
	return start(l, r, request);
}

/* Of all ranks, on `count` elements of each. */
static int start_collective(struct sp_nccl_link *l, struct sp_nccl_request kind, void *data, int64_t count,
                            enum sp_dtype dtype, void **request)
{
	*request = NULL;
	if (count == 0 || l->size == 1)
		return SP_OK;
	struct sp_nccl_request *r = take(l);
	if (!r)
		return SP_ERR_COMM;
	r->call = kind.call;
	r->op = kind.op;
	r->send = data;
	r->count = (size_t)count;
	r->exchange.send_bytes = (size_t)count * sp_dtype_size(dtype);
	r->type = types[dtype];
	return start(l, r, request);
}

int sp_nccl_reduce_scatter_start(void *comm, void *data, int64_t count, enum sp_dtype dtype, void **request)
{
	return start_collective(comm, (struct sp_nccl_request){ .call = call_reduce_scatter }, data, count, dtype, request);
}

int sp_nccl_all_gather_start(void *comm, void *data, int64_t count, enum sp_dtype dtype, void **request)
{
	return start_collective(comm, (struct sp_nccl_request){ .call = call_all_gather }, data, count, dtype, request);
}

int sp_nccl_all_reduce_start(void *comm, void *data, int64_t count, enum sp_dtype dtype, enum sp_reduction op,
                             void **request)
{
	const ncclRedOp_t ops[] = { [SP_SUM] = ncclSum, [SP_MAX] = ncclMax, [SP_MIN] = ncclMin };
	const struct sp_nccl_request kind = { .call = call_all_reduce, .op = ops[op] };
	return start_collective(comm, kind, data, count, dtype, request);
}

/* ---- ends ---- */

int sp_nccl_order(void *comm, void *request)
{
	struct sp_nccl_link *l = comm;
	struct sp_nccl_request *r = request;
	int status = SP_OK;
	while (!status && !r->on_stream) {
		status = sp_nccl_progress_all();
		if (!r->on_stream)
			sched_yield();
	}
	if (status)
		return status;
	r->ordered = 1;
	return sp_nccl_event_record(r->before, l->queue) || sp_nccl_stream_wait(l->queue, r->finished) ||
	                       sp_nccl_event_record(r->after, l->queue) ?
	               sp_nccl_give_up() :
	               SP_OK;
}

int sp_nccl_begun(void *comm, void *request)
{
	const struct sp_nccl_request *r = request;
	int done = 0;
	(void)comm;
	return sp_nccl_event_done(r->before, &done) ? 0 : done;
}

int sp_nccl_test(void *comm, void *request, int *done)
{
	struct sp_nccl_link *l = comm;
	struct sp_nccl_request *r = request;
	*done = 0;
	const int status = sp_nccl_progress(l);
	if (status || !r->on_stream)
		return status;
	if (sp_nccl_event_done(r->ordered ? r->after : r->finished, done))
		return sp_nccl_give_up();
	if (!*done)
		return SP_OK;
	if (r->ordered)
		l->stalled += sp_nccl_event_seconds(r->before, r->after);
	r->next = l->spare;
	l->spare = r;
	return SP_OK;
}

double sp_nccl_stalled(void *comm)
{
	return ((const struct sp_nccl_link *)comm)->stalled;
}
