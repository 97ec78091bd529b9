#include "config.h"

#include "settings/settings.h"

#include "base/log.h"
#include "settings/nearest.h"
#include "settings/table.h"
#include "settings/value.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REASON = SP_TEXT + 256 };

void sp_settings_default(struct sp_settings *s)
{
	char why[REASON];
	memset(s, 0, sizeof *s);
	for (const struct sp_setting_entry *e = sp_settings_table; e->name; e++)
		sp_settings_set(s, e, e->initial, why, sizeof why);
}

static const struct sp_setting_entry *find(const char *name)
{
	for (const struct sp_setting_entry *e = sp_settings_table; e->name; e++)
		if (strcmp(e->name, name) == 0)
			return e;
	return NULL;
}

/* `place` is "FILE:LINE" or "command line". */
static int set_named(struct sp_settings *s, const char *place, const char *name, const char *text)
{
	const struct sp_setting_entry *e = find(name);
	char why[REASON];
	if (!e)
		return sp_fail(SP_ERR_SETTING, "%s: unknown setting %.100s; the nearest known one is %s", place, name,
		               sp_settings_nearest(name));
	int status = sp_settings_set(s, e, text, why, sizeof why);
	if (status)
		return sp_fail(status, "%s: %s: %s", place, name, why);
	const size_t row = (size_t)(e - sp_settings_table);
	s->given[row / 64] |= UINT64_C(1) << row % 64;
	return SP_OK;
}

int sp_settings_given(const struct sp_settings *s, const char *name)
{
	const struct sp_setting_entry *e = find(name);
	const size_t row = e ? (size_t)(e - sp_settings_table) : 0;
	return e && (s->given[row / 64] >> row % 64 & 1);
}

/* ---- files ---- */

struct reading {
	struct sp_settings *s;
	const char *name;
	FILE *file;
	char *line;
	size_t size;
	int number;
	int status; /* of the first error; reading stops there */
};

static void place_of(const struct reading *r, char *place, size_t size)
{
	snprintf(place, size, "%s:%d", r->name, r->number);
}

static int line_error(struct reading *r, const char *what)
{
	char place[SP_TEXT];
	place_of(r, place, sizeof place);
	return r->status = sp_fail(SP_ERR_SETTING, "%s: %s", place, what);
}

/* inih goes on after a malformed line, and drops what follows a closing bracket; we stop at the first such line. */
static const char *malformed(const char *line)
{
	if (*line == 0 || *line == ';' || *line == '#')
		return NULL;
	if (*line != '[')
		return strpbrk(line, "=:") ? NULL : "neither a [section], a key = value nor a comment";
	const char *end = strchr(line, ']');
	if (!end)
		return "a [section] without its closing bracket";
	end += 1 + strspn(end + 1, " \t\r\n");
	return *end && *end != ';' && *end != '#' ? "text after a [section]" : NULL;
}

/* Next line for inih, which gives us room for `room` bytes. It would cut an over-long line in two and read an indented
 * one as more of the value before: so the first is an error here, and indentation is taken away. */
static char *next_line(char *buffer, int room, void *stream)
{
	struct reading *r = stream;
	if (r->status)
		return NULL;
	errno = 0;
	ssize_t n = getline(&r->line, &r->size, r->file);
	if (n < 0) {
		if (ferror(r->file) || errno)
			r->status = sp_fail(SP_ERR_IO, "%s: cannot be read: %s", r->name, strerror(errno));
		return NULL;
	}
	r->number++;
	const char *text = r->line + strspn(r->line, " \t\r\n\f\v");
	if (r->number == 1 && strncmp(text, "\xEF\xBB\xBF", 3) == 0)
		text += 3; /* byte order mark */
	if (memchr(r->line, 0, (size_t)n))
		return line_error(r, "a NUL byte; this is not a text file"), NULL;
	if (strlen(text) + 1 > (size_t)room) {
		char what[80];
		snprintf(what, sizeof what, "line of %zu bytes is too long, at most %d fit", strlen(text), room - 1);
		return line_error(r, what), NULL;
	}
	if (malformed(text))
		return line_error(r, malformed(text)), NULL;
	memcpy(buffer, text, strlen(text) + 1);
	return buffer;
}

static int take(void *user, const char *section, const char *key, const char *value)
{
	struct reading *r = user;
	char place[SP_TEXT], name[128];
	if (r->status)
		return 0;
	place_of(r, place, sizeof place);
	snprintf(name, sizeof name, "%s%s%s", section, section[0] ? "." : "", key);
	r->status = set_named(r->s, place, name, value ? value : "");
	return r->status == SP_OK;
}

/* Reads and closes `file`, which may be NULL. */
static int read_stream(struct sp_settings *s, const char *name, FILE *file)
{
	struct reading r = { .s = s, .name = name, .file = file };
	if (!file)
		return sp_fail(SP_ERR_IO, "%s: cannot be opened: %s", name, strerror(errno));
	int bad = ini_parse_stream(next_line, &r, take, &r);
	if (bad && !r.status) {
		r.number = bad > 0 ? bad : r.number;
		line_error(&r, bad > 0 ? "neither a [section], a key = value nor a comment" : "out of memory");
	}
	free(r.line);
	fclose(r.file);
	return r.status;
}

int sp_settings_read(struct sp_settings *s, const char *file)
{
	return read_stream(s, file, fopen(file, "r"));
}

int sp_settings_parse(struct sp_settings *s, const char *name, const char *text, size_t size)
{
	if (size == 0)
		return SP_OK; /* there is no stream of no bytes */
	return read_stream(s, name, fmemopen((void *)(uintptr_t)text, size, "r"));
}

/* ---- words of the command line ---- */

int sp_settings_word(struct sp_settings *s, const char *word)
{
	const char *equals = strchr(word, '=');
	char name[128], text[SP_TEXT + 1];
	if (!equals || equals == word)
		return sp_fail(SP_ERR_SETTING, "command line: \"%.100s\" is not section.key=value", word);
	snprintf(name, sizeof name, "%.*s", (int)(equals - word < 127 ? equals - word : 127), word);
	for (size_t n = strlen(name); n > 0 && isspace((unsigned char)name[n - 1]); n--)
		name[n - 1] = 0;
	const char *from = equals + 1 + strspn(equals + 1, " \t");
	size_t n = strlen(from);
	while (n > 0 && isspace((unsigned char)from[n - 1]))
		n--;
	if (n >= sizeof text)
		return sp_fail(SP_ERR_SETTING, "command line: %s: text of %zu bytes is too long, at most %d fit", name, n,
		               SP_TEXT - 1);
	memcpy(text, from, n);
	text[n] = 0;
	return set_named(s, "command line", name, text);
}

/* ---- the table, for those who print it ---- */

static const char *type_of(const struct sp_setting_entry *e)
{
	static const char *const names[] = {
		[SP_SETTING_INTEGER] = "integer",
		[SP_SETTING_UNSIGNED] = "integer",
		[SP_SETTING_NUMBER] = "number",
		[SP_SETTING_TEXT] = "text",
	};
	return e->words[0] ? e->words : names[e->kind];
}

int sp_settings_row(size_t i, struct sp_setting_row *row)
{
	size_t rows = 0;
	while (sp_settings_table[rows].name)
		rows++;
	if (i >= rows) {
		memset(row, 0, sizeof *row);
		return 1;
	}
	const struct sp_setting_entry *e = &sp_settings_table[i];
	*row = (struct sp_setting_row){ e->name, type_of(e), e->initial, e->range, e->help };
	return 0;
}
