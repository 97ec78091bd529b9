/* Vocabularies and token files made for a test, in a directory of its own. May include: libc, support.h,
 * data. */
#ifndef SP_TESTS_UNIT_DATA_TOKEN_FILES_H
#define SP_TESTS_UNIT_DATA_TOKEN_FILES_H

#include "support.h"

#include "data/dataset.h"
#include "data/indexed.h"
#include <seqpar/status.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[] = "/tmp/seqpar-data-XXXXXX";

static inline int directory_make(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

/* A path in the test's directory; the last few stay valid. */
static inline const char *path_of(const char *name)
{
	static char path[8][PATH_MAX];
	static int next;
	next = (next + 1) % 8;
	snprintf(path[next], sizeof path[next], "%s/%s", directory, name);
	return path[next];
}

/* Ids 0 .. 4 are the special tokens. From 5 on, an id is a "##" piece if `continues` is 2 and the id is even: words
 * of an odd id followed by even ones. continues 0: all ids are words of their own. */
static inline void vocabulary_make(const char *name, int size, int continues)
{
	static const char *const special[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" };
	FILE *f = fopen(path_of(name), "w");
	assert_non_null(f);
	for (int i = 0; i < size; i++)
		if (i < 5)
			fprintf(f, "%s\n", special[i]);
		else
			fprintf(f, "%st%d\n", continues && i % continues == 0 ? "##" : "", i);
	assert_int_equal(fclose(f), 0);
}

/* Ids of sentence `sentence` of document `document`; returns how many, at most `room`; -1 after the last sentence. */
typedef int (*sentence_writer)(int document, int sentence, uint16_t *ids, int room);

static inline void token_file_make(const char *name, int documents, sentence_writer write_sentence)
{
	enum { ROOM = 20000 };
	static uint16_t ids[ROOM];
	struct sp_indexed_writer *w;
	assert_int_equal(sp_indexed_writer_open(path_of(name), SP_INDEXED_UINT16, &w), 0);
	for (int d = 0; d < documents; d++) {
		int n;
		for (int s = 0; (n = write_sentence(d, s, ids, ROOM)) >= 0; s++)
			assert_int_equal(sp_indexed_writer_sentence(w, ids, n), 0);
		assert_int_equal(sp_indexed_writer_document(w), 0);
	}
	assert_int_equal(sp_indexed_writer_finish(w), 0);
	sp_indexed_writer_close(w);
}

/* What is written to standard error between the two calls. */
static int captured = -1, real_stderr = -1;

static inline void capture_begin(void)
{
	fflush(stderr);
	real_stderr = dup(STDERR_FILENO);
	captured = open(path_of("stderr"), O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(captured >= 0 && dup2(captured, STDERR_FILENO) >= 0);
}

static inline const char *capture_end(void)
{
	static char text[4096];
	ssize_t n = pread(captured, text, sizeof text - 1, 0);
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(captured);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* The directory and the files in it. */
static inline int directory_remove(void **state)
{
	DIR *d = opendir(directory);
	struct dirent *entry;
	(void)state;
	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.')
			unlink(path_of(entry->d_name));
	if (d)
		closedir(d);
	return rmdir(directory);
}

/* A sample with arrays of its own. */
static inline struct sp_sample sample_make(int64_t length)
{
	struct sp_sample s = { .length = length };
	int32_t **array[] = { &s.token, &s.position, &s.kind, &s.doc, &s.label, &s.order };
	for (size_t i = 0; i < sizeof array / sizeof *array; i++) {
		*array[i] = malloc((size_t)length * sizeof(int32_t));
		assert_non_null(*array[i]);
	}
	return s;
}

static inline void sample_free(struct sp_sample *s)
{
	free(s->token);
	free(s->position);
	free(s->kind);
	free(s->doc);
	free(s->label);
	free(s->order);
}

static inline int sample_equal(const struct sp_sample *a, const struct sp_sample *b)
{
	const size_t n = (size_t)a->length * sizeof(int32_t);
	return a->length == b->length && a->swapped == b->swapped && !memcmp(a->token, b->token, n) &&
		!memcmp(a->position, b->position, n) && !memcmp(a->kind, b->kind, n) && !memcmp(a->doc, b->doc, n) &&
		!memcmp(a->label, b->label, n) && !memcmp(a->order, b->order, n);
}

/* The token before masking. */
static inline int32_t original(const struct sp_sample *s, int64_t i)
{
	return s->label[i] >= 0 ? s->label[i] : s->token[i];
}

static inline int64_t sample_used(const struct sp_sample *s)
{
	int64_t n = 0;
	while (n < s->length && s->doc[n] >= 0)
		n++;
	return n;
}

#endif
