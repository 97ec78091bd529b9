#include "config.h"

#include "train/share.h"

#include "base/log.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

static int64_t end_of(const struct sp_parameter *p)
{
	return p->offset + p->rows * p->cols;
}

/* Parameters from number `from` on that meet the piece; returns the first that the next piece may meet. */
static int cut(const struct sp_parameters *table, int from, struct sp_reduce_piece piece, int64_t own,
               struct sp_share *share)
{
	const int64_t end = piece.offset + piece.count;
	while (from < table->count && end_of(&table->entry[from]) <= piece.offset)
		from++;
	for (int i = from; i < table->count && table->entry[i].offset < end; i++) {
		const struct sp_parameter *p = &table->entry[i];
		const int64_t first = sp_max(p->offset, piece.offset), last = sp_min(end_of(p), end);
		if (first < last)
			share->part[share->count++] =
				(struct sp_share_part){ i, first - p->offset, last - first, own + first - piece.offset };
	}
	return from;
}

int sp_share_create(const struct sp_reduce *reduce, const struct sp_parameters *table, struct sp_share *share)
{
	const int buckets = sp_reduce_buckets(reduce);
	/* Each part begins with a parameter or with a piece. */
	*share = (struct sp_share){ calloc((size_t)table->count + (size_t)buckets, sizeof *share->part), 0 };
	if (!share->part)
		return sp_fail(SP_ERR_MEMORY, "out of memory for a list of %d parameters", table->count);
	int64_t own = 0;
	for (int b = 0, from = 0; b < buckets; b++) {
		const struct sp_reduce_piece piece = sp_reduce_own(reduce, b);
		from = cut(table, from, piece, own, share);
		own += piece.count;
	}
	return SP_OK;
}

void sp_share_destroy(struct sp_share *share)
{
	free(share->part);
	memset(share, 0, sizeof *share);
}
