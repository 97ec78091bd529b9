#include "config.h"

#include "plan/classes.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

static int allocate(struct sp_plan_classes *c)
{
	c->plan = calloc((size_t)c->parts, sizeof *c->plan);
	c->of = calloc((size_t)c->parts, sizeof *c->of);
	return c->plan && c->of ? SP_OK : sp_fail(SP_ERR_MEMORY, "no memory for the plans of %d parts", c->parts);
}

/* The class with these figures, a new one if there is none. */
static int class_with(struct sp_plan_classes *c, const struct sp_plan *plan)
{
	int i = 0;
	while (i < c->count && memcmp(&c->plan[i], plan, sizeof *plan) != 0)
		i++;
	if (i == c->count)
		c->plan[c->count++] = *plan;
	return i;
}

int sp_plan_classes_make(const struct sp_plan_input *input, struct sp_plan_classes *classes)
{
	struct sp_plan_input in = *input;
	struct sp_plan plan;
	memset(classes, 0, sizeof *classes);
	classes->tensors = in.model.part.tensors > 1 ? in.model.part.tensors : 1;
	classes->stages = sp_part_stages(&in.model.part);
	classes->parts = classes->stages * classes->tensors;
	int status = allocate(classes);
	for (int i = 0; i < classes->parts && !status; i++) {
		in.model.part.stage = i / classes->tensors;
		in.model.part.tensor = i % classes->tensors;
		status = sp_plan_make(&in, &plan);
		if (!status)
			classes->of[i] = class_with(classes, &plan);
	}
	if (status)
		sp_plan_classes_free(classes);
	return status;
}

void sp_plan_classes_free(struct sp_plan_classes *c)
{
	free(c->plan);
	free(c->of);
	memset(c, 0, sizeof *c);
}

int sp_plan_class_of(const struct sp_plan_classes *c, int stage, int tensor)
{
	return c->of[stage * c->tensors + tensor];
}

const struct sp_plan *sp_plan_classes_largest(const struct sp_plan_classes *c)
{
	const struct sp_plan *largest = &c->plan[0];
	for (int i = 1; i < c->count; i++)
		if (c->plan[i].total > largest->total)
			largest = &c->plan[i];
	return largest;
}
