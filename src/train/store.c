#include "config.h"

#include "train/store.h"

#include "base/log.h"
#include "checkpoint/directory.h"
#include "checkpoint/durable.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int claim(struct sp_store *store)
{
	char why[512];
	int status = sp_checkpoint_claim(store->dir, &store->claim, why, sizeof why);
	return status ? sp_fail(status, "checkpoint.dir = %s: %s", store->dir, why) : SP_OK;
}

static int write_token(const char *path)
{
	char why[512];
	int status = sp_durable_put(path, "seqpar\n", 7, why, sizeof why);
	return status ? sp_fail(status, "checkpoint.dir cannot be written to: %s", why) : SP_OK;
}

/* Its name is new each time: a file system may remember that a file is not there. */
static int find_token(struct sp_comm *world, const char *dir)
{
	char path[PATH_MAX];
	int64_t number = getpid();
	int32_t verdict = SP_OK;
	int status = sp_comm_broadcast(world, &number, sizeof number, 0);
	snprintf(path, sizeof path, "%s/.seqpar-token-%lld", dir, (long long)number);
	if (!status && sp_comm_rank(world) == 0)
		verdict = write_token(path);
	if (!status)
		status = sp_comm_broadcast(world, &verdict, sizeof verdict, 0);
	if (status || verdict)
		return status ? status : verdict;
	if (access(path, W_OK) != 0)
		verdict = sp_fail(SP_ERR_IO,
		                  "checkpoint.dir = %s: this rank does not find there what rank 0 has written; it must be on a file "
		                  "system that all ranks share",
		                  dir);
	status = sp_comm_all_reduce(world, &verdict, 1, SP_I32, SP_MIN);
	if (sp_comm_rank(world) == 0)
		unlink(path);
	return status ? status : verdict;
}

int sp_store_open(struct sp_comm *world, const char *dir, struct sp_store *store)
{
	*store = (struct sp_store){ .dir = dir, .claim = -1 };
	if (!dir[0])
		return SP_OK;
	int32_t verdict = sp_comm_rank(world) == 0 ? claim(store) : SP_OK;
	int status = sp_comm_broadcast(world, &verdict, sizeof verdict, 0);
	if (status || verdict)
		return status ? status : verdict;
	return sp_comm_size(world) > 1 ? find_token(world, dir) : SP_OK;
}

void sp_store_close(struct sp_store *store)
{
	if (store->dir && store->claim >= 0)
		close(store->claim);
	*store = (struct sp_store){ .dir = NULL };
}
