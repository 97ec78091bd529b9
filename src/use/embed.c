#include "config.h"

#include "use/embed.h"

#include "base/log.h"
#include "base/size.h"
#include "use/window.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW_BATCHES = 8 }; /* per rank: enough of one length to fill batches */

struct ordered {
	int64_t document, length;
};

struct embedder {
	struct sp_use *use;
	const struct sp_embed_options *options;
	struct sp_window *window;
	double *pooled;    /* [documents][hidden]: sums over what this rank holds, then over all ranks */
	float *row;        /* host copy of hidden states */
	size_t row_room;   /* in elements */
	struct ordered *order; /* documents of a window, the longest first */
	struct sp_use_document *batch;
};

/* ---- pooling ---- */

static int copy_states(struct embedder *e, struct sp_matrix hidden)
{
	const size_t n = (size_t)(hidden.rows * hidden.cols);
	if (n > e->row_room) {
		free(e->row);
		e->row_room = n;
		e->row = malloc(n * sizeof *e->row);
		if (!e->row) {
			e->row_room = 0;
			return sp_fail(SP_ERR_MEMORY, "no memory for %zu hidden states", n);
		}
	}
	return sp_compute_copy_out(e->use->compute, e->row, hidden.data, n * sizeof *e->row);
}

/* Adds what this rank holds of a document: its rows begin at `row`. */
static void pool(const struct embedder *e, const struct sp_use_states *states, int64_t length, const float *row,
                 double *sum)
{
	const int64_t hidden = e->use->config.hidden;
	const int64_t tokens = e->options->pool == SP_POOL_CLS ? 1 : length;
	for (int64_t t = 0; t < states->chunk && states->first + t < tokens; t++)
		for (int64_t j = 0; j < hidden; j++)
			sum[j] += (double)row[t * hidden + j];
}

/* `count` documents of the window through the model. */
static int run_batch(struct embedder *e, const struct ordered *which, int64_t count, int split)
{
	const int64_t hidden = e->use->config.hidden;
	struct sp_use_states states;
	for (int64_t i = 0; i < count; i++)
		e->batch[i] = sp_window_document(e->window, which[i].document);
	int status = sp_use_encode(e->use, e->batch, count, split, &states);
	if (!status)
		status = copy_states(e, states.hidden);
	for (int64_t i = 0; i < count && !status; i++)
		pool(e, &states, which[i].length, e->row + i * states.chunk * hidden, e->pooled + which[i].document * hidden);
	return status;
}

/* ---- a window ---- */

static int longer_first(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;
	if (x->length != y->length)
		return x->length < y->length ? 1 : -1;
	return (x->document > y->document) - (x->document < y->document);
}

static void sort(struct embedder *e)
{
	for (int64_t d = 0; d < e->window->documents; d++)
		e->order[d] = (struct ordered){ d, sp_window_document(e->window, d).length };
	qsort(e->order, (size_t)e->window->documents, sizeof *e->order, longer_first);
}

/* How many documents from the i-th on are padded to its length and together stay within the budget; at least one. */
static int64_t batch_from(const struct embedder *e, int64_t i)
{
	return sp_max(1, sp_min(e->window->documents - i, e->options->budget / e->order[i].length));
}

/* The same plan on all ranks: long documents together, then batches in turn, each on the rank whose turn it is. */
static int run_window(struct embedder *e)
{
	const int ranks = sp_comm_size(e->use->world), rank = sp_comm_rank(e->use->world);
	const int64_t documents = e->window->documents;
	int status = SP_OK, turn = 0;
	int64_t i = 0;
	memset(e->pooled, 0, (size_t)(documents * e->use->config.hidden) * sizeof *e->pooled);
	sort(e);
	for (; !status && ranks > 1 && i < documents && e->order[i].length > e->options->budget; i++)
		status = run_batch(e, e->order + i, 1, 1);
	for (int64_t count; !status && i < documents; i += count, turn = (turn + 1) % ranks) {
		count = batch_from(e, i);
		if (turn == rank)
			status = run_batch(e, e->order + i, count, 0);
	}
	const int64_t sums = documents * e->use->config.hidden;
	return status ? status : sp_comm_all_reduce(e->use->world, e->pooled, sums, SP_F64, SP_SUM);
}

static int give(struct embedder *e, int64_t d, float *value, struct sp_embed_counts *counts)
{
	const int64_t hidden = e->use->config.hidden, tokens = sp_window_document(e->window, d).length;
	const double *sum = e->pooled + d * hidden, by = e->options->pool == SP_POOL_MEAN ? (double)tokens : 1;
	const struct sp_vectors_row vector = { e->window->before + d, tokens, e->window->truncated[d], value };
	for (int64_t j = 0; j < hidden; j++) {
		value[j] = (float)(sum[j] / by);
		if (!isfinite(value[j]))
			return sp_fail(SP_ERR_NUMERIC, "document %lld: the model gives numbers that are not finite: its weights are "
			               "damaged", (long long)vector.index + 1);
	}
	counts->documents++;
	counts->tokens += tokens;
	counts->truncated += vector.truncated;
	return e->options->put(e->options->context, &vector);
}

static int give_all(struct embedder *e, struct sp_embed_counts *counts)
{
	int status = SP_OK;
	float *value = malloc((size_t)e->use->config.hidden * sizeof *value);
	if (!value)
		return sp_fail(SP_ERR_MEMORY, "no memory for a vector");
	for (int64_t d = 0; d < e->window->documents && !status; d++)
		status = give(e, d, value, counts);
	free(value);
	return status;
}

/* ---- all ---- */

static int allocate(struct embedder *e)
{
	e->pooled = malloc((size_t)(SP_WINDOW_DOCUMENTS * e->use->config.hidden) * sizeof *e->pooled);
	e->order = malloc(SP_WINDOW_DOCUMENTS * sizeof *e->order);
	e->batch = malloc(SP_WINDOW_DOCUMENTS * sizeof *e->batch);
	return e->pooled && e->order && e->batch ? SP_OK : sp_fail(SP_ERR_MEMORY, "no memory for the vectors of a window");
}

static void release(struct embedder *e)
{
	free(e->pooled);
	free(e->row);
	free(e->order);
	free(e->batch);
	sp_window_free(e->window);
}

static int stop_asked(const struct sp_embed_options *o)
{
	return o->stop && *o->stop ? SP_ERR_STOPPED : SP_OK;
}

/* What rank 0 says when it cannot write is heard by all at the next window. */
static int run(struct embedder *e, struct sp_embed_counts *counts)
{
	const int first = sp_comm_rank(e->use->world) == 0;
	int status = SP_OK, more = 1;
	while (more == 1) {
		more = sp_window_next(e->window, status ? status : stop_asked(e->options));
		if (more != 1)
			break;
		status = run_window(e);
		if (status)
			return status;
		if (first)
			status = give_all(e, counts);
	}
	return more;
}

int sp_use_embed(struct sp_use *use, struct sp_text *text, const struct sp_embed_options *options,
                 struct sp_embed_counts *counts)
{
	struct sp_window *window = calloc(1, sizeof *window);
	struct embedder e = { .use = use, .options = options, .window = window };
	*counts = (struct sp_embed_counts){ 0 };
	if (!window)
		return sp_fail(SP_ERR_MEMORY, "no memory for a window of documents");
	window->use = use;
	window->text = text;
	window->most_ids = WINDOW_BATCHES * options->budget * sp_comm_size(use->world);
	window->truncate = options->truncate;
	int status = allocate(&e);
	if (!status)
		status = run(&e, counts);
	release(&e);
	free(window);
	return status;
}
