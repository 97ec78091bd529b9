/* The processes of the ranks on this machine. May include: backend, base. */
#ifndef SP_CLI_PEERS_H
#define SP_CLI_PEERS_H

#include "backend/comm.h"

#include <sys/types.h>

struct sp_cli_peer {
	int rank;
	pid_t pid;
};

struct sp_cli_peers {
	struct sp_cli_peer *peer; /* other ranks in this machine and container, ascending */
	int count;
	int everyone; /* there are no ranks elsewhere */
};

/* Collective over `world`. SP_ERR_MEMORY, SP_ERR_COMM. */
int sp_cli_peers_find(struct sp_comm *world, struct sp_cli_peers *peers);
void sp_cli_peers_release(struct sp_cli_peers *peers);

/* 1: its process is no more, and whoever started it knows. */
int sp_cli_peer_gone(const struct sp_cli_peer *peer);
/* In words what its process does if that may keep others waiting ("is stopped"), or NULL. Static storage. */
const char *sp_cli_peer_trouble(const struct sp_cli_peer *peer);

#endif
