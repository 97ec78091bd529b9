#include "config.h"

#include "train/resume.h"

#include "base/log.h"
#include "base/size.h"
#include "checkpoint/directory.h"
#include "checkpoint/durable.h"
#include "checkpoint/safetensors.h"
#include "train/record.h"
#include "train/share.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { REASON = 1024, LARGEST_VOCAB = 1 << 28 };

/* What rank 0 knows while it chooses. */
struct choice {
	const struct sp_settings *settings;
	struct sp_report *report;
	struct sp_resume *resume;
	struct sp_checkpoint_list list; /* in checkpoint.dir */
};

static void path_of(const struct choice *c, int64_t step, char *path, size_t size)
{
	char name[SP_CHECKPOINT_NAME];
	sp_checkpoint_name(step, name);
	snprintf(path, size, "%s/%s", c->settings->checkpoint.dir, name);
}

/* ---- choosing ---- */

static int choose_none(struct choice *c)
{
	const char *dir = c->settings->checkpoint.dir;
	if (c->list.count == 0)
		return SP_OK;
	return sp_fail(SP_ERR_SETTING,
	               "checkpoint.dir = %s holds checkpoints, the newest of step %lld, and checkpoint.resume = none would start "
	               "from the beginning among them; choose another checkpoint.dir, move them away, or set "
	               "checkpoint.resume = auto",
	               dir, (long long)c->list.step[0]);
}

static int choose_newest(struct choice *c)
{
	char path[SP_TEXT + 64], why[REASON];
	for (int i = 0; i < c->list.count; i++) {
		path_of(c, c->list.step[i], path, sizeof path);
		if (sp_manifest_verify(path, why, sizeof why) == SP_OK) {
			snprintf(c->resume->path, sizeof c->resume->path, "%s", path);
			c->resume->newest = c->list.step[i];
			return SP_OK;
		}
		sp_log(SP_LOG_WARNING, "%s is passed over: %s", path, why);
	}
	if (c->list.count == 0)
		return SP_OK;
	return sp_fail(SP_ERR_FORMAT,
	               "checkpoint.dir = %s: none of its %d checkpoints is whole; choose another directory to start from the "
	               "beginning",
	               c->settings->checkpoint.dir, c->list.count);
}

static int same_directory(const char *a, const char *b)
{
	struct stat x, y;
	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* New checkpoints must become the newest. `step`: of the named checkpoint. */
static int check_ahead(const struct choice *c, int64_t step)
{
	char path[SP_TEXT + 64];
	const int64_t newest = c->list.count ? c->list.step[0] : -1;
	path_of(c, newest, path, sizeof path);
	c->resume->newest = newest;
	if (newest < step || (newest == step && same_directory(path, c->resume->path)))
		return SP_OK;
	return sp_fail(SP_ERR_SETTING,
	               "checkpoint.dir = %s holds a checkpoint of step %lld, which is not behind step %lld of checkpoint.resume = "
	               "%s; set checkpoint.resume = auto to go on from the newest, or choose another checkpoint.dir",
	               c->settings->checkpoint.dir, (long long)newest, (long long)step, c->resume->path);
}

static int choose_named(struct choice *c)
{
	char why[REASON];
	snprintf(c->resume->path, sizeof c->resume->path, "%s", c->settings->checkpoint.resume);
	int status = sp_manifest_verify(c->resume->path, why, sizeof why);
	if (!status)
		return SP_OK;
	return sp_fail(status, "checkpoint.resume = %s: %s; it takes a directory like DIR/step-00001000 that seqpar has "
	               "written, and checkpoint.init takes other models", c->resume->path, why);
}

static int choose(struct choice *c)
{
	const struct sp_settings *s = c->settings;
	char why[REASON];
	int status = s->checkpoint.dir[0] ? sp_checkpoint_list(s->checkpoint.dir, &c->list, why, sizeof why) : SP_OK;
	if (status)
		return sp_fail(status, "checkpoint.dir = %s", why);
	if (strcmp(s->checkpoint.resume, "none") == 0)
		return choose_none(c);
	return strcmp(s->checkpoint.resume, "auto") == 0 ? choose_newest(c) : choose_named(c);
}

/* ---- what has changed ---- */

static void tell(void *ctx, enum sp_difference how, const char *name, const char *then, const char *now)
{
	struct choice *c = ctx;
	if (how == SP_DIFFERENCE_FATAL)
		sp_log(SP_LOG_ERROR, "%s = %s, but the model of %s has %s; set %s = %s, or train another model in another "
		       "checkpoint.dir", name, now, c->resume->path, then, name, then);
	else if (how == SP_DIFFERENCE_LOUD)
		sp_log(SP_LOG_WARNING, "%s was %s and is %s: other samples than before will be seen", name, then, now);
	else
		(void)sp_report_line(c->report, "  %s was %s and is %s", name, then, now);
}

static void tell_of_vocabulary(const struct choice *c)
{
	struct sp_manifest m;
	char why[REASON], *bytes;
	size_t count;
	if (strcmp(c->settings->data.source, "synthetic") == 0 ||
	    sp_manifest_read(c->resume->path, &m, why, sizeof why))
		return;
	const struct sp_manifest_entry *then = sp_manifest_find(&m, SP_CHECKPOINT_VOCAB);
	if (!then || sp_durable_read(c->settings->data.vocab, LARGEST_VOCAB, &bytes, &count, why, sizeof why))
		return; /* what cannot be read is an error where it is needed */
	if (count != then->bytes || sp_manifest_crc(0, bytes, count) != then->crc)
		sp_log(SP_LOG_WARNING, "data.vocab = %s is not the vocabulary of %s/" SP_CHECKPOINT_VOCAB
		       ": ids may mean other words than before", c->settings->data.vocab, c->resume->path);
	free(bytes);
}

/* A scale that served activations of another precision says nothing about fp16, and no other precision has one. */
static struct sp_optimizer_progress progress_of(const struct sp_record *record, const struct sp_settings *now)
{
	const char *then = json_string_value(json_object_get(json_object_get(record->settings, "train"), "precision"));
	const int goes_on = now->train.precision == SP_TRAIN_FP16 && then && strcmp(then, "fp16") == 0;
	return (struct sp_optimizer_progress){ goes_on ? record->loss_scale : sp_setup_scale(now),
		                                   goes_on ? (int32_t)record->loss_scale_steps : 0, record->taken };
}

static int take_record(struct choice *c)
{
	struct sp_record record;
	int status = sp_record_read(c->resume->path, &record);
	if (!status && c->settings->checkpoint.dir[0] && strcmp(c->settings->checkpoint.resume, "auto") != 0)
		status = check_ahead(c, record.step);
	if (!status) {
		c->resume->step = record.step;
		c->resume->tokens = record.tokens;
		c->resume->progress = progress_of(&record, c->settings);
		c->resume->vocab_size = record.vocab_size;
		status = sp_report_line(c->report, "resuming from %s, step %lld", c->resume->path, (long long)record.step);
	}
	if (!status && sp_record_compare(&record, c->settings, tell, c) == SP_DIFFERENCE_FATAL)
		status = SP_ERR_SETTING;
	if (!status)
		tell_of_vocabulary(c);
	sp_record_release(&record);
	return status;
}

int sp_resume_choose(const struct sp_settings *settings, struct sp_comm *world, struct sp_report *report,
                     struct sp_resume *resume)
{
	struct choice c = { .settings = settings, .report = report, .resume = resume };
	int32_t verdict = SP_OK;
	memset(resume, 0, sizeof *resume);
	resume->newest = -1;
	if (sp_comm_rank(world) == 0) {
		verdict = choose(&c);
		if (!verdict && resume->path[0])
			verdict = take_record(&c);
		free(c.list.step);
	}
	int status = sp_comm_broadcast(world, &verdict, sizeof verdict, 0);
	if (!status && !verdict)
		status = sp_comm_broadcast(world, resume, sizeof *resume, 0);
	return status ? status : verdict;
}

/* ---- loading ---- */

struct loading {
	const struct sp_parameters *table;
	struct sp_compute *compute;
	const char *path;
	float *host; /* room for the largest parameter */
};

static int64_t elements_of(const struct sp_parameter *p)
{
	return p->rows * p->cols;
}

static int open_file(const struct loading *l, const char *name, struct sp_safetensors **file)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/%s", l->path, name);
	return sp_safetensors_open(path, file);
}

/* Elements [first, first + count) of PREFIX and the whole parameter, to device memory. */
static int load(const struct loading *l, const struct sp_safetensors *file, const char *prefix,
                const struct sp_parameter *p, int64_t first, int64_t count, float *to)
{
	char name[128];
	snprintf(name, sizeof name, "%s%s", prefix, p->name);
	const struct sp_tensor_entry *e = sp_safetensors_find(file, name);
	if (!e)
		return sp_fail(SP_ERR_FORMAT, "%s lacks the tensor %s", l->path, name);
	if (e->elements != p->whole_rows * p->whole_cols)
		return sp_fail(SP_ERR_FORMAT, "%s: %s has %lld elements instead of %lld x %lld", l->path, name,
		               (long long)e->elements, (long long)p->whole_rows, (long long)p->whole_cols);
	int status = sp_safetensors_read(file, e, first, count, l->host);
	return status ? status : sp_compute_copy_in(l->compute, to, l->host, (size_t)count * sizeof(float));
}

static int load_values(const struct loading *l, float *values)
{
	struct sp_safetensors *file;
	int status = open_file(l, SP_CHECKPOINT_MODEL, &file);
	if (status)
		return status;
	for (int i = 0; i < l->table->count && !status; i++) {
		const struct sp_parameter *p = &l->table->entry[i];
		for (int64_t at = 0; at < elements_of(p) && !status;) {
			const struct sp_parameter_run run = sp_parameter_run(p, at);
			status = load(l, file, "", p, run.whole, run.count, values + p->offset + run.own);
			at += run.count;
		}
	}
	sp_safetensors_close(file);
	return status;
}

static int load_moments(const struct loading *l, const struct sp_share *share, struct sp_moments moments)
{
	struct sp_safetensors *file;
	int status = open_file(l, SP_CHECKPOINT_OPTIMIZER, &file);
	if (status)
		return status;
	for (int i = 0; i < share->count && !status; i++) {
		const struct sp_share_part *part = &share->part[i];
		const struct sp_parameter *p = &l->table->entry[part->parameter];
		status = load(l, file, "exp_avg.", p, part->first, part->count, moments.m + part->own);
		if (!status)
			status = load(l, file, "exp_avg_sq.", p, part->first, part->count, moments.v + part->own);
	}
	sp_safetensors_close(file);
	return status;
}

static int take_room(struct loading *l)
{
	int64_t most = 1;
	for (int i = 0; i < l->table->count; i++)
		most = sp_max(most, elements_of(&l->table->entry[i]));
	l->host = malloc((size_t)most * sizeof *l->host);
	return l->host ? SP_OK : sp_fail(SP_ERR_MEMORY, "out of memory for %lld values of a checkpoint", (long long)most);
}

static int check_vocab_size(const struct sp_resume *resume, const struct sp_setup *setup)
{
	if (resume->vocab_size == setup->config.vocab_size)
		return SP_OK;
	return sp_fail(SP_ERR_SETTING,
	               "model.vocab_size = %lld, but the model of %s has %lld; set model.vocab_size = %lld and use its vocabulary",
	               (long long)setup->config.vocab_size, resume->path, (long long)resume->vocab_size,
	               (long long)resume->vocab_size);
}

int sp_resume_load(const struct sp_resume *resume, struct sp_setup *setup, struct sp_optimizer *optimizer)
{
	struct loading l = { sp_model_parameters(setup->model), setup->compute, resume->path, NULL };
	struct sp_share share = { NULL, 0 };
	int status = check_vocab_size(resume, setup);
	if (!status)
		status = take_room(&l);
	if (!status)
		status = sp_share_create(setup->reduce, sp_reduce_kept, l.table, &share);
	if (!status)
		status = load_values(&l, sp_model_values(setup->model));
	if (!status)
		status = load_moments(&l, &share, sp_optimizer_moments(optimizer));
	if (!status)
		status = sp_optimizer_go_on(optimizer, &resume->progress);
	sp_share_destroy(&share);
	free(l.host);
	return status;
}
