#include "config.h"

#include "use/window.h"

#include "base/log.h"
#include "use/tokens.h"

#include <stdlib.h>
#include <string.h>

static size_t begin_of(const struct sp_window *w, int64_t d)
{
	return d > 0 ? (size_t)w->end[d - 1] : 0;
}

/* ---- reading, on rank 0 ---- */

static int append_special(struct sp_window *w, enum sp_special which)
{
	const int32_t id = sp_vocab_special(w->use->vocab, which);
	return sp_ids_append(&w->ids, &id, 1);
}

/* Tokens of the document in work; one more place is for [SEP]. */
static int cut(struct sp_window *w)
{
	const size_t begin = begin_of(w, w->documents), most = (size_t)sp_model_longest(&w->use->config) - 1;
	if (w->ids.count - begin <= most)
		return SP_OK;
	if (!w->truncate)
		return sp_fail(SP_ERR_ARGUMENT,
		               "document %lld has more tokens than model.max_positions = %lld, [CLS] and [SEP] among them: "
		               "shorten it, cut such documents with --truncate, or extend the model's positions "
		               "(model.max_positions with model.extend_positions = tile or interpolate), best by training on "
		               "with checkpoint.init",
		               (long long)(w->before + w->documents + 1), (long long)(most + 1));
	w->ids.count = begin + most;
	w->truncated[w->documents] = 1;
	return SP_OK;
}

static int close_document(struct sp_window *w)
{
	if (!w->open)
		return SP_OK;
	int status = append_special(w, SP_SEP);
	w->open = 0;
	w->end[w->documents++] = (int64_t)w->ids.count;
	return status;
}

static int add(struct sp_window *w, const struct sp_sentence *sentence)
{
	int status = sentence->first ? close_document(w) : SP_OK;
	if (!status && sentence->first) {
		w->open = 1;
		w->truncated[w->documents] = 0;
		status = append_special(w, SP_CLS);
	}
	/* What would be cut away again need not be cut into words. */
	if (status || w->truncated[w->documents])
		return status;
	status = sp_wordpiece_encode(w->use->wordpiece, sentence->text, sentence->size, &w->ids);
	return status ? status : cut(w);
}

static int is_full(const struct sp_window *w)
{
	return w->documents == SP_WINDOW_DOCUMENTS || (w->documents > 0 && w->end[w->documents - 1] >= w->most_ids);
}

/* The document in work moves to the front. */
static void keep_open(struct sp_window *w)
{
	const size_t begin = begin_of(w, w->documents);
	if (w->ids.count > begin)
		memmove(w->ids.id, w->ids.id + begin, (w->ids.count - begin) * sizeof *w->ids.id);
	w->ids.count -= begin;
	w->before += w->documents;
	w->truncated[0] = w->truncated[w->documents];
	w->documents = 0;
}

static int fill(struct sp_window *w)
{
	struct sp_sentence sentence;
	int status = SP_OK;
	keep_open(w);
	while (!status && !w->over && !is_full(w)) {
		const int more = sp_text_next(w->text, &sentence);
		if (more < 0)
			return more;
		w->over = more == 0;
		status = w->over ? close_document(w) : add(w, &sentence);
	}
	return status;
}

/* ---- all ranks ---- */

static int make_room(struct sp_ids *ids, size_t count)
{
	if (count <= ids->room)
		return SP_OK;
	free(ids->id);
	*ids = (struct sp_ids){ .id = malloc(count * sizeof *ids->id), .room = count };
	return ids->id ? SP_OK : sp_fail(SP_ERR_MEMORY, "no memory for %zu token ids", count);
}

static int share(struct sp_window *w)
{
	struct sp_comm *world = w->use->world;
	const size_t documents = (size_t)w->documents;
	int status = sp_comm_broadcast(world, w->end, documents * sizeof *w->end, 0);
	if (!status)
		status = sp_comm_broadcast(world, w->truncated, documents, 0);
	const size_t ids = begin_of(w, w->documents);
	if (!status && !w->text)
		status = make_room(&w->ids, ids);
	return status ? status : sp_comm_broadcast(world, w->ids.id, ids * sizeof *w->ids.id, 0);
}

int sp_window_next(struct sp_window *w, int status)
{
	if (w->text && !status)
		status = fill(w);
	int64_t head[2] = { status, w->documents };
	int failed = sp_comm_broadcast(w->use->world, head, sizeof head, 0);
	if (failed || head[0])
		return failed ? failed : (int)head[0];
	w->documents = head[1];
	if (w->documents == 0)
		return 0;
	failed = share(w);
	return failed ? failed : 1;
}

struct sp_use_document sp_window_document(const struct sp_window *w, int64_t d)
{
	const size_t begin = begin_of(w, d);
	return (struct sp_use_document){ w->ids.id + begin, w->end[d] - (int64_t)begin };
}

void sp_window_free(struct sp_window *w)
{
	free(w->ids.id);
	w->ids = (struct sp_ids){ 0 };
}
