#include "config.h"

#include "checkpoint/pieces.h"

#include "base/log.h"
#include "checkpoint/durable.h"
#include "checkpoint/manifest.h"

#include <inttypes.h>
#include <stdlib.h>

enum { BLOCK = 1 << 14 }; /* floats */

int sp_piece_put(struct sp_piece *p, int fd, const char *path, const void *bytes, size_t count, char *why, size_t size)
{
	p->end = p->begin + count;
	p->crc = sp_manifest_crc(0, bytes, count);
	return sp_durable_write(fd, path, bytes, count, p->begin, why, size);
}

static void encode(const float *values, int64_t count, unsigned char *bytes)
{
	for (int64_t i = 0; i < count; i++, bytes += 4) {
		union {
			float value;
			uint32_t bits;
		} x = { values[i] };
		bytes[0] = (unsigned char)x.bits;
		bytes[1] = (unsigned char)(x.bits >> 8);
		bytes[2] = (unsigned char)(x.bits >> 16);
		bytes[3] = (unsigned char)(x.bits >> 24);
	}
}

int sp_piece_put_floats(struct sp_piece *p, int fd, const char *path, const float *values, int64_t count, char *why,
                        size_t size)
{
	unsigned char block[4 * BLOCK];
	int status = SP_OK;
	p->end = p->begin;
	p->crc = 0;
	for (int64_t at = 0; at < count && !status; at += BLOCK) {
		const int64_t n = count - at < BLOCK ? count - at : BLOCK;
		encode(values + at, n, block);
		p->crc = sp_manifest_crc(p->crc, block, 4 * (size_t)n);
		status = sp_durable_write(fd, path, block, 4 * (size_t)n, p->end, why, size);
		p->end += 4 * (uint64_t)n;
	}
	return status;
}

static int in_order(const void *left, const void *right)
{
	const struct sp_piece *a = left, *b = right;
	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	if (a->begin != b->begin)
		return a->begin < b->begin ? -1 : 1;
	return (a->end > b->end) - (a->end < b->end);
}

int sp_pieces_join(struct sp_piece *piece, size_t count, int file, uint64_t bytes, uint32_t *crc, char *why, size_t size)
{
	uint64_t at = 0;
	uint32_t sum = 0;
	qsort(piece, count, sizeof *piece, in_order);
	for (size_t i = 0; i < count; i++) {
		if (piece[i].file != file)
			continue;
		if (piece[i].begin != at || piece[i].end < at)
			break;
		sum = sp_manifest_crc_join(sum, piece[i].crc, piece[i].end - at);
		at = piece[i].end;
	}
	if (at != bytes)
		return sp_say(SP_ERR_FORMAT, why, size, "the pieces of file %d end at %" PRIu64 " of %" PRIu64 " bytes", file, at,
		              bytes);
	*crc = sum;
	return SP_OK;
}
