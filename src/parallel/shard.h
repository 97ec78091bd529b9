/* Which rank holds which token: the one place that decides, with balance.h where parts are of unequal length. May include: base.
 *
 * P ranks share sequences of S tokens; rank s holds tokens [s C, s C + C), C = ceil(S / P) rounded up to what the compute
 * backend asks for. Tokens at S and beyond do not exist: they are padding that is never attended to, predicted or
 * counted. Any S >= 1 works with any P >= 1; ranks may hold nothing but padding.
 *
 * Or each micro-batch is cut where it suits: rank s holds tokens [cut[s], cut[s + 1]), at most sp_shard_room() of them. */
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

/* What is left to rank `rank` by cuts: `chunk` is as many tokens as exist, rounded up, and at least `multiple`. */
struct sp_shard sp_shard_cut(int64_t length, const int64_t *cut, int rank, int64_t multiple);

/* Tokens that a rank must have room for, where it may hold more than its equal share by `slack` of that: C with slack = 0. */
int64_t sp_shard_room(int64_t length, int ranks, int64_t multiple, double slack);

#endif
