/* What reader and writer of token files share; the layout is described in indexed.h. May include: base. */
#ifndef SP_DATA_INDEXED_FORMAT_H
#define SP_DATA_INDEXED_FORMAT_H

#include "data/indexed.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define SP_INDEXED_MAGIC "MMIDIDX\0" /* with the zero byte that ends a C string: 9 bytes */
#define SP_INDEXED_VERSION 1
#define SP_INDEXED_HEADER 34 /* bytes: magic 9, version 8, dtype 1, two counts of 8 */

/* Bytes of a token, 0 for a dtype that is not understood. */
static inline size_t sp_indexed_width(enum sp_indexed_dtype dtype)
{
	return dtype == SP_INDEXED_INT32 ? 4 : dtype == SP_INDEXED_UINT16 ? 2 : 0;
}

/* `prefix` and `ending` as one string for free(), or NULL. */
static inline char *sp_indexed_path(const char *prefix, const char *ending)
{
	size_t lead = strlen(prefix), tail = strlen(ending);
	char *path = malloc(lead + tail + 1);
	if (path) {
		memcpy(path, prefix, lead);
		memcpy(path + lead, ending, tail + 1);
	}
	return path;
}

#endif
