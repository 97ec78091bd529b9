/* Stands in for backends/nccl/device.c: streams and events where the device's own queue is done at once. What is on a side stream
 * moves on when an event is asked for, or when the queue waits for one, which here stops the process. */
#include "config.h"

#include "nccl/device.h"

#include "base/clock.h"
#include "cudasim/queue.h"
#include "nccl/link.h"
#include "ncclsim/simulator.h"

#include <seqpar/status.h>

#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct task {
	struct task *next;
	int (*step)(void *work);
	void *work;
};

struct stream {
	struct stream *next;
	struct task *first, *last;
	long pushed, finished; /* tasks */
};

struct event {
	struct stream *stream; /* NULL: the device's queue */
	long at;               /* tasks pushed when it was recorded */
	int recorded, seen;
	double time;
};

static struct stream *streams;
static const struct cudasim_queue *memory;

void ncclsim_open_memory(void)
{
	memory->open();
}

void ncclsim_close_memory(void)
{
	memory->close();
}

int ncclsim_rank(void)
{
	const char *rank = getenv("OMPI_COMM_WORLD_RANK");
	return rank ? atoi(rank) : 0;
}

int ncclsim_told(const char *word)
{
	const char *told = getenv("SEQPAR_NCCLSIM");
	return told && strstr(told, word) != NULL;
}

/* This module itself holds the functions of the library. */
const char *sp_nccl_device_library(void)
{
	Dl_info self;
	if (ncclsim_told("absent") || !dladdr(&streams, &self))
		return "libncclsim-is-absent.so";
	return self.dli_fname;
}

/* Each rank has a GPU of its own, unless they are told to share one. */
int sp_nccl_device_id(unsigned char id[SP_NCCL_GPU_ID])
{
	memset(id, 7, SP_NCCL_GPU_ID);
	id[0] = (unsigned char)(ncclsim_told("crowd") ? 0 : ncclsim_rank());
	return SP_OK;
}

/* ---- streams ---- */

static struct stream *side_of(void *stream)
{
	struct stream *s = streams;
	while (s && s != stream)
		s = s->next;
	return s;
}

int sp_nccl_stream_create(void *queue, void **stream)
{
	struct stream *s = calloc(1, sizeof *s);
	if (!s)
		return SP_ERR_COMM;
	memory = queue;
	s->next = streams;
	*stream = streams = s;
	return SP_OK;
}

void sp_nccl_stream_destroy(void *stream)
{
	struct stream *s = side_of(stream), **at = &streams;
	if (!s)
		return;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	while (s->first) {
		struct task *t = s->first;
		s->first = t->next;
		free(t);
	}
	free(s);
}

void ncclsim_push(void *stream, int (*step)(void *work), void *work)
{
	struct stream *s = side_of(stream);
	struct task *t = calloc(1, sizeof *t);
	if (!s || !t)
		abort();
	*t = (struct task){ NULL, step, work };
	if (s->first)
		s->last->next = t;
	else
		s->first = t;
	s->last = t;
	s->pushed++;
}

static void move(struct stream *s)
{
	while (s->first && s->first->step(s->first->work)) {
		struct task *t = s->first;
		s->first = t->next;
		s->finished++;
		free(t);
	}
}

void ncclsim_move(void)
{
	for (struct stream *s = streams; s; s = s->next)
		move(s);
}

int sp_nccl_copy(void *to, const void *from, size_t bytes, void *stream)
{
	if (side_of(stream))
		abort(); /* copies are on the device's queue */
	ncclsim_open_memory();
	memmove(to, from, bytes);
	ncclsim_close_memory();
	return SP_OK;
}

/* ---- events ---- */

static int has_happened(struct event *e)
{
	if (!e->recorded || e->seen)
		return e->recorded;
	ncclsim_move();
	e->seen = !e->stream || e->stream->finished >= e->at;
	if (e->seen)
		e->time = sp_clock();
	return e->seen;
}

int sp_nccl_event_create(int timed, void **event)
{
	(void)timed;
	*event = calloc(1, sizeof(struct event));
	return *event ? SP_OK : SP_ERR_COMM;
}

void sp_nccl_event_destroy(void *event)
{
	free(event);
}

int sp_nccl_event_record(void *event, void *stream)
{
	struct event *e = event;
	*e = (struct event){ .stream = side_of(stream), .recorded = 1 };
	e->at = e->stream ? e->stream->pushed : 0;
	(void)has_happened(e);
	return SP_OK;
}

int sp_nccl_stream_wait(void *stream, void *event)
{
	struct event *e = event;
	if (side_of(stream))
		return has_happened(e) ? SP_OK : SP_ERR_COMM; /* recorded on the device's queue */
	while (!has_happened(e)) {
		if (sp_nccl_progress_all())
			return SP_ERR_COMM;
		sched_yield();
	}
	return SP_OK;
}

int sp_nccl_event_done(void *event, int *done)
{
	*done = has_happened(event);
	return SP_OK;
}

double sp_nccl_event_seconds(void *from, void *to)
{
	return ((struct event *)to)->time - ((struct event *)from)->time;
}
