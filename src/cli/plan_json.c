#include "config.h"

#include "cli/plan_json.h"

#include "base/log.h"
#include "cli/plan_table.h"

#include <jansson.h>
#include <stdio.h>

/* A NULL that jansson was given makes a NULL object or a short one; `whole` remembers that. */
static json_t *figures(const struct sp_plan *plan, const struct sp_cli_figure *rows, int *whole)
{
	json_t *all = json_object();
	for (; rows->name; rows++)
		*whole &= !json_object_set_new(all, rows->key, json_integer((json_int_t)sp_cli_plan_figure(plan, rows)));
	return all;
}

static json_t *ranks_of_class(const struct sp_cli_planned *p, int class, int *whole)
{
	json_t *list = json_array();
	for (int rank = 0; rank < sp_cli_plan_ranks(&p->shape); rank++)
		if (sp_cli_plan_class(&p->classes, &p->shape, rank) == class)
			*whole &= !json_array_append_new(list, json_integer(rank));
	return list;
}

static json_t *classes(const struct sp_cli_planned *p, int *whole)
{
	json_t *list = json_array();
	for (int i = 0; i < p->classes.count; i++)
		*whole &= !json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "ranks", ranks_of_class(p, i, whole), "memory",
		                                                 figures(&p->classes.plan[i], sp_cli_plan_memory, whole), "sent",
		                                                 figures(&p->classes.plan[i], sp_cli_plan_traffic, whole)));
	return list;
}

static json_t *grid(const struct sp_cli_planned *p, int *whole)
{
	json_t *all = json_object();
	for (int axis = 0; axis < SP_AXES; axis++)
		*whole &= !json_object_set_new(all, sp_axis_name((enum sp_axis)axis), json_integer(p->shape.at[axis]));
	return all;
}

static json_t *fitting(const struct sp_cli_planned *p)
{
	const struct sp_plan_input largest = sp_plan_with_batch(p->input, p->batch);
	return json_pack("{s:I, s:I, s:I, s:I}", "memory", (json_int_t)p->memory, "longest", (json_int_t)p->longest, "micro_batch",
	                 (json_int_t)p->batch, "global_batch", (json_int_t)(p->batch ? largest.global_batch : 0));
}

static json_t *times(const struct sp_cli_planned *p, int *whole)
{
	json_t *all = json_object();
	for (const struct sp_plan_time_part *part = sp_plan_time_parts; part->name; part++)
		*whole &= !json_object_set_new(all, part->key, json_real(*(const double *)((const char *)&p->time + part->at)));
	*whole &= !json_object_set_new(all, "tokens_per_s", json_real((double)(p->input->global_batch * p->input->length) / p->time.total));
	return all;
}

int sp_cli_plan_json(const struct sp_cli_planned *p)
{
	const struct sp_plan *largest = sp_plan_classes_largest(&p->classes);
	int whole = 1;
	json_t *all = json_pack("{s:i, s:o, s:I, s:I, s:o}", "ranks", sp_cli_plan_ranks(&p->shape), "grid", grid(p, &whole), "base",
	                        (json_int_t)p->base, "total", (json_int_t)largest->total, "classes", classes(p, &whole));
	if (p->memory)
		whole &= !json_object_set_new(all, "fitting", fitting(p));
	if (p->timed)
		whole &= !json_object_set_new(all, "time", times(p, &whole));
	int status = all && whole && json_dumpf(all, stdout, JSON_INDENT(1)) == 0 && putchar('\n') != EOF
	                 ? SP_OK
	                 : sp_fail(SP_ERR_IO, "the plan cannot be printed");
	json_decref(all);
	return status;
}
