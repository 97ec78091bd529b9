#include "config.h"

#include "train/metrics.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int sp_metrics_open(const char *name, struct sp_metrics *metrics)
{
	*metrics = (struct sp_metrics){ .name = name };
	if (!name[0])
		return SP_OK;
	metrics->file = fopen(name, "a");
	if (!metrics->file)
		return sp_fail(SP_ERR_IO, "log.metrics = %s cannot be written: %s", name, strerror(errno));
	setvbuf(metrics->file, NULL, _IONBF, 0);
	return SP_OK;
}

/* Devices and pipes cannot be cut, and need not be. */
static void cut(struct sp_metrics *m, off_t size)
{
	if (size >= 0 && ftruncate(fileno(m->file), size) != 0)
		sp_log(SP_LOG_DEBUG, "%s: not a file that can be cut: %s", m->name, strerror(errno));
}

/* Where the last whole line ends; -1 if that cannot be known. */
static off_t end_of_lines(FILE *file)
{
	char block[4096];
	off_t at = fseeko(file, 0, SEEK_END) == 0 ? ftello(file) : 0;
	while (at > 0) {
		const size_t want = at < (off_t)sizeof block ? (size_t)at : sizeof block;
		if (fseeko(file, at - (off_t)want, SEEK_SET) != 0 || fread(block, 1, want, file) != want)
			return -1;
		const char *end = memrchr(block, '\n', want);
		if (end)
			return at - (off_t)want + (end - block) + 1;
		at -= (off_t)want;
	}
	return at;
}

void sp_metrics_go_on(struct sp_metrics *m)
{
	struct stat info;
	m->started = 1;
	if (!m->file || fstat(fileno(m->file), &info) != 0 || !S_ISREG(info.st_mode))
		return;
	FILE *file = fopen(m->name, "r");
	if (!file)
		return;
	cut(m, end_of_lines(file));
	fclose(file);
}

static int write_line(struct sp_metrics *m, const char *line, size_t size)
{
	if (!m->started)
		cut(m, 0);
	m->started = 1;
	fseeko(m->file, 0, SEEK_END);
	const off_t whole = ftello(m->file);
	if (fwrite(line, 1, size, m->file) == size)
		return SP_OK;
	int status = sp_fail(SP_ERR_IO, "log.metrics = %s cannot be written: %s; make room or choose another file", m->name,
	                     strerror(errno));
	cut(m, whole); /* half a line would spoil the file for its readers */
	fclose(m->file);
	m->file = NULL;
	return status;
}

/* The event as one line, its end included; NULL if that cannot be. */
static char *form_line(const char *event, json_t *fields)
{
	json_t *object = json_pack("{s:s}", "event", event);
	char *text = NULL, *line = NULL;
	if (object && fields && json_object_update(object, fields) == 0)
		text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15));
	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	json_decref(object);
	return line;
}

int sp_metrics_write(struct sp_metrics *m, const char *event, json_t *fields)
{
	int status = SP_OK;
	if (m->file) {
		char *line = form_line(event, fields);
		status = line ? write_line(m, line, strlen(line)) :
		                sp_fail(SP_ERR_MEMORY,
		                        "the %s event for %s cannot be formed: out of memory, or a value is not finite", event,
		                        m->name);
		free(line);
	}
	json_decref(fields);
	return status;
}

int sp_metrics_close(struct sp_metrics *m)
{
	int failed = m->file && fclose(m->file) != 0;
	m->file = NULL;
	return failed ? sp_fail(SP_ERR_IO, "log.metrics = %s cannot be written: %s", m->name, strerror(errno)) : SP_OK;
}

/* ---- settings ---- */

/* The value as JSON knows it: a number where it is one. */
static json_t *value_of(const struct sp_setting_row *row, const char *text)
{
	if (strcmp(row->type, "integer") == 0 || strcmp(row->type, "number") == 0) {
		json_t *number = json_loads(text, JSON_DECODE_ANY, NULL);
		if (number)
			return number;
	}
	if (strcmp(row->type, "false|true") == 0)
		return json_boolean(strcmp(text, "true") == 0);
	return json_string(text);
}

static int add_setting(json_t *all, const struct sp_setting_row *row, const char *text)
{
	char section[64];
	snprintf(section, sizeof section, "%.*s", (int)strcspn(row->name, "."), row->name);
	if (!json_object_get(all, section) && json_object_set_new(all, section, json_object()) != 0)
		return -1;
	return json_object_set_new(json_object_get(all, section), strchr(row->name, '.') + 1, value_of(row, text));
}

json_t *sp_metrics_settings(const struct sp_settings *settings)
{
	json_t *all = json_object();
	struct sp_setting_row row;
	for (size_t i = 0; all && !sp_settings_row(i, &row); i++) {
		char text[SP_TEXT];
		sp_settings_value(settings, i, text, sizeof text);
		if (add_setting(all, &row, text) != 0) {
			json_decref(all);
			all = NULL;
		}
	}
	return all;
}
