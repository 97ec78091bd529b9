#include "config.h"

#include "train/metrics.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int sp_metrics_open(const char *name, struct sp_metrics *metrics)
{
	*metrics = (struct sp_metrics){ .name = name };
	if (!name[0])
		return SP_OK;
	metrics->file = fopen(name, "w");
	if (!metrics->file)
		return sp_fail(SP_ERR_IO, "log.metrics = %s cannot be written: %s", name, strerror(errno));
	return SP_OK;
}

static int write_line(struct sp_metrics *m, const char *line)
{
	off_t whole = ftello(m->file);
	if (fputs(line, m->file) >= 0 && fputc('\n', m->file) != EOF && fflush(m->file) == 0)
		return SP_OK;
	int status = sp_fail(SP_ERR_IO, "log.metrics = %s cannot be written: %s; make room or choose another file", m->name,
	                     strerror(errno));
	/* Half a line would spoil the file for its readers. Devices and pipes cannot be cut. */
	if (whole >= 0 && ftruncate(fileno(m->file), whole) != 0)
		sp_log(SP_LOG_DEBUG, "%s may end in half a line", m->name);
	fclose(m->file);
	m->file = NULL;
	return status;
}

int sp_metrics_write(struct sp_metrics *m, const char *event, json_t *fields)
{
	json_t *object = NULL;
	char *line = NULL;
	int status = SP_OK;
	if (m->file) {
		object = json_pack("{s:s}", "event", event);
		if (object && fields && json_object_update(object, fields) == 0)
			line = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15));
		status = line ? write_line(m, line) :
		                sp_fail(SP_ERR_MEMORY, "the %s event for %s cannot be formed: out of memory, or a value is not finite",
		                        event, m->name);
	}
	free(line);
	json_decref(object);
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
