/* seqpar launch: ranks on this machine, through mpirun. */
#include "config.h"

#include "cli/attend.h"
#include "cli/command.h"

#include "backend/launcher.h"
#include "backend/module.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"usage: seqpar launch -n N [--] COMMAND [ARGUMENT]...\n\n"
	"Starts \"seqpar COMMAND ARGUMENT...\" as N ranks on this machine, through mpirun. Ranks may use all cores: seqpar\n"
	"shares the threads out between them (backend.threads). On several machines use mpirun or srun directly.\n"
	"A signal that ends training is handed to the ranks, which save before they end.\n\n"
	"  -n N    how many ranks\n\n"
	"for example: seqpar launch -n 4 -- train -c configs/tutorial.ini\n";

/* What mpirun is told through the environment, where other kinds of mpirun pass it over; what the user has set stays.
 * The names of Open MPI 4, and of its launcher since Open MPI 5. */
enum when { ALWAYS, AS_ROOT, CROWDED };
static const struct {
	enum when when;
	const char *name, *value;
} environment[] = {
	{ ALWAYS, "OMPI_MCA_hwloc_base_binding_policy", "none" }, /* else up to two ranks get one core each */
	{ ALWAYS, "PRTE_MCA_hwloc_default_binding_policy", "none" },
	{ AS_ROOT, "OMPI_ALLOW_RUN_AS_ROOT", "1" },
	{ AS_ROOT, "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1" },
	{ AS_ROOT, "PRTE_ALLOW_RUN_AS_ROOT", "1" },
	{ AS_ROOT, "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM", "1" },
	{ CROWDED, "OMPI_MCA_rmaps_base_oversubscribe", "1" },
	{ CROWDED, "PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe" },
};

static int usage(const char *what)
{
	sp_log(SP_LOG_ERROR, "launch: %s (seqpar launch --help)", what);
	return SP_EXIT_USAGE;
}

/* mpirun counts cores, not hardware threads, as places; more ranks than half the processors may already be a crowd. */
static void prepare(long ranks)
{
	cpu_set_t set;
	long processors = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
	const int holds[] = { [ALWAYS] = 1, [AS_ROOT] = geteuid() == 0, [CROWDED] = 2 * ranks > processors };
	for (size_t i = 0; i < sizeof environment / sizeof *environment; i++)
		if (holds[environment[i].when])
			setenv(environment[i].name, environment[i].value, 0);
}

/* The mpirun of the MPI that seqpar was built with, if it is still there. */
static const char *mpirun(void)
{
#ifdef SP_MPIRUN
	if (access(SP_MPIRUN, X_OK) == 0)
		return SP_MPIRUN;
#endif
	return "mpirun";
}

/* Commands whose rank 0 takes text from standard input. */
static int reads_input(const char *command)
{
	return strcmp(command, "fill-mask") == 0 || strcmp(command, "embed") == 0;
}

/* mpirun would read what is meant for somebody else, such as the rest of a script. */
static int close_input(void)
{
	int nothing = open("/dev/null", O_RDONLY);
	if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0)
		return -1;
	if (nothing != STDIN_FILENO)
		close(nothing);
	return 0;
}

/* Ranks that cannot talk would each say so. */
static int can_talk(void)
{
	const struct sp_module *mpi;
	char why[512];
	if (sp_module_probe("mpi", &mpi, why, sizeof why) == SP_OK)
		return 1;
	sp_log(SP_LOG_ERROR, "launch: several ranks need the mpi module, which cannot be used: %s; build seqpar with MPI", why);
	return 0;
}

/* mpirun hands SIGUSR1 to the ranks; after a SIGTERM it gives them a second, which may be too short to save. */
static int stop_signal(const char *command)
{
	return strcmp(command, "train") == 0 ? SIGUSR1 : SIGTERM;
}

static int start(long ranks, int argc, char **argv)
{
	char self[PATH_MAX], number[32];
	ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
	char **words = calloc((size_t)argc + 5, sizeof *words);
	if (length < 0 || !words || (!reads_input(argv[0]) && close_input())) {
		free(words);
		sp_log(SP_LOG_ERROR, "launch: cannot prepare mpirun: %s", strerror(errno));
		return SP_EXIT_FAILED;
	}
	self[length] = '\0';
	snprintf(number, sizeof number, "%ld", ranks);
	const char *const first[] = { mpirun(), "-n", number, self };
	int skip = ranks > 1 ? 0 : 3; /* one rank needs no mpirun */
	memcpy(words, first + skip, (size_t)(4 - skip) * sizeof *words);
	memcpy(words + 4 - skip, argv, (size_t)argc * sizeof *words);
	prepare(ranks);
	fflush(stdout);
	int code = 0, why = errno = 0;
	if (ranks > 1)
		why = sp_cli_attend(words, stop_signal(argv[0]), &code);
	else if (execvp(words[0], words))
		why = errno;
	if (!why) {
		free(words);
		return code;
	}
	sp_log(SP_LOG_ERROR, "launch: %s cannot be started: %s%s", words[0], strerror(why), why != ENOENT ? "" :
	       "; install Open MPI (on Debian and Ubuntu: apt-get install openmpi-bin) or put its mpirun on PATH");
	free(words);
	return SP_EXIT_FAILED;
}

static long read_ranks(const char *text)
{
	char *end;
	errno = 0;
	long n = strtol(text, &end, 10);
	return errno || end == text || *end || n < 1 || n > 1000000 ? -1 : n;
}

int sp_cli_launch(int argc, char **argv)
{
	long ranks = 0;
	int c;
	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		fputs(help, stdout);
		return SP_EXIT_DONE;
	}
	opterr = 0;
	while ((c = getopt(argc, argv, "+n:")) != -1) {
		if (c != 'n')
			return usage("unknown option; expected -n N -- COMMAND");
		ranks = read_ranks(optarg);
		if (ranks < 0)
			return usage("-n wants the number of ranks, 1 or more");
	}
	if (ranks == 0)
		return usage("-n N is missing: how many ranks");
	if (optind >= argc)
		return usage("no command to start; for example: seqpar launch -n 2 -- train -c FILE");
	if (sp_launcher_find().ranks > 1)
		return usage("this is already one of several ranks; start the command itself");
	if (ranks > 1 && !can_talk())
		return SP_EXIT_FAILED;
	return start(ranks, argc - optind, argv + optind);
}
