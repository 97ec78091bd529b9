/* Memory that other ranks read in place. */
#include "config.h"

#include "backend/comm_inside.h"

#include "backend/waiting.h"
#include "base/clock.h"
#include "base/log.h"

#include <sched.h>
#include <stdlib.h>

/* At a counter of another rank, before the core is offered to others: some microseconds. */
enum { EAGER_LOOKS = 1000 };

struct sp_window {
	struct sp_comm *comm;
	void *window; /* the module's own */
};

static int window_fits(const struct sp_comm *c, const void *memory, size_t bytes)
{
	return (uintptr_t)memory % SP_WINDOW_PAGE || bytes % SP_WINDOW_PAGE || bytes == 0 ?
	               sp_comm_refused(c, "window", "the memory is not of whole pages") :
	               SP_OK;
}

int sp_comm_window_open(struct sp_comm *comm, struct sp_compute *compute, void *memory, size_t bytes,
                        struct sp_window **window)
{
	*window = NULL;
	int status = window_fits(comm, memory, bytes);
	if (status || !comm->ops->window_open || sp_stage_needed(compute))
		return status;
	struct sp_window *w = calloc(1, sizeof *w);
	if (!w)
		return sp_fail(SP_ERR_MEMORY, "out of memory for a window");
	w->comm = comm;
	sp_comm_waits(comm, "window", -1, -1);
	status = comm->ops->window_open(comm->comm, memory, bytes, &w->window);
	sp_waiting_end();
	if (status || !w->window) {
		free(w);
		return status ? sp_comm_failed(comm, "window", "") : SP_OK;
	}
	*window = w;
	return SP_OK;
}

void sp_comm_window_close(struct sp_window *window)
{
	if (!window)
		return;
	window->comm->ops->window_close(window->window);
	free(window);
}

const void *sp_comm_window_of(const struct sp_window *window, int rank)
{
	return window->comm->ops->window_of(window->window, rank);
}

void sp_comm_window_leave(struct sp_window *window, int rank)
{
	window->comm->ops->window_leave(window->window, rank);
}

void sp_comm_window_post(struct sp_window *window, int i, uint64_t value, uint64_t sent)
{
	window->comm->counters.bytes += sent;
	window->comm->counters.messages += sent > 0;
	window->comm->ops->window_post(window->window, i, value);
}

static int has_come(const struct sp_window *w, int rank, int i, uint64_t value)
{
	return w->comm->ops->window_seen(w->window, rank, i) >= value;
}

/* Looks often at first; then lets others have the core, as there may be more ranks than cores, and messages that are under
 * way move on. */
static int look_out(const struct sp_window *w, int rank, int i, uint64_t value)
{
	int status = SP_OK;
	for (int looks = 0; !status && !has_come(w, rank, i, value); looks++) {
		if (looks < EAGER_LOOKS)
			continue;
		status = w->comm->ops->progress(w->comm->comm);
		sched_yield();
	}
	return status;
}

int sp_comm_window_await(struct sp_window *window, int rank, int i, uint64_t value)
{
	struct sp_comm *c = window->comm;
	if (has_come(window, rank, i, value))
		return SP_OK;
	sp_comm_span_begin(c, "wait");
	sp_comm_waits(c, "exchange", -1, sp_comm_rank_of(c, rank));
	const double begin = sp_clock();
	const int status = look_out(window, rank, i, value);
	sp_waiting_end();
	c->counters.exposed += sp_clock() - begin;
	sp_comm_span_end();
	return status ? sp_comm_failed(c, "exchange", "") : SP_OK;
}
