#include "config.h"

#include "train/spent.h"

#include <stdio.h>
#include <string.h>

const char *sp_spent_name(int what)
{
	return what == SP_SPENT_MESSAGES ? "messages" : what == SP_SPENT_IDLE ? "idle" : sp_class_name((enum sp_class)what);
}

int sp_spent_read(struct sp_compute *compute, struct sp_comm *world, double waited, struct sp_spent *spent)
{
	double own[SP_SPENT] = { 0 };
	int status = sp_compute_shares_take(compute, own);
	sp_compute_shares_stop(compute);
	own[SP_SPENT_MESSAGES] = waited;
	if (!status)
		status = sp_comm_all_reduce(world, own, SP_SPENT, SP_F64, SP_SUM);
	for (int i = 0; i < SP_SPENT; i++)
		spent->seconds[i] = own[i] / sp_comm_size(world);
	return status;
}

void sp_spent_rest(struct sp_spent *spent, double step)
{
	double sum = 0;
	for (int i = 0; i < SP_SPENT_IDLE; i++)
		sum += spent->seconds[i];
	spent->seconds[SP_SPENT_IDLE] = step - sum;
}

json_t *sp_spent_fields(json_t *fields, const struct sp_spent *spent)
{
	char name[32];
	for (int i = 0; fields && i < SP_SPENT; i++) {
		snprintf(name, sizeof name, "time_%s_ms", sp_spent_name(i));
		if (json_object_set_new(fields, name, json_real(1e3 * spent->seconds[i])) != 0) {
			json_decref(fields);
			fields = NULL;
		}
	}
	return fields;
}
