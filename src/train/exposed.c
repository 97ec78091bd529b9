#include "config.h"

#include "train/exposed.h"

const char *sp_exposed_name(enum sp_exposed_kind kind)
{
	static const char *const names[] = { "ring", "pipeline", "tensor", "gradient", "parameter", "other" };
	return names[kind];
}

struct sp_exposed sp_exposed_read(const struct sp_grid *grid, const struct sp_reduce *reduce)
{
	static const enum sp_exposed_kind kinds[SP_GROUPS] = {
		[SP_GROUP_SEQUENCE] = SP_EXPOSED_RING,
		[SP_GROUP_TENSOR] = SP_EXPOSED_TENSOR,
		[SP_GROUP_PIPELINE] = SP_EXPOSED_PIPELINE,
		[SP_GROUP_REPLICAS] = SP_EXPOSED_PARAMETER,
	};
	const struct sp_comm_counters world = sp_comm_counters(grid->world);
	const struct sp_comm_counters back = sp_comm_counters(grid->back);
	const struct sp_reduce_times times = sp_reduce_times(reduce);
	struct sp_exposed e = { .reducing = times.sums, .bytes = world.bytes + back.bytes };
	e.seconds[SP_EXPOSED_OTHER] = world.exposed;
	e.seconds[SP_EXPOSED_PIPELINE] = back.exposed;
	for (int g = 0; g < SP_GROUPS; g++) {
		const struct sp_comm_counters own = sp_comm_counters(grid->group[g]);
		e.seconds[kinds[g]] += own.exposed;
		e.bytes += own.bytes;
	}
	/* Both directions use the same group. */
	e.seconds[SP_EXPOSED_GRADIENT] = times.sums_exposed;
	e.seconds[SP_EXPOSED_PARAMETER] -= times.sums_exposed;
	return e;
}

struct sp_exposed sp_exposed_since(const struct sp_exposed *before, const struct sp_exposed *now)
{
	struct sp_exposed e = { .reducing = now->reducing - before->reducing, .bytes = now->bytes - before->bytes };
	for (int k = 0; k < SP_EXPOSED_KINDS; k++)
		e.seconds[k] = now->seconds[k] - before->seconds[k];
	return e;
}

double sp_exposed_sum(const struct sp_exposed *exposed)
{
	double sum = 0;
	for (int k = 0; k < SP_EXPOSED_KINDS; k++)
		sum += exposed->seconds[k];
	return sum;
}
