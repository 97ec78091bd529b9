#include "config.h"

#include "data/files.h"

#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int add(struct sp_files *f, const char *path, int64_t size)
{
	if (f->count == f->room) {
		size_t room = f->room ? 2 * f->room : 16;
		struct sp_file *more = realloc(f->file, room * sizeof *more);
		if (!more)
			return sp_fail(SP_ERR_MEMORY, "no memory for a list of %zu files", room);
		f->file = more;
		f->room = room;
	}
	char *copy = strdup(path);
	if (!copy)
		return sp_fail(SP_ERR_MEMORY, "no memory for a list of %zu files", f->count + 1);
	f->file[f->count++] = (struct sp_file){ .path = copy, .size = size };
	f->size += size > 0 ? size : 0;
	return SP_OK;
}

static int cannot(const char *path, const char *what)
{
	return sp_fail(SP_ERR_IO, "%s: cannot %s: %s", path, what, strerror(errno));
}

static int list_directory(const char *path, struct sp_files *files);

/* Whatever is neither a file nor a directory is left out, and so is a link to a directory: it could lead back. */
static int list_entry(const char *directory, const char *name, struct sp_files *files)
{
	size_t length = strlen(directory);
	char *path = NULL;
	struct stat own, info;
	int status = SP_OK;
	if (asprintf(&path, "%s%s%s", directory, length && directory[length - 1] == '/' ? "" : "/", name) < 0)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory to list it", directory);
	if (lstat(path, &own) != 0 || stat(path, &info) != 0)
		status = cannot(path, "find the file");
	else if (S_ISREG(info.st_mode))
		status = access(path, R_OK) == 0 ? add(files, path, info.st_size) : cannot(path, "read it");
	else if (S_ISDIR(own.st_mode))
		status = list_directory(path, files);
	free(path);
	return status;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* By bytes, whatever the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int list_directory(const char *path, struct sp_files *files)
{
	struct dirent **entry;
	int count = scandir(path, &entry, is_visible, by_name), status = SP_OK;
	if (count < 0)
		return cannot(path, "read the directory");
	for (int i = 0; i < count; i++) {
		if (status == SP_OK)
			status = list_entry(path, entry[i]->d_name, files);
		free(entry[i]);
	}
	free(entry);
	return status;
}

static int list_word(const char *path, struct sp_files *files)
{
	struct stat info;
	size_t before = files->count;
	if (strcmp(path, "-") == 0)
		return add(files, path, -1);
	if (stat(path, &info) != 0)
		return cannot(path, "find the file");
	if (access(path, R_OK) != 0)
		return cannot(path, "read it");
	if (!S_ISDIR(info.st_mode))
		return add(files, path, S_ISREG(info.st_mode) ? info.st_size : -1);
	int status = list_directory(path, files);
	if (status == SP_OK && files->count == before)
		return sp_fail(SP_ERR_IO, "%s: there is no file in this directory", path);
	return status;
}

int sp_files_list(const char *const *path, size_t count, struct sp_files *files)
{
	int status = SP_OK;
	for (size_t i = 0; i < count && status == SP_OK; i++)
		status = list_word(path[i], files);
	return status;
}

void sp_files_free(struct sp_files *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->file[i].path);
	free(f->file);
	*f = (struct sp_files){ 0 };
}
