#include "config.h"

#include "cli/watch.h"

#include "backend/waiting.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/size.h"
#include "base/where.h"
#include "cli/command.h"
#include "cli/peers.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Seconds. mpirun kills the ranks that are left one second after it has noticed that one died: all must be said by then. */
static const double tick = 0.05;
static const double stuck = 0.3;   /* inside one operation, while another rank is dead */
static const double unaware = 0.5; /* after a death that the main thread has not come to know of: it computes */
static const double turns = 0.1;   /* between ranks that notice the same: longer than a tick */
static const double lingering = 8; /* after the notice of another rank, where no launcher ends this one */

/* What one look remembers for the next. */
struct look {
	double at;       /* when it was */
	uint64_t number; /* the operation that the main thread was inside of */
	double waited;   /* in it; time in which the whole process was stopped does not count */
	const struct sp_cli_peer *dead;
	double dead_for; /* since that was noticed */
	double noticed_for; /* since another rank has said that it ends the job */
	int told;        /* that this rank is to stop, while it waits */
};

static struct {
	struct sp_cli_peers peers;
	int rank;
	double timeout;
	const volatile sig_atomic_t *stop;
	pthread_t thread;
	int on;
	int pipe[2]; /* closed at one end to end the thread */
} watch;

/* Another rank of this machine ends the job and says why. */
static volatile sig_atomic_t noticed;

static void take_notice(int number)
{
	(void)number;
	noticed = 1;
}

static int notice_signal(void)
{
	return SIGRTMIN + 7;
}

static void give_notice(void)
{
	for (int i = 0; i < watch.peers.count; i++)
		if (!sp_cli_peer_gone(&watch.peers.peer[i]))
			kill(watch.peers.peer[i].pid, notice_signal());
}

/* ---- messages ---- */

/* The first to speak is the only one on its machine. */
static void end_job(const char *text)
{
	char where[128];
	give_notice();
	sp_where_text(where, sizeof where);
	sp_fail(SP_ERR_COMM, "%s%s", where, text);
	sp_log_release();
	_exit(SP_EXIT_FAILED);
}

static void report_death(const struct sp_cli_peer *dead, const struct sp_waiting *w)
{
	char text[1024], what[256] = "";
	if (w)
		sp_waiting_text(w, what, sizeof what);
	snprintf(text, sizeof text, "rank %d (process %ld) has died while this one %s%s; the job ends here. If it left no "
	         "message, look for its end in what mpirun says and in the system's log (out of memory?)", dead->rank,
	         (long)dead->pid, w ? "waited in " : "computed", what);
	end_job(text);
}

/* Ranks here that can be seen to do something other than compute or wait for a message. */
static void add_troubles(char *text, size_t size)
{
	for (int i = 0; i < watch.peers.count; i++) {
		const char *trouble = sp_cli_peer_trouble(&watch.peers.peer[i]);
		const size_t used = strlen(text);
		if (trouble)
			snprintf(text + used, size - used, "; rank %d (process %ld) %s", watch.peers.peer[i].rank,
			         (long)watch.peers.peer[i].pid, trouble);
	}
}

static void report_silence(double waited, const struct sp_waiting *w)
{
	char text[1024], what[256], troubles[512] = "";
	sp_waiting_text(w, what, sizeof what);
	add_troubles(troubles, sizeof troubles);
	snprintf(text, sizeof text, "waited %.0f seconds (backend.timeout) in %s%s; the job ends here. A rank hangs, or has "
	         "lost its connection: look at its process and machine; or raise backend.timeout, if it may take that long",
	         waited, what, troubles);
	end_job(text);
}

static void report_stop(const struct sp_waiting *w)
{
	char where[128], what[256];
	sp_where_text(where, sizeof where);
	sp_waiting_text(w, what, sizeof what);
	sp_log(SP_LOG_WARNING, "%sis asked to stop while it waits in %s", where, what);
}

/* ---- looking ---- */

static const struct sp_cli_peer *find_dead(void)
{
	for (int i = 0; i < watch.peers.count; i++)
		if (sp_cli_peer_gone(&watch.peers.peer[i]))
			return &watch.peers.peer[i];
	return NULL;
}

/* Ranks that notice the same thing at the same time speak one after the other; all but the first then have notice. */
static double turn(void)
{
	int before = 0;
	for (int i = 0; i < watch.peers.count; i++)
		before += watch.peers.peer[i].rank < watch.rank;
	return (before < 4 ? before : 4) * turns;
}

static void look_at_clock(struct look *l, uint64_t number)
{
	const double now = sp_clock(), passed = now - l->at < 1 ? now - l->at : 1;
	l->waited = number && number == l->number ? l->waited + passed : 0;
	l->dead_for = l->dead ? l->dead_for + passed : 0;
	l->noticed_for = noticed ? l->noticed_for + passed : 0;
	l->number = number;
	l->at = now;
}

static void look(struct look *l)
{
	struct sp_waiting w;
	const uint64_t number = sp_waiting_now(&w);
	look_at_clock(l, number);
	if (!l->dead)
		l->dead = find_dead();
	if (l->noticed_for > lingering)
		_exit(SP_EXIT_FAILED);
	if (noticed)
		return;
	if (l->dead && l->waited >= stuck + turn())
		report_death(l->dead, &w);
	if (l->dead && l->dead_for >= unaware + turn())
		report_death(l->dead, number ? &w : NULL);
	if (watch.timeout > 0 && l->waited >= watch.timeout + turn())
		report_silence(l->waited, &w);
	/* Here all are known to be alive, and will stop together. Elsewhere one may have died, and this is all that can be
	 * said of it. */
	if (*watch.stop == SIGTERM && l->waited >= stuck && !watch.peers.everyone && !l->told) {
		l->told = 1;
		report_stop(&w);
	}
}

static void *run(void *unused)
{
	struct look l = { .at = sp_clock() };
	struct pollfd end = { .fd = watch.pipe[0] };
	(void)unused;
	while (poll(&end, 1, (int)(1000 * tick)) == 0)
		look(&l);
	return NULL;
}

/* ---- starting and ending ---- */

/* All signals are the main thread's. */
static int start_thread(void)
{
	sigset_t all, before;
	if (pipe(watch.pipe) != 0)
		return errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	const int error = pthread_create(&watch.thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		close(watch.pipe[0]);
		close(watch.pipe[1]);
	}
	return error;
}

int sp_cli_watch_start(struct sp_comm *world, int64_t timeout, const volatile sig_atomic_t *stop)
{
	struct sigaction action = { .sa_handler = take_notice, .sa_flags = SA_RESTART };
	if (sp_comm_size(world) == 1)
		return SP_OK;
	sigemptyset(&action.sa_mask);
	sigaction(notice_signal(), &action, NULL);
	int status = sp_cli_peers_find(world, &watch.peers);
	if (status)
		return status;
	watch.rank = sp_comm_rank(world);
	watch.timeout = (double)timeout;
	watch.stop = stop;
	const int error = start_thread();
	if (error) {
		sp_cli_peers_release(&watch.peers);
		return sp_fail(SP_ERR_MEMORY, "no thread to watch the other ranks: %s", strerror(error));
	}
	watch.on = 1;
	return SP_OK;
}

static void end_thread(void)
{
	close(watch.pipe[1]);
	pthread_join(watch.thread, NULL);
	close(watch.pipe[0]);
	watch.on = 0;
}

void sp_cli_watch_stop(void)
{
	if (!watch.on)
		return;
	end_thread();
	sp_cli_peers_release(&watch.peers);
}

void sp_cli_watch_give_notice(void)
{
	if (!watch.on)
		return;
	end_thread();
	signal(notice_signal(), SIG_IGN); /* it would cut short a sleep */
	give_notice();
	sp_cli_peers_release(&watch.peers);
}
