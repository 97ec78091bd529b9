/* The file `checksums` of a checkpoint: what its other files must be, so that a damaged one is noticed and named. May
 * include: base, zlib, checkpoint.
 *
 * Text, a line for each file: CRC-32 (eight hexadecimal digits), bytes, name; after a first line that says what this
 * is. The last line is about the lines above it. It is written when all other files are on the disk: a directory that
 * has it, and agrees with it, is a complete checkpoint. Nothing here logs; reasons are put into `why`. */
#ifndef SP_CHECKPOINT_MANIFEST_H
#define SP_CHECKPOINT_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#define SP_MANIFEST "checksums"
enum { SP_MANIFEST_ENTRIES = 16, SP_MANIFEST_NAME = 64 };

struct sp_manifest_entry {
	char name[SP_MANIFEST_NAME]; /* no directory */
	uint64_t bytes;
	uint32_t crc;
};

struct sp_manifest {
	struct sp_manifest_entry entry[SP_MANIFEST_ENTRIES];
	int count;
};

/* CRC-32 of a file's beginning goes on with `count` more bytes; that of no bytes is 0. */
uint32_t sp_manifest_crc(uint32_t crc, const void *bytes, size_t count);
/* CRC-32 of A followed by B, from theirs and the length of B. */
uint32_t sp_manifest_crc_join(uint32_t a, uint32_t b, uint64_t bytes_of_b);

/* There is room for SP_MANIFEST_ENTRIES. */
void sp_manifest_add(struct sp_manifest *m, const char *name, uint64_t bytes, uint32_t crc);
const struct sp_manifest_entry *sp_manifest_find(const struct sp_manifest *m, const char *name); /* NULL: none */

/* Writes DIR/checksums, through to the disk. SP_ERR_IO. */
int sp_manifest_write(const struct sp_manifest *m, const char *dir, char *why, size_t size);
/* SP_ERR_IO, SP_ERR_FORMAT: missing, empty, cut short, damaged. */
int sp_manifest_read(const char *dir, struct sp_manifest *m, char *why, size_t size);

/* Reads every file of DIR and compares; the first that is missing, of another size or different is named in `why`, with
 * what is wrong. SP_ERR_IO, SP_ERR_FORMAT. */
int sp_manifest_verify(const char *dir, char *why, size_t size);
/* The same but for the contents: as good as is possible without reading everything. */
int sp_manifest_glance(const char *dir, char *why, size_t size);

#endif
