/* When the stages of a pipeline are done, if their works take as long as one says. May include: base, parallel. */
#ifndef SP_PLAN_STAGES_H
#define SP_PLAN_STAGES_H

#include "parallel/pipeline.h"

/* Of one stage, for a micro-batch: seconds of all its pieces together, which take the same time each. */
struct sp_plan_stage {
	double forward, backward;
};

/* Plays the works of all stages in their order (sp_pipeline_work): each begins when its stage is free and its input has
 * come, `hop` seconds after another stage has made it.
 *   pipeline  `stage` is not looked at   stages [pipeline->stages]   seconds  until the last stage is done
 * SP_ERR_MEMORY, logged. */
int sp_plan_stages(const struct sp_pipeline *pipeline, const struct sp_plan_stage *stages, double hop, double *seconds);

#endif
