#include "config.h"

#include "train/schedule.h"

#include <math.h>

struct sp_schedule sp_schedule_make(double lr, double min_lr, double warmup_fraction, int64_t decay,
                                    enum sp_schedule_style style)
{
	struct sp_schedule s = { lr, min_lr, llround(warmup_fraction * (double)decay), decay, style };
	return s;
}

static double linear(double r)
{
	return 1 - r;
}

static double cosine(double r)
{
	return (1 + cos(3.141592653589793 * r)) / 2;
}

double sp_schedule_rate(const struct sp_schedule *s, int64_t done)
{
	static double (*const fall[])(double) = { [SP_SCHEDULE_LINEAR] = linear, [SP_SCHEDULE_COSINE] = cosine };
	if (done < s->warmup)
		return s->lr * (double)(done + 1) / (double)s->warmup;
	if (s->style == SP_SCHEDULE_CONSTANT)
		return s->lr;
	if (done >= s->decay)
		return s->min_lr;
	double r = (double)(done - s->warmup) / (double)(s->decay - s->warmup);
	return s->min_lr + (s->lr - s->min_lr) * fall[s->style](r);
}
