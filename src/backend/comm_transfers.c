/* What is passed, checked, by the module that reaches it, counted and traced. */
#include "config.h"

#include "backend/comm_inside.h"

#include "backend/waiting.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/trace.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- spans: one from start to end of each transfer, one for each wait and blocking operation ---- */

static void transfer_begin(const struct sp_comm *c, const char *op, struct sp_transfer *t)
{
	t->span = -1;
	if (!sp_trace_on())
		return;
	char name[32];
	snprintf(name, sizeof name, "%s %s", op, t->what ? t->what : c->group.what);
	t->span = sp_trace_open(SP_TRACE_COMM, name, t->what ? t->index : -1);
}

/* Counts an operation under way. One that is finished at once has nothing to end its span. */
static int started(struct sp_comm *c, uint64_t bytes, const struct sp_transfer *t)
{
	c->counters.messages++;
	c->counters.bytes += bytes;
	if (!t->request)
		sp_trace_close(t->span);
	return SP_OK;
}

/* ---- transfers ---- */

/* A second start would lose the first one's request. */
static int is_free(const struct sp_comm *c, const char *op, const struct sp_transfer *transfer)
{
	return transfer->request ? sp_comm_refused(c, op, "its transfer is still under way") : SP_OK;
}

static int exchange_fits(const struct sp_comm *c, const struct sp_exchange *a)
{
	int size = c->group.place.size, rank = c->group.place.rank;
	if (a->to < 0 || a->to >= size || a->from < 0 || a->from >= size)
		return sp_comm_refused(c, "exchange", "a peer is not in the group");
	if ((a->send_bytes && !a->send) || (a->receive_bytes && !a->receive))
		return sp_comm_refused(c, "exchange", "a buffer is missing");
	if ((a->to == rank && a->send_bytes) || (a->from == rank && a->receive_bytes))
		if (a->to != a->from || a->send_bytes != a->receive_bytes)
			return sp_comm_refused(c, "exchange", "what a rank sends to itself is not what it receives");
	return SP_OK;
}

/* The module that passes a transfer. */
struct route {
	const struct sp_comm_ops *ops;
	void *comm;
};

static struct route route_of(const struct sp_comm *c, struct sp_transfer *t)
{
	t->link = t->compute && sp_comm_is_queued(c, t->compute) ? c->link : NULL;
	return t->link ? (struct route){ t->link->ops, t->link->comm } : (struct route){ c->ops, c->comm };
}

static int needs_stage(const struct sp_transfer *t)
{
	return !t->link && sp_stage_needed(t->compute);
}

/* A transfer that is finished when it has started has no wait to put back what was staged. */
static int done_at_once(struct sp_transfer *t)
{
	return t->request ? SP_OK : sp_stage_finish(t->compute, SP_OK, &t->staged);
}

static int stage(struct sp_transfer *t, void **data, struct sp_stage_range range)
{
	return needs_stage(t) ? sp_stage_collective(t->compute, data, range, &t->staged) : SP_OK;
}

int sp_comm_exchange_start(struct sp_comm *comm, const struct sp_exchange *args, struct sp_transfer *transfer)
{
	char peers[128];
	snprintf(peers, sizeof peers, " of %zu bytes to rank %d, %zu bytes from rank %d", args->send_bytes, args->to,
	         args->receive_bytes, args->from);
	int status = exchange_fits(comm, args);
	if (!status)
		status = is_free(comm, "exchange", transfer);
	if (status)
		return status;
	transfer_begin(comm, "exchange", transfer);
	struct sp_exchange passed = *args;
	const struct route by = route_of(comm, transfer);
	if (needs_stage(transfer))
		status = sp_stage_exchange(transfer->compute, &passed, &transfer->staged);
	transfer->operation = "exchange";
	transfer->to = args->send_bytes ? sp_comm_rank_of(comm, args->to) : -1;
	transfer->from = args->receive_bytes ? sp_comm_rank_of(comm, args->from) : -1;
	if (status || by.ops->exchange_start(by.comm, &passed, &transfer->request) || done_at_once(transfer))
		return sp_comm_failed(comm, "exchange", peers);
	return started(comm, args->to == comm->group.place.rank ? 0 : args->send_bytes, transfer);
}

static int reduction_fits(const struct sp_comm *c, const char *op, const void *data, int64_t count, enum sp_dtype dtype)
{
	if (count < 0 || (count > 0 && !data) || sp_dtype_size(dtype) == 0) {
		char why[128];
		snprintf(why, sizeof why, "%" PRId64 " elements of %s at %p cannot be passed", count, sp_dtype_name(dtype), data);
		return sp_comm_refused(c, op, why);
	}
	return SP_OK;
}

static void started_by_all(struct sp_transfer *t, const char *operation)
{
	t->operation = operation;
	t->to = t->from = -1;
}

static uint64_t others_share(const struct sp_comm *c, int64_t count, enum sp_dtype dtype)
{
	return (uint64_t)(c->group.place.size - 1) * (uint64_t)count * sp_dtype_size(dtype);
}

int sp_comm_reduce_scatter_start(struct sp_comm *comm, void *data, int64_t count, enum sp_dtype dtype,
                                 struct sp_transfer *transfer)
{
	int status = reduction_fits(comm, "reduce_scatter", data, count, dtype);
	if (!status)
		status = is_free(comm, "reduce_scatter", transfer);
	if (status)
		return status;
	transfer_begin(comm, "reduce_scatter", transfer);
	const size_t share = (size_t)count * sp_dtype_size(dtype), all = share * (size_t)comm->group.place.size;
	const struct sp_stage_range range = { all, 0, all, share * (size_t)comm->group.place.rank, share };
	const struct route by = route_of(comm, transfer);
	status = stage(transfer, &data, range);
	started_by_all(transfer, "reduce_scatter");
	if (status || by.ops->reduce_scatter_start(by.comm, data, count, dtype, &transfer->request) ||
	    done_at_once(transfer))
		return sp_comm_failed(comm, "reduce_scatter", "");
	return started(comm, others_share(comm, count, dtype), transfer);
}

int sp_comm_all_gather_start(struct sp_comm *comm, void *data, int64_t count, enum sp_dtype dtype,
                             struct sp_transfer *transfer)
{
	int status = reduction_fits(comm, "all_gather", data, count, dtype);
	if (!status)
		status = is_free(comm, "all_gather", transfer);
	if (status)
		return status;
	transfer_begin(comm, "all_gather", transfer);
	const size_t share = (size_t)count * sp_dtype_size(dtype), all = share * (size_t)comm->group.place.size;
	const struct sp_stage_range range = { all, share * (size_t)comm->group.place.rank, share, 0, all };
	const struct route by = route_of(comm, transfer);
	status = stage(transfer, &data, range);
	started_by_all(transfer, "all_gather");
	if (status || by.ops->all_gather_start(by.comm, data, count, dtype, &transfer->request) ||
	    done_at_once(transfer))
		return sp_comm_failed(comm, "all_gather", "");
	return started(comm, others_share(comm, count, dtype), transfer);
}

static size_t sum_of(const size_t *bytes, int n)
{
	size_t sum = 0;
	for (int i = 0; i < n; i++)
		sum += bytes[i];
	return sum;
}

static int all_to_all_fits(const struct sp_comm *c, const struct sp_all_to_all *a)
{
	const int size = c->group.place.size, rank = c->group.place.rank;
	if (!a->send_bytes || !a->receive_bytes)
		return sp_comm_refused(c, "all_to_all", "the counts are missing");
	if ((sum_of(a->send_bytes, size) && !a->send) || (sum_of(a->receive_bytes, size) && !a->receive))
		return sp_comm_refused(c, "all_to_all", "a buffer is missing");
	if (a->send_bytes[rank] != a->receive_bytes[rank])
		return sp_comm_refused(c, "all_to_all", "what a rank sends to itself is not what it receives");
	return SP_OK;
}

int sp_comm_all_to_all_start(struct sp_comm *comm, const struct sp_all_to_all *args, struct sp_transfer *transfer)
{
	int status = all_to_all_fits(comm, args);
	if (!status)
		status = is_free(comm, "all_to_all", transfer);
	if (status)
		return status;
	const size_t sent = sum_of(args->send_bytes, comm->group.place.size);
	transfer_begin(comm, "all_to_all", transfer);
	/* To be staged it is one message out and one in. */
	struct sp_exchange whole = { .send = args->send, .send_bytes = sent, .receive = args->receive,
		                         .receive_bytes = sum_of(args->receive_bytes, comm->group.place.size) };
	const struct route by = route_of(comm, transfer);
	if (needs_stage(transfer))
		status = sp_stage_exchange(transfer->compute, &whole, &transfer->staged);
	const struct sp_all_to_all passed = { whole.send, args->send_bytes, whole.receive, args->receive_bytes };
	started_by_all(transfer, "all_to_all");
	if (status || by.ops->all_to_all_start(by.comm, &passed, &transfer->request) || done_at_once(transfer))
		return sp_comm_failed(comm, "all_to_all", "");
	return started(comm, sent - args->send_bytes[comm->group.place.rank], transfer);
}

/* Of a transfer that the device passes, the end is seen later, and so is that of its span. */
static int wait_for(struct sp_comm *comm, struct sp_transfer *t)
{
	if (t->link)
		return sp_link_order(t->link, t->request, t->operation, t->to, t->from, t->span);
	return comm->ops->wait(comm->comm, t->request);
}

int sp_comm_wait(struct sp_comm *comm, struct sp_transfer *transfer)
{
	if (!transfer->request)
		return SP_OK;
	sp_comm_span_begin(comm, "wait");
	sp_comm_waits(comm, transfer->operation, transfer->to, transfer->from);
	double begin = sp_clock();
	int status = wait_for(comm, transfer);
	sp_waiting_end();
	comm->counters.exposed += sp_clock() - begin;
	transfer->request = NULL;
	status = sp_stage_finish(transfer->compute, status, &transfer->staged);
	sp_comm_span_end();
	if (!transfer->link)
		sp_trace_close(transfer->span);
	return status ? sp_comm_failed(comm, transfer->operation, "") : SP_OK;
}

int sp_comm_test(struct sp_comm *comm, struct sp_transfer *transfer, int *done)
{
	*done = 1;
	if (!transfer->request)
		return SP_OK;
	const struct route by = transfer->link ? (struct route){ transfer->link->ops, transfer->link->comm } :
	                                         (struct route){ comm->ops, comm->comm };
	int status = by.ops->test(by.comm, transfer->request, done);
	if (!status && !*done)
		return SP_OK;
	transfer->request = NULL;
	status = sp_stage_finish(transfer->compute, status, &transfer->staged);
	sp_trace_close(transfer->span);
	return status ? sp_comm_failed(comm, transfer->operation, "") : SP_OK;
}

int sp_comm_progress(struct sp_comm *comm)
{
	if (comm->ops->progress(comm->comm))
		return sp_comm_failed(comm, "a transfer under way", "");
	/* What failed on the device is named by who starts or awaits something: until then this may be asked often. */
	return comm->link ? sp_link_progress(comm->link) : SP_OK;
}

/* ---- blocking operations ---- */

static double blocks(const struct sp_comm *c, const char *op)
{
	sp_comm_span_begin(c, op);
	sp_comm_waits(c, op, -1, -1);
	return sp_clock();
}

/* Ends what `begin` was read at the beginning of; counts, and passes the status on. */
static int finished(struct sp_comm *c, const char *op, double begin, uint64_t bytes, int status)
{
	sp_waiting_end();
	c->counters.exposed += sp_clock() - begin;
	c->counters.messages++;
	c->counters.bytes += bytes;
	sp_comm_span_end();
	return status ? sp_comm_failed(c, op, "") : SP_OK;
}

static int all_reduce_fits(const struct sp_comm *c, const void *data, int64_t count, enum sp_dtype dtype, enum sp_reduction op)
{
	int status = reduction_fits(c, "all_reduce", data, count, dtype);
	return status || (unsigned)op <= SP_MIN ? status : sp_comm_refused(c, "all_reduce", "there is no such reduction");
}

int sp_comm_all_reduce(struct sp_comm *comm, void *data, int64_t count, enum sp_dtype dtype, enum sp_reduction op)
{
	int status = all_reduce_fits(comm, data, count, dtype, op);
	if (status)
		return status;
	double begin = blocks(comm, "all_reduce");
	status = comm->ops->all_reduce(comm->comm, data, count, dtype, op);
	const uint64_t bytes = 2 * others_share(comm, count, dtype) / (uint64_t)comm->group.place.size;
	return finished(comm, "all_reduce", begin, bytes, status);
}

/* In the device's queue. */
static int all_reduce_queued(struct sp_comm *c, void *data, int64_t count, enum sp_dtype dtype, enum sp_reduction op)
{
	struct sp_transfer t = { .compute = c->link->compute };
	int status = all_reduce_fits(c, data, count, dtype, op);
	if (status)
		return status;
	transfer_begin(c, "all_reduce", &t);
	const struct route by = route_of(c, &t);
	started_by_all(&t, "all_reduce");
	if (by.ops->all_reduce_start(by.comm, data, count, dtype, op, &t.request))
		return sp_comm_failed(c, "all_reduce", "");
	started(c, 2 * others_share(c, count, dtype) / (uint64_t)c->group.place.size, &t);
	return sp_comm_wait(c, &t);
}

int sp_comm_all_reduce_on(struct sp_comm *comm, struct sp_compute *compute, void *data, int64_t count, enum sp_dtype dtype,
                          enum sp_reduction op)
{
	const size_t bytes = (size_t)count * sp_dtype_size(dtype);
	const struct sp_stage_range all = { bytes, 0, bytes, 0, bytes };
	struct sp_staged staged = { 0 };
	if (!sp_stage_needed(compute))
		return sp_comm_all_reduce(comm, data, count, dtype, op);
	if (sp_comm_is_queued(comm, compute))
		return all_reduce_queued(comm, data, count, dtype, op);
	int status = reduction_fits(comm, "all_reduce", data, count, dtype);
	if (status == SP_OK)
		status = sp_stage_collective(compute, &data, all, &staged);
	if (status)
		return status;
	return sp_stage_finish(compute, sp_comm_all_reduce(comm, data, count, dtype, op), &staged);
}

int sp_comm_broadcast(struct sp_comm *comm, void *data, size_t bytes, int root)
{
	if (root < 0 || root >= comm->group.place.size || (bytes && !data))
		return sp_comm_refused(comm, "broadcast", "the root is not in the group, or the buffer is missing");
	double begin = blocks(comm, "broadcast");
	int status = comm->ops->broadcast(comm->comm, data, bytes, root);
	uint64_t sent = root == comm->group.place.rank && comm->group.place.size > 1 ? bytes : 0;
	return finished(comm, "broadcast", begin, sent, status);
}

int sp_comm_barrier(struct sp_comm *comm)
{
	double begin = blocks(comm, "barrier");
	return finished(comm, "barrier", begin, 0, comm->ops->barrier(comm->comm));
}
