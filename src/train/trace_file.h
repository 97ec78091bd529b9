/* The trace of all ranks in one file that Perfetto and chrome://tracing open. May include: base, backend. */
#ifndef SP_TRAIN_TRACE_FILE_H
#define SP_TRAIN_TRACE_FILE_H

#include "backend/comm.h"

/* Looks whether `name` can be written, so that a long run does not end in a surprise. Rank 0. SP_ERR_IO, logged. */
int sp_trace_file_check(const char *name);

/* Writes what base/trace.h recorded on every rank as one JSON document, to a temporary name that becomes `name` when it
 * is complete. Collective over `world`. SP_ERR_IO, logged, on rank 0. */
int sp_trace_file_write(struct sp_comm *world, const char *name);

#endif
