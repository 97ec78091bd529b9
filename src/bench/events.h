/* The metrics of a training run, read back. May include: libc, jansson. */
#ifndef SP_BENCH_EVENTS_H
#define SP_BENCH_EVENTS_H

#include <jansson.h>
#include <stdint.h>

/* A metrics file: its first event, and its steps in their order. */
struct sp_bench_events {
	json_t *config, *steps;
};

/* SP_ERR_IO, SP_ERR_FORMAT, SP_ERR_MEMORY, logged. */
int sp_bench_events_read(const char *file, struct sp_bench_events *events);
void sp_bench_events_free(struct sp_bench_events *events); /* zeroed is fine */

/* A number of an object; NAN if there is none of that name. */
double sp_bench_events_number(const json_t *object, const char *name);

/* Median of a number over the steps from `first` on, and if `spread` is not NULL how far they are apart (bench/times.h). */
double sp_bench_events_median(const struct sp_bench_events *events, const char *name, int64_t first, double *spread);

#endif
