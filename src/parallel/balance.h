/* Cutting a sequence into runs of tokens, one a rank, so that the rank with most work has as little as can be. May include: libc.
 *
 * Integers, so that all ranks find the same cuts and need not tell each other. */
#ifndef SP_PARALLEL_BALANCE_H
#define SP_PARALLEL_BALANCE_H

#include <stdint.h>

/* before[t], t = 0 .. length: work of the tokens before t; before[0] = 0, and it does not fall. Rank r gets tokens
 * [cut[r], cut[r + 1]), cut[0] = 0, cut[ranks] = length, at most `most` of them; ranks x most must be at least `length`.
 * Returns the work of the rank that has most: no other cuts give less. In time ranks x log(length) x log(work). */
int64_t sp_balance_cut(const int64_t *before, int64_t length, int ranks, int64_t most, int64_t *cut);

/* Work of the rank that has most with these cuts. */
int64_t sp_balance_most(const int64_t *before, int ranks, const int64_t *cut);

#endif
