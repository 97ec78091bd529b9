#include "config.h"

#include "checkpoint/json_file.h"

#include "base/log.h"
#include "checkpoint/durable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Digits every decimal of which survives a double. */
enum { DIGITS = 15 };

int sp_json_parse(const char *name, const char *text, size_t size, json_t **root)
{
	json_error_t error;
	json_t *read = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	if (!read)
		return sp_fail(SP_ERR_FORMAT, "%s:%d: %s", name, error.line, error.text);
	if (!json_is_object(read)) {
		json_decref(read);
		return sp_fail(SP_ERR_FORMAT, "%s: not a JSON object", name);
	}
	*root = read;
	return SP_OK;
}

int sp_json_file_read(const char *dir, const char *name, size_t limit, char **path, json_t **root)
{
	char why[512], *text = NULL;
	size_t size = 0;
	if (asprintf(path, "%s/%s", dir, name) < 0) {
		*path = NULL;
		return sp_fail(SP_ERR_MEMORY, "%s: no memory to read %s", dir, name);
	}
	int status = sp_durable_read(*path, limit, &text, &size, why, sizeof why);
	if (status)
		return sp_fail(status, "%s", why);
	status = sp_json_parse(*path, text, size, root);
	free(text);
	return status;
}

int sp_json_text(const json_t *root, char **text)
{
	char *plain = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(DIGITS)) : NULL;
	char *lines = plain ? realloc(plain, strlen(plain) + 2) : NULL;
	if (!lines) {
		free(plain);
		return sp_fail(SP_ERR_MEMORY, "no memory for the text of a JSON file");
	}
	strcat(lines, "\n");
	*text = lines;
	return SP_OK;
}
