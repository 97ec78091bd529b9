#include "config.h"

#include "use/tokens.h"

#include "base/log.h"
#include "data/utf8.h"

#include <stdlib.h>
#include <string.h>

static int append_special(struct sp_use *use, enum sp_special which, struct sp_ids *ids)
{
	const int32_t id = sp_vocab_special(use->vocab, which);
	return sp_ids_append(ids, &id, 1);
}

/* The special token that `text` begins with, or SP_SPECIALS. */
static enum sp_special special_at(const char *text, size_t size)
{
	for (int s = 0; s < SP_SPECIALS; s++) {
		const char *name = sp_vocab_special_name((enum sp_special)s);
		const size_t length = strlen(name);
		if (length <= size && memcmp(text, name, length) == 0)
			return (enum sp_special)s;
	}
	return SP_SPECIALS;
}

static int append_text(struct sp_use *use, const char *text, size_t size, struct sp_ids *ids)
{
	int status = SP_OK;
	size_t from = 0, at = 0;
	while (!status && at < size) {
		const enum sp_special which = text[at] == '[' ? special_at(text + at, size - at) : SP_SPECIALS;
		if (which == SP_SPECIALS) {
			at++;
			continue;
		}
		status = sp_wordpiece_encode(use->wordpiece, text + from, at - from, ids);
		if (!status)
			status = append_special(use, which, ids);
		from = at += strlen(sp_vocab_special_name(which));
	}
	return status ? status : sp_wordpiece_encode(use->wordpiece, text + from, size - from, ids);
}

int sp_use_tokens(struct sp_use *use, const char *text, size_t size, struct sp_ids *ids)
{
	int status = append_special(use, SP_CLS, ids);
	if (!status)
		status = append_text(use, text, size, ids);
	return status ? status : append_special(use, SP_SEP, ids);
}

int64_t sp_use_invalid(const char *text, size_t size)
{
	int64_t invalid = 0;
	for (size_t at = 0; at < size;) {
		int32_t code;
		const size_t length = sp_utf8_next(text + at, size - at, &code, NULL);
		invalid += code < 0 ? (int64_t)length : 0;
		at += length;
	}
	return invalid;
}

static int make_room(struct sp_ids *ids, size_t count)
{
	free(ids->id);
	*ids = (struct sp_ids){ .id = malloc(count * sizeof *ids->id + 1), .count = count, .room = count };
	return ids->id ? SP_OK : sp_fail(SP_ERR_MEMORY, "no memory for %zu token ids", count);
}

int sp_use_share(struct sp_use *use, int status, struct sp_ids *ids)
{
	int64_t head[2] = { status, (int64_t)ids->count };
	int failed = sp_comm_broadcast(use->world, head, sizeof head, 0);
	if (failed || head[0])
		return failed ? failed : (int)head[0];
	if (sp_comm_rank(use->world) != 0)
		failed = make_room(ids, (size_t)head[1]);
	return failed ? failed : sp_comm_broadcast(use->world, ids->id, ids->count * sizeof *ids->id, 0);
}
