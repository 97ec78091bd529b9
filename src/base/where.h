/* Where the main thread stands in its work: the step, and the spans of compute that are open. The main thread writes, any
 * thread may read. May include: libc.
 *
 * The steps come from the trainer, the spans from base/trace.h, whether or not it records. */
#ifndef SP_BASE_WHERE_H
#define SP_BASE_WHERE_H

#include <stddef.h>
#include <stdint.h>

/* The step that has begun, counted from 1. */
void sp_where_step(int64_t step);

/* Spans nest. `name` is not copied and must outlive the span; `index` is appended if >= 0 ("forward layer 3"). */
void sp_where_enter(const char *name, int index);
void sp_where_leave(void);

/* "step 12, forward layer 3: ", for the beginning of a message; "" where nothing is known. Of a span that opens or closes
 * meanwhile the text may be the old one or the new one. */
void sp_where_text(char *text, size_t size);

#endif
