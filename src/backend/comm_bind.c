/* Which module passes the memory of a device: found, tried and agreed on by all ranks. */
#include "config.h"

#include "backend/comm_inside.h"

#include "backend/module.h"
#include "backend/waiting.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

/* The module that passes memory of `compute`, if it can be used here and is wanted. */
static int find_link(const struct sp_comm *c, struct sp_compute *compute, void **queue, const struct sp_module **module,
                     char *why, size_t size)
{
	const char *name = sp_compute_queue(compute, queue);
	if (c->wanted && (!name || strcmp(name, c->wanted) != 0))
		return sp_say(SP_ERR_SETTING, why, size, "it does not pass memory of backend.device=%s", sp_compute_name(compute));
	if (!name)
		return sp_say(SP_ERR_ABSENT, why, size, "rank %d computes on %s", c->group.place.rank, sp_compute_name(compute));
	char reason[SP_COMM_WHY / 2];
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
	char why[SP_COMM_WHY - 64] = "";
	int verdict = SP_OK;
	if (comm->wish == SP_COMM_BY_HOST || sp_comm_is_queued(comm, compute) || (comm->wish == SP_COMM_IF_IT_CAN && comm->group.place.size == 1))
		return SP_OK;
	sp_link_close(comm->link);
	sp_comm_waits(comm, "join", -1, -1);
	int status = try_to_link(comm, compute, &verdict, why, sizeof why);
	sp_waiting_end();
	if (status)
		return status;
	if (verdict && comm->wish == SP_COMM_BY_NAME)
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
