#include "config.h"

#include "checkpoint/directory.h"

#include "base/log.h"
#include "checkpoint/durable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char part[] = ".part", gone[] = ".gone", damaged[] = ".damaged";

static const char *const files[] = {
	SP_CHECKPOINT_MODEL,     SP_CHECKPOINT_OPTIMIZER, SP_CHECKPOINT_CONFIG, SP_CHECKPOINT_VOCAB,
	SP_CHECKPOINT_TOKENIZER, SP_CHECKPOINT_SPECIAL,   SP_CHECKPOINT_RECORD, SP_MANIFEST,
};
enum { FILES = sizeof files / sizeof *files, CLAIM_TENTHS = 150 };

static int failed(const char *path, char *why, size_t size)
{
	return sp_say(SP_ERR_IO, why, size, "%s: %s", path, strerror(errno));
}

/* ---- names ---- */

void sp_checkpoint_name(int64_t step, char name[SP_CHECKPOINT_NAME])
{
	snprintf(name, SP_CHECKPOINT_NAME, "step-%08" PRId64, step);
}

/* The step of the name in front of `suffix`, or -1. */
static int64_t step_before(const char *name, const char *suffix)
{
	char again[SP_CHECKPOINT_NAME];
	int64_t step;
	const size_t n = strlen(name), s = strlen(suffix);
	if (n < s || strcmp(name + n - s, suffix) != 0 || sscanf(name, "step-%" SCNd64, &step) != 1 || step < 0)
		return -1;
	sp_checkpoint_name(step, again);
	return strlen(again) == n - s && strncmp(again, name, n - s) == 0 ? step : -1;
}

int64_t sp_checkpoint_step(const char *name)
{
	return step_before(name, "");
}

static void path_of(const char *dir, int64_t step, const char *suffix, char *path, size_t size)
{
	char name[SP_CHECKPOINT_NAME];
	sp_checkpoint_name(step, name);
	snprintf(path, size, "%s/%s%s", dir, name, suffix);
}

void sp_checkpoint_part(const char *dir, int64_t step, char *path, size_t size)
{
	path_of(dir, step, part, path, size);
}

static int is_directory(const char *path)
{
	struct stat info;
	return lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* ---- the list ---- */

static int newest_first(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x < y) - (x > y);
}

/* Steps of all directories with a name that ends so. */
static int list_suffix(const char *dir, const char *suffix, struct sp_checkpoint_list *list, char *why, size_t size)
{
	DIR *d = opendir(dir);
	int status = d ? SP_OK : failed(dir, why, size);
	struct sp_checkpoint_list found = { NULL, 0 };
	for (struct dirent *e; d && !status && (errno = 0, e = readdir(d));) {
		char path[PATH_MAX];
		const int64_t step = step_before(e->d_name, suffix);
		path_of(dir, step, suffix, path, sizeof path);
		if (step < 0 || !is_directory(path))
			continue;
		int64_t *more = realloc(found.step, (size_t)(found.count + 1) * sizeof *more);
		if (!more) {
			status = sp_say(SP_ERR_MEMORY, why, size, "%s: out of memory for its list", dir);
			break;
		}
		found.step = more;
		found.step[found.count++] = step;
	}
	if (d && !status && errno)
		status = failed(dir, why, size);
	if (d)
		closedir(d);
	if (status) {
		free(found.step);
		return status;
	}
	if (found.count)
		qsort(found.step, (size_t)found.count, sizeof *found.step, newest_first);
	*list = found;
	return SP_OK;
}

int sp_checkpoint_list(const char *dir, struct sp_checkpoint_list *list, char *why, size_t size)
{
	return list_suffix(dir, "", list, why, size);
}

/* ---- removing ---- */

static int is_ours(const char *name)
{
	for (int i = 0; i < FILES; i++)
		if (strcmp(name, files[i]) == 0)
			return 1;
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Nothing in it but files of a checkpoint. */
static int holds_only_ours(const char *path)
{
	DIR *d = opendir(path);
	int only = d != NULL;
	for (struct dirent *e; only && (e = readdir(d));)
		only = is_ours(e->d_name);
	if (d)
		closedir(d);
	return only;
}

static int remove_tree(const char *path)
{
	for (int i = 0; i < FILES; i++) {
		char file[PATH_MAX];
		snprintf(file, sizeof file, "%.*s/%s", PATH_MAX - 32, path, files[i]);
		if (unlink(file) != 0 && errno != ENOENT)
			return -1;
	}
	return rmdir(path);
}

static void sweep(const char *dir, const char *suffix)
{
	struct sp_checkpoint_list list = { NULL, 0 };
	char ignored[8];
	if (list_suffix(dir, suffix, &list, ignored, sizeof ignored))
		return;
	for (int i = 0; i < list.count; i++) {
		char path[PATH_MAX];
		path_of(dir, list.step[i], suffix, path, sizeof path);
		(void)remove_tree(path); /* what stays will be tried again, and is in nobody's way */
	}
	free(list.step);
}

void sp_checkpoint_discard(const char *dir, int64_t step)
{
	char path[PATH_MAX];
	sp_checkpoint_part(dir, step, path, sizeof path);
	(void)remove_tree(path);
}

/* Under another name first: a checkpoint is either there or not, also if this is interrupted. */
static int remove_checkpoint(const char *dir, int64_t step)
{
	char path[PATH_MAX], aside[PATH_MAX];
	path_of(dir, step, "", path, sizeof path);
	path_of(dir, step, gone, aside, sizeof aside);
	return rename(path, aside) != 0 ? -1 : remove_tree(aside);
}

/* Damaged ones neither count nor go; the one that has just been written stays in any case. */
static int prune(const char *dir, int64_t written, int64_t keep, char *why, size_t size)
{
	struct sp_checkpoint_list list = { NULL, 0 };
	int64_t whole = 0;
	int status = sp_checkpoint_list(dir, &list, why, size);
	for (int i = 0; i < list.count && !status; i++) {
		char path[PATH_MAX], ignored[8];
		path_of(dir, list.step[i], "", path, sizeof path);
		if (sp_manifest_glance(path, ignored, sizeof ignored) || ++whole <= keep)
			continue;
		if (list.step[i] == written || !holds_only_ours(path))
			continue;
		if (remove_checkpoint(dir, list.step[i]))
			status = failed(path, why, size);
	}
	free(list.step);
	return status;
}

/* ---- claiming ---- */

static int make_directory(const char *dir, char *why, size_t size)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s", dir);
	for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		if (mkdir(path, 0777) != 0 && errno != EEXIST && !is_directory(path))
			return failed(path, why, size);
		*slash = '/';
	}
	return mkdir(path, 0777) == 0 || errno == EEXIST ? SP_OK : failed(path, why, size);
}

/* A run that was just killed may still hold it for a moment. */
static int lock(int fd)
{
	for (int tenths = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; tenths++) {
		if (errno != EWOULDBLOCK)
			return 0;
		if (tenths == CLAIM_TENTHS)
			return -1;
		nanosleep(&(struct timespec){ 0, 100000000L }, NULL);
	}
	return 0;
}

static int try_writing(const char *dir, char *why, size_t size)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/.seqpar-%ld", dir, (long)getpid());
	int status = sp_durable_put(path, "seqpar\n", 7, why, size);
	unlink(path);
	return status;
}

int sp_checkpoint_claim(const char *dir, int *claim, char *why, size_t size)
{
	int status = make_directory(dir, why, size);
	if (status)
		return status;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return failed(dir, why, size);
	if (lock(fd))
		status = sp_say(SP_ERR_IO, why, size, "%s: another run is saving its checkpoints there", dir);
	if (!status)
		status = try_writing(dir, why, size);
	if (status) {
		close(fd);
		return status;
	}
	sweep(dir, part);
	sweep(dir, gone);
	*claim = fd;
	return SP_OK;
}

/* ---- publishing ---- */

int sp_checkpoint_begin(const char *dir, int64_t step, char *why, size_t size)
{
	char path[PATH_MAX];
	sp_checkpoint_part(dir, step, path, sizeof path);
	return mkdir(path, 0777) == 0 || errno == EEXIST ? SP_OK : failed(path, why, size);
}

int sp_checkpoint_put(const char *dir, int64_t step, const char *name, const void *bytes, size_t count,
                      struct sp_manifest *manifest, char *why, size_t size)
{
	char path[PATH_MAX];
	char at[SP_CHECKPOINT_NAME];
	sp_checkpoint_name(step, at);
	snprintf(path, sizeof path, "%s/%s%s/%s", dir, at, part, name);
	int status = sp_durable_put(path, bytes, count, why, size);
	if (!status)
		sp_manifest_add(manifest, name, count, sp_manifest_crc(0, bytes, count));
	return status;
}

/* The name is taken: by a damaged checkpoint, which keeps a name that nobody looks for; a whole one is not replaced. */
static int make_way(const char *dir, int64_t step, const char *path, char *why, size_t size)
{
	char aside[PATH_MAX], suffix[32];
	if (sp_manifest_verify(path, why, size) == SP_OK)
		return sp_say(SP_ERR_IO, why, size, "%s is there already, and whole: another run has written it", path);
	for (int i = 1; i < 1000; i++) {
		snprintf(suffix, sizeof suffix, i > 1 ? "%s-%d" : "%s", damaged, i);
		path_of(dir, step, suffix, aside, sizeof aside);
		if (access(aside, F_OK) != 0)
			return rename(path, aside) == 0 ? SP_OK : failed(path, why, size);
	}
	return sp_say(SP_ERR_IO, why, size, "%s: too many damaged ones beside it", path);
}

static int give_name(const char *dir, int64_t step, char *why, size_t size)
{
	char from[PATH_MAX], to[PATH_MAX];
	sp_checkpoint_part(dir, step, from, sizeof from);
	path_of(dir, step, "", to, sizeof to);
	int status = sp_durable_directory(from, why, size);
	if (!status && access(to, F_OK) == 0)
		status = make_way(dir, step, to, why, size);
	if (!status && rename(from, to) != 0)
		status = failed(from, why, size);
	return status ? status : sp_durable_directory(dir, why, size);
}

static int write_latest(const char *dir, int64_t step, char *why, size_t size)
{
	char path[PATH_MAX], new[PATH_MAX], name[SP_CHECKPOINT_NAME + 1];
	snprintf(path, sizeof path, "%s/latest", dir);
	snprintf(new, sizeof new, "%s/latest%s", dir, part);
	sp_checkpoint_name(step, name);
	strcat(name, "\n");
	int status = sp_durable_put(new, name, strlen(name), why, size);
	if (!status && rename(new, path) != 0)
		status = failed(path, why, size);
	if (status)
		unlink(new);
	return status ? status : sp_durable_directory(dir, why, size);
}

int sp_checkpoint_publish(const char *dir, int64_t step, const struct sp_manifest *manifest, int64_t keep, char *why,
                          size_t size)
{
	char path[PATH_MAX];
	why[0] = 0;
	sp_checkpoint_part(dir, step, path, sizeof path);
	int status = sp_manifest_write(manifest, path, why, size);
	if (!status)
		status = give_name(dir, step, why, size);
	if (!status && !write_latest(dir, step, why, size))
		(void)prune(dir, step, keep, why, size);
	return status;
}
