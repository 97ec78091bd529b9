#include "config.h"

#include "use/vectors.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD = 128 }; /* bytes of the array's head; a multiple of 64 */

struct sp_vectors {
	enum sp_vectors_format format;
	int64_t hidden, rows;
	char *path, *temporary; /* NULL: standard output */
	FILE *file;
};

static int cannot_write(const struct sp_vectors *v)
{
	return sp_fail(SP_ERR_IO, "%s: cannot write: %s", v->path ? v->temporary : "standard output", strerror(errno));
}

/* ---- opening ---- */

static int create(struct sp_vectors *v, const char *path)
{
	struct stat info;
	const size_t room = strlen(path) + 32;
	v->path = strdup(path);
	v->temporary = malloc(room);
	if (!v->path || !v->temporary)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory to write it", path);
	snprintf(v->temporary, room, "%s.tmp.%ld", path, (long)getpid());
	if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
		return sp_fail(SP_ERR_IO, "%s: is there and not a regular file: give another name with -o", path);
	v->file = fopen(v->temporary, "wbe");
	if (!v->file)
		return sp_fail(SP_ERR_IO, "%s: cannot create the file: %s (its directory must exist and be writable)",
		               v->temporary, strerror(errno));
	return SP_OK;
}

/* Room for the head, whose shape is known at the end. Rows lie as the machine's floats do. */
static int put_head(struct sp_vectors *v)
{
	char head[HEAD + 1];
	const char order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '<' : '>';
	memcpy(head, "\x93NUMPY\x01\x00", 8);
	head[8] = HEAD - 10;
	head[9] = 0;
	const int used = snprintf(head + 10, sizeof head - 10,
	                          "{'descr': '%cf4', 'fortran_order': False, 'shape': (%" PRId64 ", %" PRId64 "), }", order,
	                          v->rows, v->hidden);
	memset(head + 10 + used, ' ', (size_t)(HEAD - 10 - used));
	head[HEAD - 1] = '\n';
	return fwrite(head, 1, HEAD, v->file) == HEAD ? SP_OK : cannot_write(v);
}

int sp_vectors_open(const char *path, enum sp_vectors_format format, int64_t hidden, struct sp_vectors **vectors)
{
	struct sp_vectors *v = calloc(1, sizeof *v);
	if (!v)
		return sp_fail(SP_ERR_MEMORY, "no memory to write vectors");
	v->format = format;
	v->hidden = hidden;
	v->file = stdout;
	int status = path ? create(v, path) : SP_OK;
	if (!status && format == SP_VECTORS_NPY)
		status = put_head(v);
	if (status) {
		sp_vectors_close(v);
		return status;
	}
	*vectors = v;
	return SP_OK;
}

/* ---- rows ---- */

static void print(FILE *file, int64_t hidden, const struct sp_vectors_row *row)
{
	fprintf(file, "{\"index\": %" PRId64 ", \"tokens\": %" PRId64 ", \"truncated\": %s, \"vector\": [", row->index,
	        row->tokens, row->truncated ? "true" : "false");
	for (int64_t j = 0; j < hidden; j++)
		fprintf(file, "%s%.9g", j ? ", " : "", (double)row->value[j]);
	fputs("]}\n", file);
}

int sp_vectors_put(struct sp_vectors *v, const struct sp_vectors_row *row)
{
	v->rows++;
	if (v->format == SP_VECTORS_JSONL)
		print(v->file, v->hidden, row);
	else
		fwrite(row->value, sizeof *row->value, (size_t)v->hidden, v->file);
	return ferror(v->file) ? cannot_write(v) : SP_OK;
}

/* ---- the end ---- */

static int complete(struct sp_vectors *v)
{
	int status = SP_OK;
	if (fflush(v->file) != 0 || fsync(fileno(v->file)) != 0)
		status = cannot_write(v);
	if (fclose(v->file) != 0 && !status)
		status = cannot_write(v);
	v->file = NULL;
	if (!status && rename(v->temporary, v->path) != 0)
		status = sp_fail(SP_ERR_IO, "%s: cannot rename to %s: %s", v->temporary, v->path, strerror(errno));
	if (status)
		unlink(v->temporary);
	return status;
}

int sp_vectors_finish(struct sp_vectors *v)
{
	if (v->format == SP_VECTORS_NPY) {
		if (fseek(v->file, 0, SEEK_SET) != 0)
			return cannot_write(v);
		int status = put_head(v);
		if (status)
			return status;
	}
	if (v->path)
		return complete(v);
	return fflush(v->file) == 0 ? SP_OK : cannot_write(v);
}

void sp_vectors_close(struct sp_vectors *v)
{
	if (!v)
		return;
	if (v->path && v->file) {
		fclose(v->file);
		unlink(v->temporary);
	}
	free(v->path);
	free(v->temporary);
	free(v);
}
