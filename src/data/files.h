/* The files that the words of a command line stand for. May include: base. */
#ifndef SP_DATA_FILES_H
#define SP_DATA_FILES_H

#include <stddef.h>
#include <stdint.h>

struct sp_file {
	char *path;
	int64_t size; /* bytes; -1: not known, as of a pipe */
};

/* All zero: an empty list. */
struct sp_files {
	struct sp_file *file;
	size_t count, room;
	int64_t size; /* sum of the known sizes */
};

/* Lists `path`: a file as it is, "-" (standard input) too, a directory as all regular files below it, each level in
 * the order of names (bytes), without names that begin with a dot and without following links to directories.
 * SP_ERR_IO if something is missing, not readable, or if a directory holds no file; SP_ERR_MEMORY. Logged; the list is
 * to be freed in any case. */
int sp_files_list(const char *const *path, size_t count, struct sp_files *files);
void sp_files_free(struct sp_files *f);

#endif
