/* How long a step takes on a machine of given rates, before anything is allocated. May include: plan.
 *
 * A model of few terms: what a rank computes over the rate at which it computes such things, what it sends over what a link
 * carries (latency and bandwidth), less what travels behind compute by the design of each kind of attention. It knows no
 * caches, no cores that ranks share, no other load: rates are to be measured as they will be used, all ranks at once. */
#ifndef SP_PLAN_TIME_H
#define SP_PLAN_TIME_H

#include "plan/plan.h"

/* Of one rank while all others are at work too. 0: costs nothing, but for the head. */
struct sp_plan_rates {
	double gemm;              /* operations/s in the model's products, with what is done in the same go */
	double head;              /* the same in the prediction head's, which have few rows; 0: as gemm */
	double forward, backward; /* operations/s in attention, counted as 4 and 8 a query, key and feature */
	double memory;            /* bytes/s */
	double latency;           /* s that a message takes before its first byte */
	double bandwidth;         /* bytes/s that a rank sends */
	double gradients;         /* the same where gradients are summed and parameters gathered; 0: as bandwidth */
	double copied;            /* share of a message's time that the processor spends on it, so that nothing hides it: 1 between ranks
	                           * of one machine, 0 where a network moves it alone */
};

/* Of the work what the plan's input does not say. */
struct sp_plan_work {
	double predicted; /* share of tokens that the head predicts */
	int all_rows;     /* the last layer is computed for all of them: train.last_layer = all */
};

/* Seconds of a step. The parts are those of the stage that takes longest; total is when the last stage ends. */
struct sp_plan_time {
	double products, attention, head, rows; /* rows: norms, dropout, residuals, by their traffic */
	double optimizer;
	double sequence, tensor, gradients; /* keys and values; sums of tensor ranks; of replicas: waited for, or copied by the processor */
	double pipeline;                    /* waited for: other stages, by playing their schedule */
	double total;
};

/* The slowest rank's: one that has a whole chunk of tokens. SP_ERR_MEMORY as sp_plan_make(). */
int sp_plan_time_make(const struct sp_plan_input *input, const struct sp_plan_rates *rates, const struct sp_plan_work *work,
                      struct sp_plan_time *time);

/* Names of a step's parts and their places, for who prints them; the last name is NULL. */
struct sp_plan_time_part {
	const char *name, *key;
	size_t at; /* of a double in struct sp_plan_time */
};
extern const struct sp_plan_time_part sp_plan_time_parts[];

#endif
