#include "config.h"

#include "plan/stages.h"

#include "base/log.h"

#include <math.h>
#include <stdlib.h>

/* Runs of layers are numbered as a micro-batch meets them: piece p of stage s is run p stages + s. */
struct play {
	struct sp_pipeline pipeline;
	const struct sp_plan_stage *stages;
	double hop;
	double *ahead, *back; /* [runs][micro-batches] when forward and backward were done; NAN: not yet */
	double *now;          /* [stages] when a stage is free */
	int64_t *done;        /* [stages] works */
};

static double *ended(const struct play *p, int backward, int run, int64_t micro)
{
	return (backward ? p->back : p->ahead) + run * p->pipeline.micro_batches + micro;
}

/* When the input of a work is there; NAN if nobody has made it yet. */
static double ready(const struct play *p, const struct sp_pipeline_work *work, int run)
{
	const int last = p->pipeline.stages * p->pipeline.pieces - 1, from = work->backward ? run + 1 : run - 1;
	if (work->backward && run == last)
		return *ended(p, 0, run, work->micro);
	if (from < 0)
		return 0;
	return *ended(p, work->backward, from, work->micro) + (p->pipeline.stages > 1 ? p->hop : 0);
}

/* Works of one stage until one has to wait for another stage; how many. */
static int64_t go_on(struct play *p, int stage)
{
	const struct sp_plan_stage *s = &p->stages[stage];
	const int64_t before = p->done[stage], all = sp_pipeline_works(&p->pipeline);
	p->pipeline.stage = stage;
	for (; p->done[stage] < all; p->done[stage]++) {
		const struct sp_pipeline_work work = sp_pipeline_work(&p->pipeline, p->done[stage]);
		const int run = work.piece * p->pipeline.stages + stage;
		const double begin = ready(p, &work, run);
		if (isnan(begin))
			break;
		p->now[stage] = fmax(p->now[stage], begin) + (work.backward ? s->backward : s->forward) / p->pipeline.pieces;
		*ended(p, work.backward, run, work.micro) = p->now[stage];
	}
	return p->done[stage] - before;
}

static double play(struct play *p)
{
	const int64_t places = (int64_t)p->pipeline.stages * p->pipeline.pieces * p->pipeline.micro_batches;
	double end = 0;
	for (int64_t i = 0; i < places; i++)
		p->ahead[i] = p->back[i] = NAN;
	for (int64_t moved = 1; moved > 0;) {
		moved = 0;
		for (int s = 0; s < p->pipeline.stages; s++)
			moved += go_on(p, s);
	}
	for (int s = 0; s < p->pipeline.stages; s++)
		end = fmax(end, p->now[s]);
	return end;
}

int sp_plan_stages(const struct sp_pipeline *pipeline, const struct sp_plan_stage *stages, double hop, double *seconds)
{
	const size_t places = (size_t)pipeline->stages * (size_t)pipeline->pieces * (size_t)pipeline->micro_batches;
	struct play p = { .pipeline = *pipeline, .stages = stages, .hop = hop };
	p.ahead = malloc(places * sizeof *p.ahead);
	p.back = malloc(places * sizeof *p.back);
	p.now = calloc((size_t)pipeline->stages, sizeof *p.now);
	p.done = calloc((size_t)pipeline->stages, sizeof *p.done);
	const int there = p.ahead && p.back && p.now && p.done;
	if (there)
		*seconds = play(&p);
	free(p.done);
	free(p.now);
	free(p.back);
	free(p.ahead);
	return there ? SP_OK : sp_fail(SP_ERR_MEMORY, "no memory for the schedule of %zu works", places);
}
