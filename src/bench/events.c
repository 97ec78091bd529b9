#include "config.h"

#include "bench/events.h"

#include "base/log.h"
#include "bench/times.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int take_line(json_t *line, struct sp_bench_events *e)
{
	const char *event = json_string_value(json_object_get(line, "event"));
	if (event && strcmp(event, "config") == 0 && !e->config)
		e->config = json_incref(line);
	else if (event && strcmp(event, "step") == 0 && json_array_append(e->steps, line) != 0)
		return sp_fail(SP_ERR_MEMORY, "out of memory for the metrics of a run");
	return SP_OK;
}

static int read_lines(FILE *file, const char *name, struct sp_bench_events *e)
{
	int status = SP_OK;
	while (!status) {
		json_error_t error;
		int c = fgetc(file);
		while (c == '\n')
			c = fgetc(file);
		if (c == EOF)
			break;
		ungetc(c, file);
		json_t *line = json_loadf(file, JSON_DISABLE_EOF_CHECK, &error);
		if (!line)
			return sp_fail(SP_ERR_FORMAT, "%s: %s", name, error.text);
		status = take_line(line, e);
		json_decref(line);
	}
	return status;
}

int sp_bench_events_read(const char *name, struct sp_bench_events *e)
{
	FILE *file = fopen(name, "r");
	*e = (struct sp_bench_events){ .steps = json_array() };
	if (!file)
		return sp_fail(SP_ERR_IO, "%s: %s", name, strerror(errno));
	int status = e->steps ? read_lines(file, name, e) : sp_fail(SP_ERR_MEMORY, "out of memory for the metrics of a run");
	fclose(file);
	if (!status && !e->config)
		status = sp_fail(SP_ERR_FORMAT, "%s: no run is recorded there", name);
	return status;
}

void sp_bench_events_free(struct sp_bench_events *e)
{
	json_decref(e->config);
	json_decref(e->steps);
	*e = (struct sp_bench_events){ 0 };
}

double sp_bench_events_number(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	return json_is_number(value) ? json_number_value(value) : NAN;
}

double sp_bench_events_median(const struct sp_bench_events *e, const char *name, int64_t first, double *spread)
{
	const int64_t n = (int64_t)json_array_size(e->steps) - first;
	double *x = n > 0 ? malloc((size_t)n * sizeof *x) : NULL, median = NAN;
	for (int64_t i = 0; x && i < n; i++)
		x[i] = sp_bench_events_number(json_array_get(e->steps, (size_t)(first + i)), name);
	if (x) {
		median = sp_bench_median(x, n);
		if (spread)
			*spread = sp_bench_spread(x, n);
	}
	free(x);
	return median;
}
