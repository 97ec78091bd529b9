/* seqpar bench train: some steps of the trainer itself, read from its metrics. */
#include "config.h"

#include "bench/bench.h"

#include "base/log.h"
#include "bench/events.h"
#include "plan/classes.h"
#include "train/planned.h"
#include "train/selfcheck.h"
#include "train/setup.h"
#include "train/spent.h"
#include "train/trainer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct sp_bench_column columns[] = {
	{ "attention", "", 10, SP_BENCH_WORDS }, { "precision", "", 9, SP_BENCH_WORDS }, { "ranks", "", 5, 0 },
	{ "grid", "DxPxSxT", 8, SP_BENCH_WORDS }, { "threads", "/rank", 7, 0 }, { "S", "tokens", 7, 0 },
	{ "batch", "seq", 5, 0 },                { "min", "ms", 9, 1 },         { "median", "ms", 9, 1 },
	{ "max", "ms", 9, 1 },                   { "spread", "%", 6, 1 },       { "speed", "tokens/s", 9, 1 },
	{ "rate", "GFLOP/s", 8, 1 },             { "gemm", "GFLOP/s", 8, 1 },   { "of gemm", "%", 8, 1 },
	{ "exposed", "ms", 8, 1 },               { "of step", "%", 8, 1 },      { "sent", "MiB", 8, 1 },
	{ "arena", "MiB", 8, 1 },                { "planned", "MiB", 8, 1 },    { "peak min", "MiB", 8, 1 },
	{ "peak avg", "MiB", 8, 1 },             { "peak max", "MiB", 8, 1 },   { "loss first", "", 10, 4 },
	{ "loss last", "", 9, 4 },               { NULL },
};

/* The run's metrics, in a file that nobody else has. */
static int make_file(char name[SP_TEXT])
{
	const char *directory = getenv("TMPDIR");
	snprintf(name, SP_TEXT, "%s/seqpar-bench-XXXXXX", directory && *directory ? directory : "/tmp");
	const int file = mkstemp(name);
	if (file < 0)
		return sp_fail(SP_ERR_IO, "%s: %s", name, strerror(errno));
	close(file);
	return SP_OK;
}

/* Metrics are written by the first rank only. */
static int train(struct sp_bench *bench, struct sp_settings *s)
{
	s->train.iters = bench->warm_up + bench->repeats;
	s->train.eval_interval = 0;
	s->log.interval = s->train.iters;
	s->log.trace[0] = s->checkpoint.dir[0] = s->log.metrics[0] = 0;
	s->checkpoint.interval = 0;
	int status = sp_comm_rank(bench->world) == 0 ? make_file(s->log.metrics) : SP_OK;
	return status ? status : sp_train(s, bench->world, NULL, NULL);
}

/* ---- right? ---- */

static double not_finite(const struct sp_bench_events *e)
{
	double bad = 0;
	for (size_t i = 0; i < json_array_size(e->steps); i++)
		bad += !isfinite(sp_bench_events_number(json_array_get(e->steps, i), "loss"));
	return bad;
}

/* Arena bytes of the first rank beyond what is planned for it. */
static int off_plan(struct sp_bench *bench, const struct sp_settings *s, const struct sp_bench_events *e, double *off)
{
	struct sp_plan_input input;
	struct sp_plan_classes classes;
	/* The plan rounds a rank's tokens up as the device did. */
	const int64_t chunk = (int64_t)sp_bench_events_number(e->config, "chunk");
	int status = sp_planned_input(s, sp_comm_size(bench->world), 1, &input);
	if (status)
		return status;
	input.model.chunk = chunk;
	status = sp_plan_classes_make(&input, &classes);
	if (status)
		return status;
	const struct sp_plan *first = &classes.plan[sp_plan_class_of(&classes, 0, 0)];
	*off = fabs(sp_bench_events_number(e->config, "arena_bytes") - (double)first->model.arena);
	sp_plan_classes_free(&classes);
	return SP_OK;
}

static int judge(struct sp_bench *bench, const struct sp_settings *s, const struct sp_bench_events *e)
{
	double off = NAN;
	int status = off_plan(bench, s, e, &off);
	if (status)
		return status;
	sp_bench_verdict(bench->output, "the number of losses that are not finite", not_finite(e), 0);
	sp_bench_verdict(bench->output, "the arena, in bytes from its plan,", off, 0);
	return SP_OK;
}

/* The small copy of this configuration, split against unsplit. */
static int check_small(struct sp_bench *bench)
{
	FILE *nowhere = fopen("/dev/null", "w");
	if (!nowhere)
		return sp_fail(SP_ERR_IO, "/dev/null: %s", strerror(errno));
	int status = sp_selfcheck(bench->settings, bench->world, nowhere);
	fclose(nowhere);
	if (status && status != SP_ERR_NUMERIC)
		return status;
	sp_bench_verdict(bench->output, "a small split step against an unsplit one (seqpar check)", status != SP_OK, 0);
	return SP_OK;
}

/* ---- the row ---- */

struct peaks {
	double least, mean, most; /* MiB, over ranks */
};

static int find_peaks(struct sp_bench *bench, struct peaks *p)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return sp_bench_over_ranks(bench->world, (double)usage.ru_maxrss / 1024, &p->least, &p->mean, &p->most);
}

static double extreme(const struct sp_bench_events *e, const char *name, int64_t first, int largest)
{
	double best = NAN;
	for (size_t i = (size_t)first; i < json_array_size(e->steps); i++) {
		const double x = sp_bench_events_number(json_array_get(e->steps, i), name);
		best = largest ? fmax(best, x) : fmin(best, x);
	}
	return best;
}

static void print(struct sp_bench *bench, const struct sp_bench_events *e, const struct peaks *p)
{
	const struct sp_settings *s = bench->settings;
	const int64_t first = bench->warm_up, last = (int64_t)json_array_size(e->steps) - 1;
	const double mib = 1048576, step = sp_bench_events_median(e, "step_ms", first, NULL);
	const double exposed = sp_bench_events_median(e, "comm_exposed_ms", first, NULL);
	char grid[64];
	double spread = NAN;
	sp_bench_events_median(e, "step_ms", first, &spread);
	snprintf(grid, sizeof grid, "%.0fx%.0fx%.0fx%.0f", sp_bench_events_number(e->config, "data_ranks"),
	         sp_bench_events_number(e->config, "pipeline_ranks"), sp_bench_events_number(e->config, "sequence_ranks"),
	         sp_bench_events_number(e->config, "tensor_ranks"));
	const struct sp_bench_cell cells[] = {
		sp_bench_text(s->parallel.attention), sp_bench_text(sp_setup_precision(s)),
		sp_bench_number(sp_bench_events_number(e->config, "ranks")), sp_bench_text(grid),
		sp_bench_number(sp_bench_events_number(e->config, "threads")), sp_bench_number((double)s->train.sequence_length),
		sp_bench_number((double)s->train.global_batch), sp_bench_number(extreme(e, "step_ms", first, 0)),
		sp_bench_number(step), sp_bench_number(extreme(e, "step_ms", first, 1)), sp_bench_number(100 * spread),
		sp_bench_number(sp_bench_events_median(e, "tokens_per_s", first, NULL)),
		sp_bench_number(1e-9 * sp_bench_events_median(e, "flops_per_s", first, NULL)),
		sp_bench_number(1e-9 * sp_bench_events_number(e->config, "gemm_flops_per_s")),
		sp_bench_number(100 * sp_bench_events_median(e, "gemm_fraction", first, NULL)), sp_bench_number(exposed),
		sp_bench_number(100 * exposed / step),
		sp_bench_number(sp_bench_events_median(e, "comm_bytes", first, NULL) / mib),
		sp_bench_number(sp_bench_events_number(e->config, "arena_bytes") / mib),
		sp_bench_number(sp_bench_events_number(e->config, "planned_bytes") / mib), sp_bench_number(p->least),
		sp_bench_number(p->mean), sp_bench_number(p->most),
		sp_bench_number(sp_bench_events_number(json_array_get(e->steps, 0), "loss")),
		sp_bench_number(sp_bench_events_number(json_array_get(e->steps, (size_t)last), "loss")),
	};
	sp_bench_row(bench->output, cells);
}

static int read_back(struct sp_bench *bench, const struct sp_settings *s, const struct peaks *p)
{
	struct sp_bench_events events = { 0 };
	if (sp_comm_rank(bench->world) != 0)
		return SP_OK;
	int status = sp_bench_events_read(s->log.metrics, &events);
	if (!status) {
		sp_bench_about(bench->output, "device", "%s", json_string_value(json_object_get(events.config, "device_text")));
		sp_bench_about(bench->output, "gemm", "the library's plain product in %s, all ranks at once, at the model's own shapes",
		               json_string_value(json_object_get(events.config, "gemm_precision")));
		sp_bench_table(bench->output, "steps of training", columns);
		print(bench, &events, p);
		status = judge(bench, s, &events);
	}
	sp_bench_events_free(&events);
	return status;
}

/* ---- what a step's time goes into ---- */

static const struct sp_bench_column share_columns[] = {
	{ "class", "", 10, SP_BENCH_WORDS }, { "time", "ms", 9, 2 }, { "of step", "%", 8, 1 }, { NULL },
};

static void print_share(struct sp_bench *bench, const char *name, double ms, double step)
{
	const struct sp_bench_cell cells[] = { sp_bench_text(name), sp_bench_number(ms), sp_bench_number(100 * ms / step) };
	sp_bench_row(bench->output, cells);
}

/* The step from `first` on that is in the middle by what it took: its times add up, medians of each would not. */
static const json_t *middle_step(const struct sp_bench_events *e, int64_t first)
{
	const json_t *middle = NULL;
	const double median = sp_bench_events_median(e, "step_ms", first, NULL);
	double off = INFINITY;
	for (size_t i = (size_t)first; i < json_array_size(e->steps); i++) {
		const json_t *step = json_array_get(e->steps, i);
		const double far = fabs(sp_bench_events_number(step, "step_ms") - median);
		middle = far < off ? step : middle;
		off = fmin(off, far);
	}
	return middle;
}

/* A device does one operation after the other: together they cannot take longer than the step. */
static void print_shares(struct sp_bench *bench, const struct sp_bench_events *e)
{
	const json_t *middle = middle_step(e, bench->warm_up);
	const double step = sp_bench_events_number(middle, "step_ms");
	double operations = 0;
	sp_bench_table(bench->output, "shares of a step", share_columns);
	for (int i = 0; i < SP_SPENT; i++) {
		char name[32];
		snprintf(name, sizeof name, "time_%s_ms", sp_spent_name(i));
		const double ms = sp_bench_events_number(middle, name);
		print_share(bench, sp_spent_name(i), ms, step);
		operations += i < SP_CLASSES ? ms : 0;
	}
	print_share(bench, "step", step, step);
	sp_bench_verdict(bench->output, "what operations took beyond their step, as a part of it,", fmax(0, operations / step - 1), 0.001);
}

static int read_shares(struct sp_bench *bench, const struct sp_settings *s)
{
	struct sp_bench_events events = { 0 };
	if (sp_comm_rank(bench->world) != 0)
		return SP_OK;
	const int status = sp_bench_events_read(s->log.metrics, &events);
	if (!status)
		print_shares(bench, &events);
	sp_bench_events_free(&events);
	return status;
}

/* ---- running ---- */

static int run_plain(struct sp_bench *bench, struct sp_settings *s)
{
	struct peaks peaks;
	int status = train(bench, s);
	if (!status)
		status = find_peaks(bench, &peaks);
	return status ? status : read_back(bench, s, &peaks);
}

static int run_timed(struct sp_bench *bench, struct sp_settings *s)
{
	s->log.shares = 1;
	const int status = train(bench, s);
	return status ? status : read_shares(bench, s);
}

/* With settings of its own, whose metrics are removed. */
static int run(struct sp_bench *bench, int (*steps)(struct sp_bench *bench, struct sp_settings *s))
{
	struct sp_settings *s = malloc(sizeof *s);
	if (!s)
		return sp_fail(SP_ERR_MEMORY, "out of memory for settings");
	*s = *bench->settings;
	s->log.metrics[0] = 0;
	s->log.shares = 0;
	const int status = steps(bench, s);
	if (s->log.metrics[0])
		unlink(s->log.metrics);
	free(s);
	return status;
}

int sp_bench_train(struct sp_bench *bench)
{
	int status = run(bench, run_plain);
	if (!status && bench->shares)
		status = run(bench, run_timed);
	return !status && bench->check ? check_small(bench) : status;
}
