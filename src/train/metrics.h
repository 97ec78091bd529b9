/* The metrics file: one JSON object per line, written by rank 0. May include: base, settings, jansson.
 *
 * Events, in this order: one `config`, then `step`, `eval` and `checkpoint`, at the end one `summary`. A line is in the
 * file before the next step begins; a line that cannot be written whole is taken back and ends the run. */
#ifndef SP_TRAIN_METRICS_H
#define SP_TRAIN_METRICS_H

#include "settings/settings.h"

#include <jansson.h>
#include <stdio.h>

struct sp_metrics {
	FILE *file; /* NULL: nothing is written; no buffer of its own */
	const char *name;
	int started; /* what an earlier run left in the file is gone, or shall stay */
};

/* Opens `name`, whose contents stay until the first event; empty: nothing will be written. SP_ERR_IO, logged. */
int sp_metrics_open(const char *name, struct sp_metrics *metrics);
/* Before the first event: what is in the file stays, but for a last line that is not whole. */
void sp_metrics_go_on(struct sp_metrics *metrics);
/* Writes {"event": event, ...fields}; `fields` (from json_pack, which gives NULL when memory is short or a number is
 * not finite) is released. SP_ERR_IO, SP_ERR_MEMORY, logged. */
int sp_metrics_write(struct sp_metrics *metrics, const char *event, json_t *fields);
/* SP_ERR_IO, logged. Closed or zeroed is fine. */
int sp_metrics_close(struct sp_metrics *metrics);

/* All settings as {"section": {"key": value}}, a new reference. NULL when memory is short. */
json_t *sp_metrics_settings(const struct sp_settings *settings);

#endif
