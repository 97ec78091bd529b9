/* Rates of a machine as words, and a step's time by them. May include: plan. */
#ifndef SP_CLI_PLAN_TIME_H
#define SP_CLI_PLAN_TIME_H

#include "plan/time.h"

/* "gemm=70,head=60,attention=45,memory=20,latency=2,bandwidth=5": GFLOP/s (forward= and backward= in place of attention),
 * GB/s, us, GB/s.
 * SP_ERR_SETTING, logged. */
int sp_cli_plan_rates(const char *text, struct sp_plan_rates *rates);

/* To standard output: what a step of `tokens` tokens, all ranks together, is made of, and which precision the rates are taken to be
 * of. */
void sp_cli_plan_time(const struct sp_plan_time *time, const char *precision, double tokens);

#endif
