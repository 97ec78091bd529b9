/* How a command ends, alone or as one of several ranks. */
#include "config.h"

#include "cli/command.h"

#include "backend/comm.h"
#include "base/log.h"

#include <stdio.h>
#include <time.h>

static int turn; /* this rank, if it is to wait before it speaks */

int sp_cli_exit(int status)
{
	switch (status) {
	case SP_OK:
		return SP_EXIT_DONE;
	case SP_ERR_SETTING:
		return SP_EXIT_USAGE;
	case SP_ERR_STOPPED:
		return SP_EXIT_STOPPED;
	default:
		return SP_EXIT_FAILED;
	}
}

void sp_cli_speak_in_turn(int rank)
{
	turn = rank > 0 ? rank : 0;
	if (turn > 0)
		sp_log_hold();
}

/* Ranks one after the other, a tenth of a second apart, within three seconds. */
static void wait_for_turn(void)
{
	double seconds = turn > 0 ? 0.5 + 0.1 * (turn < 25 ? turn : 25) : 0;
	struct timespec pause = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
	nanosleep(&pause, NULL);
}

int sp_cli_last_word(int code)
{
	if (code != SP_EXIT_DONE && code != SP_EXIT_STOPPED)
		wait_for_turn();
	sp_log_release();
	return code;
}

int sp_cli_end(struct sp_comm *comm, int status)
{
	int code = sp_cli_exit(status);
	fflush(stdout);
	if (code != SP_EXIT_DONE && code != SP_EXIT_STOPPED && comm && sp_comm_size(comm) > 1) {
		sp_cli_last_word(code);
		sp_comm_abort(comm, code);
	}
	sp_comm_close(comm);
	return code;
}
