#include "config.h"

#include "base/trace.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/where.h"

#include <stdlib.h>
#include <string.h>

struct span {
	char name[32];
	int index;
	int row;
	int apart; /* overlaps others */
	double begin, end;
};

enum { LIMIT = 1 << 20, DEPTH = 16 };

static struct span *spans;
static size_t used, allocated, dropped;
static size_t open_spans[SP_TRACE_ROWS][DEPTH];
static int depth[SP_TRACE_ROWS];
static int on;

static const char *const row_names[] = { "compute", "communication", "data", "files" };

void sp_trace_start(void)
{
	on = 1;
}

int sp_trace_on(void)
{
	return on;
}

/* Index of a fresh span, or (size_t)-1 when there is no room: it is then counted as dropped. */
static size_t fresh(void)
{
	if (used == allocated && allocated < LIMIT) {
		size_t more = allocated ? 2 * allocated : 4096;
		struct span *grown = realloc(spans, more * sizeof *spans);
		if (grown) {
			spans = grown;
			allocated = more;
		}
	}
	if (used == allocated) {
		dropped++;
		return (size_t)-1;
	}
	return used++;
}

static void fill(size_t at, enum sp_trace_row row, const char *name, int index, int apart)
{
	if (at == (size_t)-1)
		return;
	struct span *s = &spans[at];
	snprintf(s->name, sizeof s->name, "%s", name);
	s->index = index;
	s->row = row;
	s->apart = apart;
	s->end = 0;
	s->begin = sp_clock();
}

void sp_trace_begin(enum sp_trace_row row, const char *name, int index)
{
	if (row == SP_TRACE_COMPUTE)
		sp_where_enter(name, index);
	if (!on)
		return;
	size_t at = fresh();
	if (depth[row] < DEPTH)
		open_spans[row][depth[row]] = at;
	depth[row]++;
	fill(at, row, name, index, 0);
}

int64_t sp_trace_open(enum sp_trace_row row, const char *name, int index)
{
	if (!on)
		return -1;
	size_t at = fresh();
	fill(at, row, name, index, 1);
	return at == (size_t)-1 ? -1 : (int64_t)at;
}

void sp_trace_close(int64_t span)
{
	if (on && span >= 0 && (size_t)span < used)
		spans[span].end = sp_clock();
}

void sp_trace_end(enum sp_trace_row row)
{
	if (row == SP_TRACE_COMPUTE)
		sp_where_leave();
	if (!on || depth[row] == 0)
		return;
	depth[row]--;
	if (depth[row] < DEPTH && open_spans[row][depth[row]] != (size_t)-1)
		spans[open_spans[row][depth[row]]].end = sp_clock();
}

/* As the inside of a JSON string. */
static void write_text(FILE *file, const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c < 0x20)
			fprintf(file, "\\u%04x", *c);
		else
			fprintf(file, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
}

/* The beginning of an event: its phase, process, row and name. */
static void write_head(FILE *file, const char *phase, int pid, const struct span *s)
{
	fprintf(file, ",\n{\"ph\":\"%s\",\"pid\":%d,\"tid\":%d,\"name\":\"", phase, pid, s->row);
	write_text(file, s->name);
	if (s->index >= 0)
		fprintf(file, " %d", s->index);
	fputc('"', file);
}

static void write_nested(FILE *file, int pid, const struct span *s)
{
	write_head(file, "X", pid, s);
	fprintf(file, ",\"ts\":%.3f,\"dur\":%.3f}", s->begin * 1e6, (s->end - s->begin) * 1e6);
}

/* Two events, which a number that occurs once in the process holds together. */
static void write_apart(FILE *file, int pid, const struct span *s, size_t number)
{
	const double times[] = { s->begin, s->end };
	for (int i = 0; i < 2; i++) {
		write_head(file, i ? "e" : "b", pid, s);
		fprintf(file, ",\"cat\":\"transfer\",\"id2\":{\"local\":\"%zu\"},\"ts\":%.3f}", number, times[i] * 1e6);
	}
}

int sp_trace_write(FILE *file, int pid, const char *process, int comma)
{
	fprintf(file, "%s{\"ph\":\"M\",\"pid\":%d,\"name\":\"process_name\",\"args\":{\"name\":\"", comma ? ",\n" : "", pid);
	write_text(file, process);
	fputs("\"}}", file);
	for (int row = 0; row < SP_TRACE_ROWS; row++)
		fprintf(file, ",\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"name\":\"thread_name\",\"args\":{\"name\":\"%s\"}}", pid, row,
		        row_names[row]);
	for (size_t i = 0; i < used; i++) {
		const struct span *s = &spans[i];
		if (s->end < s->begin)
			continue;
		if (s->apart)
			write_apart(file, pid, s, i);
		else
			write_nested(file, pid, s);
	}
	if (dropped)
		sp_log(SP_LOG_WARNING, "trace: %zu spans did not fit and are missing; trace fewer steps", dropped);
	return ferror(file) ? -1 : 0;
}

void sp_trace_stop(void)
{
	free(spans);
	spans = NULL;
	used = allocated = dropped = 0;
	memset(depth, 0, sizeof depth);
	on = 0;
}
