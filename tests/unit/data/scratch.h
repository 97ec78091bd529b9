/* A directory of its own for a test's files. May include: libc. */
#ifndef SP_TESTS_SCRATCH_H
#define SP_TESTS_SCRATCH_H

#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[512];

static inline void scratch_make(void)
{
	const char *top = getenv("TMPDIR");
	snprintf(scratch, sizeof scratch, "%s/seqpar-test-XXXXXX", top ? top : "/tmp");
	if (!mkdtemp(scratch))
		abort();
}

static inline void scratch_remove(void)
{
	char *const top[] = { scratch, NULL };
	FTS *tree = fts_open(top, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	for (FTSENT *entry; tree && (entry = fts_read(tree));)
		if (entry->fts_info != FTS_D) /* directories when they are left, and then empty */
			remove(entry->fts_path);
	if (tree)
		fts_close(tree);
}

/* scratch/name, in one of a few buffers that are used in turn. */
static inline const char *scratch_path(const char *name)
{
	static char path[4][1024];
	static int turn;
	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof path[turn], "%s/%s", scratch, name);
	return path[turn];
}

static inline const char *scratch_write(const char *name, const void *bytes, size_t size)
{
	const char *path = scratch_path(name);
	FILE *file = fopen(path, "wb");
	if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
		abort();
	return path;
}

/* The whole file, for free(). */
static inline unsigned char *scratch_read(const char *name, size_t *size)
{
	FILE *file = fopen(scratch_path(name), "rb");
	if (!file || fseek(file, 0, SEEK_END) != 0)
		abort();
	*size = (size_t)ftell(file);
	rewind(file);
	unsigned char *bytes = malloc(*size + 1);
	if (!bytes || fread(bytes, 1, *size, file) != *size)
		abort();
	fclose(file);
	return bytes;
}

#endif
