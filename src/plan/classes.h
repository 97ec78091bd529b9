/* The plans of all parts that a model is cut into, equal ones together. May include: plan. */
#ifndef SP_PLAN_CLASSES_H
#define SP_PLAN_CLASSES_H

#include "plan/plan.h"

/* Ranks of one class need the same of everything. */
struct sp_plan_classes {
	int stages, tensors;
	int parts, count;     /* parts of the model, classes */
	struct sp_plan *plan; /* [count], in the order of their first rank */
	int *of;              /* [parts] class of each part */
};

/* Plans every part, of as many stages and tensor ranks as input->model.part says. SP_ERR_MEMORY, SP_ERR_SETTING, logged. */
int sp_plan_classes_make(const struct sp_plan_input *input, struct sp_plan_classes *classes);
void sp_plan_classes_free(struct sp_plan_classes *classes); /* zeroed is fine */

/* The class of what tensor rank `tensor` of a stage holds. */
int sp_plan_class_of(const struct sp_plan_classes *classes, int stage, int tensor);

/* The plan whose total is largest. */
const struct sp_plan *sp_plan_classes_largest(const struct sp_plan_classes *classes);

#endif
