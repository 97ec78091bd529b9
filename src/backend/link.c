#include "config.h"

#include "backend/link.h"

#include "backend/compute_inside.h"
#include "backend/waiting.h"
#include "base/log.h"
#include "base/trace.h"
#include "base/where.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>

/* Before the core is left to others for a while, as the device is busy. */
enum { EAGER_LOOKS = 1000, PAUSE_NS = 20000 };

struct sp_ordered {
	struct sp_ordered *next;
	void *request;
	const char *operation;
	int to, from;
	int64_t span;
};

/* ---- words ---- */

void sp_comm_group_waits(const struct sp_comm_group *group, const char *operation, int to, int from)
{
	sp_waiting_begin(&(struct sp_waiting){ operation, group->what, group->member, group->place.size, to, from });
}

int sp_comm_group_failed(const struct sp_comm_group *group, const char *operation, const char *peers)
{
	char where[128];
	sp_where_text(where, sizeof where);
	return sp_fail(SP_ERR_COMM, "%s%s%s failed in group %s on rank %d of %d; communication ends here", where, operation, peers,
	               group->what, group->place.rank, group->place.size);
}

/* ---- making and closing ---- */

int sp_link_create(const char *name, const struct sp_comm_ops *ops, void *comm, struct sp_compute *compute,
                   const struct sp_comm_group *group, struct sp_link **home)
{
	struct sp_link *l = calloc(1, sizeof *l);
	if (!l) {
		ops->close(comm);
		return sp_fail(SP_ERR_MEMORY, "out of memory for the messages of group %s", group->what);
	}
	*l = (struct sp_link){ .name = name, .ops = ops, .comm = comm, .compute = compute, .group = group, .home = home };
	l->next = compute->links;
	l->here = &compute->links;
	if (l->next)
		l->next->here = &l->next;
	compute->links = *home = l;
	return SP_OK;
}

static void free_list(struct sp_ordered *o)
{
	while (o) {
		struct sp_ordered *next = o->next;
		free(o);
		o = next;
	}
}

void sp_link_close(struct sp_link *link)
{
	if (!link)
		return;
	*link->home = NULL;
	*link->here = link->next;
	if (link->next)
		link->next->here = link->here;
	link->ops->close(link->comm);
	free_list(link->first);
	free_list(link->spare);
	free(link);
}

void sp_link_close_all(struct sp_compute *compute)
{
	while (compute->links)
		sp_link_close(compute->links);
}

/* ---- what the queue waits for ---- */

static struct sp_ordered *take(struct sp_link *link)
{
	struct sp_ordered *o = link->spare;
	if (o)
		link->spare = o->next;
	else
		o = malloc(sizeof *o);
	return o;
}

int sp_link_order(struct sp_link *link, void *request, const char *operation, int to, int from, int64_t span)
{
	struct sp_ordered *o = take(link);
	if (!o)
		return sp_fail(SP_ERR_COMM, "out of memory for a transfer");
	*o = (struct sp_ordered){ NULL, request, operation, to, from, span };
	if (link->last)
		link->last->next = o;
	else
		link->first = o;
	link->last = o;
	const int status = link->ops->order(link->comm, request);
	return status ? status : sp_link_progress(link);
}

static void forget_first(struct sp_link *link)
{
	struct sp_ordered *o = link->first;
	sp_trace_close(o->span);
	link->first = o->next;
	if (!link->first)
		link->last = NULL;
	o->next = link->spare;
	link->spare = o;
}

int sp_link_progress(struct sp_link *link)
{
	int status = link->ops->progress(link->comm), done = 1;
	while (!status && done && link->first) {
		status = link->ops->test(link->comm, link->first->request, &done);
		if (!status && done)
			forget_first(link);
	}
	return status;
}

/* ---- before the host waits for the device ---- */

static int is_left(const struct sp_compute *compute)
{
	const struct sp_link *l = compute->links;
	while (l && !l->first)
		l = l->next;
	return l != NULL;
}

/* What the device is at: a transfer that it has come to and not finished. NULL: it computes. */
static const struct sp_ordered *find_current(const struct sp_compute *compute, const struct sp_link **of)
{
	for (const struct sp_link *l = compute->links; l; l = l->next)
		if (l->first && l->ops->begun(l->comm, l->first->request)) {
			*of = l;
			return l->first;
		}
	return NULL;
}

/* For who watches: a transfer is waited for from when the device has come to it; computing is no waiting. */
static void name_current(const struct sp_compute *compute, const struct sp_ordered **named)
{
	const struct sp_link *of = NULL;
	const struct sp_ordered *current = find_current(compute, &of);
	if (current == *named)
		return;
	if (*named)
		sp_waiting_end();
	if (current)
		sp_comm_group_waits(of->group, current->operation, current->to, current->from);
	*named = current;
}

static int progress_all(struct sp_compute *compute)
{
	for (struct sp_link *l = compute->links; l; l = l->next)
		if (sp_link_progress(l))
			return sp_comm_group_failed(l->group, l->first ? l->first->operation : "a transfer under way", "");
	return SP_OK;
}

static void pause_after(int looks)
{
	if (looks < EAGER_LOOKS)
		sched_yield();
	else
		nanosleep(&(struct timespec){ 0, PAUSE_NS }, NULL);
}

int sp_link_settle(struct sp_compute *compute)
{
	const struct sp_ordered *named = NULL;
	int status = SP_OK;
	for (int looks = 0; !status && is_left(compute); looks += looks < EAGER_LOOKS) {
		name_current(compute, &named);
		status = progress_all(compute);
		if (!status)
			pause_after(looks);
	}
	if (named)
		sp_waiting_end();
	return status;
}
