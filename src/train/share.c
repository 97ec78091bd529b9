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
		for (int64_t at = first; at < last;) {
			const struct sp_parameter_run run = sp_parameter_run(p, at - p->offset);
			const int64_t count = sp_min(run.count, last - at);
			if (share->part)
				share->part[share->count] = (struct sp_share_part){ i, run.whole, count, own + at - piece.offset };
			share->count++;
			at += count;
		}
	}
	return from;
}

/* The same walk counts, without memory, and fills. */
static void walk(const struct sp_reduce *reduce, struct sp_reduce_piece (*piece_of)(const struct sp_reduce *r, int i),
                 const struct sp_parameters *table, struct sp_share *share)
{
	int64_t own = 0;
	share->count = 0;
	for (int b = 0, from = 0; b < sp_reduce_buckets(reduce); b++) {
		const struct sp_reduce_piece piece = piece_of(reduce, b);
		from = cut(table, from, piece, own, share);
		own += piece.count;
	}
}

int sp_share_create(const struct sp_reduce *reduce, struct sp_reduce_piece (*piece_of)(const struct sp_reduce *r, int i),
                    const struct sp_parameters *table, struct sp_share *share)
{
	*share = (struct sp_share){ NULL, 0 };
	walk(reduce, piece_of, table, share);
	share->part = calloc((size_t)share->count + 1, sizeof *share->part);
	if (!share->part)
		return sp_fail(SP_ERR_MEMORY, "out of memory for a list of %d pieces of parameters", share->count);
	walk(reduce, piece_of, table, share);
	return SP_OK;
}

void sp_share_destroy(struct sp_share *share)
{
	free(share->part);
	memset(share, 0, sizeof *share);
}
