#include "config.h"

#include "checkpoint/durable.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(const char *path, char *why, size_t size)
{
	return sp_say(SP_ERR_IO, why, size, "%s: %s", path, strerror(errno));
}

int sp_durable_write(int fd, const char *path, const void *bytes, size_t count, uint64_t offset, char *why, size_t size)
{
	const char *at = bytes;
	while (count > 0) {
		ssize_t n = pwrite(fd, at, count, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? ENOSPC : errno;
			return failed(path, why, size);
		}
		at += n;
		count -= (size_t)n;
		offset += (uint64_t)n;
	}
	return SP_OK;
}

int sp_durable_close(int fd, const char *path, char *why, size_t size)
{
	int status = fsync(fd) == 0 ? SP_OK : failed(path, why, size);
	if (close(fd) != 0 && !status)
		status = failed(path, why, size);
	return status;
}

int sp_durable_put(const char *path, const void *bytes, size_t count, char *why, size_t size)
{
	char ignored[8];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return failed(path, why, size);
	int status = sp_durable_write(fd, path, bytes, count, 0, why, size);
	int closed = sp_durable_close(fd, path, status ? ignored : why, status ? sizeof ignored : size);
	return status ? status : closed;
}

int sp_durable_directory(const char *path, char *why, size_t size)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return failed(path, why, size);
	/* Some file systems do not know fsync of a directory; there is then nothing more to be done. */
	int status = fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP ? SP_OK : failed(path, why, size);
	close(fd);
	return status;
}

static int read_open(int fd, const char *path, size_t limit, char **bytes, size_t *count, char *why, size_t size)
{
	struct stat info;
	if (fstat(fd, &info) != 0)
		return failed(path, why, size);
	if (!S_ISREG(info.st_mode))
		return sp_say(SP_ERR_IO, why, size, "%s: not a regular file", path);
	if ((uint64_t)info.st_size > limit)
		return sp_say(SP_ERR_FORMAT, why, size, "%s: %lld bytes are more than such a file holds (%zu at most)", path,
		              (long long)info.st_size, limit);
	char *text = malloc((size_t)info.st_size + 1);
	if (!text)
		return sp_say(SP_ERR_MEMORY, why, size, "%s: out of memory for %lld bytes", path, (long long)info.st_size);
	size_t have = 0;
	for (ssize_t n = 1; have < (size_t)info.st_size && n != 0; have += n > 0 ? (size_t)n : 0) {
		n = read(fd, text + have, (size_t)info.st_size - have);
		if (n < 0 && errno != EINTR) {
			free(text);
			return failed(path, why, size);
		}
	}
	text[have] = 0;
	*bytes = text;
	*count = have;
	return SP_OK;
}

int sp_durable_read(const char *path, size_t limit, char **bytes, size_t *count, char *why, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return failed(path, why, size);
	int status = read_open(fd, path, limit, bytes, count, why, size);
	close(fd);
	return status;
}
