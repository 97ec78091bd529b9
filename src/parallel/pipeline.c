#include "config.h"

#include "parallel/pipeline.h"

#include "base/log.h"
#include "base/size.h"

int sp_pipeline_check(const struct sp_pipeline *p)
{
	if (p->pieces == 1 || p->micro_batches % p->stages == 0)
		return SP_OK;
	return sp_fail(SP_ERR_SETTING,
	               "parallel.virtual_stages = %d wants micro-batches in groups of parallel.pipeline = %d, but a data rank has "
	               "%lld in a step: change train.global_batch or train.micro_batch",
	               p->pieces, p->stages, (long long)p->micro_batches);
}

/* Of one direction. */
static int64_t works_one_way(const struct sp_pipeline *p)
{
	return p->micro_batches * p->pieces;
}

int64_t sp_pipeline_works(const struct sp_pipeline *p)
{
	return (p->forward_only ? 1 : 2) * works_one_way(p);
}

struct sp_pipeline_work sp_pipeline_forward(const struct sp_pipeline *p, int64_t i)
{
	const int64_t round = (int64_t)p->stages * p->pieces, group = i / round, at = i % round;
	if (p->pieces == 1)
		return (struct sp_pipeline_work){ 0, 0, i };
	return (struct sp_pipeline_work){ 0, (int)(at / p->stages), group * p->stages + at % p->stages };
}

struct sp_pipeline_work sp_pipeline_backward(const struct sp_pipeline *p, int64_t i)
{
	struct sp_pipeline_work work = sp_pipeline_forward(p, i);
	work.backward = 1;
	work.piece = p->pieces - 1 - work.piece;
	return work;
}

/* Forward works before the first that is followed by a backward one. With several pieces those that the last stage needs
 * to get to the end of the model, and two for each stage behind this one, because it is two works until a micro-batch that
 * has gone to the next stage can be followed by what comes back. */
static int64_t warm_up(const struct sp_pipeline *p)
{
	const int64_t behind = p->stages - 1 - p->stage;
	const int64_t most = p->pieces == 1 ? behind : 2 * behind + (int64_t)(p->pieces - 1) * p->stages;
	return sp_min(most, works_one_way(p));
}

struct sp_pipeline_work sp_pipeline_work(const struct sp_pipeline *p, int64_t i)
{
	const int64_t all = works_one_way(p), first = p->forward_only ? all : warm_up(p), turns = all - first;
	if (i < first)
		return sp_pipeline_forward(p, i);
	i -= first;
	if (i >= 2 * turns)
		return sp_pipeline_backward(p, i - turns);
	return i % 2 == 0 ? sp_pipeline_forward(p, first + i / 2) : sp_pipeline_backward(p, i / 2);
}

int sp_pipeline_slots(const struct sp_pipeline *p, int piece)
{
	int between = 0, most = 1;
	for (int64_t i = 0; !p->forward_only && i < sp_pipeline_works(p); i++) {
		const struct sp_pipeline_work work = sp_pipeline_work(p, i);
		if (work.piece != piece)
			continue;
		between += work.backward ? -1 : 1;
		most = between > most ? between : most;
	}
	return most;
}

double sp_pipeline_bubble(const struct sp_pipeline *p)
{
	const double waits = p->stages - 1;
	return waits / ((double)works_one_way(p) + waits);
}

int sp_pipeline_before(const struct sp_pipeline *p, int piece)
{
	if (p->stage > 0)
		return p->stage - 1;
	return piece > 0 ? p->stages - 1 : -1;
}

int sp_pipeline_after(const struct sp_pipeline *p, int piece)
{
	if (p->stage < p->stages - 1)
		return p->stage + 1;
	return piece < p->pieces - 1 ? 0 : -1;
}
