/* How a command ends, alone or as one of several ranks. */
#include "config.h"

#include "cli/command.h"

#include "backend/comm.h"
#include "backend/launcher.h"
#include "backend/module.h"
#include "base/log.h"
#include "cli/watch.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static struct sp_launcher launcher;
static int joined; /* this process has been a rank among others */
static int ending; /* the code with which a rank leaves that cannot join the others */

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

void sp_cli_begin(void)
{
	launcher = sp_launcher_find();
	if (launcher.rank < 1)
		return;
	sp_log_hold();
	if (!freopen("/dev/null", "w", stdout))
		sp_log(SP_LOG_WARNING, "the standard output of rank %d cannot be closed: lines may come twice", launcher.rank);
}

static int bad(int code)
{
	return code != SP_EXIT_DONE && code != SP_EXIT_STOPPED;
}

/* Ranks one after the other, rank 0 at once and all within five seconds. Whoever is ended meanwhile stays silent: a
 * launcher may take a second for that. */
static void speak_in_turn(void)
{
	int tenths = 20 + (launcher.rank < 30 ? launcher.rank : 30);
	signal(SIGTERM, SIG_DFL);
	if (launcher.rank > 0)
		nanosleep(&(struct timespec){ tenths / 10, tenths % 10 * 100000000L }, NULL);
	sp_log_release();
}

/* The others have not come, or the messages between ranks take too long to open: the launcher ends those who are left as
 * soon as the first one is gone, with its code. */
static void leave(int signal)
{
	(void)signal;
	speak_in_turn();
	_exit(ending);
}

/* A rank that fails before it has joined the others joins them to end them: if it only left, they might wait for it, and
 * the launcher would bury the message under its own. Where they do not come, it leaves. */
static void end_the_others(int code)
{
	const struct sp_module *mpi;
	char why[256];
	void *comm;
	if (launcher.ranks < 2 || joined || sp_module_open("mpi", &mpi, why, sizeof why))
		return;
	ending = code;
	signal(SIGALRM, leave);
	alarm(4);
	if (mpi->comm->open(&comm))
		return;
	alarm(0);
	speak_in_turn();
	mpi->comm->abort(comm, code);
}

int sp_cli_finish(int code)
{
	if (bad(code)) {
		end_the_others(code);
		speak_in_turn(); /* there is no way to join them: leave one after the other */
	}
	sp_log_release();
	return code;
}

int sp_cli_end(struct sp_comm *comm, int status)
{
	int code = sp_cli_exit(status);
	fflush(stdout);
	if (bad(code))
		sp_cli_watch_give_notice();
	else
		sp_cli_watch_stop();
	if (!comm || sp_comm_size(comm) == 1 || code == SP_EXIT_DONE) {
		joined = comm != NULL;
		sp_comm_close(comm);
		return code;
	}
	if (bad(code))
		speak_in_turn();
	else
		sp_comm_barrier(comm); /* a stop: all have saved what they had to */
	sp_comm_abort(comm, code);
}
