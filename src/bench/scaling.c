/* seqpar bench scaling: the same training on one, two, ... ranks, of a fixed problem and of one that grows with them. */
#include "config.h"

#include "bench/child.h"

#include "base/log.h"
#include "train/setup.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct sp_bench_column columns[] = {
	{ "problem", "", 8, SP_BENCH_WORDS }, { "axis", "", 8, SP_BENCH_WORDS }, { "ranks", "", 5, 0 },
	{ "grid", "DxPxSxT", 8, SP_BENCH_WORDS }, { "threads", "/rank", 7, 0 }, { "S", "tokens", 7, 0 },
	{ "batch", "seq", 6, 0 },             { "median", "ms", 10, 1 },         { "spread", "%", 7, 1 },
	{ "speed", "tokens/s", 10, 1 },       { "rate", "GFLOP/s", 9, 1 },       { "speedup", "", 8, 3 },
	{ "efficiency", "%", 10, 1 },         { "of gemm", "%", 8, 1 },          { "exposed", "ms", 9, 1 },
	{ "peak max", "MiB", 9, 1 },          { NULL },
};

struct problem {
	const char *name;
	int grows;
};

struct base {
	double rate, ranks; /* of the first count */
};

/* Settings of n ranks: the axis has n, and a problem that grows has n times the tokens (sequence) or sequences. */
static void fill_words(const struct sp_bench *b, const struct problem *p, int64_t n, struct sp_bench_child *child)
{
	const int on_sequence = strcmp(b->axis, "sequence") == 0, on_data = strcmp(b->axis, "data") == 0;
	const int64_t times = p->grows ? n : 1;
	const int64_t length = b->settings->train.sequence_length * (on_sequence ? times : 1);
	const int64_t batch = b->settings->train.global_batch * (on_sequence ? 1 : times);
	const int64_t positions = b->settings->model.max_positions;
	int64_t micro = b->settings->train.micro_batch;
	/* Replicas share out the global batch; the others keep the micro-batch. */
	if (on_data && micro > batch / n)
		micro = batch / n > 0 ? batch / n : 1;
	snprintf(child->word[0], sizeof *child->word, "train.sequence_length=%lld", (long long)length);
	snprintf(child->word[1], sizeof *child->word, "model.max_positions=%lld", (long long)(length > positions ? length : positions));
	snprintf(child->word[2], sizeof *child->word, "train.global_batch=%lld", (long long)batch);
	snprintf(child->word[3], sizeof *child->word, "train.micro_batch=%lld", (long long)micro);
	if (!on_data)
		snprintf(child->word[4], sizeof *child->word, "parallel.%s=%lld", b->axis, (long long)n);
}

static void print(const struct sp_bench *b, const struct problem *p, const struct sp_bench_outcome *o,
                  const struct base *base)
{
	const double ranks = sp_bench_outcome_number(o, "ranks"), rate = sp_bench_outcome_number(o, "rate");
	const double speedup = rate / base->rate;
	const struct sp_bench_cell cells[] = {
		sp_bench_text(p->name), sp_bench_text(b->axis), sp_bench_number(ranks),
		sp_bench_text(sp_bench_outcome_text(o, "grid")), sp_bench_number(sp_bench_outcome_number(o, "threads")),
		sp_bench_number(sp_bench_outcome_number(o, "S")), sp_bench_number(sp_bench_outcome_number(o, "batch")),
		sp_bench_number(sp_bench_outcome_number(o, "median")), sp_bench_number(sp_bench_outcome_number(o, "spread")),
		sp_bench_number(sp_bench_outcome_number(o, "speed")), sp_bench_number(rate), sp_bench_number(speedup),
		sp_bench_number(100 * speedup * base->ranks / ranks), sp_bench_number(sp_bench_outcome_number(o, "of gemm")),
		sp_bench_number(sp_bench_outcome_number(o, "exposed")), sp_bench_number(sp_bench_outcome_number(o, "peak max")),
	};
	sp_bench_row(b->output, cells);
}

static int run_one(struct sp_bench *b, const struct problem *p, int64_t n, struct base *base, double *loss)
{
	struct sp_bench_child child = { .ranks = n, .warm_up = b->warm_up, .repeats = b->repeats, .check = b->check };
	struct sp_bench_outcome o;
	char what[128];
	fill_words(b, p, n, &child);
	int status = sp_bench_child_run(b, &child, &o);
	if (!status && (o.code != 0 || !o.row))
		status = sp_fail(SP_ERR_SETTING, "%lld ranks could not be measured: %s", (long long)n,
		                 o.complaint[0] ? o.complaint : "the job ended early");
	if (!status) {
		const double first = sp_bench_outcome_number(&o, "loss first");
		if (base->ranks == 0)
			*base = (struct base){ sp_bench_outcome_number(&o, "rate"), (double)n };
		print(b, p, &o, base);
		/* The same problem begins with the same loss, however it is split. */
		*loss = isnan(*loss) ? first : *loss;
		snprintf(what, sizeof what, "the first loss of %lld ranks, from that of the first count,", (long long)n);
		if (!p->grows)
			sp_bench_verdict(b->output, what, fabs(first - *loss) / *loss, 1e-5);
	}
	sp_bench_outcome_free(&o);
	return status;
}

static int run_all(struct sp_bench *b, const struct problem *p)
{
	struct base base = { 0 };
	double loss = NAN;
	int status = SP_OK;
	for (int64_t i = 0; i < b->rank_counts && !status; i++)
		status = run_one(b, p, b->ranks[i], &base, &loss);
	return status;
}

int sp_bench_scaling(struct sp_bench *b)
{
	static const struct problem problems[] = { { "strong", 0 }, { "weak", 1 } };
	static const char *const axes[] = { "sequence", "data", "tensor", "pipeline" };
	size_t i = 0;
	int status = sp_bench_child_alone("scaling");
	while (i < 4 && strcmp(axes[i], b->axis) != 0)
		i++;
	if (!status && i == 4)
		status = sp_fail(SP_ERR_SETTING, "--axis %s: expected sequence, data, tensor or pipeline", b->axis);
	if (status)
		return status;
	sp_bench_about(b->output, "gemm", "the library's plain product in %s, all ranks at once, at the model's own shapes",
	               sp_setup_precision(b->settings));
	sp_bench_table(b->output, "training on more ranks: a fixed problem (strong), one that grows with them (weak)", columns);
	for (i = 0; i < 2 && !status; i++)
		if (sp_bench_wants(b, problems[i].name))
			status = run_all(b, &problems[i]);
	return status;
}
