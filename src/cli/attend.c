#include "config.h"

#include "cli/attend.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t child, stop_signal, interrupts;

static void hand_on(int number)
{
	const int before = errno;
	interrupts += number == SIGINT;
	kill((pid_t)child, number == SIGINT && interrupts > 1 ? SIGTERM : stop_signal);
	errno = before;
}

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1 };
enum { SIGNALS = sizeof signals / sizeof *signals };

/* What is ignored stays so (nohup). */
static void install(void)
{
	for (int i = 0; i < SIGNALS; i++) {
		struct sigaction action = { .sa_handler = hand_on }, before;
		sigemptyset(&action.sa_mask);
		if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
}

/* In the child. A process group of its own keeps the terminal's signals away; errno goes to the parent if exec fails. */
static void become(char **words, pid_t parent, const sigset_t *mask, int report)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent) {
		sigprocmask(SIG_SETMASK, mask, NULL);
		execvp(words[0], words);
	}
	const int why = errno;
	ssize_t ignored = write(report, &why, sizeof why);
	(void)ignored;
	_exit(127);
}

static int wait_for(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* 0 when exec has closed the pipe, else what the child has written there. */
static int failure(int pipe)
{
	int why = 0;
	ssize_t n;
	do
		n = read(pipe, &why, sizeof why);
	while (n < 0 && errno == EINTR);
	return n == sizeof why ? why : 0;
}

int sp_cli_attend(char **words, int stop, int *code)
{
	const pid_t self = getpid();
	sigset_t ours, before;
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return errno;
	sigemptyset(&ours);
	for (int i = 0; i < SIGNALS; i++)
		sigaddset(&ours, signals[i]);
	sigprocmask(SIG_BLOCK, &ours, &before); /* until it is known whom to hand them to */
	const pid_t pid = fork();
	if (pid == 0)
		become(words, self, &before, ends[1]);
	const int forked = errno;
	close(ends[1]);
	if (pid > 0) {
		child = pid;
		stop_signal = stop;
		install();
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	const int why = pid > 0 ? failure(ends[0]) : forked;
	close(ends[0]);
	if (pid > 0)
		*code = wait_for(pid);
	return why;
}
