#include "config.h"

#include "checkpoint/manifest.h"

#include "base/log.h"
#include "checkpoint/durable.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static const char first_line[] = "seqpar checksums 1\n";

enum { TEXT = 128 * (SP_MANIFEST_ENTRIES + 2), BLOCK = 1 << 20 };

uint32_t sp_manifest_crc(uint32_t crc, const void *bytes, size_t count)
{
	return (uint32_t)crc32_z(crc, bytes, count);
}

uint32_t sp_manifest_crc_join(uint32_t a, uint32_t b, uint64_t bytes_of_b)
{
	return (uint32_t)crc32_combine(a, b, (z_off_t)bytes_of_b);
}

void sp_manifest_add(struct sp_manifest *m, const char *name, uint64_t bytes, uint32_t crc)
{
	assert(m->count < SP_MANIFEST_ENTRIES && strlen(name) < SP_MANIFEST_NAME);
	struct sp_manifest_entry *e = &m->entry[m->count++];
	*e = (struct sp_manifest_entry){ .bytes = bytes, .crc = crc };
	memcpy(e->name, name, strlen(name));
}

const struct sp_manifest_entry *sp_manifest_find(const struct sp_manifest *m, const char *name)
{
	for (int i = 0; i < m->count; i++)
		if (strcmp(m->entry[i].name, name) == 0)
			return &m->entry[i];
	return NULL;
}

/* ---- writing ---- */

static size_t add_line(char *text, size_t at, const char *name, uint64_t bytes, uint32_t crc)
{
	return at + (size_t)snprintf(text + at, TEXT - at, "%08" PRIx32 " %" PRIu64 " %s\n", crc, bytes, name);
}

int sp_manifest_write(const struct sp_manifest *m, const char *dir, char *why, size_t size)
{
	char text[TEXT], path[PATH_MAX];
	size_t n = sizeof first_line - 1;
	memcpy(text, first_line, n);
	for (int i = 0; i < m->count; i++)
		n = add_line(text, n, m->entry[i].name, m->entry[i].bytes, m->entry[i].crc);
	n = add_line(text, n, SP_MANIFEST, n, sp_manifest_crc(0, text, n));
	snprintf(path, sizeof path, "%s/" SP_MANIFEST, dir);
	return sp_durable_put(path, text, n, why, size);
}

/* ---- reading ---- */

/* One line, its end a zero byte now. Only what add_line writes is taken. */
static int parse_line(const char *line, struct sp_manifest_entry *e)
{
	int at = 0;
	char again[TEXT];
	memset(e, 0, sizeof *e);
	if (sscanf(line, "%8" SCNx32 " %" SCNu64 " %n", &e->crc, &e->bytes, &at) != 2 || at == 0)
		return -1;
	const size_t n = strlen(line + at);
	if (n == 0 || n >= sizeof e->name || strchr(line + at, '/') || line[at] == '.')
		return -1;
	memcpy(e->name, line + at, n);
	again[add_line(again, 0, e->name, e->bytes, e->crc) - 1] = 0;
	return strcmp(again, line) == 0 ? 0 : -1;
}

static int parse_lines(char *text, struct sp_manifest *m)
{
	if (strncmp(text, first_line, sizeof first_line - 1) != 0)
		return -1;
	memset(m, 0, sizeof *m);
	for (char *line = text + sizeof first_line - 1, *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = 0;
		if (m->count == SP_MANIFEST_ENTRIES || parse_line(line, &m->entry[m->count]))
			return -1;
		m->count++;
	}
	return 0;
}

/* What is wrong with the text, or NULL. The last line is taken away. */
static const char *check_last_line(char *text, size_t n)
{
	struct sp_manifest_entry last;
	if (n == 0)
		return "is empty";
	if (strlen(text) != n)
		return "is damaged";
	if (text[n - 1] != '\n')
		return "is cut short";
	text[n - 1] = 0;
	char *line = strrchr(text, '\n');
	if (!line || parse_line(line + 1, &last) || strcmp(last.name, SP_MANIFEST) != 0)
		return "is cut short or damaged";
	line[1] = 0;
	const size_t above = (size_t)(line + 1 - text);
	return last.bytes == above && last.crc == sp_manifest_crc(0, text, above) ? NULL : "is damaged";
}

int sp_manifest_read(const char *dir, struct sp_manifest *m, char *why, size_t size)
{
	char path[PATH_MAX], *text;
	size_t n;
	snprintf(path, sizeof path, "%s/" SP_MANIFEST, dir);
	if (access(path, F_OK) != 0 && errno == ENOENT)
		return sp_say(SP_ERR_FORMAT, why, size, SP_MANIFEST " is missing");
	int status = sp_durable_read(path, TEXT, &text, &n, why, size);
	if (status)
		return status;
	const char *wrong = check_last_line(text, n);
	if (!wrong && parse_lines(text, m))
		wrong = "is of a form that this version does not know";
	free(text);
	return wrong ? sp_say(SP_ERR_FORMAT, why, size, SP_MANIFEST " %s", wrong) : SP_OK;
}

/* ---- comparing ---- */

static int sum_file(int fd, const char *name, void *block, uint32_t *crc, char *why, size_t size)
{
	*crc = 0;
	for (;;) {
		ssize_t n = read(fd, block, BLOCK);
		if (n == 0)
			return SP_OK;
		if (n > 0)
			*crc = sp_manifest_crc(*crc, block, (size_t)n);
		else if (errno != EINTR)
			return sp_say(SP_ERR_IO, why, size, "%s cannot be read: %s", name, strerror(errno));
	}
}

static int compare_open(int fd, const struct sp_manifest_entry *e, void *block, char *why, size_t size)
{
	struct stat info;
	uint32_t crc = e->crc;
	if (fstat(fd, &info) != 0)
		return sp_say(SP_ERR_IO, why, size, "%s cannot be read: %s", e->name, strerror(errno));
	if (!S_ISREG(info.st_mode))
		return sp_say(SP_ERR_FORMAT, why, size, "%s is not a file", e->name);
	if ((uint64_t)info.st_size != e->bytes)
		return sp_say(SP_ERR_FORMAT, why, size, "%s %s: %lld bytes instead of %" PRIu64, e->name,
		              info.st_size == 0                 ? "is empty" :
		              (uint64_t)info.st_size < e->bytes ? "is cut short" :
		                                                  "is too long",
		              (long long)info.st_size, e->bytes);
	int status = block ? sum_file(fd, e->name, block, &crc, why, size) : SP_OK;
	if (!status && crc != e->crc)
		status = sp_say(SP_ERR_FORMAT, why, size, "%s is damaged: checksum %08" PRIx32 " instead of %08" PRIx32, e->name,
		                crc, e->crc);
	return status;
}

static int compare(const char *dir, const struct sp_manifest_entry *e, void *block, char *why, size_t size)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/%s", dir, e->name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return sp_say(SP_ERR_FORMAT, why, size, "%s is missing", e->name);
	if (fd < 0)
		return sp_say(SP_ERR_IO, why, size, "%s cannot be opened: %s", e->name, strerror(errno));
	int status = compare_open(fd, e, block, why, size);
	close(fd);
	return status;
}

/* With `block`, room for BLOCK bytes, contents too. */
static int compare_all(const char *dir, void *block, char *why, size_t size)
{
	struct sp_manifest m = { .count = 0 };
	int status = sp_manifest_read(dir, &m, why, size);
	for (int i = 0; i < m.count && !status; i++)
		status = compare(dir, &m.entry[i], block, why, size);
	return status;
}

int sp_manifest_verify(const char *dir, char *why, size_t size)
{
	void *block = malloc(BLOCK);
	if (!block)
		return sp_say(SP_ERR_MEMORY, why, size, "out of memory to read %s", dir);
	int status = compare_all(dir, block, why, size);
	free(block);
	return status;
}

int sp_manifest_glance(const char *dir, char *why, size_t size)
{
	return compare_all(dir, NULL, why, size);
}
