/* Parametric search, as for the chains-on-chains partitioning problem (Pinar & Aykanat 2004): whether a limit can be kept is
 * seen by giving each rank as much as fits it, one after the other; the least limit that can is found by halving. */
#include "config.h"

#include "parallel/balance.h"

#include <assert.h>

/* The last t in first .. end with before[t] <= limit; before[first] is. */
static int64_t last_within(const int64_t *before, int64_t first, int64_t end, int64_t limit)
{
	while (first < end) {
		const int64_t middle = first + (end - first + 1) / 2;
		if (before[middle] <= limit)
			first = middle;
		else
			end = middle - 1;
	}
	return first;
}

/* Cuts that give nobody more than `limit`; nonzero if that leaves tokens over. */
static int fill(const int64_t *before, int64_t length, int ranks, int64_t most, int64_t limit, int64_t *cut)
{
	cut[0] = 0;
	for (int r = 0; r < ranks; r++) {
		const int64_t end = length - cut[r] > most ? cut[r] + most : length;
		cut[r + 1] = last_within(before, cut[r], end, before[cut[r]] + limit);
	}
	return cut[ranks] != length;
}

int64_t sp_balance_most(const int64_t *before, int ranks, const int64_t *cut)
{
	int64_t most = 0;
	for (int r = 0; r < ranks; r++) {
		const int64_t work = before[cut[r + 1]] - before[cut[r]];
		most = work > most ? work : most;
	}
	return most;
}

int64_t sp_balance_cut(const int64_t *before, int64_t length, int ranks, int64_t most, int64_t *cut)
{
	int64_t low = before[length] / ranks, high = before[length]; /* the least limit that can be kept lies in between */
	while (low < high) {
		const int64_t middle = low + (high - low) / 2;
		if (fill(before, length, ranks, most, middle, cut))
			low = middle + 1;
		else
			high = middle;
	}
	const int over = fill(before, length, ranks, most, high, cut);
	assert(!over);
	(void)over;
	return sp_balance_most(before, ranks, cut);
}
