/* Token files: the bytes that are written, and files that are refused. */
#include "config.h"

#include "support.h"

#include "data/indexed.h"
#include "unit/data/messages.h"
#include "unit/data/scratch.h"

#include <seqpar/status.h>
#include <string.h>

/* Three sentences in two documents: {1, 2, 65499}, {7}; {256, 0}. */
static const unsigned char idx_bytes[] = {
	'M', 'M', 'I', 'D', 'I', 'D', 'X', 0, 0, /* magic */
	1, 0, 0, 0, 0, 0, 0, 0,                  /* version */
	8,                                       /* uint16 */
	3, 0, 0, 0, 0, 0, 0, 0,                  /* sentences */
	3, 0, 0, 0, 0, 0, 0, 0,                  /* document entries */
	3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0,      /* sizes */
	0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, /* pointers */
	0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, /* documents */
};
static const unsigned char bin_bytes[] = { 1, 0, 2, 0, 0xDB, 0xFF, 7, 0, 0, 1, 0, 0 };
enum {
	AT_VERSION = 9,
	AT_DTYPE = 17,
	AT_SENTENCES = 18,
	AT_ENTRIES = 26,
	AT_SIZES = 34,
	AT_POINTERS = 46,
	AT_DOCUMENTS = 70
};

static void writer_makes_exactly_these_bytes(void **state)
{
	static const uint16_t first[] = { 1, 2, 65499 }, second[] = { 7 }, third[] = { 256, 0 };
	struct sp_indexed_writer *w;
	size_t size;
	(void)state;
	assert_int_equal(sp_indexed_writer_open(scratch_path("w"), SP_INDEXED_UINT16, &w), SP_OK);
	assert_int_equal(sp_indexed_writer_sentence(w, first, 3), SP_OK);
	assert_int_equal(sp_indexed_writer_sentence(w, second, 1), SP_OK);
	assert_int_equal(sp_indexed_writer_document(w), SP_OK);
	assert_int_equal(sp_indexed_writer_sentence(w, third, 2), SP_OK);
	assert_int_not_equal(access(scratch_path("w.bin"), F_OK), 0);
	assert_int_not_equal(access(scratch_path("w.idx"), F_OK), 0);
	assert_int_equal(sp_indexed_writer_finish(w), SP_OK);
	sp_indexed_writer_close(w);
	unsigned char *idx = scratch_read("w.idx", &size);
	assert_int_equal(size, sizeof idx_bytes);
	assert_memory_equal(idx, idx_bytes, size);
	unsigned char *bin = scratch_read("w.bin", &size);
	assert_int_equal(size, sizeof bin_bytes);
	assert_memory_equal(bin, bin_bytes, size);
	free(idx);
	free(bin);
}

static void int32_is_written_wide(void **state)
{
	static const int32_t ids[] = { 100000, 5 };
	static const unsigned char expected[] = { 0xA0, 0x86, 1, 0, 5, 0, 0, 0 };
	struct sp_indexed_writer *w;
	struct sp_indexed *x;
	int32_t read[2], max_id;
	size_t size;
	(void)state;
	assert_int_equal(sp_indexed_writer_open(scratch_path("i"), SP_INDEXED_INT32, &w), SP_OK);
	assert_int_equal(sp_indexed_writer_sentence(w, ids, 2), SP_OK);
	assert_int_equal(sp_indexed_writer_finish(w), SP_OK);
	sp_indexed_writer_close(w);
	unsigned char *bin = scratch_read("i.bin", &size), *idx;
	assert_int_equal(size, sizeof expected);
	assert_memory_equal(bin, expected, size);
	free(bin);
	idx = scratch_read("i.idx", &size);
	assert_int_equal(idx[AT_DTYPE], 4);
	free(idx);
	assert_int_equal(sp_indexed_open(scratch_path("i"), &x), SP_OK);
	sp_indexed_read(x, 0, 0, 2, read);
	assert_memory_equal(read, ids, sizeof ids);
	assert_int_equal(sp_indexed_max_id(x, &max_id), SP_OK);
	assert_int_equal(max_id, 100000);
	sp_indexed_close(x);
}

static void unfinished_writer_leaves_nothing(void **state)
{
	static const uint16_t ids[] = { 1 };
	struct sp_indexed_writer *w;
	(void)state;
	assert_int_equal(mkdir(scratch_path("only"), 0777), 0);
	assert_int_equal(sp_indexed_writer_open(scratch_path("only/u"), SP_INDEXED_UINT16, &w), SP_OK);
	assert_int_equal(sp_indexed_writer_sentence(w, ids, 1), SP_OK);
	sp_indexed_writer_close(w);
	assert_int_equal(rmdir(scratch_path("only")), 0); /* which works on an empty directory only */
}

static void writer_names_a_missing_directory(void **state)
{
	struct sp_indexed_writer *w = NULL;
	(void)state;
	messages_start();
	int status = sp_indexed_writer_open("/nowhere/x", SP_INDEXED_UINT16, &w);
	const char *words = messages_end();
	assert_int_equal(status, SP_ERR_IO);
	assert_non_null(strstr(words, "/nowhere/x.bin"));
	assert_non_null(strstr(words, "must exist and be writable"));
}

static void put_pair(const unsigned char *idx, size_t idx_size, const unsigned char *bin, size_t bin_size)
{
	scratch_write("r.idx", idx, idx_size);
	scratch_write("r.bin", bin, bin_size);
}

static void reader_gives_back_what_these_bytes_say(void **state)
{
	struct sp_indexed *x;
	enum sp_indexed_dtype dtype;
	int32_t ids[3], size, max_id;
	static const int32_t first[] = { 1, 2, 65499 };
	(void)state;
	put_pair(idx_bytes, sizeof idx_bytes, bin_bytes, sizeof bin_bytes);
	assert_int_equal(sp_indexed_open(scratch_path("r"), &x), SP_OK);
	assert_int_equal(sp_indexed_documents(x), 2);
	assert_int_equal(sp_indexed_sentences(x), 3);
	assert_int_equal(sp_indexed_tokens(x), 6);
	assert_int_equal(sp_indexed_document_first(x, 0), 0);
	assert_int_equal(sp_indexed_document_first(x, 1), 2);
	assert_int_equal(sp_indexed_document_first(x, 2), 3);
	assert_int_equal(sp_indexed_size(x, 0), 3);
	sp_indexed_read(x, 0, 0, 3, ids);
	assert_memory_equal(ids, first, sizeof first);
	sp_indexed_read(x, 2, 1, 1, ids);
	assert_int_equal(ids[0], 0);
	assert_memory_equal(sp_indexed_raw(x, 1, &dtype, &size), bin_bytes + 6, 2);
	assert_int_equal(dtype, SP_INDEXED_UINT16);
	assert_int_equal(size, 1);
	assert_int_equal(sp_indexed_max_id(x, &max_id), SP_OK);
	assert_int_equal(max_id, 65499);
	sp_indexed_close(x);
}

static void memory_is_read_as_files_are(void **state)
{
	struct sp_indexed *x = NULL;
	int32_t ids[3];
	(void)state;
	assert_int_equal(sp_indexed_parse("m", idx_bytes, sizeof idx_bytes, bin_bytes, sizeof bin_bytes, &x), SP_OK);
	assert_int_equal(sp_indexed_tokens(x), 6);
	sp_indexed_read(x, 0, 0, 3, ids);
	assert_int_equal(ids[2], 65499);
	sp_indexed_close(x);
	x = NULL;
	messages_start();
	assert_int_equal(sp_indexed_parse("m", idx_bytes, sizeof idx_bytes, bin_bytes, 11, &x), SP_ERR_FORMAT);
	assert_non_null(strstr(messages_end(), "m.bin: 11 bytes long"));
	assert_null(x);
}

static void refuse(const unsigned char *idx, size_t idx_size, const unsigned char *bin, size_t bin_size,
                   const char *words)
{
	struct sp_indexed *x = NULL;
	put_pair(idx, idx_size, bin, bin_size);
	messages_start();
	int status = sp_indexed_open(scratch_path("r"), &x);
	const char *said = messages_end();
	if (status != SP_ERR_FORMAT || x || !strstr(said, words))
		fail_msg("expected a refusal with \"%s\", got %d: %s", words, status, said);
}

static void reader_refuses_damaged_pairs(void **state)
{
	static const struct {
		int place, value;
		const char *words;
	} faults[] = {
		{ 0, 'X', "does not begin with MMIDIDX" },
		{ 8, 1, "does not begin with MMIDIDX" },
		{ AT_VERSION, 2, "version 2" },
		{ AT_DTYPE, 3, "dtype code 3" },
		{ AT_DTYPE, 0, "dtype code 0" },
		{ AT_DTYPE, 4, "sentence 1 is said to begin at byte 6, but those before it end at 12" },
		{ AT_SENTENCES, 4, "4 sentences and 3 document entries" },
		{ AT_SENTENCES + 7, 0x40, "cut short or damaged" },
		{ AT_ENTRIES, 2, "3 sentences and 2 document entries" },
		{ AT_ENTRIES, 0, "the document index has no entry" },
		{ AT_ENTRIES + 7, 0x80, "cut short or damaged" },
		{ AT_SIZES, 2, "sentence 1 is said to begin at byte 6, but those before it end at 4" },
		{ AT_SIZES + 3, 0x80, "sentence 0 has -" },
		{ AT_SIZES + 3, 0x7F, "12 bytes long, but sentence 0" },
		{ AT_SIZES + 8, 1, "the sentences of" },
		{ AT_SIZES + 8, 3, "12 bytes long, but sentence 2" },
		{ AT_POINTERS, 2, "sentence 0 is said to begin at byte 2" },
		{ AT_POINTERS + 15, 0xFF, "sentence 1 is said to begin at byte 18374686479671623686" },
		{ AT_DOCUMENTS, 1, "document 0 is said to begin at sentence 1" },
		{ AT_DOCUMENTS + 8, 4, "document 1 is said to begin at sentence 4" },
		{ AT_DOCUMENTS + 15, 0x80, "document 1 is said to begin at sentence 9223372036854775810" },
		{ AT_DOCUMENTS + 16, 2, "the documents hold 2 sentences, the file 3" },
		{ AT_DOCUMENTS + 16, 1, "document 2 is said to begin at sentence 1" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		unsigned char idx[sizeof idx_bytes];
		memcpy(idx, idx_bytes, sizeof idx);
		idx[faults[i].place] = (unsigned char)faults[i].value;
		refuse(idx, sizeof idx, bin_bytes, sizeof bin_bytes, faults[i].words);
	}
}

static void reader_refuses_every_shorter_or_longer_file(void **state)
{
	unsigned char longer[sizeof idx_bytes + 8] = { 0 };
	(void)state;
	for (size_t size = 0; size < sizeof idx_bytes; size++)
		refuse(idx_bytes, size, bin_bytes, sizeof bin_bytes, "cut short");
	for (size_t size = 0; size < sizeof bin_bytes; size++)
		refuse(idx_bytes, sizeof idx_bytes, bin_bytes, size, "not of one pair");
	memcpy(longer, idx_bytes, sizeof idx_bytes);
	refuse(longer, sizeof longer, bin_bytes, sizeof bin_bytes, "cut short or damaged");
	memcpy(longer, bin_bytes, sizeof bin_bytes);
	refuse(idx_bytes, sizeof idx_bytes, longer, sizeof bin_bytes + 1, "not of one pair");
}

static void reader_refuses_what_is_missing(void **state)
{
	struct sp_indexed *x = NULL;
	(void)state;
	put_pair(idx_bytes, sizeof idx_bytes, bin_bytes, sizeof bin_bytes);
	unlink(scratch_path("r.bin"));
	messages_start();
	assert_int_equal(sp_indexed_open(scratch_path("r"), &x), SP_ERR_IO);
	assert_int_equal(sp_indexed_open(scratch_path("absent"), &x), SP_ERR_IO);
	const char *said = messages_end();
	assert_non_null(strstr(said, "r.bin: cannot open"));
	assert_non_null(strstr(said, "absent.idx: cannot open"));
}

static void empty_files_of_the_right_form_are_accepted(void **state)
{
	unsigned char idx[42] = { 0 };
	struct sp_indexed *x;
	int32_t max_id;
	(void)state;
	memcpy(idx, idx_bytes, 34);
	idx[AT_SENTENCES] = 0;
	idx[AT_ENTRIES] = 1;
	put_pair(idx, sizeof idx, bin_bytes, 0);
	assert_int_equal(sp_indexed_open(scratch_path("r"), &x), SP_OK);
	assert_int_equal(sp_indexed_documents(x), 0);
	assert_int_equal(sp_indexed_sentences(x), 0);
	assert_int_equal(sp_indexed_max_id(x, &max_id), SP_OK);
	assert_int_equal(max_id, -1);
	sp_indexed_close(x);
}

/* A pair that is accepted must be safe to read whole. */
static void read_all(struct sp_indexed *x)
{
	int32_t ids[16], max_id;
	for (int64_t i = 0; i < sp_indexed_sentences(x); i++)
		if (sp_indexed_size(x, i) <= 16)
			sp_indexed_read(x, i, 0, sp_indexed_size(x, i), ids);
	for (int64_t d = 0; d <= sp_indexed_documents(x); d++)
		assert_true(sp_indexed_document_first(x, d) <= sp_indexed_sentences(x));
	sp_indexed_max_id(x, &max_id);
}

static void random_damage_does_no_harm(void **state)
{
	uint32_t random = 99;
	int accepted = 0;
	(void)state;
	messages_start();
	for (int round = 0; round < 4000; round++) {
		unsigned char idx[sizeof idx_bytes];
		struct sp_indexed *x;
		memcpy(idx, idx_bytes, sizeof idx);
		for (int i = 0; i <= round % 4; i++) {
			random = random * 1664525u + 1013904223u;
			size_t place = round % 2 ? 18 + (random >> 16) % 76 : (random >> 16) % sizeof idx;
			idx[place] = round % 3 ? (unsigned char)(random >> 8) : (unsigned char)((random >> 8) % 4);
		}
		put_pair(idx, sizeof idx, bin_bytes, sizeof bin_bytes);
		if (sp_indexed_open(scratch_path("r"), &x) != SP_OK)
			continue;
		accepted++;
		read_all(x);
		sp_indexed_close(x);
	}
	messages_end();
	assert_true(accepted > 0);
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
		cmocka_unit_test(writer_makes_exactly_these_bytes),
		cmocka_unit_test(int32_is_written_wide),
		cmocka_unit_test(unfinished_writer_leaves_nothing),
		cmocka_unit_test(writer_names_a_missing_directory),
		cmocka_unit_test(reader_gives_back_what_these_bytes_say),
		cmocka_unit_test(memory_is_read_as_files_are),
		cmocka_unit_test(reader_refuses_damaged_pairs),
		cmocka_unit_test(reader_refuses_every_shorter_or_longer_file),
		cmocka_unit_test(reader_refuses_what_is_missing),
		cmocka_unit_test(empty_files_of_the_right_form_are_accepted),
		cmocka_unit_test(random_damage_does_no_harm),
	};
	return cmocka_run_group_tests(tests, make, unmake);
}
