#include "config.h"

#include "backend/comm.h"

#include "backend/launcher.h"
#include "backend/module.h"
#include "backend/waiting.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/trace.h"
#include "base/where.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* At a counter of another rank, before the core is offered to others: some microseconds. */
enum { EAGER_LOOKS = 1000 };

enum { WHY_SIZE = 512 };

/* What the setting asks for: that device memory goes through host memory, or is passed by the module that reaches it where there
 * is one, or in any case. */
enum wish { BY_HOST, IF_IT_CAN, BY_NAME };

struct sp_comm {
	const char *name; /* module */
	const struct sp_comm_ops *ops;
	void *comm; /* the module's own */
	struct sp_comm_group group;
	struct sp_comm_counters counters;
	enum wish wish;        /* for device memory */
	const char *wanted;    /* the module that was named for it */
	struct sp_link *link;  /* passes device memory; NULL: it goes through host memory */
	char why[WHY_SIZE];    /* it does, if the choice was ours; else empty */
};

/* A member's rank in the job. */
static int rank_of(const struct sp_comm *c, int member)
{
	return c->group.member ? (int)c->group.member[member] : member;
}

/* From here on the main thread may block. */
static void waits(const struct sp_comm *c, const char *operation, int to, int from)
{
	sp_comm_group_waits(&c->group, operation, to, from);
}

/* ---- opening ---- */

/* "auto": a launcher that started one rank, or none, needs no library. */
static const char *choose(const char *name, const struct sp_launcher *by)
{
	if (strcmp(name, "auto") != 0)
		return name;
	return by->name && by->ranks != 1 ? "mpi" : "self";
}

/* A module of device memory is left in *beside, and "auto" takes its place. */
static int find_named(const char *name, const struct sp_launcher *by, const struct sp_module **module,
                      const struct sp_module **beside, char *why, size_t size)
{
	const char *chosen = choose(name, by);
	int status = sp_module_probe(chosen, module, why, size);
	if (status == SP_OK && !(*module)->comm)
		return sp_say(SP_ERR_ABSENT, why, size, "module %s computes and passes no messages", chosen);
	if (status || !(*module)->comm->join)
		return status;
	*beside = *module;
	return find_named("auto", by, module, beside, why, size);
}

static int find_module(const char *name, const struct sp_launcher *by, const struct sp_module **module,
                       const struct sp_module **beside)
{
	char why[WHY_SIZE] = "";
	int status = find_named(name, by, module, beside, why, sizeof why);
	if (status && strcmp(name, "auto") == 0)
		return sp_fail(status, "%s started %d ranks, but they cannot talk to each other: %s; build seqpar with MPI, or start "
		               "one process", by->name, by->ranks, why);
	return status ? sp_fail(status, "backend.comm=%s cannot be used: %s (seqpar info lists the modules)", name, why) : SP_OK;
}

/* Several processes that each believe to be alone would all train, and write the same files. */
static int ranks_fit(const struct sp_comm *c, const struct sp_launcher *by, int want_ranks)
{
	int size = c->group.place.size;
	if (by->ranks > 1 && size != by->ranks && strcmp(c->name, "self") == 0)
		return sp_fail(SP_ERR_SETTING, "%s started %d ranks, but backend.comm=self is for one: use backend.comm=auto",
		               by->name, by->ranks);
	if (by->ranks > 1 && size == 1)
		return sp_fail(SP_ERR_UNUSABLE, "%s started %d ranks (%s), but the MPI library of module %s sees only itself: start "
		               "them with the mpirun of that library, or with seqpar launch -n %d -- ...", by->name, by->ranks,
		               by->variable, c->name, by->ranks);
	if (want_ranks > size && size == 1)
		return sp_fail(SP_ERR_SETTING, "parallel.pipeline x parallel.sequence x parallel.tensor = %d needs %d ranks, but this "
		               "process is alone: start it with \"seqpar launch -n %d -- ...\" or \"mpirun -n %d seqpar ...\", or set "
		               "them to 1", want_ranks, want_ranks, want_ranks, want_ranks);
	return SP_OK;
}

static struct sp_comm *create(const char *name, const struct sp_comm_ops *ops, const char *what)
{
	struct sp_comm *c = calloc(1, sizeof *c);
	if (!c) {
		sp_fail(SP_ERR_MEMORY, "out of memory for a communicator");
		return NULL;
	}
	c->name = name;
	c->ops = ops;
	snprintf(c->group.what, sizeof c->group.what, "%s", what);
	return c;
}

int sp_comm_open(const char *name, int want_ranks, struct sp_comm **comm)
{
	struct sp_launcher by = sp_launcher_find();
	const struct sp_module *module, *beside = NULL;
	int status = find_module(name, &by, &module, &beside);
	if (status)
		return status;
	struct sp_comm *c = create(module->name, module->comm, "world");
	if (!c)
		return SP_ERR_MEMORY;
	c->wish = beside ? BY_NAME : strcmp(name, "auto") == 0 ? IF_IT_CAN : BY_HOST;
	c->wanted = beside ? beside->name : NULL;
	status = c->ops->open(&c->comm);
	if (status == SP_OK)
		status = c->ops->place(c->comm, &c->group.place);
	if (status == SP_OK)
		status = ranks_fit(c, &by, want_ranks);
	if (status) {
		sp_comm_close(c);
		return status;
	}
	*comm = c;
	return SP_OK;
}

/* After a failure inside the library: it has logged its own words. */
static int failed(const struct sp_comm *c, const char *op, const char *peers)
{
	return sp_comm_group_failed(&c->group, op, peers);
}

static int refused(const struct sp_comm *c, const char *op, const char *why)
{
	return sp_fail(SP_ERR_ARGUMENT, "%s in group %s on rank %d of %d: %s", op, c->group.what, c->group.place.rank, c->group.place.size, why);
}

/* Who is in a new group: every rank fills in its own place. */
static int name_members(struct sp_comm *c, int own)
{
	struct sp_comm_group *g = &c->group;
	g->member = calloc((size_t)g->place.size, sizeof *g->member);
	if (!g->member)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the ranks of group %s", g->what);
	g->member[g->place.rank] = own;
	return c->ops->all_reduce(c->comm, g->member, g->place.size, SP_I32, SP_SUM);
}

static int split_link(struct sp_comm *comm, int colour, int key, struct sp_comm *c)
{
	struct sp_link *l = comm->link;
	void *part;
	const int status = l->ops->split(l->comm, c->group.place.size > 1 ? colour : -1, key, &part);
	return status ? status : sp_link_create(l->name, l->ops, part, l->compute, &c->group, &c->link);
}

static int split(struct sp_comm *comm, int colour, int key, const char *what, int by_host, struct sp_comm **part)
{
	if (colour < 0)
		return refused(comm, "split", "the colour is negative");
	struct sp_comm *c = create(comm->name, comm->ops, what);
	if (!c)
		return SP_ERR_MEMORY;
	waits(comm, "split", -1, -1);
	int status = comm->ops->split(comm->comm, colour, key, &c->comm);
	if (status == SP_OK)
		status = c->ops->place(c->comm, &c->group.place);
	if (status == SP_OK)
		status = name_members(c, rank_of(comm, comm->group.place.rank));
	if (status == SP_OK && comm->link && !by_host)
		status = split_link(comm, colour, key, c);
	sp_waiting_end();
	snprintf(c->why, sizeof c->why, "%s", comm->why);
	if (status) {
		free(c->group.member);
		free(c);
		return failed(comm, "split", "");
	}
	*part = c;
	return SP_OK;
}

int sp_comm_split(struct sp_comm *comm, int colour, int key, const char *what, struct sp_comm **part)
{
	return split(comm, colour, key, what, 0, part);
}

int sp_comm_split_by_host(struct sp_comm *comm, int colour, int key, const char *what, struct sp_comm **part)
{
	return split(comm, colour, key, what, 1, part);
}

void sp_comm_close(struct sp_comm *comm)
{
	if (!comm)
		return;
	sp_link_close(comm->link);
	comm->ops->close(comm->comm);
	free(comm->group.member);
	free(comm);
}

/* ---- device memory ---- */

/* The module that passes memory of `compute`, if it can be used here and is wanted. */
static int find_link(const struct sp_comm *c, struct sp_compute *compute, void **queue, const struct sp_module **module,
                     char *why, size_t size)
{
	const char *name = sp_compute_queue(compute, queue);
	if (c->wanted && (!name || strcmp(name, c->wanted) != 0))
		return sp_say(SP_ERR_SETTING, why, size, "it does not pass memory of backend.device=%s", sp_compute_name(compute));
	if (!name)
		return sp_say(SP_ERR_ABSENT, why, size, "rank %d computes on %s", c->group.place.rank, sp_compute_name(compute));
	char reason[WHY_SIZE / 2];
	const int status = sp_module_probe(name, module, reason, sizeof reason);
	return status ? sp_say(status, why, size, "module %s: %s", name, reason) : SP_OK;
}

/* All ranks get the verdict of the first that cannot, and why. */
static int agree(const struct sp_comm *c, int *verdict, char *why, size_t size)
{
	int32_t first = *verdict ? c->group.place.rank : c->group.place.size, verdict_there = *verdict;
	int status = c->ops->all_reduce(c->comm, &first, 1, SP_I32, SP_MIN);
	if (status || first == c->group.place.size)
		return status;
	status = c->ops->broadcast(c->comm, &verdict_there, sizeof verdict_there, first);
	if (!status)
		status = c->ops->broadcast(c->comm, why, size, first);
	*verdict = verdict_there;
	return status;
}

static int gather_bytes(void *ctx, void *data, size_t bytes)
{
	const struct sp_comm *c = ctx;
	int status = SP_OK;
	for (int root = 0; root < c->group.place.size && !status; root++)
		status = c->ops->broadcast(c->comm, (char *)data + (size_t)root * bytes, bytes, root);
	return status;
}

static int join(struct sp_comm *c, struct sp_compute *compute, void *queue, const struct sp_module *module, char *why,
                size_t size)
{
	const struct sp_joining with = { c->group.place, queue, gather_bytes, c };
	void *comm;
	const int status = module->comm->join(&with, &comm, why, size);
	return status ? status : sp_link_create(module->name, module->comm, comm, compute, &c->group, &c->link);
}

/* *verdict: why not, if not. */
static int try_to_link(struct sp_comm *c, struct sp_compute *compute, int *verdict, char *why, size_t size)
{
	const struct sp_module *module = NULL;
	void *queue = NULL;
	*verdict = find_link(c, compute, &queue, &module, why, size);
	int status = agree(c, verdict, why, size);
	if (status || *verdict)
		return status;
	status = join(c, compute, queue, module, why, size);
	if (status != SP_ERR_UNUSABLE)
		return status;
	*verdict = status;
	return SP_OK;
}

int sp_comm_bind(struct sp_comm *comm, struct sp_compute *compute)
{
	char why[WHY_SIZE - 64] = "";
	int verdict = SP_OK;
	if (comm->wish == BY_HOST || sp_comm_is_queued(comm, compute) || (comm->wish == IF_IT_CAN && comm->group.place.size == 1))
		return SP_OK;
	sp_link_close(comm->link);
	waits(comm, "join", -1, -1);
	int status = try_to_link(comm, compute, &verdict, why, sizeof why);
	sp_waiting_end();
	if (status)
		return status;
	if (verdict && comm->wish == BY_NAME)
		return sp_fail(verdict, "backend.comm=%s cannot be used: %s; backend.comm=mpi passes messages through host memory",
		               comm->wanted, why);
	if (verdict && sp_stage_needed(compute))
		snprintf(comm->why, sizeof comm->why, "device memory goes through the host: %s", why);
	return SP_OK;
}

int sp_comm_is_queued(const struct sp_comm *comm, const struct sp_compute *compute)
{
	return comm->link && comm->link->compute == compute;
}

void sp_comm_abort(struct sp_comm *comm, int code)
{
	if (comm)
		comm->ops->abort(comm->comm, code);
	_Exit(code);
}

const char *sp_comm_name(const struct sp_comm *comm)
{
	return comm->link ? comm->link->name : comm->name;
}

int sp_comm_rank(const struct sp_comm *comm)
{
	return comm->group.place.rank;
}

int sp_comm_size(const struct sp_comm *comm)
{
	return comm->group.place.size;
}

struct sp_place sp_comm_place(const struct sp_comm *comm)
{
	return comm->group.place;
}

struct sp_comm_counters sp_comm_counters(const struct sp_comm *comm)
{
	struct sp_comm_counters counters = comm->counters;
	if (comm->link)
		counters.exposed += comm->link->ops->stalled(comm->link->comm);
	return counters;
}

/* ---- spans: one from start to end of each transfer, one for each wait and blocking operation ---- */

static void span_begin(const struct sp_comm *c, const char *op)
{
	if (!sp_trace_on())
		return;
	char name[32];
	snprintf(name, sizeof name, "%s %s", op, c->group.what);
	sp_trace_begin(SP_TRACE_COMM, name, -1);
}

static void span_end(void)
{
	sp_trace_end(SP_TRACE_COMM);
}

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
	return transfer->request ? refused(c, op, "its transfer is still under way") : SP_OK;
}

static int exchange_fits(const struct sp_comm *c, const struct sp_exchange *a)
{
	int size = c->group.place.size, rank = c->group.place.rank;
	if (a->to < 0 || a->to >= size || a->from < 0 || a->from >= size)
		return refused(c, "exchange", "a peer is not in the group");
	if ((a->send_bytes && !a->send) || (a->receive_bytes && !a->receive))
		return refused(c, "exchange", "a buffer is missing");
	if ((a->to == rank && a->send_bytes) || (a->from == rank && a->receive_bytes))
		if (a->to != a->from || a->send_bytes != a->receive_bytes)
			return refused(c, "exchange", "what a rank sends to itself is not what it receives");
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
	transfer->to = args->send_bytes ? rank_of(comm, args->to) : -1;
	transfer->from = args->receive_bytes ? rank_of(comm, args->from) : -1;
	if (status || by.ops->exchange_start(by.comm, &passed, &transfer->request) || done_at_once(transfer))
		return failed(comm, "exchange", peers);
	return started(comm, args->to == comm->group.place.rank ? 0 : args->send_bytes, transfer);
}

static int reduction_fits(const struct sp_comm *c, const char *op, const void *data, int64_t count, enum sp_dtype dtype)
{
	if (count < 0 || (count > 0 && !data) || sp_dtype_size(dtype) == 0) {
		char why[128];
		snprintf(why, sizeof why, "%" PRId64 " elements of %s at %p cannot be passed", count, sp_dtype_name(dtype), data);
		return refused(c, op, why);
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
		return failed(comm, "reduce_scatter", "");
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
		return failed(comm, "all_gather", "");
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
		return refused(c, "all_to_all", "the counts are missing");
	if ((sum_of(a->send_bytes, size) && !a->send) || (sum_of(a->receive_bytes, size) && !a->receive))
		return refused(c, "all_to_all", "a buffer is missing");
	if (a->send_bytes[rank] != a->receive_bytes[rank])
		return refused(c, "all_to_all", "what a rank sends to itself is not what it receives");
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
		return failed(comm, "all_to_all", "");
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
	span_begin(comm, "wait");
	waits(comm, transfer->operation, transfer->to, transfer->from);
	double begin = sp_clock();
	int status = wait_for(comm, transfer);
	sp_waiting_end();
	comm->counters.exposed += sp_clock() - begin;
	transfer->request = NULL;
	status = sp_stage_finish(transfer->compute, status, &transfer->staged);
	span_end();
	if (!transfer->link)
		sp_trace_close(transfer->span);
	return status ? failed(comm, transfer->operation, "") : SP_OK;
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
	return status ? failed(comm, transfer->operation, "") : SP_OK;
}

int sp_comm_progress(struct sp_comm *comm)
{
	if (comm->ops->progress(comm->comm))
		return failed(comm, "a transfer under way", "");
	/* What failed on the device is named by who starts or awaits something: until then this may be asked often. */
	return comm->link ? sp_link_progress(comm->link) : SP_OK;
}

/* ---- blocking operations ---- */

static double blocks(const struct sp_comm *c, const char *op)
{
	span_begin(c, op);
	waits(c, op, -1, -1);
	return sp_clock();
}

/* Ends what `begin` was read at the beginning of; counts, and passes the status on. */
static int finished(struct sp_comm *c, const char *op, double begin, uint64_t bytes, int status)
{
	sp_waiting_end();
	c->counters.exposed += sp_clock() - begin;
	c->counters.messages++;
	c->counters.bytes += bytes;
	span_end();
	return status ? failed(c, op, "") : SP_OK;
}

static int all_reduce_fits(const struct sp_comm *c, const void *data, int64_t count, enum sp_dtype dtype, enum sp_reduction op)
{
	int status = reduction_fits(c, "all_reduce", data, count, dtype);
	return status || (unsigned)op <= SP_MIN ? status : refused(c, "all_reduce", "there is no such reduction");
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
		return failed(c, "all_reduce", "");
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
		return refused(comm, "broadcast", "the root is not in the group, or the buffer is missing");
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

static int describe_by(const struct sp_comm *c, const struct sp_comm_ops *ops, void *comm, char *text, size_t size)
{
	if (!ops->describe)
		return SP_OK;
	waits(c, "describe", -1, -1);
	const int status = ops->describe(comm, text, size);
	sp_waiting_end();
	return status ? failed(c, "describe", "") : SP_OK;
}

int sp_comm_describe(struct sp_comm *comm, char *text, size_t size)
{
	const struct sp_link *l = comm->link;
	char host[256] = "", device[WHY_SIZE] = "";
	int status = describe_by(comm, comm->ops, comm->comm, host, sizeof host);
	if (!status && l)
		status = describe_by(comm, l->ops, l->comm, device, sizeof device);
	else
		snprintf(device, sizeof device, "%s", comm->why);
	snprintf(text, size, "%s%s%s", device, device[0] && host[0] ? "; " : "", host);
	return status;
}

/* ---- memory that other ranks read in place ---- */

struct sp_window {
	struct sp_comm *comm;
	void *window; /* the module's own */
};

static int window_fits(const struct sp_comm *c, const void *memory, size_t bytes)
{
	return (uintptr_t)memory % SP_WINDOW_PAGE || bytes % SP_WINDOW_PAGE || bytes == 0 ?
	               refused(c, "window", "the memory is not of whole pages") :
	               SP_OK;
}

int sp_comm_window_open(struct sp_comm *comm, struct sp_compute *compute, void *memory, size_t bytes,
                        struct sp_window **window)
{
	*window = NULL;
	int status = window_fits(comm, memory, bytes);
	if (status || !comm->ops->window_open || sp_stage_needed(compute))
		return status;
	struct sp_window *w = calloc(1, sizeof *w);
	if (!w)
		return sp_fail(SP_ERR_MEMORY, "out of memory for a window");
	w->comm = comm;
	waits(comm, "window", -1, -1);
	status = comm->ops->window_open(comm->comm, memory, bytes, &w->window);
	sp_waiting_end();
	if (status || !w->window) {
		free(w);
		return status ? failed(comm, "window", "") : SP_OK;
	}
	*window = w;
	return SP_OK;
}

void sp_comm_window_close(struct sp_window *window)
{
	if (!window)
		return;
	window->comm->ops->window_close(window->window);
	free(window);
}

const void *sp_comm_window_of(const struct sp_window *window, int rank)
{
	return window->comm->ops->window_of(window->window, rank);
}

void sp_comm_window_leave(struct sp_window *window, int rank)
{
	window->comm->ops->window_leave(window->window, rank);
}

void sp_comm_window_post(struct sp_window *window, int i, uint64_t value, uint64_t sent)
{
	window->comm->counters.bytes += sent;
	window->comm->counters.messages += sent > 0;
	window->comm->ops->window_post(window->window, i, value);
}

static int has_come(const struct sp_window *w, int rank, int i, uint64_t value)
{
	return w->comm->ops->window_seen(w->window, rank, i) >= value;
}

/* Looks often at first; then lets others have the core, as there may be more ranks than cores, and messages that are under
 * way move on. */
static int look_out(const struct sp_window *w, int rank, int i, uint64_t value)
{
	int status = SP_OK;
	for (int looks = 0; !status && !has_come(w, rank, i, value); looks++) {
		if (looks < EAGER_LOOKS)
			continue;
		status = w->comm->ops->progress(w->comm->comm);
		sched_yield();
	}
	return status;
}

int sp_comm_window_await(struct sp_window *window, int rank, int i, uint64_t value)
{
	struct sp_comm *c = window->comm;
	if (has_come(window, rank, i, value))
		return SP_OK;
	span_begin(c, "wait");
	waits(c, "exchange", -1, rank_of(c, rank));
	const double begin = sp_clock();
	const int status = look_out(window, rank, i, value);
	sp_waiting_end();
	c->counters.exposed += sp_clock() - begin;
	span_end();
	return status ? failed(c, "exchange", "") : SP_OK;
}
