#include "config.h"

#include "cli/plan_time.h"

#include "base/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `also` is set too, by the word for both directions of attention. */
static const struct word {
	const char *name;
	double unit;
	size_t at, also;
	int share; /* from 0 to 1, both included; the others are positive */
} words[] = {
	{ "gemm", 1e9, offsetof(struct sp_plan_rates, gemm), offsetof(struct sp_plan_rates, gemm), 0 },
	{ "head", 1e9, offsetof(struct sp_plan_rates, head), offsetof(struct sp_plan_rates, head), 0 },
	{ "attention", 1e9, offsetof(struct sp_plan_rates, forward), offsetof(struct sp_plan_rates, backward), 0 },
	{ "forward", 1e9, offsetof(struct sp_plan_rates, forward), offsetof(struct sp_plan_rates, forward), 0 },
	{ "backward", 1e9, offsetof(struct sp_plan_rates, backward), offsetof(struct sp_plan_rates, backward), 0 },
	{ "memory", 1e9, offsetof(struct sp_plan_rates, memory), offsetof(struct sp_plan_rates, memory), 0 },
	{ "latency", 1e-6, offsetof(struct sp_plan_rates, latency), offsetof(struct sp_plan_rates, latency), 0 },
	{ "bandwidth", 1e9, offsetof(struct sp_plan_rates, bandwidth), offsetof(struct sp_plan_rates, bandwidth), 0 },
	{ "gradients", 1e9, offsetof(struct sp_plan_rates, gradients), offsetof(struct sp_plan_rates, gradients), 0 },
	{ "copied", 1, offsetof(struct sp_plan_rates, copied), offsetof(struct sp_plan_rates, copied), 1 },
};

static double *at(struct sp_plan_rates *rates, size_t offset)
{
	return (double *)((char *)rates + offset);
}

/* Takes one "name=number" of `length` characters. */
static int read_word(const char *text, size_t length, struct sp_plan_rates *rates)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		const size_t name = strlen(words[i].name);
		char *end;
		if (length <= name + 1 || strncmp(text, words[i].name, name) != 0 || text[name] != '=')
			continue;
		const double value = strtod(text + name + 1, &end);
		if (end != text + length || !isfinite(value) || (words[i].share ? value < 0 || value > 1 : value <= 0))
			break;
		*at(rates, words[i].at) = *at(rates, words[i].also) = value * words[i].unit;
		return SP_OK;
	}
	return sp_fail(SP_ERR_SETTING, "--time: \"%.*s\" is not gemm, head, attention, forward, backward, memory, latency, bandwidth, "
	               "gradients with = and a positive number, or copied with = and one from 0 to 1", (int)length, text);
}

int sp_cli_plan_rates(const char *text, struct sp_plan_rates *rates)
{
	*rates = (struct sp_plan_rates){ 0 };
	for (const char *end; *text; text = *end ? end + 1 : end) {
		end = strchr(text, ',') ? strchr(text, ',') : text + strlen(text);
		int status = read_word(text, (size_t)(end - text), rates);
		if (status)
			return status;
	}
	if (!rates->gemm || !rates->forward || !rates->backward)
		return sp_fail(SP_ERR_SETTING, "--time wants the rates of products and attention in GFLOP/s at least, such as "
		               "--time gemm=70,attention=45");
	return SP_OK;
}

void sp_cli_plan_time(const struct sp_plan_time *time, const char *precision, double tokens)
{
	printf("time by these rates in %s, of the slowest rank    ms\n", precision);
	for (const struct sp_plan_time_part *part = sp_plan_time_parts; part->name; part++)
		printf("%-36s %12.3f\n", part->name, 1e3 * *(const double *)((const char *)time + part->at));
	printf("%.0f tokens/s\n\n", tokens / time->total);
}
