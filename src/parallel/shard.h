/* Which rank holds which token: the one place that decides. May include: base.
 *
 * P ranks share sequences of S tokens; rank s holds tokens [s C, s C + C), C = ceil(S / P) rounded up to what the compute
 * backend asks for. Tokens at S and beyond do not exist: they are padding that is never attended to, predicted or
 * counted. Any S >= 1 works with any P >= 1; ranks may hold nothing but padding. */
#ifndef SP_PARALLEL_SHARD_H
#define SP_PARALLEL_SHARD_H

#include <stdint.h>

struct sp_shard {
	int64_t length; /* S, real tokens of a sequence */
	int64_t chunk;  /* C, tokens every rank holds, padding included */
	int64_t first;  /* first global token of this rank */
	int64_t real;   /* how many of its C tokens exist: 0 .. C */
};

struct sp_shard sp_shard_of(int64_t length, int ranks, int rank, int64_t multiple);

#endif
