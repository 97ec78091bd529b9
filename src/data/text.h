/* Text files as a stream of sentences. May include: base.
 *
 * Documents are separated by lines that are empty or blank, or each file or each line is one. Within a document a newline
 * is a space, so wrapped text is joined, and sentences are found by the rules of sentence.h; or each line is one sentence.
 * With one document a file a blank line still ends a sentence; with one a line, a blank line is an empty document. Bytes that are not UTF-8 become U+FFFD and are counted.
 * Memory does not depend on the size of the input: what goes on for more than SP_TEXT_SENTENCE_MAX bytes without an
 * end is cut at a blank. */
#ifndef SP_DATA_TEXT_H
#define SP_DATA_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define SP_TEXT_SENTENCE_MAX (1 << 16)

struct sp_text_options {
	int document_per_file;
	int sentence_per_line;
	int document_per_line; /* each of one sentence, which is empty if the line is */
};

struct sp_sentence {
	const char *text; /* valid UTF-8 without newlines, not ended by a zero byte; the reader's, until the next call */
	size_t size;      /* > 0, but for document_per_line */
	int first;        /* begins a document */
};

struct sp_text;

/* Takes files, directories (all files below them in sorted order; names that begin with a dot and links to directories
 * are left out) and "-" for standard input; what is compressed by gzip is expanded. Lists the directories, opens
 * nothing else yet. `path` is copied. SP_ERR_IO, SP_ERR_MEMORY (logged). */
int sp_text_open(const char *const *path, size_t count, const struct sp_text_options *options, struct sp_text **text);
void sp_text_close(struct sp_text *t); /* NULL accepted */

/* The next sentence: 1, 0 at the end of all input, or SP_ERR_IO, SP_ERR_FORMAT (damaged gzip data), logged with the
 * file. */
int sp_text_next(struct sp_text *t, struct sp_sentence *sentence);

int64_t sp_text_files(const struct sp_text *t);
/* Bytes that were not UTF-8 and were replaced, so far. */
int64_t sp_text_invalid(const struct sp_text *t);
/* Bytes of text read so far, after expansion. */
int64_t sp_text_bytes(const struct sp_text *t);
/* Share of the input read, 0 .. 1, as far as its files have a known size; negative if none has. */
double sp_text_share(const struct sp_text *t);

#endif
