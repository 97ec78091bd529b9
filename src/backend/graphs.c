#include "config.h"

#include "backend/graphs.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* Work whose keys never come back must not fill the memory. */
enum { MOST = 4096 };

struct entry {
	uint64_t hash;
	void *key;
	size_t size;
	void *graph; /* NULL: was queued once */
};

struct sp_graphs {
	struct sp_compute *compute;
	int must, off;
	struct entry entry[MOST];
	int entries;
	int64_t launched;
};

int sp_graphs_create(struct sp_compute *compute, int must, struct sp_graphs **graphs)
{
	struct sp_graphs *g = calloc(1, sizeof *g);
	if (!g)
		return sp_fail(SP_ERR_MEMORY, "no memory for %zu bytes of graphs", sizeof *g);
	g->compute = compute;
	g->must = must;
	*graphs = g;
	return SP_OK;
}

void sp_graphs_destroy(struct sp_graphs *g)
{
	for (int i = 0; g && i < g->entries; i++) {
		sp_compute_graph_free(g->compute, g->entry[i].graph);
		free(g->entry[i].key);
	}
	free(g);
}

int64_t sp_graphs_launched(const struct sp_graphs *g)
{
	return g->launched;
}

/* FNV-1a */
static uint64_t hash_of(const unsigned char *bytes, size_t n)
{
	uint64_t hash = 14695981039346656037u;
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ bytes[i]) * 1099511628211u;
	return hash;
}

static struct entry *find(struct sp_graphs *g, uint64_t hash, const void *key, size_t size)
{
	for (int i = 0; i < g->entries; i++) {
		struct entry *e = &g->entry[i];
		if (e->hash == hash && e->size == size && memcmp(e->key, key, size) == 0)
			return e;
	}
	return NULL;
}

/* Has been queued once. Where there is no room, what comes again will be new again. */
static void remember(struct sp_graphs *g, uint64_t hash, const void *key, size_t size)
{
	void *copy = g->entries < MOST ? malloc(size) : NULL;
	if (!copy)
		return;
	memcpy(copy, key, size);
	g->entry[g->entries++] = (struct entry){ .hash = hash, .key = copy, .size = size };
}

static int record(struct sp_graphs *g, struct entry *e, int (*queue)(const void *context), const void *context)
{
	void *graph = NULL;
	int status = sp_compute_graph_begin(g->compute);
	if (status)
		return status;
	const int queued = queue(context);
	status = sp_compute_graph_end(g->compute, &graph);
	if (queued && !status)
		sp_compute_graph_free(g->compute, graph);
	else if (!status)
		e->graph = graph;
	return queued ? queued : status;
}

/* What is queued by itself if it cannot be recorded is no error until then. */
static int attempt(struct sp_graphs *g, struct entry *e, int (*queue)(const void *context), const void *context)
{
	if (!g->must)
		sp_log_mute(1);
	const int status = record(g, e, queue, context);
	if (!g->must)
		sp_log_mute(0);
	return status;
}

/* What cannot be recorded has not been queued either. */
static int without(struct sp_graphs *g, int status, int (*queue)(const void *context), const void *context)
{
	if (g->must)
		return status;
	sp_log(SP_LOG_WARNING, "this device does not record layers as graphs (backend.graph = on says why): each operation is queued by itself from now "
	       "on, as by backend.graph = off");
	g->off = 1;
	return queue(context);
}

int sp_graphs_queue(struct sp_graphs *g, const void *key, size_t size, int (*queue)(const void *context), const void *context)
{
	if (g->off || sp_compute_is_timed(g->compute))
		return queue(context);
	const uint64_t hash = hash_of(key, size);
	struct entry *e = find(g, hash, key, size);
	if (!e) {
		remember(g, hash, key, size);
		return queue(context);
	}
	const int status = e->graph ? SP_OK : attempt(g, e, queue, context);
	if (status)
		return without(g, status, queue, context);
	g->launched++;
	return sp_compute_graph_launch(g->compute, e->graph);
}
