#include "config.h"

#include "parallel/shard.h"

#include "base/size.h"

struct sp_shard sp_shard_of(int64_t length, int ranks, int rank, int64_t multiple)
{
	struct sp_shard s = { .length = length };
	s.chunk = sp_round_up(sp_ceil_div(length, ranks), multiple);
	s.first = s.chunk * rank;
	s.real = sp_max(0, sp_min(s.chunk, length - s.first));
	return s;
}

struct sp_shard sp_shard_cut(int64_t length, const int64_t *cut, int rank, int64_t multiple)
{
	struct sp_shard s = { .length = length, .first = cut[rank], .real = cut[rank + 1] - cut[rank] };
	s.chunk = sp_round_up(sp_max(s.real, 1), multiple);
	return s;
}

int64_t sp_shard_room(int64_t length, int ranks, int64_t multiple, double slack)
{
	const double wanted = (double)sp_ceil_div(length, ranks) * (1 + slack);
	const int64_t most = wanted < (double)length ? (int64_t)wanted : length;
	return sp_round_up(most, multiple);
}
