/* Files to sentences: where documents and sentences begin, whatever the bytes and the size of the input. */
#include "config.h"

#include "support.h"

#include "data/sentence.h"
#include "data/text.h"
#include "data/utf8.h"
#include "unit/data/messages.h"
#include "unit/data/scratch.h"

#include <seqpar/status.h>
#include <zlib.h>

static char seen[1 << 16];

/* All sentences of the files as one string: "/" before one that begins a document, "|" before another. Returns the last
 * status of the reader. */
static int read_files(const char *const *path, size_t count, struct sp_text_options options, int64_t *invalid)
{
	struct sp_text *t = NULL;
	struct sp_sentence s;
	int status = sp_text_open(path, count, &options, &t);
	size_t used = 0;
	seen[0] = 0;
	while (status == SP_OK && (status = sp_text_next(t, &s)) == 1) {
		assert_true((s.size > 0 || options.document_per_line) && used + s.size + 2 < sizeof seen);
		seen[used++] = s.first ? '/' : '|';
		memcpy(seen + used, s.text, s.size);
		used += s.size;
		seen[used] = 0;
		status = SP_OK;
	}
	if (invalid && t)
		*invalid = sp_text_invalid(t);
	sp_text_close(t);
	return status;
}

static const char *sentences_of(const char *text, size_t size, struct sp_text_options options)
{
	const char *path = scratch_write("t.txt", text, size);
	assert_int_equal(read_files(&path, 1, options, NULL), SP_OK);
	return seen;
}

#define assert_sentences(text, expected) \
	assert_string_equal(sentences_of(text, sizeof text - 1, (struct sp_text_options){ 0 }), expected)

static void blank_lines_separate_documents(void **state)
{
	(void)state;
	assert_sentences("one\n\ntwo\n", "/one/two");
	assert_sentences("\n \n\t\r\none\n \t \n\n\ntwo", "/one/two");
	assert_sentences("one\r\n\r\ntwo\r\n", "/one/two");
}

static void newlines_within_a_document_are_blanks(void **state)
{
	(void)state;
	assert_sentences("This text is\nwrapped. And\n  goes on.\n", "/This text is wrapped.|And goes on.");
}

static void a_line_is_a_sentence_on_request(void **state)
{
	static const char text[] = "One. Two\nthree \n\nfour\n";
	(void)state;
	assert_string_equal(sentences_of(text, sizeof text - 1, (struct sp_text_options){ .sentence_per_line = 1 }),
	                    "/One. Two|three/four");
}

static void a_line_is_a_document_on_request(void **state)
{
	const struct sp_text_options options = { .document_per_line = 1 };
	(void)state;
	assert_string_equal(sentences_of("One. Two\n\n \t\nthree\n", 19, options), "/One. Two///three");
	assert_string_equal(sentences_of("\n\n", 2, options), "//");
	assert_string_equal(sentences_of("one \r\ntwo", 9, options), "/one/two");
	assert_string_equal(sentences_of("", 0, options), "");
}

/* A line as long as is given out in pieces is one document, and no empty one follows it. */
static void a_long_line_is_one_document(void **state)
{
	const size_t lengths[] = { SP_TEXT_SENTENCE_MAX - 1, SP_TEXT_SENTENCE_MAX, SP_TEXT_SENTENCE_MAX + 1,
		                       2 * SP_TEXT_SENTENCE_MAX - 4, 2 * SP_TEXT_SENTENCE_MAX, 3 * SP_TEXT_SENTENCE_MAX };
	const struct sp_text_options options = { .document_per_line = 1 };
	(void)state;
	char *line = test_malloc(3 * SP_TEXT_SENTENCE_MAX + 3);
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		memset(line, 'a', lengths[i]);
		memcpy(line + lengths[i], "\nb\n", 3);
		const char *path = scratch_write("t.txt", line, lengths[i] + 3);
		struct sp_text *t = NULL;
		struct sp_sentence s;
		size_t documents = 0, size = 0;
		assert_int_equal(sp_text_open(&path, 1, &options, &t), SP_OK);
		while (sp_text_next(t, &s) == 1) {
			documents += s.first;
			size += s.size;
		}
		sp_text_close(t);
		assert_int_equal(documents, 2);
		assert_int_equal(size, lengths[i] + 1);
	}
	test_free(line);
}

static void a_file_is_a_document_on_request(void **state)
{
	const char *path[] = { scratch_write("a.txt", "one\n\ntwo\n", 9), scratch_write("b.txt", "three", 5) };
	(void)state;
	assert_int_equal(read_files(path, 2, (struct sp_text_options){ .document_per_file = 1 }, NULL), SP_OK);
	assert_string_equal(seen, "/one|two/three");
}

static void files_are_never_joined(void **state)
{
	const char *path[] = { scratch_write("a.txt", "one", 3), scratch_write("b.txt", "two", 3) };
	(void)state;
	assert_int_equal(read_files(path, 2, (struct sp_text_options){ 0 }, NULL), SP_OK);
	assert_string_equal(seen, "/one/two");
}

static void sentences_end_where_english_ends_them(void **state)
{
	(void)state;
	assert_sentences("It rains. He goes! Why? \"Yes.\" (No.) \"A,\" he said.",
	                 "/It rains.|He goes!|Why?|\"Yes.\"|(No.)|\"A,\" he said.");
	assert_sentences("Really?! Yes... No… “So?” “Quite.”", "/Really?!|Yes...|No…|“So?”|“Quite.”");
	assert_sentences("Mr. Smith met Dr. Jones at St. Mary's. They left.",
	                 "/Mr. Smith met Dr. Jones at St. Mary's.|They left.");
	assert_sentences("J. R. R. Tolkien wrote. It was I. He slept at 5 p.m. Then he rose.",
	                 "/J. R. R. Tolkien wrote.|It was I.|He slept at 5 p.m.|Then he rose.");
	assert_sentences("The U.S. Army. See Fig. A, e.g. This, vol. III.",
	                 "/The U.S. Army.|See Fig. A, e.g. This, vol. III.");
	assert_sentences("Version 1.2.3 costs 3.50 here, see a.b.c. and so on. End",
	                 "/Version 1.2.3 costs 3.50 here, see a.b.c. and so on.|End");
	assert_sentences("Où? Été. Ποιος; Да. Нет.", "/Où?|Été.|Ποιος; Да.|Нет.");
	assert_sentences("我来了。你呢？“好！”他说。", "/我来了。|你呢？|“好！”|他说。");
}

static void bytes_that_are_not_utf8_are_replaced_and_counted(void **state)
{
	static const char text[] = "a\x80" "b \xE2\x82 c\xFF\xFE d\xED\xA0\x80 e\xF0\x9F\x98";
	const char *path = scratch_write("t.txt", text, sizeof text - 1);
	int64_t invalid = 0;
	(void)state;
	assert_int_equal(read_files(&path, 1, (struct sp_text_options){ 0 }, &invalid), SP_OK);
	assert_string_equal(seen, "/a\uFFFDb \uFFFD c\uFFFD\uFFFD d\uFFFD\uFFFD\uFFFD e\uFFFD");
	assert_int_equal(invalid, 1 + 2 + 2 + 3 + 3);
}

static void a_byte_order_mark_is_no_text(void **state)
{
	(void)state;
	assert_sentences("\uFEFFone\n", "/one");
	assert_sentences("\uFEFF", "");
}

static void gzip_files_are_expanded(void **state)
{
	const char *path = scratch_path("t.gz");
	gzFile file = gzopen(path, "wb");
	(void)state;
	assert_true(gzputs(file, "one\n\ntwo\n") > 0);
	gzclose(file);
	assert_int_equal(read_files(&path, 1, (struct sp_text_options){ 0 }, NULL), SP_OK);
	assert_string_equal(seen, "/one/two");
}

static void damaged_gzip_files_are_errors(void **state)
{
	static const char plain[] = "one\n";
	size_t size;
	const char *path = scratch_path("t.gz");
	gzFile file = gzopen(path, "wb");
	(void)state;
	for (int i = 0; i < 20000; i++)
		gzprintf(file, "%d\n", i * i);
	gzclose(file);
	unsigned char *bytes = scratch_read("t.gz", &size);
	const char *cut = scratch_write("cut.gz", bytes, size / 2), *no_gz = scratch_write("plain.gz", plain, 4);
	bytes[size / 3] ^= 0xFF;
	bytes[size / 3 + 1] ^= 0xFF;
	const char *broken = scratch_write("broken.gz", bytes, size);
	struct sp_text_options options = { .document_per_file = 1 };
	messages_start();
	int statuses[] = { read_files(&cut, 1, options, NULL), read_files(&no_gz, 1, options, NULL),
	                   read_files(&broken, 1, options, NULL) };
	const char *words = messages_end();
	for (int i = 0; i < 3; i++)
		assert_int_equal(statuses[i], SP_ERR_FORMAT);
	assert_non_null(strstr(words, "cut.gz: the gzip data is cut short"));
	assert_non_null(strstr(words, "plain.gz: is not gzip data"));
	assert_non_null(strstr(words, "broken.gz: damaged gzip data"));
	free(bytes);
}

static void directories_are_read_in_order(void **state)
{
	const char *top = scratch_path("d");
	(void)state;
	mkdir(top, 0777);
	mkdir(scratch_path("d/b"), 0777);
	mkdir(scratch_path("d/.hidden"), 0777);
	scratch_write("d/b/2.txt", "third", 5);
	scratch_write("d/b/1.txt", "second", 6);
	scratch_write("d/c.txt", "last", 4);
	scratch_write("d/a.txt", "first", 5);
	scratch_write("d/.ignored", "never", 5);
	scratch_write("d/.hidden/x", "never", 5);
	assert_int_equal(symlink(".", scratch_path("d/b/loop")), 0);
	top = scratch_path("d");
	assert_int_equal(read_files(&top, 1, (struct sp_text_options){ 0 }, NULL), SP_OK);
	assert_string_equal(seen, "/first/second/third/last");
}

static void missing_files_and_empty_directories_are_errors(void **state)
{
	const char *absent = scratch_path("absent"), *empty = scratch_path("empty");
	(void)state;
	mkdir(empty, 0777);
	messages_start();
	int statuses[] = { read_files(&absent, 1, (struct sp_text_options){ 0 }, NULL),
	                   read_files(&empty, 1, (struct sp_text_options){ 0 }, NULL) };
	const char *words = messages_end();
	assert_int_equal(statuses[0], SP_ERR_IO);
	assert_int_equal(statuses[1], SP_ERR_IO);
	assert_non_null(strstr(words, "absent: cannot find the file: No such file"));
	assert_non_null(strstr(words, "empty: there is no file in this directory"));
}

static void empty_files_hold_nothing_and_warn(void **state)
{
	const char *path = scratch_write("zero.txt", "", 0);
	(void)state;
	messages_start();
	int status = read_files(&path, 1, (struct sp_text_options){ 0 }, NULL);
	assert_non_null(strstr(messages_end(), "zero.txt: is empty"));
	assert_int_equal(status, SP_OK);
	assert_string_equal(seen, "");
}

/* Reads a file of `size` bytes and checks that nothing but blanks was lost and no sentence is too long or invalid. */
static void check_long(const char *bytes, size_t size, size_t kept, int sentences)
{
	const char *path = scratch_write("long.txt", bytes, size);
	struct sp_text_options options = { 0 };
	struct sp_text *t;
	struct sp_sentence s;
	size_t total = 0;
	int count = 0, more;
	assert_int_equal(sp_text_open(&path, 1, &options, &t), SP_OK);
	for (; (more = sp_text_next(t, &s)) == 1; count++) {
		assert_true(s.size <= SP_TEXT_SENTENCE_MAX);
		assert_int_equal(s.first, count == 0);
		for (size_t i = 0; i < s.size; i++)
			total += s.text[i] != ' ';
		for (size_t i = 0; i < s.size;) {
			int32_t code;
			i += sp_utf8_next(s.text + i, s.size - i, &code, NULL);
			assert_true(code >= 0);
		}
	}
	assert_int_equal(more, 0);
	assert_int_equal(total, kept);
	assert_int_equal(count, sentences);
	assert_int_equal(sp_text_invalid(t), 0);
	sp_text_close(t);
}

static void text_without_an_end_is_cut(void **state)
{
	size_t size = 3 * SP_TEXT_SENTENCE_MAX + 17;
	char *bytes = malloc(size + 8);
	(void)state;
	memset(bytes, 'x', size);
	check_long(bytes, size, size, 4);
	for (size_t i = 0; i < size; i += 3) /* three bytes a character, which 64 KiB is no multiple of */
		memcpy(bytes + i, "\u20AC", 3);
	check_long(bytes, size / 3 * 3, size / 3 * 3, 4);
	memset(bytes, 'x', size);
	for (size_t i = 7; i < size; i += 8)
		bytes[i] = i % 64 == 63 ? '\n' : ' ';
	check_long(bytes, size, size - size / 8, 4);
	free(bytes);
}

/* The reader's buffers end within characters, line ends and sentence ends of this text, at ever other places. */
static void buffer_ends_do_not_show(void **state)
{
	size_t size = 1 << 20, used;
	char *bytes = malloc(size + 64);
	(void)state;
	for (size_t lead = 0; lead < 16; lead++) {
		memset(bytes, 'A', lead);
		int count = 0;
		for (used = lead; used < size; count++)
			used += (size_t)sprintf(bytes + used, "%s\u00E9\u20AC\U0001F600.\r\n", count ? "Z" : "");
		check_long(bytes, used, used - 2 * (size_t)count, count);
	}
	free(bytes);
}

static void random_bytes_do_no_harm(void **state)
{
	static const char marks[] = " \n\r.!?\"A\xE2\x80\xA6\xE3\x80\x82\xEF\xBC\x81\xC3\xA9\x00\xFF";
	uint32_t random = 7;
	char bytes[3000];
	(void)state;
	for (int round = 0; round < 600; round++) {
		size_t size = (random >> 8) % sizeof bytes;
		for (size_t i = 0; i < size; i++) {
			random = random * 1664525u + 1013904223u;
			bytes[i] = round % 2 ? (char)(random >> 24) : marks[(random >> 16) % (sizeof marks - 1)];
		}
		const char *path = scratch_write("random.txt", bytes, size);
		struct sp_text_options options = { .document_per_file = round & 1, .sentence_per_line = round >> 1 & 1 };
		messages_start();
		int status = read_files(&path, 1, options, NULL);
		messages_end();
		assert_int_equal(status, SP_OK);
		for (size_t i = 0, n = strlen(seen); i < n;) {
			int32_t code;
			i += sp_utf8_next(seen + i, n - i, &code, NULL);
			assert_true(code > 0 && code != '\n');
		}
		random = random * 1664525u + 1013904223u;
	}
}

static int make(void **state)
{
	(void)state;
	scratch_make();
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	scratch_remove();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blank_lines_separate_documents),
		cmocka_unit_test(newlines_within_a_document_are_blanks),
		cmocka_unit_test(a_line_is_a_sentence_on_request),
		cmocka_unit_test(a_line_is_a_document_on_request),
		cmocka_unit_test(a_long_line_is_one_document),
		cmocka_unit_test(a_file_is_a_document_on_request),
		cmocka_unit_test(files_are_never_joined),
		cmocka_unit_test(sentences_end_where_english_ends_them),
		cmocka_unit_test(bytes_that_are_not_utf8_are_replaced_and_counted),
		cmocka_unit_test(a_byte_order_mark_is_no_text),
		cmocka_unit_test(gzip_files_are_expanded),
		cmocka_unit_test(damaged_gzip_files_are_errors),
		cmocka_unit_test(directories_are_read_in_order),
		cmocka_unit_test(missing_files_and_empty_directories_are_errors),
		cmocka_unit_test(empty_files_hold_nothing_and_warn),
		cmocka_unit_test(text_without_an_end_is_cut),
		cmocka_unit_test(buffer_ends_do_not_show),
		cmocka_unit_test(random_bytes_do_no_harm),
	};
	return cmocka_run_group_tests(tests, make, unmake);
}
