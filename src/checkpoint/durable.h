/* Writing files so that they are whole on the disk. May include: libc.
 *
 * Nothing here logs: what went wrong is put in words into `why`, because these functions also run on threads beside the
 * one that speaks. */
#ifndef SP_CHECKPOINT_DURABLE_H
#define SP_CHECKPOINT_DURABLE_H

#include <stddef.h>
#include <stdint.h>

/* All of `bytes` at `offset` of a file; `path` is for messages. SP_ERR_IO. */
int sp_durable_write(int fd, const char *path, const void *bytes, size_t count, uint64_t offset, char *why, size_t size);
/* fsync, then close, also after a failure. SP_ERR_IO. */
int sp_durable_close(int fd, const char *path, char *why, size_t size);
/* A whole file, new or in place of an old one. SP_ERR_IO; what is left then is the caller's to remove. */
int sp_durable_put(const char *path, const void *bytes, size_t count, char *why, size_t size);
/* Names in a directory: made, renamed, removed. SP_ERR_IO. */
int sp_durable_directory(const char *path, char *why, size_t size);
/* Reads a whole file of at most `limit` bytes into memory of the caller's to free, a zero byte behind it.
 * SP_ERR_IO, SP_ERR_FORMAT (too long), SP_ERR_MEMORY. */
int sp_durable_read(const char *path, size_t limit, char **bytes, size_t *count, char *why, size_t size);

#endif
