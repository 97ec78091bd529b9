#include "config.h"

#include "train/record.h"

#include "base/log.h"
#include "checkpoint/directory.h"
#include "settings/value.h"
#include "train/metrics.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 1 };

static json_t *grid_of(const struct sp_record *r)
{
	json_t *grid = json_object();
	for (int axis = 0; grid && axis < SP_AXES; axis++)
		json_object_set_new(grid, sp_axis_name((enum sp_axis)axis), json_integer(r->grid.at[axis]));
	return grid;
}

int sp_record_text(const struct sp_record *r, const struct sp_settings *settings, char **text)
{
	json_t *all = json_pack("{s:i, s:s, s:I, s:f, s:f, s:I, s:I, s:I, s:o, s:o}", "format", FORMAT, "version", PACKAGE_VERSION,
	                        "step", (json_int_t)r->step, "tokens", r->tokens, "loss_scale", r->loss_scale,
	                        "loss_scale_steps", (json_int_t)r->loss_scale_steps, "steps_taken", (json_int_t)r->taken, "vocab_size",
	                        (json_int_t)r->vocab_size, "grid", grid_of(r), "settings", sp_metrics_settings(settings));
	char *dumped = all ? json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
	const int length = dumped ? asprintf(text, "%s\n", dumped) : -1;
	free(dumped);
	json_decref(all);
	return length >= 0 ? SP_OK : sp_fail(SP_ERR_MEMORY, "out of memory for " SP_CHECKPOINT_RECORD);
}

/* ---- reading ---- */

static int unpack(json_t *all, const char *path, struct sp_record *r)
{
	json_int_t step, vocab_size, since = 0, taken = -1; /* the last two: not in records of former versions */
	json_error_t error;
	json_t *settings, *grid;
	if (json_unpack_ex(all, &error, 0, "{s:I, s:F, s:F, s?I, s?I, s:I, s:o, s:o}", "step", &step, "tokens", &r->tokens,
	                   "loss_scale", &r->loss_scale, "loss_scale_steps", &since, "steps_taken", &taken, "vocab_size", &vocab_size, "grid", &grid, "settings", &settings) != 0)
		return sp_fail(SP_ERR_FORMAT, "%s: %s", path, error.text);
	if (step < 0 || !json_is_object(settings))
		return sp_fail(SP_ERR_FORMAT, "%s: not a record of training", path);
	r->step = step;
	r->vocab_size = vocab_size;
	r->loss_scale_steps = since;
	r->taken = taken >= 0 ? taken : step;
	for (int axis = 0; axis < SP_AXES; axis++)
		r->grid.at[axis] = (int)json_integer_value(json_object_get(grid, sp_axis_name((enum sp_axis)axis)));
	r->settings = json_incref(settings);
	return SP_OK;
}

static int check_format(const json_t *all, const char *path)
{
	const char *version = json_string_value(json_object_get(all, "version"));
	const json_int_t format = json_integer_value(json_object_get(all, "format"));
	if (format == FORMAT)
		return SP_OK;
	return sp_fail(SP_ERR_FORMAT,
	               "%s: format %lld, written by seqpar %s; this is seqpar " PACKAGE_VERSION ", which knows format %d", path,
	               (long long)format, version ? version : "of unknown version", FORMAT);
}

int sp_record_read(const char *dir, struct sp_record *record)
{
	char path[PATH_MAX];
	json_error_t error;
	memset(record, 0, sizeof *record);
	snprintf(path, sizeof path, "%s/" SP_CHECKPOINT_RECORD, dir);
	json_t *all = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!all)
		return sp_fail(SP_ERR_FORMAT, "%s: line %d: %s", path, error.line, error.text);
	int status = check_format(all, path);
	if (!status)
		status = unpack(all, path, record);
	json_decref(all);
	return status;
}

void sp_record_release(struct sp_record *record)
{
	json_decref(record->settings);
	record->settings = NULL;
}

/* ---- comparing ---- */

/* A name, or a section with its dot; the first that fits counts. What is not here is noted. */
static const struct {
	const char *name;
	enum sp_difference how;
} rules[] = {
	{ "model.preset", SP_DIFFERENCE_NONE }, /* what it stands for has settings of its own */
	{ "model.vocab_size", SP_DIFFERENCE_NONE }, /* 0 may stand for it; the table's size is compared */
	{ "model.extend_positions", SP_DIFFERENCE_NONE },
	{ "model.dropout", SP_DIFFERENCE_NOTED },
	{ "model.attention_dropout", SP_DIFFERENCE_NOTED },
	{ "model.", SP_DIFFERENCE_FATAL },
	{ "data.", SP_DIFFERENCE_LOUD },
	{ "train.seed", SP_DIFFERENCE_LOUD },
	{ "train.precision", SP_DIFFERENCE_LOUD },
	{ "train.global_batch", SP_DIFFERENCE_LOUD },
	{ "train.sequence_length", SP_DIFFERENCE_LOUD },
	{ "checkpoint.", SP_DIFFERENCE_NONE },
	{ "log.", SP_DIFFERENCE_NONE },
};

static enum sp_difference matter(const char *name)
{
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		const size_t n = strlen(rules[i].name);
		if (strncmp(name, rules[i].name, n) == 0 && (rules[i].name[n - 1] == '.' || !name[n]))
			return rules[i].how;
	}
	return SP_DIFFERENCE_NOTED;
}

/* From or to attention that has weights, or neighbours, of its own: not the same model. */
static int other_model(const char *name, const char *then, const char *now)
{
	static const char *const others[] = { "linformer", "window" };
	int differs = 0;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		differs |= (strcmp(then, others[i]) == 0) != (strcmp(now, others[i]) == 0);
	return differs && strcmp(name, "parallel.attention") == 0;
}

/* The record's value in the words of the settings; 0 if it has none that this version understands. */
static int value_then(const json_t *all, size_t row, const char *name, char *text, size_t size)
{
	char section[64], raw[SP_TEXT] = "", why[2 * SP_TEXT];
	struct sp_settings then;
	snprintf(section, sizeof section, "%.*s", (int)strcspn(name, "."), name);
	const json_t *value = json_object_get(json_object_get(all, section), strchr(name, '.') + 1);
	if (json_is_string(value))
		snprintf(raw, sizeof raw, "%s", json_string_value(value));
	else if (json_is_boolean(value))
		snprintf(raw, sizeof raw, "%s", json_is_true(value) ? "true" : "false");
	else if (json_is_integer(value))
		snprintf(raw, sizeof raw, "%lld", (long long)json_integer_value(value));
	else if (json_is_real(value))
		snprintf(raw, sizeof raw, "%.17g", json_real_value(value));
	else
		return 0;
	if (sp_settings_set(&then, &sp_settings_table[row], raw, why, sizeof why))
		return 0;
	sp_settings_value(&then, row, text, size);
	return 1;
}

/* The record keeps 15 digits of a number. */
static int same_value(enum sp_setting_kind kind, const char *a, const char *b)
{
	const double x = strtod(a, NULL), y = strtod(b, NULL);
	return strcmp(a, b) == 0 || (kind == SP_SETTING_NUMBER && fabs(x - y) <= 1e-14 * fabs(x));
}

enum sp_difference sp_record_compare(const struct sp_record *record, const struct sp_settings *now,
                                     void (*tell)(void *ctx, enum sp_difference how, const char *name,
                                                  const char *then, const char *now),
                                     void *ctx)
{
	enum sp_difference worst = SP_DIFFERENCE_NONE;
	struct sp_setting_row row;
	for (size_t i = 0; !sp_settings_row(i, &row); i++) {
		char then[SP_TEXT], here[SP_TEXT];
		enum sp_difference how = matter(row.name);
		sp_settings_value(now, i, here, sizeof here);
		if (how == SP_DIFFERENCE_NONE || !value_then(record->settings, i, row.name, then, sizeof then) ||
		    same_value(sp_settings_table[i].kind, then, here))
			continue;
		how = other_model(row.name, then, here) ? SP_DIFFERENCE_FATAL : how;
		tell(ctx, how, row.name, then, here);
		worst = how > worst ? how : worst;
	}
	return worst;
}
