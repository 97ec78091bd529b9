/* One rank, no library: a transfer is a copy, a reduction leaves things as they are, and all is finished on return.
 * May include: base, backend. */
#include "config.h"

#include <seqpar/module.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int probe(char *text, size_t size)
{
	snprintf(text, size, "one rank, no library");
	return SP_OK;
}

/* A communicator has no state, but an address that is not NULL. */
static char only;

static int open_self(void **comm)
{
	*comm = &only;
	return SP_OK;
}

static int split(void *comm, int colour, int key, void **part)
{
	(void)colour;
	(void)key;
	*part = comm;
	return SP_OK;
}

static void close_self(void *comm)
{
	(void)comm;
}

static void abort_self(void *comm, int code)
{
	(void)comm;
	_Exit(code);
}

static int place(void *comm, struct sp_place *place)
{
	(void)comm;
	*place = (struct sp_place){ .rank = 0, .size = 1, .local_rank = 0, .local_size = 1 };
	return SP_OK;
}

static int exchange_start(void *comm, const struct sp_exchange *args, void **request)
{
	(void)comm;
	if (args->send_bytes)
		memmove(args->receive, args->send, args->send_bytes);
	*request = NULL;
	return SP_OK;
}

static int share_start(void *comm, void *data, int64_t count, enum sp_dtype dtype, void **request)
{
	(void)comm;
	(void)data;
	(void)count;
	(void)dtype;
	*request = NULL;
	return SP_OK;
}

static int all_to_all_start(void *comm, const struct sp_all_to_all *args, void **request)
{
	(void)comm;
	if (args->send_bytes[0])
		memmove(args->receive, args->send, args->send_bytes[0]);
	*request = NULL;
	return SP_OK;
}

static int wait_self(void *comm, void *request)
{
	(void)comm;
	(void)request;
	return SP_OK;
}

static int test_self(void *comm, void *request, int *done)
{
	*done = 1;
	return wait_self(comm, request);
}

static int nothing(void *comm)
{
	(void)comm;
	return SP_OK;
}

static int all_reduce(void *comm, void *data, int64_t count, enum sp_dtype dtype, enum sp_reduction op)
{
	(void)comm;
	(void)data;
	(void)count;
	(void)dtype;
	(void)op;
	return SP_OK;
}

static int broadcast(void *comm, void *data, size_t bytes, int root)
{
	(void)comm;
	(void)data;
	(void)bytes;
	(void)root;
	return SP_OK;
}

static const struct sp_comm_ops ops = {
	.open = open_self,
	.split = split,
	.close = close_self,
	.abort = abort_self,
	.place = place,
	.exchange_start = exchange_start,
	.reduce_scatter_start = share_start,
	.all_gather_start = share_start,
	.all_to_all_start = all_to_all_start,
	.wait = wait_self,
	.test = test_self,
	.progress = nothing,
	.all_reduce = all_reduce,
	.broadcast = broadcast,
	.barrier = nothing,
};

extern const struct sp_module sp_module_self;
const struct sp_module sp_module_self = {
	.abi = SP_MODULE_ABI,
	.name = "self",
	.probe = probe,
	.comm = &ops,
};
