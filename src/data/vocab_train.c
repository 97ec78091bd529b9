#include "config.h"

#include "data/vocab_train.h"

#include "base/log.h"
#include "data/merges.h"
#include "data/utf8.h"
#include "data/vocab.h"
#include "data/wordpiece.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CODES 0x110000

/* A symbol is the number of its token. */
struct trainer {
	const struct sp_word_counts *words;
	const struct sp_vocab_train_options *options;
	struct sp_vocab_trained *out;
	int64_t *frequency; /* of each code point; 0: not in the alphabet */
	int32_t *alone,
		*continued; /* symbol of a code point at the beginning of a word, and within; 0: none (that is [PAD]'s) */
	struct sp_merges *merges;
};

static int no_memory(void)
{
	return sp_fail(SP_ERR_MEMORY, "no memory to make a vocabulary");
}

/* Takes over `token`; there is room for it. No text comes twice: tokens do not reach across the ends of a new one, so
 * within them the earlier joins have left the same parts as anywhere else, and a pair is joined everywhere at once. */
static int32_t enter(struct trainer *t, char *token)
{
	t->out->token[t->out->count] = token;
	return (int32_t)t->out->count++;
}

static int allocate(struct trainer *t)
{
	t->out->token = calloc((size_t)t->options->size, sizeof *t->out->token);
	t->frequency = calloc(CODES, sizeof *t->frequency);
	t->alone = calloc(CODES, sizeof *t->alone);
	t->continued = calloc(CODES, sizeof *t->continued);
	if (!t->out->token || !t->frequency || !t->alone || !t->continued)
		return no_memory();
	return sp_merges_new(&t->merges);
}

static size_t decode(const struct sp_word_count *w, int32_t code[SP_WORD_CHARS_MAX])
{
	size_t count = 0;
	for (size_t i = 0; i < w->size;)
		i += sp_utf8_next(w->word + i, w->size - i, &code[count++], NULL);
	return count;
}

struct character {
	int32_t code;
	int64_t frequency;
};

static int by_frequency(const void *x, const void *y)
{
	const struct character *a = x, *b = y;
	if (a->frequency != b->frequency)
		return a->frequency > b->frequency ? -1 : 1;
	return a->code < b->code ? -1 : a->code > b->code;
}

/* Zeroes the frequency of what the alphabet has no room for. */
static int limit_alphabet(struct trainer *t)
{
	struct character *all = malloc(CODES * sizeof *all);
	int64_t count = 0;
	if (!all)
		return no_memory();
	for (int32_t code = 0; code < CODES; code++)
		if (t->frequency[code] > 0)
			all[count++] = (struct character){ code, t->frequency[code] };
	qsort(all, (size_t)count, sizeof *all, by_frequency);
	for (int64_t i = t->options->alphabet; i < count; i++)
		t->frequency[all[i].code] = 0;
	t->out->characters = count < t->options->alphabet ? count : t->options->alphabet;
	t->out->dropped = count - t->out->characters;
	free(all);
	return count > 0 ? SP_OK : sp_fail(SP_ERR_FORMAT, "there are no words in the input: no vocabulary can be made");
}

/* Counts characters, and marks (in t->continued) those that are seen within words. */
static int take_alphabet(struct trainer *t)
{
	int32_t code[SP_WORD_CHARS_MAX];
	for (size_t i = 0; i < sp_word_counts_size(t->words); i++) {
		struct sp_word_count w = sp_word_counts_get(t->words, i);
		size_t count = decode(&w, code);
		for (size_t j = 0; j < count; j++) {
			t->frequency[code[j]] += w.count;
			t->continued[code[j]] |= j > 0;
		}
	}
	return limit_alphabet(t);
}

static char *character_token(const char *lead, int32_t code)
{
	char text[8] = "";
	size_t length = strlen(lead);
	memcpy(text, lead, length);
	text[length + sp_utf8_put(code, text + length)] = 0;
	return strdup(text);
}

static int64_t least_size(const struct trainer *t)
{
	int64_t count = SP_SPECIALS + t->out->characters;
	for (int32_t code = 0; code < CODES; code++)
		count += t->frequency[code] > 0 && t->continued[code];
	return count;
}

static int enter_characters(struct trainer *t, const char *lead, int32_t *symbol)
{
	for (int32_t code = 0; code < CODES; code++) {
		if (t->frequency[code] == 0 || (symbol == t->continued && !symbol[code]))
			continue;
		char *token = character_token(lead, code);
		if (!token)
			return no_memory();
		symbol[code] = enter(t, token);
	}
	return SP_OK;
}

static int enter_first(struct trainer *t)
{
	int64_t least = least_size(t);
	if (least > t->options->size)
		return sp_fail(SP_ERR_SETTING,
		               "--size %lld does not hold the special tokens and the %lld characters of the text: give "
		               "--size %lld or more, or a lower --alphabet",
		               (long long)t->options->size, (long long)t->out->characters, (long long)least);
	for (int i = 0; i < SP_SPECIALS; i++) {
		char *token = strdup(sp_vocab_special_name((enum sp_special)i));
		if (!token)
			return no_memory();
		enter(t, token);
	}
	int status = enter_characters(t, "", t->alone);
	return status == SP_OK ? enter_characters(t, "##", t->continued) : status;
}

static int add_words(struct trainer *t)
{
	int32_t symbol[SP_WORD_CHARS_MAX];
	int status = SP_OK;
	for (size_t i = 0; i < sp_word_counts_size(t->words) && status == SP_OK; i++) {
		struct sp_word_count w = sp_word_counts_get(t->words, i);
		size_t count = decode(&w, symbol), known = 0;
		while (known < count && t->frequency[symbol[known]] > 0)
			known++;
		if (known < count)
			continue;
		for (size_t j = 0; j < count; j++)
			symbol[j] = j == 0 ? t->alone[symbol[j]] : t->continued[symbol[j]];
		status = sp_merges_add(t->merges, symbol, count, w.count);
	}
	return status;
}

/* The second part of a pair always continues a word. */
static char *joined_token(const char *a, const char *b)
{
	size_t lead = strlen(a), tail = strlen(b + 2);
	char *token = malloc(lead + tail + 1);
	if (token) {
		memcpy(token, a, lead);
		memcpy(token + lead, b + 2, tail + 1);
	}
	return token;
}

static int join(struct trainer *t)
{
	struct sp_pair pair;
	int status = 1;
	while (t->out->count < t->options->size && status == 1) {
		status = sp_merges_best(t->merges, t->options->min_frequency, &pair);
		if (status != 1)
			break;
		char *token = joined_token(t->out->token[pair.a], t->out->token[pair.b]);
		if (!token)
			return no_memory();
		int joined = sp_merges_join(t->merges, &pair, enter(t, token));
		status = joined == SP_OK ? 1 : joined;
	}
	return status < 0 ? status : SP_OK;
}

static int fill_up(struct trainer *t)
{
	while (t->out->count < t->options->size) {
		char token[32], *copy;
		snprintf(token, sizeof token, "[unused%lld]", (long long)t->out->unused++);
		if (!(copy = strdup(token)))
			return no_memory();
		enter(t, copy);
	}
	return SP_OK;
}

static void release(struct trainer *t)
{
	sp_merges_free(t->merges);
	free(t->frequency);
	free(t->alone);
	free(t->continued);
}

int sp_vocab_train(const struct sp_word_counts *words, const struct sp_vocab_train_options *options,
                   struct sp_vocab_trained *trained)
{
	*trained = (struct sp_vocab_trained){ 0 };
	struct trainer t = { .words = words, .options = options, .out = trained };
	int status = allocate(&t);
	if (status == SP_OK)
		status = take_alphabet(&t);
	if (status == SP_OK)
		status = enter_first(&t);
	if (status == SP_OK)
		status = add_words(&t);
	if (status == SP_OK)
		status = join(&t);
	if (status == SP_OK)
		status = fill_up(&t);
	release(&t);
	if (status != SP_OK)
		sp_vocab_trained_free(trained);
	return status;
}

void sp_vocab_trained_free(struct sp_vocab_trained *t)
{
	for (int64_t i = 0; i < t->count; i++)
		free(t->token[i]);
	free(t->token);
	*t = (struct sp_vocab_trained){ 0 };
}

static int put_tokens(FILE *file, const struct sp_vocab_trained *trained)
{
	for (int64_t i = 0; i < trained->count; i++)
		if (fprintf(file, "%s\n", trained->token[i]) < 0)
			return -1;
	return fflush(file) != 0 || fsync(fileno(file)) != 0 ? -1 : 0;
}

int sp_vocab_write(const char *path, const struct sp_vocab_trained *trained)
{
	struct stat info;
	char *temporary = NULL;
	if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
		return sp_fail(SP_ERR_IO, "%s: is there and not a regular file: give another name with -o", path);
	if (asprintf(&temporary, "%s.tmp.%ld", path, (long)getpid()) < 0)
		return no_memory();
	FILE *file = fopen(temporary, "we");
	int status = SP_OK;
	if (!file)
		status = sp_fail(SP_ERR_IO, "%s: cannot create the file: %s (its directory must exist and be writable)",
		                 temporary, strerror(errno));
	else if ((put_tokens(file, trained) != 0) | (fclose(file) != 0))
		status = sp_fail(SP_ERR_IO, "%s: cannot write: %s", temporary, strerror(errno));
	else if (rename(temporary, path) != 0)
		status = sp_fail(SP_ERR_IO, "%s: cannot rename to %s: %s", temporary, path, strerror(errno));
	if (file && status != SP_OK)
		unlink(temporary);
	free(temporary);
	return status;
}
