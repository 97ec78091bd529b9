/* A file that several processes write together: each puts pieces at their places and sums them up; from the sums of all
 * pieces follows that of the file, which nobody has to read again. May include: base, checkpoint.
 *
 * Nothing here logs; reasons are put into `why`. */
#ifndef SP_CHECKPOINT_PIECES_H
#define SP_CHECKPOINT_PIECES_H

#include <stddef.h>
#include <stdint.h>

/* Bytes [begin, end) of a file. Plain data, sent between processes as it is. */
struct sp_piece {
	uint64_t begin, end;
	uint32_t crc;
	int32_t file; /* which of several, as the caller counts them */
};

/* Writes the bytes and fills p->crc; p->begin is given, p->end is filled. SP_ERR_IO. */
int sp_piece_put(struct sp_piece *p, int fd, const char *path, const void *bytes, size_t count, char *why, size_t size);
/* The same for floats, stored as little-endian float32. */
int sp_piece_put_floats(struct sp_piece *p, int fd, const char *path, const float *values, int64_t count, char *why,
                        size_t size);

/* The checksum of file number `file`, of `bytes` bytes, from its pieces among `count` ones in any order; sorts them.
 * SP_ERR_FORMAT if they leave gaps or overlap. */
int sp_pieces_join(struct sp_piece *piece, size_t count, int file, uint64_t bytes, uint32_t *crc, char *why, size_t size);

#endif
