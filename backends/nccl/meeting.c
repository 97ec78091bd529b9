/* How ranks that know each other through host memory come to know of each other's GPUs. */
#include "config.h"

#include "nccl/link.h"

#include "base/log.h"
#include "nccl/device.h"

#include <stdlib.h>
#include <string.h>

/* What a rank tells the others. */
struct card {
	int32_t status;
	int32_t version;
	unsigned char gpu[SP_NCCL_GPU_ID];
	char host[48]; /* NCCL_HOSTID: NCCL takes GPUs of machines of different names for different ones */
};

/* What the first rank gives to all. */
struct invitation {
	int32_t status;
	ncclUniqueId id;
};

static struct card own_card(void)
{
	struct card card = { .version = sp_nccl.version };
	const char *host = getenv("NCCL_HOSTID");
	if (host)
		strncpy(card.host, host, sizeof card.host - 1);
	card.status = sp_nccl_device_id(card.gpu);
	return card;
}

static int broken(const struct card *cards, int n)
{
	int i = 0;
	while (i < n && cards[i].status == SP_OK)
		i++;
	return i < n ? sp_fail(SP_ERR_COMM, "nccl: rank %d cannot tell which GPU it has", i) : SP_OK;
}

static int versions_differ(const struct card *cards, int n)
{
	char first[32], other[32];
	int i = 1;
	while (i < n && cards[i].version == cards[0].version)
		i++;
	if (i >= n)
		return SP_OK;
	sp_nccl_version_text(cards[0].version, first, sizeof first);
	sp_nccl_version_text(cards[i].version, other, sizeof other);
	return sp_fail(SP_ERR_COMM, "nccl: rank 0 has NCCL %s, rank %d has %s: all ranks need the same %s (look at LD_LIBRARY_PATH "
	               "on their machines), or backend.comm=mpi", first, i, other, sp_nccl_device_library());
}

static int same_gpu(const struct card *a, const struct card *b)
{
	return memcmp(a->gpu, b->gpu, sizeof a->gpu) == 0 && strcmp(a->host, b->host) == 0;
}

static int gpus_shared(const struct card *cards, int n, char *why, size_t size)
{
	for (int i = 0; i < n; i++)
		for (int j = i + 1; j < n; j++)
			if (same_gpu(&cards[i], &cards[j]))
				return sp_say(SP_ERR_UNUSABLE, why, size, "ranks %d and %d share a GPU, and NCCL wants one for each: start no "
				              "more ranks on a machine than it has GPUs", i, j);
	return SP_OK;
}

static int check_cards(const struct sp_joining *with, struct card *cards, char *why, size_t size)
{
	const int n = with->place.size;
	cards[with->place.rank] = own_card();
	int status = with->all_gather(with->ctx, cards, sizeof *cards);
	if (!status)
		status = broken(cards, n);
	if (!status)
		status = versions_differ(cards, n);
	return status ? status : gpus_shared(cards, n, why, size);
}

static int invite(const struct sp_joining *with, struct invitation *all, ncclUniqueId *id)
{
	ncclResult_t result = ncclSuccess;
	if (with->place.rank == 0) {
		result = sp_nccl.GetUniqueId(&all->id);
		all->status = result == ncclSuccess ? SP_OK : sp_nccl_failed(NULL, "ncclGetUniqueId", result);
	}
	const int status = with->all_gather(with->ctx, all, sizeof *all);
	*id = all->id;
	return status ? status : all->status;
}

int sp_nccl_meet(const struct sp_joining *with, ncclUniqueId *id, char *why, size_t size)
{
	const size_t n = (size_t)with->place.size;
	struct card *cards = calloc(n, sizeof *cards);
	struct invitation *all = calloc(n, sizeof *all);
	int status = cards && all ? SP_OK : sp_fail(SP_ERR_COMM, "out of memory for %zu ranks", n);
	if (!status)
		status = check_cards(with, cards, why, size);
	if (!status)
		status = invite(with, all, id);
	free(cards);
	free(all);
	return status;
}
