/* seqpar plan: what a configuration needs of each rank, without starting any. */
#include "config.h"

#include "cli/command.h"
#include "cli/options.h"

#include "base/log.h"
#include "cli/amount.h"
#include "cli/plan_paper.h"
#include "cli/plan_table.h"
#include "parallel/grid.h"
#include "plan/classes.h"
#include "plan/fit.h"
#include "train/planned.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"usage: seqpar plan -n RANKS [--memory AMOUNT] [--bytes] [--paper] [-c FILE]... [section.key=value]...\n\n"
	"Prints the memory that each rank would need to train the configuration on RANKS ranks, and what it would send in\n"
	"a step. Nothing is allocated and no rank is started; seqpar train takes the same figures. The settings are those\n"
	"of seqpar train.\n\n"
	"  -n RANKS           how many ranks\n"
	"  --memory AMOUNT    of each rank, such as 16GiB: also the longest sequence and the largest batch that fit\n"
	"  --bytes            bytes instead of MiB\n"
	"  --paper            instead: memory of a layer shared by RANKS tensor or sequence ranks, by the tables of Li et\n"
	"                     al. 2021 and as laid out here\n"
	"  --help             this text\n";

struct request {
	const char *ranks_text, *memory_text; /* NULL: not given */
	int ranks;
	size_t memory; /* 0: not asked for */
	int exact, paper;
};

/* ---- words ---- */

/* Takes `name` out of argv, with its value ("--memory 16GiB", "--memory=16GiB") if it `has` one. Of several the last
 * counts. NULL if it is missing; "" if its value is. */
static const char *take(int *argc, char **argv, const char *name, int has)
{
	const size_t length = strlen(name);
	const char *value = NULL;
	int kept = 1;
	for (int i = 1; i < *argc; i++) {
		const int joined = has && name[1] == '-' && strncmp(argv[i], name, length) == 0 && argv[i][length] == '=';
		if (joined)
			value = argv[i] + length + 1;
		else if (strcmp(argv[i], name) != 0)
			argv[kept++] = argv[i];
		else
			value = has && i + 1 < *argc ? argv[++i] : "";
	}
	*argc = kept;
	return value;
}

/* Takes what is not settings out of argv; `check` says whether it makes sense. */
static void read_request(int *argc, char **argv, struct request *r)
{
	*r = (struct request){ .ranks_text = take(argc, argv, "-n", 1), .memory_text = take(argc, argv, "--memory", 1) };
	r->exact = take(argc, argv, "--bytes", 0) != NULL;
	r->paper = take(argc, argv, "--paper", 0) != NULL;
}

static int check(struct request *r)
{
	char *end = NULL;
	const long ranks = r->ranks_text ? strtol(r->ranks_text, &end, 10) : 0;
	if (!r->ranks_text || end == r->ranks_text || *end || ranks < 1 || ranks > INT_MAX)
		return sp_fail(SP_ERR_SETTING, "seqpar plan wants -n RANKS, a positive number");
	r->ranks = (int)ranks;
	return r->memory_text ? sp_cli_amount("--memory", r->memory_text, &r->memory) : SP_OK;
}

/* ---- what fits ---- */

/* As many as the table of settings takes. */
enum { MOST_LENGTH = 1 << 30, MOST_BATCH = 1 << 20 };

static void print_longest(const struct sp_plan_input *in, int64_t length)
{
	const struct sp_plan_input longest = sp_plan_with_length(in, length);
	if (length > 0)
		printf("longest sequence   train.sequence_length=%lld model.max_positions=%lld\n", (long long)length,
		       (long long)longest.model.config.max_positions);
	else
		printf("longest sequence   none: train.micro_batch=%lld is too large\n", (long long)in->model.batch);
}

static void print_batch(const struct sp_plan_input *in, int64_t batch)
{
	const struct sp_plan_input largest = sp_plan_with_batch(in, batch);
	if (batch > 0)
		printf("largest batch      train.micro_batch=%lld train.global_batch=%lld\n", (long long)batch,
		       (long long)largest.global_batch);
	else
		printf("largest batch      none: train.sequence_length=%lld is too long\n", (long long)in->length);
}

/* Not even one sequence of one token. */
static int nothing_fits(const struct sp_plan_input *in, const char *memory, size_t base)
{
	struct sp_plan_input least = sp_plan_with_length(in, 1);
	struct sp_plan_classes classes;
	char need[16];
	least = sp_plan_with_batch(&least, 1);
	int status = sp_plan_classes_make(&least, &classes);
	if (status)
		return status;
	sp_cli_amount_print(sp_plan_classes_largest(&classes)->total + base, need);
	sp_plan_classes_free(&classes);
	return sp_fail(SP_ERR_MEMORY, "--memory: %s a rank is too little: libraries, parameters, gradients and moments take %s; "
	               "start more ranks, raise parallel.tensor, or choose a smaller model", memory, need);
}

static int print_fitting(const struct sp_plan_input *in, const struct request *r, size_t total)
{
	const size_t base = sp_plan_base(r->ranks), left = r->memory > base ? r->memory - base : 0;
	const int64_t most_batch = MOST_BATCH / (sp_plan_micro_batches(in) * in->data_ranks);
	char memory[16], rest[16], need[16];
	int64_t length, batch;
	int status = sp_plan_longest(in, left, MOST_LENGTH, &length);
	if (!status)
		status = sp_plan_largest_batch(in, left, most_batch, &batch);
	if (status)
		return status;
	sp_cli_amount_print(r->memory, memory);
	if (length == 0 && batch == 0)
		return nothing_fits(in, memory, base);
	printf("\nOf %s per rank, %s are for libraries and program. The configuration takes %s with them and %s. The most\n"
	       "that fits, one thing changed at a time:\n", memory, sp_cli_amount_print(base, rest),
	       sp_cli_amount_print(total + base, need), total <= left ? "fits" : "does not fit");
	print_longest(in, length);
	print_batch(in, batch);
	return SP_OK;
}

/* ---- the command ---- */

static int print_plan(const struct sp_settings *s, const struct sp_plan_input *in, const struct request *r)
{
	struct sp_grid_point shape;
	struct sp_plan_classes classes;
	char base[16];
	int status = sp_grid_shape(r->ranks, s->parallel.pipeline, s->parallel.sequence, s->parallel.tensor, &shape);
	if (!status)
		status = sp_plan_classes_make(in, &classes);
	if (status)
		return status;
	sp_cli_plan_table(in, &classes, &shape, r->exact);
	printf("libraries and program need about %s more on each\n", sp_cli_amount_print(sp_plan_base(r->ranks), base));
	if (r->memory)
		status = print_fitting(in, r, sp_plan_classes_largest(&classes)->total);
	sp_plan_classes_free(&classes);
	return status;
}

int sp_cli_plan(int argc, char **argv)
{
	struct sp_settings settings;
	struct sp_plan_input input;
	struct request request;
	int wants_help;
	read_request(&argc, argv, &request);
	int status = sp_cli_settings(argc, argv, &settings, &wants_help);
	if (wants_help) {
		fputs(help, stdout);
		return SP_EXIT_DONE;
	}
	if (!status)
		status = check(&request);
	if (!status)
		status = sp_planned_input(&settings, request.ranks, 1, &input);
	if (!status)
		status = request.paper ? sp_cli_plan_paper(&input, request.ranks) : print_plan(&settings, &input, &request);
	return sp_cli_exit(status);
}
