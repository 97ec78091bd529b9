/* Communicators: made, split, watched and given up. */
#include "config.h"

#include "nccl/link.h"

#include "base/clock.h"
#include "base/log.h"
#include "nccl/device.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

/* A communicator whose other ranks do not come to its end, as they failed, is given up after so many seconds. */
static const double patience = 2;

static struct sp_nccl_link *links;
static int failed;

/* ---- errors ---- */

int sp_nccl_has_failed(void)
{
	return failed;
}

int sp_nccl_give_up(void)
{
	failed = 1;
	for (struct sp_nccl_link *l = links; l; l = l->next)
		if (l->nccl) {
			(void)sp_nccl.CommAbort(l->nccl);
			l->nccl = NULL;
		}
	return SP_ERR_COMM;
}

int sp_nccl_failed(struct sp_nccl_link *link, const char *call, ncclResult_t result)
{
	const char *more = sp_nccl.GetLastError(link ? link->nccl : NULL);
	sp_fail(SP_ERR_COMM, "nccl: %s: %s%s%s%s", call, sp_nccl.GetErrorString(result), more && *more ? " (" : "",
	        more ? more : "", more && *more ? ")" : "");
	return sp_nccl_give_up();
}

int sp_nccl_look(struct sp_nccl_link *link, ncclResult_t *state)
{
	*state = ncclSuccess;
	if (failed)
		return SP_ERR_COMM;
	if (!link->nccl)
		return SP_OK;
	const ncclResult_t result = sp_nccl.CommGetAsyncError(link->nccl, state);
	if (result != ncclSuccess)
		return sp_nccl_failed(link, "ncclCommGetAsyncError", result);
	if (*state != ncclSuccess && *state != ncclInProgress)
		return sp_nccl_failed(link, "a transfer", *state);
	return SP_OK;
}

/* Until the call that returned `result` is finished; who watches this rank ends it if that takes too long. */
static int settle(struct sp_nccl_link *link, const char *call, ncclResult_t result)
{
	int status = SP_OK;
	while (!status && result == ncclInProgress) {
		sched_yield();
		status = sp_nccl_look(link, &result);
	}
	return status || result == ncclSuccess ? status : sp_nccl_failed(link, call, result);
}

/* ---- making ---- */

static void take_out(struct sp_nccl_link *link)
{
	struct sp_nccl_link **at = &links;
	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
}

static void dispose(struct sp_nccl_link *link)
{
	if (!link)
		return;
	if (link->nccl)
		(void)sp_nccl.CommAbort(link->nccl);
	take_out(link);
	sp_nccl_free_requests(link);
	sp_nccl_stream_destroy(link->side);
	free(link);
}

static struct sp_nccl_link *create(void *queue)
{
	struct sp_nccl_link *l = calloc(1, sizeof *l);
	if (!l) {
		sp_fail(SP_ERR_COMM, "out of memory for a communicator");
		return NULL;
	}
	l->size = 1;
	l->queue = queue;
	l->next = links;
	links = l;
	if (sp_nccl_stream_create(queue, &l->side)) {
		dispose(l);
		return NULL;
	}
	return l;
}

int sp_nccl_join(const struct sp_joining *with, void **comm, char *why, size_t size)
{
	ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
	ncclUniqueId id;
	int status = failed ? SP_ERR_COMM : sp_nccl_meet(with, &id, why, size);
	struct sp_nccl_link *l = status ? NULL : create(with->queue);
	if (!l)
		return status ? status : SP_ERR_COMM;
	l->rank = with->place.rank;
	l->size = with->place.size;
	config.blocking = 0;
	config.maxCTAs = SP_NCCL_CTAS;
	status = settle(l, "ncclCommInitRankConfig", sp_nccl.CommInitRankConfig(&l->nccl, l->size, id, l->rank, &config));
	if (status)
		dispose(l);
	else
		*comm = l;
	return status;
}

static int is_busy(const struct sp_nccl_link *link)
{
	return link->first || link->calling;
}

/* NCCL takes no call on a communicator on which something has been started. */
static int finish_calls(struct sp_nccl_link *link)
{
	int status = SP_OK;
	while (!status && is_busy(link)) {
		status = sp_nccl_progress_all();
		sched_yield();
	}
	return status;
}

static int split(struct sp_nccl_link *l, int colour, int key, struct sp_nccl_link *part)
{
	int status = finish_calls(l);
	if (status || !l->nccl)
		return status;
	const ncclResult_t result =
		sp_nccl.CommSplit(l->nccl, colour < 0 ? NCCL_SPLIT_NOCOLOR : colour, key, &part->nccl, NULL);
	status = settle(l, "ncclCommSplit", result);
	return status ? status : settle(part, "ncclCommSplit", part->nccl ? ncclInProgress : ncclSuccess);
}

int sp_nccl_split(void *comm, int colour, int key, void **part)
{
	struct sp_nccl_link *l = comm, *p = failed ? NULL : create(l->queue);
	int status = p ? split(l, colour, key, p) : SP_ERR_COMM;
	if (!status && p->nccl && (sp_nccl.CommCount(p->nccl, &p->size) || sp_nccl.CommUserRank(p->nccl, &p->rank)))
		status = sp_fail(SP_ERR_COMM, "nccl: a new group does not say who is in it");
	if (status)
		dispose(p);
	else
		*part = p;
	return status;
}

/* ---- ending ---- */

/* Whether all ranks have come to the end of this communicator, before patience ends. */
static int ends_together(struct sp_nccl_link *l)
{
	const double begin = sp_clock();
	ncclResult_t state = sp_nccl.CommFinalize(l->nccl);
	while (state == ncclInProgress && sp_clock() - begin < patience) {
		sched_yield();
		if (sp_nccl.CommGetAsyncError(l->nccl, &state) != ncclSuccess)
			return 0;
	}
	return state == ncclSuccess;
}

/* Whoever ends a communicator alone does so after an error, which has been told. */
static void finalize(struct sp_nccl_link *l)
{
	if (failed || !l->nccl)
		return;
	if (is_busy(l) || !ends_together(l)) {
		sp_nccl_give_up();
		return;
	}
	(void)sp_nccl.CommDestroy(l->nccl);
	l->nccl = NULL;
}

void sp_nccl_close(void *comm)
{
	struct sp_nccl_link *l = comm;
	if (!l)
		return;
	finalize(l);
	dispose(l);
}

int sp_nccl_describe(void *comm, char *text, size_t size)
{
	const struct sp_nccl_link *l = comm;
	char version[32];
	sp_nccl_version_text(sp_nccl.version, version, sizeof version);
	snprintf(text, size, "device memory is passed by NCCL %s among %d GPU%s", version, l->size, l->size == 1 ? "" : "s");
	return SP_OK;
}

int sp_nccl_progress_all(void)
{
	int status = SP_OK;
	for (struct sp_nccl_link *l = links; l && !status; l = l->next)
		status = sp_nccl_progress(l);
	return status;
}
