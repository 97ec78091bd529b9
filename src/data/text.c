#include "config.h"

#include "data/text.h"

#include "base/log.h"
#include "data/files.h"
#include "data/sentence.h"
#include "data/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define RAW_ROOM (1 << 18)
/* Twice the longest sentence, so that the search for ends seldom starts anew on the same text. */
#define PARAGRAPH_ROOM (2 * SP_TEXT_SENTENCE_MAX)

struct sp_text {
	struct sp_text_options options;
	struct sp_files files;
	size_t current;   /* file in work, or the one to open next */
	gzFile gz;        /* NULL: none is open */
	int64_t passed;   /* sizes of the files that are done */
	int64_t bytes, invalid;

	char *raw;        /* what was read and not yet looked at: raw_at .. raw_size */
	size_t raw_at, raw_size;
	int raw_end;      /* no more to read in this file */

	char *paragraph;  /* text of one document without a blank line; given out up to `given` */
	size_t given, size;
	int ended;        /* the paragraph is complete, */
	int ended_document; /* and with it the document, */
	int ended_line;     /* by a newline that ends one */
	int line_blank;   /* nothing but blanks so far on this line */
	int first;        /* the next sentence begins a document */
};

int sp_text_open(const char *const *path, size_t count, const struct sp_text_options *options, struct sp_text **text)
{
	struct sp_text *t = calloc(1, sizeof *t);
	if (!t)
		return sp_fail(SP_ERR_MEMORY, "no memory to read text");
	t->options = *options;
	t->raw = malloc(RAW_ROOM);
	t->paragraph = malloc(PARAGRAPH_ROOM);
	t->first = t->line_blank = 1;
	int status = t->raw && t->paragraph ? sp_files_list(path, count, &t->files) :
	             sp_fail(SP_ERR_MEMORY, "no memory to read text");
	if (status != SP_OK) {
		sp_text_close(t);
		return status;
	}
	*text = t;
	return SP_OK;
}

void sp_text_close(struct sp_text *t)
{
	if (!t)
		return;
	if (t->gz)
		gzclose_r(t->gz);
	sp_files_free(&t->files);
	free(t->raw);
	free(t->paragraph);
	free(t);
}

static const char *name_of(const struct sp_text *t)
{
	const char *path = t->files.file[t->current].path;
	return strcmp(path, "-") == 0 ? "standard input" : path;
}

/* Interrupted calls are not errors to speak of: whoever installed the signal's handler knows. */
static int cannot_read(const struct sp_text *t, const char *what)
{
	int error = errno;
	if (error == EINTR)
		return SP_ERR_STOPPED;
	return sp_fail(SP_ERR_IO, "%s: cannot %s: %s", name_of(t), what, error ? strerror(error) : "unknown error");
}

static int open_file(struct sp_text *t)
{
	const char *path = t->files.file[t->current].path;
	int standard = strcmp(path, "-") == 0, fd = standard ? dup(STDIN_FILENO) : -1;
	errno = 0;
	t->gz = !standard ? gzopen(path, "rbe") : fd >= 0 ? gzdopen(fd, "rb") : NULL;
	if (!t->gz) {
		int status = cannot_read(t, "open it");
		if (fd >= 0)
			close(fd);
		return status;
	}
	gzbuffer(t->gz, RAW_ROOM);
	t->raw_at = t->raw_size = 0;
	t->raw_end = 0;
	t->line_blank = 1;
	return SP_OK;
}

static int check_beginning(struct sp_text *t)
{
	const char *name = name_of(t);
	size_t length = strlen(name);
	if (length > 3 && strcmp(name + length - 3, ".gz") == 0 && gzdirect(t->gz))
		return sp_fail(SP_ERR_FORMAT,
		               "%s: is not gzip data although its name ends in .gz: rename it if it is plain text", name);
	if (t->raw_size == 0)
		sp_log(SP_LOG_WARNING, "%s: is empty", name);
	if (t->raw_size >= 2 && (memcmp(t->raw, "\xFF\xFE", 2) == 0 || memcmp(t->raw, "\xFE\xFF", 2) == 0))
		sp_log(SP_LOG_WARNING, "%s: seems to be UTF-16: convert it with iconv -f UTF-16 -t UTF-8", name);
	if (t->raw_size >= 3 && memcmp(t->raw, "\xEF\xBB\xBF", 3) == 0)
		t->raw_at = 3; /* a byte order mark is not text */
	return SP_OK;
}

/* Reads on behind what is left, which is the beginning of a character at most. */
static int refill(struct sp_text *t)
{
	size_t left = t->raw_size - t->raw_at;
	int beginning = gztell(t->gz) == 0;
	memmove(t->raw, t->raw + t->raw_at, left);
	errno = 0;
	int got = gzread(t->gz, t->raw + left, (unsigned)(RAW_ROOM - left)), code;
	const char *why = gzerror(t->gz, &code);
	if (got < 0 || (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)) {
		if (code == Z_ERRNO)
			return cannot_read(t, "read it");
		return sp_fail(SP_ERR_FORMAT, "%s: damaged gzip data: %s", name_of(t), why);
	}
	t->raw_at = 0;
	t->raw_size = left + (size_t)got;
	t->raw_end = got == 0 || gzeof(t->gz);
	t->bytes += got;
	return beginning ? check_beginning(t) : SP_OK;
}

/* A file ends its paragraph and document. */
static int close_file(struct sp_text *t)
{
	int code = gzclose_r(t->gz);
	t->gz = NULL;
	if (code == Z_BUF_ERROR)
		return sp_fail(SP_ERR_FORMAT, "%s: the gzip data is cut short", name_of(t));
	if (t->files.file[t->current].size > 0)
		t->passed += t->files.file[t->current].size;
	t->current++;
	t->ended = t->ended_document = 1;
	return SP_OK;
}

static int is_blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static void put_newline(struct sp_text *t)
{
	if (t->options.document_per_line) {
		t->ended = t->ended_document = t->ended_line = 1;
	} else if (t->line_blank) {
		t->ended = 1;
		t->ended_document = !t->options.document_per_file;
	} else if (t->options.sentence_per_line) {
		t->ended = 1;
	} else {
		t->paragraph[t->size++] = ' ';
	}
	t->line_blank = 1;
}

/* One character, or what is not one. Returns 0 if it is cut off by the end of the buffer and more is to come. */
static int put_character(struct sp_text *t)
{
	int32_t code;
	int cut;
	size_t length = sp_utf8_next(t->raw + t->raw_at, t->raw_size - t->raw_at, &code, &cut);
	if (cut && !t->raw_end)
		return 0;
	if (code < 0) {
		t->invalid += (int64_t)length;
		code = 0xFFFD;
	}
	t->size += sp_utf8_put(code, t->paragraph + t->size);
	t->raw_at += length;
	t->line_blank = 0;
	return 1;
}

static int is_full(const struct sp_text *t)
{
	return t->size + 4 > PARAGRAPH_ROOM;
}

/* Moves text from raw to the paragraph until that ends or is full, or raw is used up but for a cut character. */
static void take_raw(struct sp_text *t)
{
	while (t->raw_at < t->raw_size && !t->ended && !is_full(t)) {
		unsigned char c = (unsigned char)t->raw[t->raw_at];
		if (c >= 0x80) {
			if (!put_character(t))
				return;
			continue;
		}
		if (c == '\n') {
			put_newline(t);
		} else if (!is_blank(c)) {
			t->paragraph[t->size++] = (char)c;
			t->line_blank = 0;
		} else if (!t->line_blank) {
			t->paragraph[t->size++] = ' ';
		}
		t->raw_at++;
	}
}

/* More of the paragraph: 1, 0 when all files are done, or an error. */
static int fill(struct sp_text *t)
{
	int status = SP_OK;
	while (status == SP_OK) {
		if (!t->gz && t->current == t->files.count)
			return 0;
		if (!t->gz)
			status = open_file(t);
		if (status == SP_OK)
			take_raw(t);
		if (status == SP_OK && (t->ended || is_full(t)))
			return 1;
		if (status == SP_OK && t->raw_end && t->raw_at == t->raw_size)
			return (status = close_file(t)) == SP_OK ? 1 : status;
		if (status == SP_OK)
			status = refill(t);
	}
	return status;
}

/* Where to cut text that is too long: at the last blank, else between two characters. */
static size_t cut(const char *text)
{
	size_t end = SP_TEXT_SENTENCE_MAX;
	while (end > 0 && text[end] != ' ')
		end--;
	if (end == 0)
		for (end = SP_TEXT_SENTENCE_MAX; ((unsigned char)text[end] & 0xC0) == 0x80;)
			end--;
	return end;
}

static int take_sentence(struct sp_text *t, struct sp_sentence *sentence)
{
	while (t->given < t->size && t->paragraph[t->given] == ' ')
		t->given++;
	const char *text = t->paragraph + t->given;
	size_t size = t->size - t->given, end = 0;
	const int empty = size == 0 && t->ended_line && t->first; /* the document of an empty line */
	if ((size == 0 && !empty) || (!t->ended && !is_full(t)))
		return 0;
	if (!t->options.sentence_per_line && !t->options.document_per_line)
		end = sp_sentence_end(text, size);
	if (end == 0 && t->ended)
		end = size;
	if (end > SP_TEXT_SENTENCE_MAX || (end == 0 && size > SP_TEXT_SENTENCE_MAX))
		end = cut(text);
	if (end == 0 && !empty)
		return 0;
	t->given += end;
	while (end > 0 && text[end - 1] == ' ')
		end--;
	*sentence = (struct sp_sentence){ .text = text, .size = end, .first = t->first };
	t->first = 0;
	return 1;
}

static void make_room(struct sp_text *t)
{
	if (t->ended) {
		t->first |= t->ended_document;
		t->ended = t->ended_document = t->ended_line = 0;
		t->given = t->size = 0;
	}
	t->size -= t->given;
	memmove(t->paragraph, t->paragraph + t->given, t->size);
	t->given = 0;
}

int sp_text_next(struct sp_text *t, struct sp_sentence *sentence)
{
	while (!take_sentence(t, sentence)) {
		make_room(t);
		int more = fill(t);
		if (more <= 0)
			return more;
	}
	return 1;
}

int64_t sp_text_files(const struct sp_text *t)
{
	return (int64_t)t->files.count;
}

int64_t sp_text_invalid(const struct sp_text *t)
{
	return t->invalid;
}

int64_t sp_text_bytes(const struct sp_text *t)
{
	return t->bytes;
}

double sp_text_share(const struct sp_text *t)
{
	int64_t within = t->gz && t->files.file[t->current].size > 0 ? gzoffset(t->gz) : 0;
	return t->files.size > 0 ? (double)(t->passed + within) / (double)t->files.size : -1.0;
}
