#include "config.h"

#include "data/vocab.h"

#include "base/log.h"
#include "base/size.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Open addressing: a slot holds the high half of the hash beside the id, so a miss seldom touches a token's bytes. */
struct slot {
	uint32_t hash;
	int32_t id; /* -1: empty */
};

struct sp_vocab {
	char *bytes;     /* all tokens, each ended by a zero byte */
	size_t *start;   /* size + 1 offsets into bytes */
	int32_t size;
	size_t longest;
	struct slot *slot;
	size_t mask;
	int32_t special[SP_SPECIALS];
};

static const char *const special_names[SP_SPECIALS] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" };

const char *sp_vocab_special_name(enum sp_special which)
{
	return special_names[which];
}

static uint64_t hash_bytes(const char *token, size_t size)
{
	uint64_t hash = SP_VOCAB_HASH_START;
	for (size_t i = 0; i < size; i++)
		hash = sp_vocab_hash_byte(hash, (unsigned char)token[i]);
	return hash;
}

/* FNV's low bits depend on all input bits, its high ones less so for short words. */
static size_t first_slot(const struct sp_vocab *v, uint64_t hash)
{
	return (size_t)(hash ^ (hash >> 29)) & v->mask;
}

int32_t sp_vocab_find_hashed(const struct sp_vocab *v, uint64_t hash, const char *prefix, const char *token,
                             size_t size)
{
	size_t lead = strlen(prefix);
	for (size_t i = first_slot(v, hash); v->slot[i].id >= 0; i = (i + 1) & v->mask) {
		int32_t id = v->slot[i].id;
		const char *own = v->bytes + v->start[id];
		if (v->slot[i].hash == (uint32_t)(hash >> 32) && v->start[id + 1] - v->start[id] - 1 == lead + size &&
		    memcmp(own, prefix, lead) == 0 && memcmp(own + lead, token, size) == 0)
			return id;
	}
	return -1;
}

int32_t sp_vocab_find(const struct sp_vocab *v, const char *token, size_t size)
{
	return sp_vocab_find_hashed(v, hash_bytes(token, size), "", token, size);
}

static void insert(struct sp_vocab *v, int32_t id)
{
	uint64_t hash = hash_bytes(v->bytes + v->start[id], v->start[id + 1] - v->start[id] - 1);
	size_t i = first_slot(v, hash);
	while (v->slot[i].id >= 0)
		i = (i + 1) & v->mask;
	v->slot[i] = (struct slot){ .hash = (uint32_t)(hash >> 32), .id = id };
}

static int is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* One line, without its newline: blanks around the token do not belong to it. */
static int add_line(struct sp_vocab *v, const char *name, const char *line, size_t size)
{
	while (size > 0 && is_blank(line[size - 1]))
		size--;
	while (size > 0 && is_blank(*line)) {
		line++;
		size--;
	}
	if (size == 0)
		return sp_fail(SP_ERR_FORMAT, "%s:%d: empty line: every line of a vocabulary holds one token", name,
		               v->size + 1);
	if (memchr(line, 0, size))
		return sp_fail(SP_ERR_FORMAT, "%s:%d: zero byte: this is not a text file with one token a line", name,
		               v->size + 1);
	int32_t twin = sp_vocab_find(v, line, size);
	if (twin >= 0)
		return sp_fail(SP_ERR_FORMAT, "%s:%d: token '%.*s' is already on line %d: remove one of them", name,
		               v->size + 1, (int)sp_min((int64_t)size, 200), line, twin + 1);
	memcpy(v->bytes + v->start[v->size], line, size);
	v->bytes[v->start[v->size] + size] = 0;
	v->start[v->size + 1] = v->start[v->size] + size + 1;
	v->longest = size > v->longest ? size : v->longest;
	insert(v, v->size++);
	return SP_OK;
}

static int find_specials(struct sp_vocab *v, const char *name)
{
	for (int i = 0; i < SP_SPECIALS; i++) {
		v->special[i] = sp_vocab_find(v, special_names[i], strlen(special_names[i]));
		if (v->special[i] < 0)
			return sp_fail(SP_ERR_FORMAT,
			               "%s: no line of its %d holds %s: a BERT vocabulary needs [PAD] [UNK] [CLS] [SEP] "
			               "[MASK]; 'seqpar vocab' makes one",
			               name, v->size, special_names[i]);
	}
	return SP_OK;
}

static int allocate(struct sp_vocab *v, const char *name, const char *text, size_t size)
{
	size_t lines = 0, slots = 16;
	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	if (lines >= INT32_MAX / 2)
		return sp_fail(SP_ERR_FORMAT, "%s: %zu lines are too many for a vocabulary", name, lines);
	while (slots < 2 * lines)
		slots *= 2;
	v->bytes = malloc(size + 1);
	v->start = calloc(lines + 1, sizeof *v->start);
	v->slot = malloc(slots * sizeof *v->slot);
	if (!v->bytes || !v->start || !v->slot)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory for %zu tokens", name, lines);
	v->mask = slots - 1;
	for (size_t i = 0; i < slots; i++)
		v->slot[i].id = -1;
	return SP_OK;
}

static int add_lines(struct sp_vocab *v, const char *name, const char *text, size_t size)
{
	const char *end = text + size;
	int status = SP_OK;
	while (text < end && status == SP_OK) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		if (!newline)
			return sp_fail(SP_ERR_FORMAT, "%s:%d: the last line does not end with a newline: the file seems cut short "
			               "(if it is whole, add a newline)", name, v->size + 1);
		status = add_line(v, name, text, (size_t)(newline - text));
		text = newline + 1;
	}
	return status;
}

int sp_vocab_parse(const char *name, const char *text, size_t size, struct sp_vocab **vocab)
{
	if (size == 0)
		return sp_fail(SP_ERR_FORMAT, "%s: the file is empty: a vocabulary holds one token a line", name);
	struct sp_vocab *v = calloc(1, sizeof *v);
	if (!v)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory for a vocabulary", name);
	int status = allocate(v, name, text, size);
	if (status == SP_OK)
		status = add_lines(v, name, text, size);
	if (status == SP_OK)
		status = find_specials(v, name);
	if (status != SP_OK) {
		sp_vocab_free(v);
		return status;
	}
	*vocab = v;
	return SP_OK;
}

/* Reads a whole file; vocabularies are small, and a pipe has no length beforehand. */
static int read_all(const char *path, FILE *file, char **text, size_t *size)
{
	size_t room = 1 << 20, used = 0, got;
	char *bytes = malloc(room);
	while (bytes && (got = fread(bytes + used, 1, room - used, file)) > 0) {
		used += got;
		if (used == room) {
			char *more = realloc(bytes, room *= 2);
			if (!more)
				free(bytes);
			bytes = more;
		}
	}
	if (!bytes)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory for %zu bytes of vocabulary", path, room);
	if (ferror(file)) {
		free(bytes);
		return sp_fail(SP_ERR_IO, "%s: cannot read the vocabulary: %s", path, strerror(errno));
	}
	*text = bytes;
	*size = used;
	return SP_OK;
}

int sp_vocab_read(const char *path, struct sp_vocab **vocab)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		return sp_fail(SP_ERR_IO, "%s: cannot open the vocabulary: %s", path, strerror(errno));
	char *text = NULL;
	size_t size = 0;
	int status = read_all(path, file, &text, &size);
	fclose(file);
	if (status == SP_OK)
		status = sp_vocab_parse(path, text, size, vocab);
	free(text);
	return status;
}

void sp_vocab_free(struct sp_vocab *v)
{
	if (!v)
		return;
	free(v->bytes);
	free(v->start);
	free(v->slot);
	free(v);
}

int32_t sp_vocab_size(const struct sp_vocab *v)
{
	return v->size;
}

int32_t sp_vocab_special(const struct sp_vocab *v, enum sp_special which)
{
	return v->special[which];
}

const char *sp_vocab_token(const struct sp_vocab *v, int32_t id)
{
	return v->bytes + v->start[id];
}

int sp_vocab_continues(const struct sp_vocab *v, int32_t id)
{
	const char *token = sp_vocab_token(v, id);
	return token[0] == '#' && token[1] == '#' && token[2] != 0;
}

size_t sp_vocab_longest(const struct sp_vocab *v)
{
	return v->longest;
}
