#include "config.h"

#include "bench/judge.h"

#include "base/rng.h"

#include <math.h>

void sp_bench_differ(struct sp_bench_difference *d, double got, double want)
{
	d->wrong += (got - want) * (got - want);
	d->size += want * want;
}

double sp_bench_relative(const struct sp_bench_difference *d)
{
	return d->wrong == 0 ? 0 : sqrt(d->wrong / d->size);
}

static const double root_2_over_pi = 0.79788456080286535588, cubic = 0.044715;

double sp_bench_act(enum sp_activation act, double x)
{
	switch (act) {
	case SP_ACT_GELU:
		return 0.5 * x * (1 + erf(x / sqrt(2)));
	case SP_ACT_GELU_TANH:
		return 0.5 * x * (1 + tanh(root_2_over_pi * (x + cubic * x * x * x)));
	default:
		return x;
	}
}

double sp_bench_act_slope(enum sp_activation act, double x)
{
	const double t = tanh(root_2_over_pi * (x + cubic * x * x * x));
	switch (act) {
	case SP_ACT_GELU:
		return 0.5 * (1 + erf(x / sqrt(2))) + x * 0.5 * root_2_over_pi * exp(-0.5 * x * x);
	case SP_ACT_GELU_TANH:
		return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root_2_over_pi * (1 + 3 * cubic * x * x);
	default:
		return 1;
	}
}

double sp_bench_dropout(const struct sp_dropout *dropout, uint32_t query, uint32_t key, uint32_t slot)
{
	const uint32_t counter[4] = { key / 8, query, slot, 0 };
	uint32_t words[4];
	if (dropout->keep >= 65536)
		return 1;
	sp_philox(dropout->key, counter, words);
	const uint32_t half = words[key % 8 / 2] >> (16 * (key % 2)) & 0xffff;
	return half < dropout->keep ? 65536.0 / dropout->keep : 0;
}
