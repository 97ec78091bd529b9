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
