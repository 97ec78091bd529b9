#include "config.h"

#include "bench/child.h"

#include "backend/launcher.h"
#include "base/log.h"
#include "bench/events.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIXED = 24 }; /* more than the words before the settings */

struct command {
	char program[PATH_MAX], ranks[32], warm_up[32], repeats[32];
	char **words;
};

static void add(struct command *c, int *n, const char *word)
{
	c->words[(*n)++] = (char *)word; /* execv() takes them so, and changes nothing */
}

static int make_command(const struct sp_bench *bench, const struct sp_bench_child *child, struct command *c)
{
	const ssize_t length = readlink("/proc/self/exe", c->program, sizeof c->program - 1);
	int given = 0, n = 0;
	while (bench->words && bench->words[given])
		given++;
	c->words = calloc((size_t)given + FIXED + SP_BENCH_WORDS_MOST, sizeof *c->words);
	if (length < 0 || !c->words)
		return sp_fail(SP_ERR_MEMORY, "cannot prepare a process: %s", strerror(errno));
	c->program[length] = '\0';
	snprintf(c->ranks, sizeof c->ranks, "%lld", (long long)child->ranks);
	snprintf(c->warm_up, sizeof c->warm_up, "%lld", (long long)child->warm_up);
	snprintf(c->repeats, sizeof c->repeats, "%lld", (long long)child->repeats);
	const char *const first[] = { c->program, "launch", "-n", c->ranks, "--", "bench", "train", "--json", "--warm-up",
		                          c->warm_up, "--repeats", c->repeats };
	for (size_t i = 0; i < sizeof first / sizeof *first; i++)
		add(c, &n, first[i]);
	if (!child->check)
		add(c, &n, "--no-check");
	if (bench->file) {
		add(c, &n, "-c");
		add(c, &n, bench->file);
	}
	for (int i = 0; i < given; i++)
		add(c, &n, bench->words[i]);
	for (int i = 0; i < SP_BENCH_WORDS_MOST && child->word[i][0]; i++)
		add(c, &n, child->word[i]);
	return SP_OK;
}

/* In the child: does not return. */
static void become(const struct command *c, size_t memory, int out, int err)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (memory) {
		const struct rlimit limit = { memory, memory };
		if (setrlimit(RLIMIT_DATA, &limit) != 0)
			_exit(127);
	}
	if (dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0)
		execv(c->program, c->words);
	_exit(127);
}

static int start(const struct command *c, size_t memory, FILE *out, FILE *err, int *code)
{
	int how = 0;
	fflush(NULL);
	const pid_t pid = fork();
	if (pid < 0)
		return sp_fail(SP_ERR_IO, "cannot start a process: %s", strerror(errno));
	if (pid == 0)
		become(c, memory, fileno(out), fileno(err));
	while (waitpid(pid, &how, 0) < 0)
		if (errno != EINTR)
			return sp_fail(SP_ERR_IO, "cannot wait for a process: %s", strerror(errno));
	*code = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
	return SP_OK;
}

/* The last line that seqpar itself has logged as an error. */
static void find_complaint(FILE *err, struct sp_bench_outcome *o)
{
	char line[2048];
	rewind(err);
	while (fgets(line, sizeof line, err)) {
		const char *words = strstr(line, "error: ");
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "seqpar: ", 8) == 0 && words)
			snprintf(o->complaint, sizeof o->complaint, "%.500s", words + 7);
	}
}

static void find_result(FILE *out, struct sp_bench_outcome *o)
{
	json_error_t error;
	rewind(out);
	o->all = json_loadf(out, 0, &error);
	o->about = json_object_get(o->all, "about");
	o->row = json_array_get(json_object_get(json_array_get(json_object_get(o->all, "tables"), 0), "rows"), 0);
}

int sp_bench_child_run(const struct sp_bench *bench, const struct sp_bench_child *child, struct sp_bench_outcome *o)
{
	struct command command = { .words = NULL };
	FILE *out = tmpfile(), *err = tmpfile();
	*o = (struct sp_bench_outcome){ 0 };
	int status = out && err ? make_command(bench, child, &command) :
	                          sp_fail(SP_ERR_IO, "no temporary file: %s", strerror(errno));
	if (!status)
		status = start(&command, child->memory, out, err, &o->code);
	if (!status) {
		find_result(out, o);
		find_complaint(err, o);
	}
	free(command.words);
	if (out)
		fclose(out);
	if (err)
		fclose(err);
	return status;
}

void sp_bench_outcome_free(struct sp_bench_outcome *o)
{
	json_decref(o->all);
	*o = (struct sp_bench_outcome){ 0 };
}

double sp_bench_outcome_number(const struct sp_bench_outcome *o, const char *name)
{
	return sp_bench_events_number(o->row, name);
}

const char *sp_bench_outcome_text(const struct sp_bench_outcome *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o->row, name));
	return text ? text : "";
}

int sp_bench_child_alone(const char *command)
{
	if (sp_launcher_find().ranks > 1)
		return sp_fail(SP_ERR_SETTING, "bench %s starts ranks itself; start it as one process", command);
	return SP_OK;
}
