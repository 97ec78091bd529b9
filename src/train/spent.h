/* What a step's time went into, by class of operation. May include: backend, train, jansson. */
#ifndef SP_TRAIN_SPENT_H
#define SP_TRAIN_SPENT_H

#include "backend/comm.h"
#include "backend/compute.h"

#include <jansson.h>

/* The classes of operations, then waiting for messages, then what is left. */
enum { SP_SPENT_MESSAGES = SP_CLASSES, SP_SPENT_IDLE, SP_SPENT };

const char *sp_spent_name(int what); /* "products" ... "messages", "idle" */

/* Seconds of one step, means over ranks. Since they add up to the step, `idle` is below 0 where messages were waited for while the device
 * computed: on a GPU whose messages pass through host memory. */
struct sp_spent {
	double seconds[SP_SPENT];
};

/* What the operations since sp_compute_shares_start() took, which this ends, with `waited` of this rank for messages. `idle` is left 0.
 * Waits for the device. Collective over `world`. */
int sp_spent_read(struct sp_compute *compute, struct sp_comm *world, double waited, struct sp_spent *spent);
/* What is left of a step of so many seconds. */
void sp_spent_rest(struct sp_spent *spent, double step);

/* Adds time_products_ms and so on to `fields`; releases them and returns NULL if memory is short. NULL gives NULL. */
json_t *sp_spent_fields(json_t *fields, const struct sp_spent *spent);

#endif
