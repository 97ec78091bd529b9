#include "config.h"

#include "data/tokenize.h"

#include "base/log.h"
#include "data/indexed.h"
#include "data/wordpiece.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES (1 << 18)
/* Megatron's rule for when two bytes do. */
#define NARROW_BELOW 65500

struct piece {
	size_t text_end, id_end; /* where the sentence ends in the batch's text and ids */
	int first;               /* begins a document */
};

/* A run of sentences on its way: filled by the caller's thread, encoded by a worker, written by the caller's thread. */
struct batch {
	char *text;
	size_t size;
	struct piece *piece;
	size_t count, room;
	struct sp_ids ids;
	int done, status;
};

/* Batches go round a ring in input order, so the output is the same whatever the number of workers. */
struct line {
	struct sp_text *text;
	const struct sp_tokenize_options *options;
	struct sp_tokenize_counts *counts;
	struct sp_indexed_writer *writer;
	enum sp_indexed_dtype dtype;
	uint16_t *narrow;
	size_t narrow_room;
	int64_t in_document; /* sentences of the document in work */

	struct batch *ring;
	uint64_t slots, filled, taken, written; /* batches so far; filled and taken are the lock's */
	int quit;
	pthread_mutex_t lock;
	pthread_cond_t work, ready;
	pthread_t *thread;
	int threads;
};

static struct batch *slot(const struct line *l, uint64_t number)
{
	return &l->ring[number % l->slots];
}

static int encode(struct batch *b, struct sp_wordpiece *w)
{
	size_t from = 0;
	b->ids.count = 0;
	for (size_t i = 0; i < b->count; i++) {
		int status = sp_wordpiece_encode(w, b->text + from, b->piece[i].text_end - from, &b->ids);
		if (status != SP_OK)
			return status;
		from = b->piece[i].text_end;
		b->piece[i].id_end = b->ids.count;
	}
	return SP_OK;
}

static void *work(void *argument)
{
	struct line *l = argument;
	struct sp_wordpiece *w = NULL;
	int status = sp_wordpiece_new(l->options->vocab, l->options->cased, &w);
	pthread_mutex_lock(&l->lock);
	for (;;) {
		while (!l->quit && l->taken == l->filled)
			pthread_cond_wait(&l->work, &l->lock);
		if (l->quit)
			break;
		struct batch *b = slot(l, l->taken++);
		pthread_mutex_unlock(&l->lock);
		b->status = status == SP_OK ? encode(b, w) : status;
		pthread_mutex_lock(&l->lock);
		b->done = 1;
		pthread_cond_signal(&l->ready);
	}
	pthread_mutex_unlock(&l->lock);
	sp_wordpiece_free(w);
	return NULL;
}

static int add_piece(struct batch *b, const struct sp_sentence *s)
{
	if (b->count == b->room) {
		size_t room = b->room ? 2 * b->room : 1024;
		struct piece *more = realloc(b->piece, room * sizeof *more);
		if (!more)
			return sp_fail(SP_ERR_MEMORY, "no memory for %zu sentences", room);
		b->piece = more;
		b->room = room;
	}
	memcpy(b->text + b->size, s->text, s->size);
	b->size += s->size;
	b->piece[b->count++] = (struct piece){ .text_end = b->size, .first = s->first };
	return SP_OK;
}

/* 1 if the text goes on, 0 at its end, or an error. */
static int fill(struct line *l, struct batch *b)
{
	struct sp_sentence sentence;
	int status = 1;
	b->size = b->count = 0;
	b->done = 0;
	b->ids.unknown = 0;
	while (b->size < BATCH_BYTES && (status = sp_text_next(l->text, &sentence)) == 1)
		if (add_piece(b, &sentence) != SP_OK)
			return SP_ERR_MEMORY;
	l->counts->bytes = sp_text_bytes(l->text);
	l->counts->invalid = sp_text_invalid(l->text);
	l->counts->share = sp_text_share(l->text);
	return status;
}

static void hand_over(struct line *l)
{
	pthread_mutex_lock(&l->lock);
	l->filled++;
	pthread_cond_signal(&l->work);
	pthread_mutex_unlock(&l->lock);
}

static int make_narrow(struct line *l, const struct batch *b)
{
	if (b->ids.count > l->narrow_room) {
		free(l->narrow);
		l->narrow_room = b->ids.room;
		l->narrow = malloc(l->narrow_room * sizeof *l->narrow);
		if (!l->narrow)
			return sp_fail(SP_ERR_MEMORY, "no memory for %zu token ids", l->narrow_room);
	}
	for (size_t i = 0; i < b->ids.count; i++)
		l->narrow[i] = (uint16_t)b->ids.id[i];
	return SP_OK;
}

static int end_document(struct line *l)
{
	if (l->in_document == 0)
		return SP_OK;
	l->in_document = 0;
	l->counts->documents++;
	return sp_indexed_writer_document(l->writer);
}

static int write_piece(struct line *l, const struct batch *b, size_t i)
{
	size_t from = i ? b->piece[i - 1].id_end : 0, count = b->piece[i].id_end - from;
	int status = b->piece[i].first ? end_document(l) : SP_OK;
	if (status != SP_OK || count == 0)
		return status;
	l->in_document++;
	l->counts->sentences++;
	l->counts->tokens += (int64_t)count;
	const void *ids = l->dtype == SP_INDEXED_UINT16 ? (const void *)(l->narrow + from) : b->ids.id + from;
	return sp_indexed_writer_sentence(l->writer, ids, (int32_t)count);
}

static int write_batch(struct line *l, const struct batch *b)
{
	int status = b->status;
	if (status == SP_OK && l->dtype == SP_INDEXED_UINT16)
		status = make_narrow(l, b);
	for (size_t i = 0; i < b->count && status == SP_OK; i++)
		status = write_piece(l, b, i);
	l->counts->unknown += b->ids.unknown;
	return status;
}

static void await(struct line *l, const struct batch *b)
{
	pthread_mutex_lock(&l->lock);
	while (!b->done)
		pthread_cond_wait(&l->ready, &l->lock);
	pthread_mutex_unlock(&l->lock);
}

/* Fills as long as a slot is free, then writes the oldest batch. */
static int run(struct line *l)
{
	int status = 1;
	uint64_t filled = 0;
	while (status >= 0 && (status == 1 || l->written < filled)) {
		if (l->options->stop && *l->options->stop)
			return SP_ERR_STOPPED;
		if (status == 1 && filled - l->written < l->slots) {
			status = fill(l, slot(l, filled));
			if (status < 0)
				return status;
			filled++;
			hand_over(l);
			continue;
		}
		struct batch *b = slot(l, l->written++);
		await(l, b);
		int written = write_batch(l, b);
		status = written == SP_OK ? status : written;
		if (status >= 0 && l->options->progress)
			l->options->progress(l->options->context, l->counts);
	}
	return status;
}

/* Signals are for the caller's thread, where they interrupt a read. */
static int start_workers(struct line *l)
{
	sigset_t all, before;
	int error = 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (l->threads < l->options->workers && error == 0) {
		error = pthread_create(&l->thread[l->threads], NULL, work, l);
		l->threads += error == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error == 0 ? SP_OK : sp_fail(SP_ERR_MEMORY, "cannot start worker %d of %d: %s", l->threads + 1,
	                                    l->options->workers, strerror(error));
}

static void stop_workers(struct line *l)
{
	pthread_mutex_lock(&l->lock);
	l->quit = 1;
	pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
	for (int i = 0; i < l->threads; i++)
		pthread_join(l->thread[i], NULL);
}

/* A batch ends with the sentence that fills it. */
static int allocate(struct line *l)
{
	l->slots = 2 * (uint64_t)l->options->workers + 2;
	l->thread = calloc((size_t)l->options->workers, sizeof *l->thread);
	l->ring = calloc(l->slots, sizeof *l->ring);
	int complete = l->thread && l->ring;
	for (uint64_t i = 0; complete && i < l->slots; i++)
		complete = (l->ring[i].text = malloc(BATCH_BYTES + SP_TEXT_SENTENCE_MAX)) != NULL;
	return complete ? SP_OK : sp_fail(SP_ERR_MEMORY, "no memory for %d workers", l->options->workers);
}

static void release(struct line *l)
{
	for (uint64_t i = 0; l->ring && i < l->slots; i++) {
		free(l->ring[i].text);
		free(l->ring[i].piece);
		free(l->ring[i].ids.id);
	}
	free(l->ring);
	free(l->thread);
	free(l->narrow);
	sp_indexed_writer_close(l->writer);
	pthread_cond_destroy(&l->ready);
	pthread_cond_destroy(&l->work);
	pthread_mutex_destroy(&l->lock);
}

static int finish(struct line *l)
{
	if (l->counts->sentences == 0)
		return sp_fail(SP_ERR_FORMAT, "there is no text in the input (%lld file(s), %lld bytes): nothing is written",
		               (long long)sp_text_files(l->text), (long long)l->counts->bytes);
	int status = end_document(l);
	if (status == SP_OK && l->options->stop && *l->options->stop)
		status = SP_ERR_STOPPED;
	return status == SP_OK ? sp_indexed_writer_finish(l->writer) : status;
}

int sp_tokenize(struct sp_text *text, const char *prefix, const struct sp_tokenize_options *options,
                struct sp_tokenize_counts *counts)
{
	struct line l = { .text = text, .options = options, .counts = counts };
	*counts = (struct sp_tokenize_counts){ 0 };
	l.dtype = sp_vocab_size(options->vocab) < NARROW_BELOW ? SP_INDEXED_UINT16 : SP_INDEXED_INT32;
	pthread_mutex_init(&l.lock, NULL);
	pthread_cond_init(&l.work, NULL);
	pthread_cond_init(&l.ready, NULL);
	int status = allocate(&l);
	if (status == SP_OK)
		status = sp_indexed_writer_open(prefix, l.dtype, &l.writer);
	if (status == SP_OK)
		status = start_workers(&l);
	if (status == SP_OK)
		status = run(&l);
	stop_workers(&l);
	if (status == SP_OK)
		status = finish(&l);
	release(&l);
	return status;
}
