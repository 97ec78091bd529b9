#include "config.h"

#include "cli/stop.h"

#include <stddef.h>

static volatile sig_atomic_t stop;

static void set(int number)
{
	stop = number;
}

const volatile sig_atomic_t *sp_cli_stop_flag(void)
{
	return &stop;
}

void sp_cli_stop_install(void)
{
	static const struct {
		int number, flags;
	} signals[] = { { SIGINT, (int)SA_RESETHAND }, { SIGTERM, 0 }, { SIGHUP, 0 }, { SIGUSR1, 0 } };
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
		struct sigaction action = { .sa_handler = set, .sa_flags = signals[i].flags }, before;
		sigemptyset(&action.sa_mask);
		if (sigaction(signals[i].number, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(signals[i].number, &action, NULL);
	}
}
