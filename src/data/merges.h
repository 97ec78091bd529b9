/* Joining the most frequent neighbours in a collection of symbol sequences, over and over. May include: base. */
#ifndef SP_DATA_MERGES_H
#define SP_DATA_MERGES_H

#include <stddef.h>
#include <stdint.h>

struct sp_pair {
	int32_t a, b;
	int64_t count;
};

struct sp_merges;

int sp_merges_new(struct sp_merges **merges);
void sp_merges_free(struct sp_merges *m); /* NULL accepted */

/* Adds a sequence (copied) that occurs `count` times. All are added before the first call of sp_merges_best.
 * SP_ERR_MEMORY. */
int sp_merges_add(struct sp_merges *m, const int32_t *symbol, size_t size, int64_t count);

/* The pair of neighbours with the highest count, the smallest (a, b) of several: 1; 0 if none has at least `least`;
 * SP_ERR_MEMORY. */
int sp_merges_best(struct sp_merges *m, int64_t least, struct sp_pair *pair);
/* Puts `symbol` for every such pair, from the left. SP_ERR_MEMORY. */
int sp_merges_join(struct sp_merges *m, const struct sp_pair *pair, int32_t symbol);

#endif
