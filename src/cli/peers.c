#include "config.h"

#include "cli/peers.h"

#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a rank says of itself. The home is a hash of the machine's boot and of the namespace that process ids count in: two
 * ranks of the same home can look at each other. 0 is no home. */
struct card {
	int32_t home[2];
	int32_t pid;
};

enum { CARD = sizeof(struct card) / sizeof(int32_t) };

static uint64_t fold(uint64_t hash, const void *data, size_t n) /* FNV-1a */
{
	const unsigned char *c = data;
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ c[i]) * UINT64_C(1099511628211);
	return hash;
}

static struct card own_card(void)
{
	struct card card = { { 0, 0 }, (int32_t)getpid() };
	char boot[64] = "";
	struct stat space;
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
	const int known = file && fgets(boot, sizeof boot, file) && stat("/proc/self/ns/pid", &space) == 0;
	if (file)
		fclose(file);
	if (!known)
		return card;
	uint64_t hash = fold(UINT64_C(14695981039346656037), boot, strlen(boot));
	hash = fold(fold(hash, &space.st_dev, sizeof space.st_dev), &space.st_ino, sizeof space.st_ino);
	card.home[0] = (int32_t)(uint32_t)(hash | 1);
	card.home[1] = (int32_t)(uint32_t)(hash >> 32);
	return card;
}

static int gather(struct sp_comm *world, struct card *cards)
{
	struct sp_transfer transfer = { 0 };
	cards[sp_comm_rank(world)] = own_card();
	int status = sp_comm_all_gather_start(world, cards, CARD, SP_I32, &transfer);
	return status ? status : sp_comm_wait(world, &transfer);
}

static int same_home(const struct card *a, const struct card *b)
{
	return a->home[0] != 0 && memcmp(a->home, b->home, sizeof a->home) == 0;
}

int sp_cli_peers_find(struct sp_comm *world, struct sp_cli_peers *peers)
{
	const int size = sp_comm_size(world), own = sp_comm_rank(world);
	struct card *cards = calloc((size_t)size, sizeof *cards);
	*peers = (struct sp_cli_peers){ .peer = calloc((size_t)size, sizeof *peers->peer) };
	int status = cards && peers->peer ? gather(world, cards) : sp_fail(SP_ERR_MEMORY, "out of memory for %d ranks", size);
	for (int i = 0; !status && i < size; i++)
		if (i != own && same_home(&cards[i], &cards[own]))
			peers->peer[peers->count++] = (struct sp_cli_peer){ i, (pid_t)cards[i].pid };
	peers->everyone = peers->count + 1 == size;
	free(cards);
	if (status)
		sp_cli_peers_release(peers);
	return status;
}

void sp_cli_peers_release(struct sp_cli_peers *peers)
{
	free(peers->peer);
	memset(peers, 0, sizeof *peers);
}

/* The letter that the kernel has for its state, 0 if it cannot be read. */
static int state_of(pid_t pid)
{
	char path[64], text[256] = "";
	snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	FILE *file = fopen(path, "r");
	if (!file)
		return 0;
	const char *end = fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
	fclose(file);
	return end && end[1] == ' ' ? end[2] : 0;
}

int sp_cli_peer_gone(const struct sp_cli_peer *peer)
{
	return kill(peer->pid, 0) != 0 && errno == ESRCH;
}

const char *sp_cli_peer_trouble(const struct sp_cli_peer *peer)
{
	switch (state_of(peer->pid)) {
	case 'T':
		return "is stopped (SIGSTOP)";
	case 't':
		return "is stopped by a debugger";
	case 'D':
		return "waits for a disk or device";
	default:
		return NULL;
	}
}
