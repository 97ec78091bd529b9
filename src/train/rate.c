#include "config.h"

#include "train/rate.h"

#include "base/size.h"

enum { MOST_ROWS = 4096 }; /* more takes longer and is no faster */

static const double seconds = 0.15; /* for each product */

int sp_rate_measure(struct sp_compute *compute, struct sp_comm *world, const struct sp_model_config *c, enum sp_dtype element,
                    int64_t rows, double *flops_per_s)
{
	const int64_t h = c->hidden,
				  shapes[4][2] = { { 3 * h, h }, { h, h }, { c->intermediate, h }, { h, c->intermediate } };
	double work = 0, time = 0;
	rows = sp_min(rows, MOST_ROWS);
	int status = sp_comm_barrier(world);
	for (int i = 0; i < 4 && !status; i++) {
		double flops = 2.0 * (double)rows * (double)shapes[i][0] * (double)shapes[i][1], rate;
		status = sp_compute_gemm_rate(compute, element, rows, shapes[i][0], shapes[i][1], seconds, &rate);
		if (status)
			break;
		work += flops;
		time += flops / rate;
	}
	if (status)
		return status;
	double sum = work / time;
	status = sp_comm_all_reduce(world, &sum, 1, SP_F64, SP_SUM);
	if (!status)
		*flops_per_s = sum;
	return status;
}
