/* Spans of time with a name, kept in memory while tracing is on, and written as Chrome trace events. One recorder per
 * process, used by its main thread. Open spans of compute also tell where it stands (base/where.h). May include: libc. */
#ifndef SP_BASE_TRACE_H
#define SP_BASE_TRACE_H

#include <stdint.h>
#include <stdio.h>

/* Queues of a process, each a row in the picture. */
enum sp_trace_row { SP_TRACE_COMPUTE = 0, SP_TRACE_COMM, SP_TRACE_DATA, SP_TRACE_FILES, SP_TRACE_ROWS };

/* Starts recording. After about a million spans the rest is dropped, and sp_trace_write says how many. */
void sp_trace_start(void);
int sp_trace_on(void);

/* Spans of one row nest. `name` is copied (at most 31 bytes) and, of compute, lives until the end of the span; `index` is
 * appended if >= 0 ("layer 3"). Cheap when off. */
void sp_trace_begin(enum sp_trace_row row, const char *name, int index);
void sp_trace_end(enum sp_trace_row row);

/* A span that overlaps others of its row, such as a transfer under way, until it is closed by the number that this returns
 * (never negative); -1: nothing is recorded. Such spans are shown apart from those that nest. */
int64_t sp_trace_open(enum sp_trace_row row, const char *name, int index);
void sp_trace_close(int64_t span); /* negative: nothing to do */

/* Writes this process's events as a JSON fragment (objects separated by commas, one leading comma if `comma`), process
 * number `pid` named `process`. Returns 0, or -1 with errno. */
int sp_trace_write(FILE *file, int pid, const char *process, int comma);
/* Forgets everything and stops recording. */
void sp_trace_stop(void);

#endif
