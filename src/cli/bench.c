/* seqpar bench: measures parts of the program, with the results checked. */
#include "config.h"

#include "cli/command.h"

#include "base/log.h"
#include "bench/bench.h"
#include "cli/amount.h"
#include "cli/flags.h"
#include "cli/options.h"
#include "train/setup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Who takes an option. */
enum { GEMM = 1, ATTENTION = 2, COMM = 4, TRAIN = 8, SCALING = 16, MEMORY = 32, ALL = 63 };

static const struct part {
	const char *name, *title;
	int bit;
	int (*run)(struct sp_bench *bench);
	int ranks, compute; /* works on the ranks of this job; with a device opened here */
	int64_t warm_up, repeats;
	const char *batch; /* sequences of a step, if no file of settings says otherwise */
	const char *help;
} parts[] = {
	{ "gemm", "bench gemm", GEMM, sp_bench_gemm, 1, 1, 2, 9, "4",
	  "matrix products of the model at its own shapes, with each epilogue, beside the library's rate in that precision" },
	{ "attention", "bench attention", ATTENTION, sp_bench_attention, 1, 1, 1, 5, "1",
	  "each kind of attention over all ranks: time, waiting, bytes, memory, difference from one rank" },
	{ "comm", "bench comm", COMM, sp_bench_comm, 1, 0, 3, 15, "4",
	  "messages between ranks: collectives and neighbours, over sizes" },
	{ "train", "bench train", TRAIN, sp_bench_train, 1, 0, 1, 5, "4",
	  "steps of training: tokens/s, share of the GEMM rate in their precision, waiting, memory against plan" },
	{ "scaling", "bench scaling", SCALING, sp_bench_scaling, 0, 0, 1, 3, "4",
	  "training on more and more ranks, which it starts itself: strong and weak" },
	{ "memory", "bench memory", MEMORY, sp_bench_memory, 0, 0, 0, 1, "1",
	  "planned against resident memory over lengths, and the longest sequence inside a cap" },
};

enum { PARTS = sizeof parts / sizeof *parts, MOST_FLAGS = 24 };

/* What the options are read into. */
struct request {
	int json, csv, no_check, both, cold, shares;
	const char *file, *only, *ranks, *lengths, *axis, *memory, *least, *most;
	int64_t warm_up, repeats, rows, multiple;
};

static int usage(void)
{
	printf("usage: seqpar bench PART [OPTION]... [section.key=value]...\n"
	       "       mpirun -n RANKS seqpar bench gemm|attention|comm|train [OPTION]... [section.key=value]...\n\n"
	       "Measures a part of the program with warm-up, repeats and medians, and checks its results; exit status 1 if one is\n"
	       "wrong. The settings are those of seqpar train.\n\n");
	for (int i = 0; i < PARTS; i++)
		printf("  %-10s %s\n", parts[i].name, parts[i].help);
	printf("\nseqpar bench PART --help lists the options of a part.\n");
	return SP_EXIT_DONE;
}

/* ---- options ---- */

static int fill_flags(const struct part *part, struct request *r, struct sp_cli_flag flags[MOST_FLAGS])
{
	const struct {
		int parts;
		struct sp_cli_flag flag;
	} all[] = {
		{ ALL, { "warm-up", 0, SP_CLI_COUNT, &r->warm_up, "N", "runs that are not counted", 0, 1000000 } },
		{ ALL, { "repeats", 0, SP_CLI_COUNT, &r->repeats, "N", "runs that are; medians over them", 1, 1000000 } },
		{ ALL, { "json", 0, SP_CLI_FLAG, &r->json, NULL, "one JSON object in place of tables", 0, 0 } },
		{ ALL, { "csv", 0, SP_CLI_FLAG, &r->csv, NULL, "tables as comma-separated values", 0, 0 } },
		{ ALL, { "config", 'c', SP_CLI_TEXT, &r->file, "FILE", "settings", 0, 0 } },
		{ GEMM | ATTENTION | COMM | SCALING,
		  { "only", 0, SP_CLI_TEXT, &r->only, "WORD", "rows whose name holds this word", 0, 0 } },
		{ GEMM, { "rows", 0, SP_CLI_COUNT, &r->rows, "N", "rows of x; 0: tokens of a rank's micro-batch", 0, 1 << 24 } },
		{ GEMM, { "cold", 0, SP_CLI_FLAG, &r->cold, NULL, "from memory instead of caches, as in training", 0, 0 } },
		{ GEMM, { "both", 0, SP_CLI_FLAG, &r->both, NULL, "by the BLAS and by oneDNN, a row each, where that can be chosen", 0, 0 } },
		{ COMM, { "least", 0, SP_CLI_TEXT, &r->least, "AMOUNT", "smallest message", 0, 0 } },
		{ COMM, { "most", 0, SP_CLI_TEXT, &r->most, "AMOUNT", "largest message; sizes go up by 4", 0, 0 } },
		{ SCALING | MEMORY, { "ranks", 'n', SP_CLI_TEXT, &r->ranks, "LIST", "how many ranks to start: 1,2,4", 0, 0 } },
		{ SCALING, { "axis", 0, SP_CLI_TEXT, &r->axis, "AXIS", "what they share: sequence, data, tensor, pipeline", 0, 0 } },
		{ MEMORY, { "lengths", 0, SP_CLI_TEXT, &r->lengths, "LIST", "tokens of a sequence, held against the plan", 0, 0 } },
		{ MEMORY, { "memory", 0, SP_CLI_TEXT, &r->memory, "AMOUNT", "of each rank, such as 4GiB: the longest sequence inside", 0, 0 } },
		{ MEMORY, { "multiple", 0, SP_CLI_COUNT, &r->multiple, "N", "lengths tried for that are multiples of N", 1, 1 << 20 } },
		{ TRAIN, { "shares", 0, SP_CLI_FLAG, &r->shares, NULL, "the steps again with operations timed: what they take of one", 0, 0 } },
		{ TRAIN | SCALING, { "no-check", 0, SP_CLI_FLAG, &r->no_check, NULL, "without the small step of seqpar check", 0, 0 } },
	};
	int n = 0;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (all[i].parts & part->bit)
			flags[n++] = all[i].flag;
	flags[n] = (struct sp_cli_flag){ 0 };
	return n;
}

/* "1,2,4" */
static int read_list(const char *what, const char *text, int64_t list[16], int64_t *count)
{
	*count = 0;
	while (text) {
		char *end;
		errno = 0;
		const long long value = strtoll(text, &end, 10);
		if (errno || end == text || (*end && *end != ',') || value < 1 || value > 1 << 30 || *count == 16)
			return sp_fail(SP_ERR_SETTING, "%s wants up to 16 numbers with commas between them, such as 1,2,4", what);
		list[(*count)++] = value;
		text = *end ? end + 1 : NULL;
	}
	return SP_OK;
}

static int read_request(const struct request *r, struct sp_bench *b)
{
	b->warm_up = r->warm_up;
	b->repeats = r->repeats;
	b->only = r->only;
	b->rows = r->rows;
	b->both = r->both;
	b->cold = r->cold;
	b->shares = r->shares;
	b->axis = r->axis;
	b->multiple = r->multiple;
	b->check = !r->no_check;
	b->file = r->file;
	int status = read_list("--ranks", r->ranks, b->ranks, &b->rank_counts);
	if (!status)
		status = read_list("--lengths", r->lengths, b->lengths, &b->length_counts);
	if (!status)
		status = sp_cli_amount("--least", r->least, &b->least_bytes);
	if (!status)
		status = sp_cli_amount("--most", r->most, &b->most_bytes);
	if (!status && r->memory)
		status = sp_cli_amount("--memory", r->memory, &b->memory);
	if (!status && b->least_bytes > b->most_bytes)
		status = sp_fail(SP_ERR_SETTING, "--least is more than --most");
	if (!status && r->json && r->csv)
		status = sp_fail(SP_ERR_SETTING, "--json or --csv, not both");
	return status;
}

/* ---- settings ---- */

/* The last value that the words give a setting; NULL: none. */
static const char *value_of(int n, char **words, const char *name)
{
	const size_t length = strlen(name);
	const char *value = NULL;
	for (int i = 0; i < n; i++)
		if (strncmp(words[i], name, length) == 0 && words[i][length] == '=')
			value = words[i] + length + 1;
	return value;
}

/* What is measured where neither file nor words say otherwise. */
struct defaults {
	char text[4][64];
	int count;
};

static void fill_defaults(const struct part *part, const struct request *r, int n, char **words, struct defaults *d)
{
	const char *length = value_of(n, words, "train.sequence_length");
	d->count = 0;
	if (!r->file) {
		snprintf(d->text[d->count++], sizeof *d->text, "train.sequence_length=512");
		snprintf(d->text[d->count++], sizeof *d->text, "train.micro_batch=%s", part->batch);
		snprintf(d->text[d->count++], sizeof *d->text, "train.global_batch=%s", part->batch);
	}
	/* A longer sequence needs a longer table of positions. */
	if (length && !value_of(n, words, "model.max_positions") && strtoll(length, NULL, 10) > 512)
		snprintf(d->text[d->count++], sizeof *d->text, "model.max_positions=%s", length);
}

/* Words for sp_cli_settings: a name, -c FILE, defaults, what was given. words[3 ..] are those that are settings. */
static int read_settings(const struct part *part, const struct request *r, int n, char **given, struct defaults *d,
                         char **words, struct sp_settings *settings)
{
	int count = 0, help;
	words[count++] = (char *)part->title;
	if (r->file) {
		words[count++] = (char *)"-c";
		words[count++] = (char *)r->file;
	}
	for (int i = 0; i < d->count; i++)
		words[count++] = d->text[i];
	for (int i = 0; i < n; i++)
		words[count++] = given[i];
	words[count] = NULL;
	return sp_cli_settings(count, words, settings, &help);
}

/* ---- running ---- */

static int open_job(const struct part *part, struct sp_bench *b, struct sp_comm **world)
{
	const struct sp_settings *s = b->settings;
	int status = part->ranks ? sp_cli_open_world(s, part->bit == TRAIN ? sp_settings_model_ranks(s) : 1, world) : SP_OK;
	b->world = *world;
	if (status || !part->compute)
		return status;
	return sp_setup_open_device(s, *world, &b->compute);
}

static int run(const struct part *part, struct sp_bench *b, const struct request *r, int argc, char **argv,
               struct sp_comm **world)
{
	const enum sp_bench_format format = r->json ? SP_BENCH_JSON : r->csv ? SP_BENCH_CSV : SP_BENCH_TEXT;
	int status = open_job(part, b, world);
	if (!status)
		status = sp_bench_output_open(!*world || sp_comm_rank(*world) == 0 ? stdout : NULL, format, part->title, &b->output);
	if (!status) {
		sp_bench_about_run(b, argc, argv);
		status = part->run(b);
	}
	if (status)
		sp_bench_output_drop(b->output);
	else
		status = sp_bench_output_close(b->output);
	sp_setup_close_device(b->compute, *world, status);
	return status;
}

static const struct part *find(const char *name)
{
	for (int i = 0; i < PARTS; i++)
		if (strcmp(parts[i].name, name) == 0)
			return &parts[i];
	sp_log(SP_LOG_ERROR, "bench has no part \"%s\"; it has gemm, attention, comm, train, scaling and memory", name);
	return NULL;
}

/* argv[0] is the part; `all` and `count` the whole command line. */
static int measure(const struct part *part, int argc, char **argv, int count, char **all)
{
	struct request r = { .warm_up = part->warm_up, .repeats = part->repeats, .multiple = 64, .axis = "sequence",
		                 .ranks = part->bit & (SCALING | MEMORY) ? "1,2" : NULL, .least = "8", .most = "16MiB" };
	struct sp_cli_flag flags[MOST_FLAGS];
	struct sp_bench bench = { 0 };
	struct sp_settings settings;
	struct sp_comm *world = NULL;
	struct defaults defaults;
	char about[512], **words = calloc((size_t)argc + 16, sizeof *words);
	int n, status;
	argv[0] = (char *)part->title;
	fill_flags(part, &r, flags);
	snprintf(about, sizeof about, "usage: seqpar %s [OPTION]... [section.key=value]...\n\nMeasures %s.\n\n", part->title,
	         part->help);
	const enum sp_cli_verdict verdict = sp_cli_flags(argc, argv, about, flags, &n);
	if (verdict != SP_CLI_GO_ON || !words) {
		free(words);
		return verdict == SP_CLI_HELPED ? SP_EXIT_DONE : SP_EXIT_USAGE;
	}
	status = read_request(&r, &bench);
	fill_defaults(part, &r, n, argv + 1, &defaults);
	if (!status)
		status = read_settings(part, &r, n, argv + 1, &defaults, words, &settings);
	bench.settings = &settings;
	bench.words = words + (r.file ? 3 : 1);
	if (!status)
		status = run(part, &bench, &r, count, all, &world);
	free(words);
	return sp_cli_end(world, status);
}

int sp_cli_bench(int argc, char **argv)
{
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return usage();
	if (argc < 2) {
		sp_log(SP_LOG_ERROR, "bench: which part? seqpar bench --help lists them");
		return SP_EXIT_USAGE;
	}
	const struct part *part = find(argv[1]);
	char **all = calloc((size_t)argc + 1, sizeof *all); /* reading options moves the words of argv */
	if (!part || !all) {
		free(all);
		return part ? SP_EXIT_FAILED : SP_EXIT_USAGE;
	}
	memcpy(all, argv, (size_t)argc * sizeof *all);
	const int code = measure(part, argc - 1, argv + 1, argc, all);
	free(all);
	return code;
}
