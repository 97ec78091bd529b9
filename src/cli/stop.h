/* Stopping by a signal: work that can be undone or saved looks at a flag. May include: libc. */
#ifndef SP_CLI_STOP_H
#define SP_CLI_STOP_H

#include <signal.h>

/* Nonzero once such a signal has come. */
const volatile sig_atomic_t *sp_cli_stop_flag(void);
/* From now on SIGINT, SIGTERM, SIGHUP and SIGUSR1 set the flag and interrupt calls that wait. A second SIGINT ends the
 * process at once: somebody at the keyboard means it. The others may come twice, from a batch system and from mpirun. A
 * signal that was ignored stays so (nohup). */
void sp_cli_stop_install(void);

#endif
