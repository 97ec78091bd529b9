#include "config.h"

#include "train/trainer.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/trace.h"
#include "base/where.h"
#include "train/evaluate.h"
#include "train/exposed.h"
#include "train/flops.h"
#include "train/metrics.h"
#include "train/optimizer.h"
#include "train/planned.h"
#include "train/rate.h"
#include "train/report.h"
#include "train/resume.h"
#include "train/save.h"
#include "train/schedule.h"
#include "train/setup.h"
#include "train/spent.h"
#include "train/store.h"
#include "train/trace_file.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>

struct trainer {
	const struct sp_settings *settings;
	struct sp_comm *world;
	struct sp_compute *compute;
	struct sp_setup setup;
	struct sp_optimizer *optimizer;
	struct sp_schedule schedule;
	struct sp_metrics metrics;
	struct sp_report report;
	double gemm_rate; /* of all ranks together */
	struct sp_plan plan;
	struct sp_store store;
	struct sp_resume resume;
	struct sp_settings setup_settings; /* as given; without checkpoint.init where a checkpoint comes in its place */
	struct sp_save *save; /* NULL: nothing is saved */
	int64_t saved;        /* the step that was saved last; -1: none */
	int64_t done;         /* steps, also those before this run */
	/* for the summary: of this run alone */
	double first_loss, last_loss, seconds, tokens, places, flops, idle, imbalance;
	double exposed, kind[SP_EXPOSED_KINDS]; /* sums over steps of struct cost's */
	struct sp_spent spent; /* with log.shares: sums over steps */
	double eval_loss;
	int evaluated;
	struct sp_optimizer_progress progress; /* after the last step */
	int64_t skipped;                       /* steps of this run whose gradients were not finite */
};

/* What a step cost, over all ranks. */
struct cost {
	double bytes;   /* sent by all ranks */
	double exposed; /* seconds the host waited for transfers, on the rank that waited longest */
	double kind[SP_EXPOSED_KINDS]; /* of them, each on the rank that waited longest for its kind */
	double reducing; /* seconds in which sums of gradients were under way, where that was longest */
	double peak;    /* MiB, on the rank that needs most */
	int stop;       /* some rank was asked to stop */
	int saving;     /* some rank is still writing its part of a checkpoint */
	struct sp_spent spent; /* with log.shares */
};

static int is_first(const struct trainer *t)
{
	return sp_comm_rank(t->world) == 0;
}

/* ---- counting ---- */

static double peak_mib(void)
{
	struct rusage usage;
	return getrusage(RUSAGE_SELF, &usage) == 0 ? (double)usage.ru_maxrss / 1024 : 0;
}

static int agree_on_cost(struct trainer *t, const struct sp_exposed *before, const volatile sig_atomic_t *stop,
                         struct cost *cost)
{
	enum { FIXED = 5, COUNT = FIXED + SP_EXPOSED_KINDS };
	const struct sp_exposed now = sp_exposed_read(&t->setup.grid, t->setup.reduce), step = sp_exposed_since(before, &now);
	double bytes = (double)step.bytes, most[COUNT] = {
		sp_exposed_sum(&step), peak_mib(), stop && *stop, t->save && sp_save_busy(t->save), step.reducing,
	};
	memcpy(most + FIXED, step.seconds, sizeof step.seconds);
	int status = sp_comm_all_reduce(t->world, &bytes, 1, SP_F64, SP_SUM);
	if (!status)
		status = sp_comm_all_reduce(t->world, most, COUNT, SP_F64, SP_MAX);
	if (status)
		return status;
	*cost = (struct cost){ bytes, most[0], { 0 }, most[4], most[1], most[2] != 0, most[3] != 0, { { 0 } } };
	memcpy(cost->kind, most + FIXED, sizeof cost->kind);
	return t->settings->log.shares ? sp_spent_read(t->compute, t->world, sp_exposed_sum(&step), &cost->spent) : SP_OK;
}

/* ---- set-up ---- */

static int open_files(struct trainer *t, FILE *out)
{
	const struct sp_settings *s = t->settings;
	sp_report_open(&t->report, is_first(t) ? out : NULL, s->train.iters, s->log.interval);
	if (s->log.trace[0])
		sp_trace_start();
	if (!is_first(t))
		return SP_OK;
	int status = s->log.trace[0] ? sp_trace_file_check(s->log.trace) : SP_OK;
	return status ? status : sp_metrics_open(s->log.metrics, &t->metrics);
}

/* What there is of checkpoints, before anything is overwritten. */
static int open_checkpoints(struct trainer *t)
{
	int status = sp_store_open(t->world, t->settings->checkpoint.dir, &t->store);
	if (!status)
		status = sp_resume_choose(t->settings, t->world, &t->report, &t->resume);
	t->done = t->report.first = t->resume.step;
	t->saved = t->resume.path[0] ? t->resume.step : -1;
	if (!status && t->resume.path[0])
		sp_metrics_go_on(&t->metrics);
	return status;
}

static int open_optimizer(struct trainer *t)
{
	const struct sp_settings *s = t->settings;
	struct sp_optimizer_options options = {
		s->optimizer.beta1, s->optimizer.beta2, s->optimizer.eps, s->optimizer.weight_decay, s->optimizer.clip_norm,
		sp_setup_scale(s), s->train.precision == SP_TRAIN_FP16 ? (int32_t)s->train.loss_scale_window : 0, sp_setup_summed,
		&t->setup,
	};
	t->schedule = sp_schedule_make(s->optimizer.lr, s->optimizer.min_lr, s->optimizer.warmup_fraction,
	                               s->optimizer.decay_iters, (enum sp_schedule_style)s->optimizer.decay_style);
	t->progress = (struct sp_optimizer_progress){ .scale = options.scale };
	if (t->resume.path[0])
		t->progress = t->resume.progress;
	return sp_optimizer_create(t->compute, t->world, t->setup.reduce, sp_model_parameters(t->setup.model), &options,
	                           &t->optimizer);
}

static int open_save(struct trainer *t)
{
	const struct sp_save_options options = {
		.compute = t->compute,
		.world = t->world,
		.reduce = t->setup.reduce,
		.table = sp_model_parameters(t->setup.model),
		.config = &t->setup.config,
		.settings = t->settings,
		.newest = t->resume.newest,
	};
	return t->settings->checkpoint.dir[0] ? sp_save_create(&options, &t->save) : SP_OK;
}

/* What was chosen and why, once, for person and file. */
static int announce(struct trainer *t)
{
	const struct sp_setup *u = &t->setup;
	char device[256], warning[512], messages[768];
	sp_compute_describe(t->compute, device, sizeof device, warning, sizeof warning);
	int status = sp_comm_describe(u->grid.group[SP_GROUP_SEQUENCE], messages, sizeof messages);
	if (status || !is_first(t))
		return status;
	if (warning[0])
		sp_log(SP_LOG_WARNING, "%s", warning);
	if (t->settings->data.packing && u->config.globals == 1)
		sp_log(SP_LOG_WARNING, "model.globals = 1: of the samples in a sequence only the first has a global token; set it to as many "
		       "as a sequence may hold");
	status = u->note.text[0] ? sp_report_line(&t->report, "%s", u->note.text) : SP_OK;
	if (status)
		return status;
	status = sp_report_line(
		&t->report,
		"%d ranks (%s) = %d data x %d pipeline x %d sequence x %d tensor; per rank %lld of %lld tokens, %s\n"
		"%lld parameters; %.0f MiB planned per rank, %.0f of them activations; GEMM rate %.1f GFLOP/s in %s",
		sp_comm_size(t->world), sp_comm_name(t->world), u->grid.shape.at[SP_AXIS_DATA],
		u->grid.shape.at[SP_AXIS_PIPELINE], u->grid.shape.at[SP_AXIS_SEQUENCE],
		u->grid.shape.at[SP_AXIS_TENSOR], (long long)u->shard.chunk, (long long)u->shard.length, device,
		(long long)sp_parameters_values(&u->config),
		(double)t->plan.total / 1048576.0, (double)t->plan.model.arena / 1048576.0, t->gemm_rate / 1e9,
		sp_setup_precision(t->settings));
	if (!status && messages[0])
		status = sp_report_line(&t->report, "%s", messages);
	if (!status && t->setup.options.graphs && !t->settings->log.shares)
		status = sp_report_line(&t->report, "layers are queued as graphs once they recur");
	if (status)
		return status;
	return sp_metrics_write(&t->metrics, "config",
	                        json_pack("{s:s, s:o, s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:f, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:i, s:s, s:s, s:f, s:s}",
	                                  "version", PACKAGE_VERSION, "settings", sp_metrics_settings(t->settings),
	                                  "resumed_from", t->resume.path, "first_step", (json_int_t)t->done,
	                                  "ranks", sp_comm_size(t->world), "data_ranks", u->grid.shape.at[SP_AXIS_DATA],
	                                  "sequence_ranks", u->grid.shape.at[SP_AXIS_SEQUENCE], "tensor_ranks",
	                                  u->grid.shape.at[SP_AXIS_TENSOR], "pipeline_ranks", u->pipeline.stages,
	                                  "bubble_least", sp_pipeline_bubble(&u->pipeline), "chunk", (json_int_t)u->shard.chunk,
	                                  "vocab_size", (json_int_t)u->config.vocab_size,
	                                  "parameters", (json_int_t)sp_parameters_values(&u->config),
	                                  "arena_bytes", (json_int_t)sp_model_arena(u->model)->high,
	                                  "planned_bytes", (json_int_t)t->plan.total,
	                                  "device", sp_compute_name(t->compute), "device_text", device,
	                                  "threads", sp_compute_threads(t->compute), "comm", sp_comm_name(t->world),
	                                  "messages", messages, "gemm_flops_per_s", t->gemm_rate, "gemm_precision",
	                                  sp_setup_precision(t->settings)));
}

/* A run that is resumed may have nothing left to do. */
static int is_complete(const struct trainer *t)
{
	return t->resume.path[0] && t->done >= t->settings->train.iters;
}

/* Who asked for memory said how much was there; this is what the whole run wants, which may only now be known to be too much. */
static int explain(const struct trainer *t, int status)
{
	struct sp_plan plan;
	if (status != SP_ERR_MEMORY || !t->compute)
		return status;
	if (sp_planned(t->settings, sp_comm_size(t->world), sp_compute_chunk_multiple(t->compute), &plan) == SP_OK)
		sp_log(SP_LOG_WARNING, "this run is planned to take %.0f MiB of each rank, %.0f of them for activations (seqpar plan): a smaller "
		       "train.micro_batch or train.sequence_length, train.recompute, train.precision = bf16, and more ranks with parallel.sequence "
		       "reduce it", (double)plan.total / 1048576.0, (double)plan.model.arena / 1048576.0);
	return status;
}

static int open_all(struct trainer *t)
{
	int status = sp_setup_open_device(t->settings, t->world, &t->compute);
	t->setup_settings = *t->settings;
	if (t->resume.path[0])
		t->setup_settings.checkpoint.init[0] = 0;
	if (!status)
		status = sp_setup_open(&t->setup_settings, t->compute, t->world, &t->setup);
	if (!status)
		status = sp_planned(t->settings, sp_comm_size(t->world), sp_compute_chunk_multiple(t->compute), &t->plan);
	if (!status)
		status = open_optimizer(t);
	if (!status)
		status = open_save(t);
	if (!status && t->resume.path[0])
		status = sp_resume_load(&t->resume, &t->setup, t->optimizer);
	if (!status)
		status = sp_rate_measure(t->compute, t->world, &t->setup.config, sp_planned_element(t->settings),
		                         t->setup.options.batch * t->setup.shard.chunk, &t->gemm_rate);
	return status ? explain(t, status) : announce(t);
}

static int close_all(struct trainer *t)
{
	sp_save_destroy(t->save);
	sp_optimizer_destroy(t->optimizer);
	sp_setup_close(&t->setup);
	sp_compute_close(t->compute);
	sp_store_close(&t->store);
	sp_trace_stop();
	return sp_metrics_close(&t->metrics);
}

/* ---- steps ---- */

/* Gradients of a scaled loss may be beyond fp16: such a step is left out, and the next is scaled by less. */
static int check_step(const struct trainer *t, const struct sp_outcome *outcome, const struct sp_optimizer_result *r, double lr)
{
	if (!isfinite(outcome->loss))
		return sp_fail(SP_ERR_NUMERIC,
		               "step %lld: the loss is not finite; lower optimizer.lr (now %g) or raise optimizer.warmup_fraction",
		               (long long)t->done, lr);
	if (r->taken || r->progress.scale < r->scale)
		return SP_OK;
	return sp_fail(SP_ERR_NUMERIC,
	               "step %lld: a gradient is not finite%s; lower optimizer.lr (now %g), raise optimizer.warmup_fraction or set "
	               "optimizer.clip_norm",
	               (long long)t->done, t->settings->train.precision != SP_TRAIN_FP16 ? "" :
	               t->settings->train.loss_scale_window ? " with the least loss scale" : " and train.loss_scale_window = 0",
	               lr);
}

/* Takes `fields` over, which may be NULL. */
static json_t *with_kinds(json_t *fields, const struct cost *cost)
{
	char name[48];
	for (int k = 0; fields && k < SP_EXPOSED_KINDS; k++) {
		snprintf(name, sizeof name, "comm_exposed_%s_ms", sp_exposed_name((enum sp_exposed_kind)k));
		if (json_object_set_new(fields, name, json_real(1e3 * cost->kind[k])) != 0) {
			json_decref(fields);
			fields = NULL;
		}
	}
	return fields;
}

static int record_step(struct trainer *t, const struct sp_outcome *o, const struct cost *cost, double lr,
                       const struct sp_optimizer_result *r, double seconds)
{
	const int64_t places = o->work.sequences * t->setup.shard.length;
	double rate = sp_flops_step(&t->setup.config, &o->work) / seconds;
	/* other kinds do not share out attention as they share out tokens */
	const double imbalance = t->setup.options.attention->share ? sp_work_imbalance(&o->work) : 0;
	const int scales = t->settings->train.precision == SP_TRAIN_FP16;
	struct sp_report_step line = { t->done, o->loss, lr, r->norm, seconds, rate / t->gemm_rate, o->work.tokens, places,
		                           scales ? r->scale : 0, !r->taken };
	t->first_loss = t->done == t->report.first + 1 ? o->loss : t->first_loss;
	t->last_loss = o->loss;
	t->seconds += seconds;
	t->tokens += (double)o->work.tokens;
	t->places += (double)places;
	t->flops += rate * seconds;
	t->idle += o->bubble * seconds;
	t->imbalance += imbalance * seconds;
	t->exposed += cost->exposed;
	for (int k = 0; k < SP_EXPOSED_KINDS; k++)
		t->kind[k] += cost->kind[k];
	for (int i = 0; i < SP_SPENT; i++)
		t->spent.seconds[i] += cost->spent.seconds[i];
	if (!is_first(t))
		return SP_OK;
	int status = sp_report_step(&t->report, &line);
	if (status)
		return status;
	json_t *fields =
		json_pack("{s:I, s:f, s:f, s:o, s:f, s:b, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:f, s:f, s:f, s:f}", "step", (json_int_t)t->done, "loss",
	              o->loss, "lr", lr, "grad_norm", r->taken ? json_real(r->norm) : json_null(), "loss_scale", r->scale, "skipped",
	              !r->taken, "tokens_per_s", (double)o->work.tokens / seconds,
	              "fill", (double)o->work.tokens / (double)places, "step_ms", 1e3 * seconds, "flops_per_s", rate, "gemm_fraction", rate / t->gemm_rate, "peak_mib",
	              cost->peak, "comm_bytes", (json_int_t)cost->bytes, "comm_exposed_ms", 1e3 * cost->exposed,
	              "gradient_reduction_ms", 1e3 * cost->reducing, "bubble", o->bubble, "imbalance", imbalance);
	fields = with_kinds(fields, cost);
	return sp_metrics_write(&t->metrics, "step", t->settings->log.shares ? sp_spent_fields(fields, &cost->spent) : fields);
}

/* The device, if it is one that queues, is at work on the step meanwhile. */
static void draw_next(struct trainer *t)
{
	if (t->done < t->settings->train.iters)
		sp_batches_draw_ahead(t->setup.batches, SP_TRAIN, (uint64_t)t->done);
}

static int do_step(struct trainer *t, const volatile sig_atomic_t *stop, struct cost *cost)
{
	const double begin = sp_clock(), lr = sp_schedule_rate(&t->schedule, t->done);
	const struct sp_exposed before = sp_exposed_read(&t->setup.grid, t->setup.reduce);
	struct sp_outcome outcome;
	struct sp_optimizer_result result;
	struct sp_work work;
	sp_where_step(t->done + 1);
	int status = t->settings->log.shares ? sp_compute_shares_start(t->compute) : SP_OK;
	if (!status)
		status = sp_setup_run(&t->setup, SP_TRAIN, (uint64_t)t->done, 1, sp_optimizer_scale(t->optimizer), &work);
	t->done++;
	if (!status)
		status = sp_optimizer_step(t->optimizer, sp_model_values(t->setup.model), sp_model_gradients(t->setup.model), lr);
	if (!status)
		draw_next(t);
	if (!status)
		status = sp_setup_outcome(&t->setup, &work, &outcome);
	if (!status)
		status = sp_optimizer_result(t->optimizer, &result);
	if (!status)
		status = check_step(t, &outcome, &result, lr);
	if (!status)
		status = agree_on_cost(t, &before, stop, cost);
	if (status)
		return status;
	t->progress = result.progress;
	t->skipped += !result.taken;
	const double seconds = sp_clock() - begin;
	if (t->settings->log.shares)
		sp_spent_rest(&cost->spent, seconds);
	return record_step(t, &outcome, cost, lr, &result, seconds);
}

static int evaluate(struct trainer *t)
{
	struct sp_evaluation e;
	int status = sp_evaluate(&t->setup, &e);
	if (status)
		return status;
	t->eval_loss = e.loss;
	t->evaluated = 1;
	if (!is_first(t))
		return SP_OK;
	status = sp_report_evaluation(&t->report, t->done, &e);
	if (status)
		return status;
	return sp_metrics_write(&t->metrics, "eval",
	                        json_pack("{s:I, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:I}", "step", (json_int_t)t->done,
	                                  "split", "valid", "loss", e.loss, "mlm_loss", e.mlm, "perplexity", e.perplexity,
	                                  "accuracy", e.accuracy, "order_loss", e.order_loss, "order_accuracy",
	                                  e.order_accuracy, "predicted", (json_int_t)e.predicted));
}

/* ---- checkpoints ---- */

static int report_save(struct trainer *t, const struct sp_save_result *r)
{
	if (r->text[0])
		sp_log(SP_LOG_WARNING, "%s is there, but: %s", r->path, r->text);
	return sp_report_line(&t->report, "checkpoint %s  %.1f MiB  %.0f ms, of which training waited %.0f", r->path,
	                      (double)r->bytes / 1048576.0, 1e3 * r->seconds, 1e3 * r->snapshot);
}

/* Training goes on: what was saved before is still there. */
static void report_failed_save(struct trainer *t, const struct sp_save_result *r)
{
	char newest[64] = "there is none yet";
	if (r->newest >= 0)
		snprintf(newest, sizeof newest, "the newest is that of step %lld", (long long)r->newest);
	sp_log(SP_LOG_ERROR, "the checkpoint of step %lld was not saved: %s; %s%s", (long long)r->step, r->text, newest,
	       t->done < t->settings->train.iters ? "; training goes on" : "");
}

/* On rank 0, for person and file: what has come of a save since the last call. */
static int tell_of_saves(struct trainer *t)
{
	struct sp_save_result r;
	int status = SP_OK;
	if (!sp_save_result(t->save, &r))
		return SP_OK;
	if (r.status)
		report_failed_save(t, &r);
	else
		status = report_save(t, &r);
	if (status)
		return status;
	return sp_metrics_write(&t->metrics, "checkpoint",
	                        json_pack("{s:I, s:s, s:f, s:f, s:I, s:s}", "step", (json_int_t)r.step, "path", r.path, "ms",
	                                  1e3 * r.seconds, "snapshot_ms", 1e3 * r.snapshot, "bytes", (json_int_t)r.bytes,
	                                  "error", r.status ? r.text : ""));
}

static int start_save(struct trainer *t)
{
	const struct sp_record record = { .step = t->done,
		                              .tokens = t->resume.tokens + t->tokens,
		                              .loss_scale = t->progress.scale,
		                              .loss_scale_steps = t->progress.since,
		                              .taken = t->progress.taken,
		                              .vocab_size = t->setup.config.vocab_size,
		                              .grid = t->setup.grid.shape };
	t->saved = t->done;
	int status = sp_save_start(t->save, &record, sp_model_values(t->setup.model), sp_optimizer_moments(t->optimizer));
	return status ? status : tell_of_saves(t);
}

/* After each step: the save under way is moved on if all ranks have written, the next is begun if its time has come. */
static int tend_saves(struct trainer *t, const struct cost *cost)
{
	const int64_t interval = t->settings->checkpoint.interval;
	int status = SP_OK;
	if (!t->save)
		return SP_OK;
	if (!cost->saving)
		status = sp_save_proceed(t->save);
	if (!status)
		status = tell_of_saves(t);
	return !status && interval > 0 && t->done % interval == 0 ? start_save(t) : status;
}

/* At the end and after a stop: the last state is saved, and it is known whether that worked. */
static int finish_saves(struct trainer *t)
{
	int last = SP_OK, status = SP_OK;
	if (!t->save)
		return SP_OK;
	if (t->saved != t->done)
		status = start_save(t);
	if (!status)
		status = sp_save_finish(t->save, &last);
	if (!status)
		status = tell_of_saves(t);
	return status ? status : last;
}

/* ---- the loop ---- */

static int evaluation_due(const struct trainer *t)
{
	const int64_t interval = t->settings->train.eval_interval;
	return interval > 0 && (t->done % interval == 0 || t->done == t->settings->train.iters);
}

static int loop(struct trainer *t, const volatile sig_atomic_t *stop)
{
	int status = t->settings->train.iters == 0 && evaluation_due(t) ? evaluate(t) : SP_OK;
	while (!status && t->done < t->settings->train.iters) {
		struct cost cost;
		status = do_step(t, stop, &cost);
		if (!status)
			status = tend_saves(t, &cost);
		if (!status && cost.stop)
			return SP_ERR_STOPPED;
		if (!status && evaluation_due(t))
			status = evaluate(t);
	}
	return status;
}

/* Where there are others to wait for: of the rank that waited longest, and of each kind of the one that waited longest for
 * it. Kinds that took less than a thousandth of the time are left out. */
static int report_waits(struct trainer *t, double seconds)
{
	char text[256] = "";
	size_t at = 0;
	for (int k = 0; k < SP_EXPOSED_KINDS; k++)
		if (t->kind[k] >= 1e-3 * seconds && at < sizeof text)
			at += (size_t)snprintf(text + at, sizeof text - at, "%s %s %.1f", at ? "," : "; at most",
			                       sp_exposed_name((enum sp_exposed_kind)k), 100 * t->kind[k] / seconds);
	if (sp_comm_size(t->world) == 1)
		return SP_OK;
	return sp_report_line(&t->report, "waited for messages at most %.1f %% of the time%s", 100 * t->exposed / seconds, text);
}

static int report_bubble(struct trainer *t)
{
	const struct sp_pipeline *p = &t->setup.pipeline;
	if (p->stages == 1 || t->seconds == 0)
		return SP_OK;
	return sp_report_line(&t->report, "pipeline: ranks waited for other stages %.1f %% of the time; filling and draining alone "
	                      "takes %.1f %%", 100 * t->idle / t->seconds, 100 * sp_pipeline_bubble(p));
}

/* Less than a hundredth is not worth a word. */
static int report_imbalance(struct trainer *t, double seconds)
{
	const int by_cost = t->settings->parallel.balance == SP_BALANCE_COST;
	if (t->imbalance < 0.01 * seconds)
		return SP_OK;
	return sp_report_line(&t->report, "of the ranks that share a sequence the one with most work had %.1f %% more than their mean%s",
	                      100 * t->imbalance / seconds, by_cost ? "" : "; see parallel.balance");
}

static int report_spent(struct trainer *t, double seconds)
{
	char text[256] = "";
	size_t at = 0;
	for (int i = 0; i < SP_SPENT && at < sizeof text; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, "%s %s %.1f %%", at ? "," : "", sp_spent_name(i),
		                       100 * t->spent.seconds[i] / seconds);
	return t->settings->log.shares ? sp_report_line(&t->report, "of the time:%s", text) : SP_OK;
}

/* Also after a stop, so that what was done can be read. */
static int summarise(struct trainer *t, int stopped)
{
	if (!is_first(t))
		return SP_OK;
	double seconds = t->seconds > 0 ? t->seconds : 1;
	int status = report_waits(t, seconds);
	if (!status)
		status = report_bubble(t);
	if (!status)
		status = report_imbalance(t, seconds);
	if (!status)
		status = report_spent(t, seconds);
	if (!status)
		status = sp_report_line(
			&t->report, "%s after %lld steps: loss %.6f to %.6f, %.0f tokens/s, gemm %.1f %%, peak %.0f MiB",
			stopped ? "stopped" : "done", (long long)t->done, t->first_loss, t->last_loss, t->tokens / seconds,
			100 * t->flops / seconds / t->gemm_rate, peak_mib());
	json_t *fields = json_pack("{s:I, s:b, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "steps", (json_int_t)t->done, "stopped",
	                           stopped, "skipped", (json_int_t)t->skipped, "graphs", (json_int_t)sp_model_graphs_launched(t->setup.model), "first_loss", t->first_loss, "last_loss", t->last_loss, "tokens", t->tokens,
	                           "seconds", t->seconds, "tokens_per_s", t->tokens / seconds, "fill",
	                           t->places > 0 ? t->tokens / t->places : 0, "flops_per_s",
	                           t->flops / seconds, "gemm_fraction", t->flops / seconds / t->gemm_rate,
	                           "bubble", t->idle / seconds, "imbalance", t->imbalance / seconds);
	if (fields && t->evaluated)
		json_object_set_new(fields, "eval_loss", json_real(t->eval_loss));
	int written = sp_metrics_write(&t->metrics, "summary", fields);
	return status ? status : written;
}

static int finish(struct trainer *t, int status)
{
	if (status && status != SP_ERR_STOPPED)
		return status;
	int saved = finish_saves(t);
	if (saved == SP_ERR_COMM)
		return saved;
	int rc = summarise(t, status == SP_ERR_STOPPED);
	if (!rc && t->settings->log.trace[0])
		rc = sp_trace_file_write(t->world, t->settings->log.trace);
	return saved ? saved : rc ? rc : status;
}

static int say_complete(struct trainer *t)
{
	return sp_report_line(&t->report, "%s has done %lld steps, and train.iters = %lld: nothing is left to do; raise "
	                      "train.iters to go on", t->resume.path, (long long)t->done, (long long)t->settings->train.iters);
}

int sp_train(const struct sp_settings *settings, struct sp_comm *world, FILE *out, const volatile sig_atomic_t *stop)
{
	struct trainer t = { .settings = settings, .world = world };
	int status = open_files(&t, out);
	if (!status)
		status = open_checkpoints(&t);
	const int complete = !status && is_complete(&t);
	if (complete)
		status = say_complete(&t);
	else if (!status)
		status = open_all(&t);
	if (!status && !complete)
		status = finish(&t, loop(&t, stop));
	/* Closing is collective, and after an error the others need not be here. */
	if (status && status != SP_ERR_STOPPED && sp_comm_size(world) > 1)
		return status;
	int closed = close_all(&t);
	return status && status != SP_ERR_STOPPED ? status : closed ? closed : status;
}
