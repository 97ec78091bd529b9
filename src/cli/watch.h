/* Watching the ranks of a job: a thread notices when this one waits for another in vain, because that has died or is silent
 * for longer than backend.timeout. It then ends the job, with a message that names both and where they were; the main thread
 * may be blocked inside a library for good. May include: backend, base, cli. */
#ifndef SP_CLI_WATCH_H
#define SP_CLI_WATCH_H

#include "backend/comm.h"

#include <signal.h>

/* Starts watching, if there is anyone to wait for. Collective over `world`.
 *   timeout  seconds inside one operation of communication after which the others are taken for hung; 0: never
 *   stop     the last signal that asked for an end; borrowed */
int sp_cli_watch_start(struct sp_comm *world, int64_t timeout, const volatile sig_atomic_t *stop);
/* Ends watching; before ranks may leave the job in good order. Nothing happens if none was started. */
void sp_cli_watch_stop(void);
/* Ends watching, and says so to the ranks of this machine: before this one ends the job with a message of its own. */
void sp_cli_watch_give_notice(void);

#endif
