/* seqpar bench memory: what training takes against its plan, over sequence lengths; and the longest sequence that trains
 * inside a cap, found by halving with real steps in processes of their own, so that one that fails does no harm. */
#include "config.h"

#include "bench/child.h"

#include "backend/module.h"
#include "base/log.h"
#include "base/size.h"
#include "plan/classes.h"
#include "plan/fit.h"
#include "train/planned.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double mib = 1048576;

enum { MOST_LENGTH = 1 << 24 };

static const struct sp_bench_column columns[] = {
	{ "table", "", 8, SP_BENCH_WORDS }, { "ranks", "", 5, 0 },              { "S", "tokens", 9, 0 },
	{ "arena", "MiB", 10, 1 },          { "planned", "MiB", 10, 1 },        { "peak min", "MiB", 10, 1 },
	{ "peak max", "MiB", 10, 1 },       { "beyond", "MiB", 8, 1 },          { "cap", "MiB", 8, 1 },
	{ "step", "ms", 10, 1 },            { "verdict", "", 10, SP_BENCH_WORDS }, { NULL },
};

struct search {
	struct sp_bench *bench;
	struct sp_settings settings; /* with all ranks that tensor and pipeline leave sharing each sequence */
	int64_t ranks;
	size_t cap; /* 0: none */
	struct sp_plan_input input;
};

static int planned_bytes(const struct search *s, int64_t length, double *bytes)
{
	const struct sp_plan_input longer = sp_plan_with_length(&s->input, length);
	struct sp_plan_classes classes;
	int status = sp_plan_classes_make(&longer, &classes);
	if (status)
		return status;
	*bytes = (double)sp_plan_classes_largest(&classes)->total;
	sp_plan_classes_free(&classes);
	return SP_OK;
}

/* A limit on data keeps an attempt that goes wrong from taking the machine's memory. What is judged is the peak, which the
 * limit is far above: libraries of matrix products may wait for ever for memory that they are refused. Those of GPUs reserve
 * more than any such limit allows. */
static size_t limit(const struct search *s)
{
	const struct sp_module *cuda;
	char why[256];
	const char *device = s->settings.backend.device;
	const int gpu = strcmp(device, "cpu") != 0 && sp_module_probe("cuda", &cuda, why, sizeof why) == SP_OK;
	return s->cap && !gpu ? 2 * s->cap + ((size_t)1 << 30) : 0;
}

static void print(const struct search *s, const char *table, int64_t length, double planned,
                  const struct sp_bench_outcome *o, const char *verdict)
{
	const double peak = sp_bench_outcome_number(o, "peak max");
	const struct sp_bench_cell cells[] = {
		sp_bench_text(table), sp_bench_number((double)s->ranks), sp_bench_number((double)length),
		sp_bench_number(sp_bench_outcome_number(o, "arena")), sp_bench_number(planned / mib),
		sp_bench_number(sp_bench_outcome_number(o, "peak min")), sp_bench_number(peak),
		sp_bench_number(peak - planned / mib), sp_bench_number(s->cap ? (double)s->cap / mib : NAN),
		sp_bench_number(sp_bench_outcome_number(o, "median")), sp_bench_text(verdict),
	};
	sp_bench_row(s->bench->output, cells);
}

static void fill_words(const struct search *s, int64_t length, struct sp_bench_child *child)
{
	const int64_t positions = sp_max(length, s->settings.model.max_positions);
	snprintf(child->word[0], sizeof *child->word, "train.sequence_length=%lld", (long long)length);
	snprintf(child->word[1], sizeof *child->word, "model.max_positions=%lld", (long long)positions);
	snprintf(child->word[2], sizeof *child->word, "parallel.sequence=%lld", (long long)s->settings.parallel.sequence);
	/* Attempts are of full length. */
	snprintf(child->word[3], sizeof *child->word, "data.short_seq_prob=0");
}

/* How an attempt ended. */
struct attempt {
	int fits;     /* well, and inside the cap on every rank */
	double spare; /* bytes left below the cap; NAN if it did not run to its end */
};

/* One step of one length. */
static int attempt(const struct search *s, const char *table, int64_t length, struct attempt *a)
{
	struct sp_bench_child child = { .ranks = s->ranks, .warm_up = 0, .repeats = 1, .memory = limit(s) };
	struct sp_bench_outcome o;
	double planned = NAN;
	*a = (struct attempt){ 0, NAN };
	fill_words(s, length, &child);
	int status = planned_bytes(s, length, &planned);
	if (status)
		return status;
	if (s->cap && planned > 1.5 * (double)s->cap) {
		print(s, table, length, planned, &(struct sp_bench_outcome){ 0 }, "by plan");
		a->spare = (double)s->cap - planned;
		return SP_OK;
	}
	status = sp_bench_child_run(s->bench, &child, &o);
	if (!status && o.code == 2)
		status = sp_fail(SP_ERR_SETTING, "%lld ranks: %s", (long long)s->ranks, o.complaint);
	if (!status) {
		const double peak = sp_bench_outcome_number(&o, "peak max");
		const int ran = o.code == 0 && o.row != NULL, inside = ran && (!s->cap || peak * mib <= (double)s->cap);
		print(s, table, length, planned, &o, inside ? "fits" : ran ? "above cap" : "failed");
		if (!ran && o.complaint[0])
			sp_bench_about(s->bench->output, "it failed", "%s", o.complaint);
		if (!s->cap)
			sp_bench_verdict(s->bench->output, "a step that should have ended well", !ran, 0);
		a->fits = inside;
		a->spare = ran ? (double)s->cap - peak * mib : NAN;
	}
	sp_bench_outcome_free(&o);
	return status;
}

/* Bytes that a token of the sequence adds, by plan. */
static int slope(const struct search *s, int64_t length, double *bytes)
{
	double here, there = NAN;
	const int64_t more = 64 * s->ranks;
	int status = planned_bytes(s, length, &here);
	if (!status)
		status = planned_bytes(s, length + more, &there);
	*bytes = (there - here) / (double)more;
	return status;
}

/* The next length to try, between `low`, which fits (0: none yet does), and `high`, which does not (0: likewise): where the plan
 * expects the end from what the last one left, or half way. */
static int64_t next(const struct search *s, int64_t low, int64_t high, int64_t last, double expected, int tries)
{
	const int64_t step = s->bench->multiple;
	int64_t length = isfinite(expected) && tries < 6 ? (int64_t)fmin(expected, MOST_LENGTH) :
	                 high                            ? low + (high - low) / 2 :
	                                                   2 * last;
	length = length / step * step;
	if (high)
		length = sp_min(length, high - step);
	return sp_max(length, low + step);
}

/* Begins where the plan says that the end is, and ends with two neighbouring multiples of which one fits and one does not. */
static int find(const struct search *s, int64_t *longest)
{
	const int64_t step = s->bench->multiple;
	const size_t base = sp_plan_base((int)s->ranks);
	int64_t guess = 0, low = 0, high = 0;
	int status = sp_plan_longest(&s->input, s->cap > base ? s->cap - base : 0, MOST_LENGTH, &guess);
	guess = sp_max(step, guess / step * step);
	for (int tries = 1; !status && (high == 0 || high - low > step); tries++) {
		struct attempt a = { 0, NAN };
		double bytes = NAN;
		status = attempt(s, "search", guess, &a);
		if (!status)
			status = slope(s, guess, &bytes);
		*(a.fits ? &low : &high) = guess;
		guess = next(s, low, high, guess, (double)guess + a.spare / bytes, tries);
	}
	*longest = low;
	return status;
}

static int make_search(struct sp_bench *b, int64_t ranks, struct search *s)
{
	*s = (struct search){ .bench = b, .settings = *b->settings, .ranks = ranks };
	s->settings.parallel.sequence = sp_max(1, ranks / (s->settings.parallel.tensor * s->settings.parallel.pipeline));
	return sp_planned_input(&s->settings, (int)ranks, 1, &s->input);
}

static int compare_lengths(struct sp_bench *b)
{
	int status = SP_OK;
	for (int64_t r = 0; r < b->rank_counts; r++) {
		struct search s;
		if (!status)
			status = make_search(b, b->ranks[r], &s);
		for (int64_t i = 0; i < b->length_counts && !status; i++) {
			struct attempt a;
			status = attempt(&s, "length", b->lengths[i], &a);
		}
	}
	return status;
}

static int search_cap(struct sp_bench *b)
{
	int status = SP_OK;
	for (int64_t r = 0; r < b->rank_counts && !status; r++) {
		struct search s;
		int64_t longest = 0;
		status = make_search(b, b->ranks[r], &s);
		s.cap = b->memory;
		if (!status)
			status = find(&s, &longest);
		if (!status) {
			char name[64];
			snprintf(name, sizeof name, "longest sequence with %lld ranks", (long long)s.ranks);
			sp_bench_about(b->output, name, "%lld tokens inside %.0f MiB a rank (in steps of %lld)", (long long)longest,
			               (double)s.cap / mib, (long long)b->multiple);
			sp_bench_verdict(b->output, "a cap in which not even the shortest sequence trains", longest == 0, 0);
		}
	}
	return status;
}

int sp_bench_memory(struct sp_bench *b)
{
	int status = sp_bench_child_alone("memory");
	if (!status)
		sp_bench_table(b->output, "one step of training: resident memory against the plan", columns);
	if (!status)
		status = compare_lengths(b);
	return !status && b->memory ? search_cap(b) : status;
}
