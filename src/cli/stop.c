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
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		struct sigaction action = { .sa_handler = set, .sa_flags = (int)SA_RESETHAND }, before;
		sigemptyset(&action.sa_mask);
		if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	}
}
