/* seqpar plan: what a configuration needs of each rank, without starting any. */
#include "config.h"

#include "cli/command.h"
#include "cli/options.h"

#include "base/log.h"
#include "cli/amount.h"
#include "cli/plan_json.h"
#include "cli/plan_paper.h"
#include "cli/plan_table.h"
#include "cli/plan_time.h"
#include "parallel/grid.h"
#include "plan/classes.h"
#include "plan/fit.h"
#include "train/planned.h"
#include "train/setup.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"usage: seqpar plan -n RANKS [--memory AMOUNT] [--time RATES] [--bytes|--json] [-c FILE]... [section.key=value]...\n"
	"       seqpar plan -n RANKS --paper [--memory AMOUNT] [-c FILE]... [section.key=value]...\n\n"
	"Prints the memory that each rank would need to train the configuration on RANKS ranks, and what it would send in\n"
	"a step. Nothing is allocated and no rank is started; seqpar train takes the same figures. The settings are those\n"
	"of seqpar train.\n\n"
	"  -n RANKS           how many ranks\n"
	"  --memory AMOUNT    of each rank, such as 16GiB: also the longest sequence and the largest batch that fit\n"
	"  --time RATES       also how long a step takes where a rank has these rates: gemm= and attention= (or forward= and\n"
	"                     backward=) in GFLOP/s, memory=, bandwidth= and gradients= in GB/s, latency= in us, copied= from 0\n"
	"                     to 1, with commas between them; those in GFLOP/s as measured in the settings' train.precision\n"
	"  --bytes            bytes instead of MiB\n"
	"  --json             one JSON object instead, in bytes and seconds\n"
	"  --paper            instead: memory of a layer shared by RANKS tensor or sequence ranks, by the tables of Li et\n"
	"                     al. 2021 and as laid out here; with --memory the largest batch and the longest sequence by\n"
	"                     these tables, of a stage's layers (parallel.pipeline)\n"
	"  --help             this text\n";

struct request {
	const char *ranks_text, *memory_text, *time_text; /* NULL: not given */
	int ranks;
	size_t memory; /* 0: not asked for */
	struct sp_plan_rates rates;
	int exact, paper, json;
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
	*r = (struct request){ .ranks_text = take(argc, argv, "-n", 1), .memory_text = take(argc, argv, "--memory", 1),
		                   .time_text = take(argc, argv, "--time", 1) };
	r->exact = take(argc, argv, "--bytes", 0) != NULL;
	r->paper = take(argc, argv, "--paper", 0) != NULL;
	r->json = take(argc, argv, "--json", 0) != NULL;
}

static int check(struct request *r)
{
	char *end = NULL;
	const long ranks = r->ranks_text ? strtol(r->ranks_text, &end, 10) : 0;
	if (!r->ranks_text || end == r->ranks_text || *end || ranks < 1 || ranks > INT_MAX)
		return sp_fail(SP_ERR_SETTING, "seqpar plan wants -n RANKS, a positive number");
	r->ranks = (int)ranks;
	if (r->paper && (r->json || r->time_text || r->exact))
		return sp_fail(SP_ERR_SETTING, "--paper counts elements: it goes with --memory, not with --time, --json or --bytes");
	int status = r->memory_text ? sp_cli_amount("--memory", r->memory_text, &r->memory) : SP_OK;
	return status || !r->time_text ? status : sp_cli_plan_rates(r->time_text, &r->rates);
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

static int find_fitting(const struct sp_plan_input *in, struct sp_cli_planned *p)
{
	const size_t left = p->memory > p->base ? p->memory - p->base : 0;
	const int64_t most_batch = MOST_BATCH / (sp_plan_micro_batches(in) * in->data_ranks);
	int status = sp_plan_longest(in, left, MOST_LENGTH, &p->longest);
	return status ? status : sp_plan_largest_batch(in, left, most_batch, &p->batch);
}

static int print_fitting(const struct sp_plan_input *in, const struct sp_cli_planned *p)
{
	const size_t need = sp_plan_classes_largest(&p->classes)->total + p->base;
	char memory[16], rest[16], taken[16];
	sp_cli_amount_print(p->memory, memory);
	if (p->longest == 0 && p->batch == 0)
		return nothing_fits(in, memory, p->base);
	printf("\nOf %s per rank, %s are for libraries and program. The configuration takes %s with them and %s. The most\n"
	       "that fits, one thing changed at a time:\n", memory, sp_cli_amount_print(p->base, rest),
	       sp_cli_amount_print(need, taken), need <= p->memory ? "fits" : "does not fit");
	print_longest(in, p->longest);
	print_batch(in, p->batch);
	return SP_OK;
}

/* ---- the command ---- */

static int print_text(const struct sp_settings *s, const struct sp_plan_input *in, const struct sp_cli_planned *p, int exact)
{
	char base[16];
	sp_cli_plan_table(in, &p->classes, &p->shape, exact);
	if (p->timed)
		sp_cli_plan_time(&p->time, sp_setup_precision(s), (double)(in->global_batch * in->length));
	printf("libraries and program need about %s more on each\n", sp_cli_amount_print(p->base, base));
	return p->memory ? print_fitting(in, p) : SP_OK;
}

static int print_plan(const struct sp_settings *s, const struct sp_plan_input *in, const struct request *r)
{
	const struct sp_plan_work work = { s->data.mask_prob, s->train.last_layer == SP_LAST_LAYER_ALL };
	struct sp_cli_planned planned = { .input = in, .base = sp_plan_base(r->ranks), .memory = r->memory,
		                              .timed = r->time_text != NULL };
	int status = sp_grid_shape(r->ranks, s->parallel.pipeline, s->parallel.sequence, s->parallel.tensor, &planned.shape);
	if (!status)
		status = sp_plan_classes_make(in, &planned.classes);
	if (!status && planned.timed)
		status = sp_plan_time_make(in, &r->rates, &work, &planned.time);
	if (!status && planned.memory)
		status = find_fitting(in, &planned);
	if (!status)
		status = r->json ? sp_cli_plan_json(&planned) : print_text(s, in, &planned, r->exact);
	sp_plan_classes_free(&planned.classes);
	return status;
}

/* Layers are shared by all the ranks, whatever the settings say of a grid. */
static int print_paper(const struct sp_settings *settings, const struct request *r)
{
	struct sp_settings s = *settings;
	struct sp_plan_input input;
	s.parallel.pipeline = s.parallel.sequence = s.parallel.tensor = s.parallel.virtual_stages = 1;
	s.train.global_batch = s.train.micro_batch;
	int status = sp_planned_input(&s, 1, 1, &input);
	if (!status && r->memory)
		return sp_cli_plan_paper_fitting(&input, r->ranks, settings->parallel.pipeline, r->memory);
	return status ? status : sp_cli_plan_paper(&input, r->ranks);
}

static int plan(const struct sp_settings *settings, const struct request *r)
{
	struct sp_plan_input input;
	int status = sp_planned_input(settings, r->ranks, 1, &input);
	return status ? status : print_plan(settings, &input, r);
}

int sp_cli_plan(int argc, char **argv)
{
	struct sp_settings settings;
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
		status = request.paper ? print_paper(&settings, &request) : plan(&settings, &request);
	return sp_cli_exit(status);
}
