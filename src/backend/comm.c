/* A communicator opened, split and closed, and what its files share. */
#include "config.h"

#include "backend/comm_inside.h"

#include "backend/launcher.h"
#include "backend/module.h"
#include "backend/waiting.h"
#include "base/log.h"
#include "base/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- shared ---- */

int sp_comm_rank_of(const struct sp_comm *c, int member)
{
	return c->group.member ? (int)c->group.member[member] : member;
}

void sp_comm_waits(const struct sp_comm *c, const char *operation, int to, int from)
{
	sp_comm_group_waits(&c->group, operation, to, from);
}

int sp_comm_failed(const struct sp_comm *c, const char *op, const char *peers)
{
	return sp_comm_group_failed(&c->group, op, peers);
}

int sp_comm_refused(const struct sp_comm *c, const char *op, const char *why)
{
	return sp_fail(SP_ERR_ARGUMENT, "%s in group %s on rank %d of %d: %s", op, c->group.what, c->group.place.rank, c->group.place.size, why);
}

void sp_comm_span_begin(const struct sp_comm *c, const char *op)
{
	if (!sp_trace_on())
		return;
	char name[32];
	snprintf(name, sizeof name, "%s %s", op, c->group.what);
	sp_trace_begin(SP_TRACE_COMM, name, -1);
}

void sp_comm_span_end(void)
{
	sp_trace_end(SP_TRACE_COMM);
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
	char why[SP_COMM_WHY] = "";
	int status = find_named(name, by, module, beside, why, sizeof why);
	if (status && strcmp(name, "auto") == 0 && (!by->name || by->ranks == 1))
		return sp_fail(status, "one rank, and no module for it: %s; install seqpar's modules, or name their folder in SEQPAR_MODULE_PATH", why);
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
	c->wish = beside ? SP_COMM_BY_NAME : strcmp(name, "auto") == 0 ? SP_COMM_IF_IT_CAN : SP_COMM_BY_HOST;
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

/* Closing is collective, and after an error the others need not come: only what is this rank's alone is closed. */
static void drop(const struct sp_comm *comm, struct sp_comm *part)
{
	if (comm->group.place.size == 1 || part->group.place.size == 1)
		part->ops->close(part->comm);
	free(part->group.member);
	free(part);
}

static int split(struct sp_comm *comm, int colour, int key, const char *what, int by_host, struct sp_comm **part)
{
	if (colour < 0)
		return sp_comm_refused(comm, "split", "the colour is negative");
	struct sp_comm *c = create(comm->name, comm->ops, what);
	if (!c)
		return SP_ERR_MEMORY;
	sp_comm_waits(comm, "split", -1, -1);
	int status = comm->ops->split(comm->comm, colour, key, &c->comm);
	if (status == SP_OK)
		status = c->ops->place(c->comm, &c->group.place);
	if (status == SP_OK)
		status = name_members(c, sp_comm_rank_of(comm, comm->group.place.rank));
	if (status == SP_OK && comm->link && !by_host)
		status = split_link(comm, colour, key, c);
	sp_waiting_end();
	snprintf(c->why, sizeof c->why, "%s", comm->why);
	if (status) {
		drop(comm, c);
		return sp_comm_failed(comm, "split", "");
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

/* ---- what it is ---- */

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

static int describe_by(const struct sp_comm *c, const struct sp_comm_ops *ops, void *comm, char *text, size_t size)
{
	if (!ops->describe)
		return SP_OK;
	sp_comm_waits(c, "describe", -1, -1);
	const int status = ops->describe(comm, text, size);
	sp_waiting_end();
	return status ? sp_comm_failed(c, "describe", "") : SP_OK;
}

int sp_comm_describe(struct sp_comm *comm, char *text, size_t size)
{
	const struct sp_link *l = comm->link;
	char host[256] = "", device[SP_COMM_WHY] = "";
	int status = describe_by(comm, comm->ops, comm->comm, host, sizeof host);
	if (!status && l)
		status = describe_by(comm, l->ops, l->comm, device, sizeof device);
	else
		snprintf(device, sizeof device, "%s", comm->why);
	snprintf(text, size, "%s%s%s", device, device[0] && host[0] ? "; " : "", host);
	return status;
}
