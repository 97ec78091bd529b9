/* Files of tensors: what is written is read back; whatever else a file may hold is refused by name. */
#include "config.h"

#include "support.h"

#include "base/log.h"
#include "checkpoint/safetensors.h"
#include "unit/data/messages.h"
#include "unit/data/scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* A file of these header bytes (the length is set before them) and `data` bytes of zeros behind; for free(). */
static unsigned char *file_of(const char *header, size_t data, size_t *size)
{
	const size_t length = strlen(header);
	unsigned char *bytes = calloc(1, 8 + length + data);
	assert_non_null(bytes);
	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)((uint64_t)length >> 8 * i);
	memcpy(bytes + 8, header, length);
	*size = 8 + length + data;
	return bytes;
}

/* Parses it, which must fail with these words. */
static void refused(const void *bytes, size_t size, uint64_t file_size, const char *words)
{
	struct sp_safetensors *f = NULL;
	messages_start();
	const int status = sp_safetensors_parse("dir/m.safetensors", bytes, size, file_size, &f);
	const char *said = messages_end();
	if (status != SP_ERR_FORMAT || f || !strstr(said, words) || !strstr(said, "dir/m.safetensors: "))
		fail_msg("status %d, expected \"%s\": %s", status, words, said);
}

static void a_hostile_header_is_refused_by_name(void **state)
{
	static const struct {
		const char *header;
		size_t data;
		const char *words;
	} faults[] = {
		{ "[]", 0, "does not begin with '{'" },
		{ " {}", 0, "does not begin with '{'" },
		{ "{ ", 0, "header, byte 10: " },
		{ "{} x", 0, "header, byte " },
		{ "{\"a\":1}", 0, "tensor 'a': its entry has no dtype" },
		{ "{\"a\":[]}", 0, "tensor 'a': its entry has no dtype" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, "tensor 'a': its entry has no data_offsets" },
		{ "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "tensor 'a': its entry has no shape" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":1}}", 4, "tensor 'a': its entry holds more" },
		{ "{\"a\":{\"dtype\":5,\"shape\":[],\"data_offsets\":[0,4]}}", 4, "tensor 'a': no dtype (a text is expected)" },
		{ "{\"a\":{\"dtype\":\"F33\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "tensor 'a': dtype 'F33' is not known" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":4,\"data_offsets\":[0,4]}}", 4, "tensor 'a': its shape is not a list" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
		  "tensor 'a': its shape is not a list of at most 8" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1.0],\"data_offsets\":[0,4]}}", 4, "tensor 'a': size 1 of its shape" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "tensor 'a': size 0 of its shape" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
		  "tensor 'a': its shape has more elements than can be counted" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
		  "tensor 'a': its shape has 4611686018427387904 elements of 4 bytes, but its data is 0 bytes" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}", 4, "header, byte " },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "tensor 'a': its shape has 2 elements" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "tensor 'a': its data_offsets are not two" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4.0]}}", 4,
		  "tensor 'a': its data_offsets are not two" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{}}}", 4, "tensor 'a': its data_offsets are not two" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "tensor 'a': its data is said to be" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "tensor 'a': its data is said to be" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 4, "tensor 'a': its data is said to be" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[9223372036854775803,9223372036854775807]}}", 4,
		  "tensor 'a': its data is said to be" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8,
		  "tensor 'a': 4 bytes before its data belong to no tensor" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5,
		  "1 bytes after the last tensor 'a' belong to none" },
		{ "{}", 1, "1 bytes after the last tensor belong to none" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
		  "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12,
		  "tensor 'b': its data overlaps that of 'a'" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
		  "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "its data overlaps that of" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
		  "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}", 12,
		  "tensor 'b': 4 bytes before its data belong to no tensor" },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
		  "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "duplicate" },
		{ "{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "its name has 0 bytes" },
		{ "{\"a\\u001b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a control character in its name" },
		{ "{\"a\\u0000\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "header, byte " },
		{ "{\"\xff\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "header, byte " },
		{ "{\"__metadata__\":[]}", 0, "__metadata__ is not an object of texts" },
		{ "{\"__metadata__\":{\"format\":1}}", 0, "__metadata__: 'format' is not a text" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		size_t size;
		unsigned char *bytes = file_of(faults[i].header, faults[i].data, &size);
		refused(bytes, size, size, faults[i].words);
		free(bytes);
	}
}

static void a_wrong_length_of_the_header_is_refused(void **state)
{
	static const unsigned char huge[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}' };
	static const unsigned char large[16] = { 1, 0, 0, 1, 0, 0, 0, 0, '{', '}' };
	static const unsigned char longer[16] = { 9, 0, 0, 0, 0, 0, 0, 0, '{', '}', ' ', ' ', ' ', ' ', ' ', ' ' };
	static const unsigned char none[10] = { 0, 0, 0, 0, 0, 0, 0, 0, '{', '}' };
	(void)state;
	refused(huge, sizeof huge, sizeof huge, "its header is said to have 18446744073709551615 bytes");
	refused(large, sizeof large, UINT64_C(1) << 40, "its header is said to have 16777217 bytes, at most 16777216");
	refused(longer, sizeof longer, sizeof longer, "its header is said to have 9 bytes, the file has 16");
	refused(longer, sizeof longer, 100, "16 bytes long");
	refused(none, sizeof none, sizeof none, "its header is said to have 0 bytes");
	refused(none, 9, 9, "9 bytes long, a safetensors file has at least 10");
	refused(none, 0, 0, "0 bytes long");
}

/* The header {"NAME":VALUE} with a part of `count` times `c` in it. */
static void refused_repeating(const char *before, char c, size_t count, const char *after, const char *words)
{
	const size_t first = strlen(before), last = strlen(after);
	char *text = malloc(first + count + last + 1);
	size_t size;
	assert_non_null(text);
	memcpy(text, before, first);
	memset(text + first, c, count);
	memcpy(text + first + count, after, last + 1);
	unsigned char *bytes = file_of(text, 4, &size);
	refused(bytes, size, size, words);
	free(bytes);
	free(text);
}

static void deep_json_and_long_names_are_refused(void **state)
{
	(void)state;
	refused_repeating("{\"a\":", '[', 100000, "", "maximum parsing depth reached");
	refused_repeating("{\"", 'n', 257, "\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
	                  "its name has 257 bytes, expected 1 to 256");
}

/* ---- files written and read ---- */

static const char *const pt[] = { "format", "pt", NULL };
static const float numbers[6] = { 0, -1, 0.5f, 3.25f, -1e-3f, 1024 };

/* numbers as 2 x 3 in this dtype, beside a scalar and an empty tensor; the path. */
static const char *write_file(const char *name, enum sp_tensor_dtype dtype)
{
	struct sp_tensor_entry entry[] = {
		{ .name = "scalar", .dtype = SP_TENSOR_F32, .dimensions = 0 },
		{ .name = "matrix", .dtype = dtype, .dimensions = 2, .shape = { 2, 3 } },
		{ .name = "empty", .dtype = SP_TENSOR_F32, .dimensions = 2, .shape = { 0, 7 } },
	};
	const float scalar = 42;
	unsigned char file[1024];
	void *head;
	size_t head_size;
	uint64_t size;
	assert_int_equal(sp_safetensors_head(entry, 3, pt, &head, &head_size, &size), SP_OK);
	assert_int_equal(head_size % 8, 0);
	assert_int_equal(entry[0].begin, head_size);
	assert_int_equal(size, head_size + 4 + 6 * sp_tensor_dtype_size(dtype));
	memcpy(file, head, head_size);
	free(head);
	sp_tensor_encode(SP_TENSOR_F32, &scalar, 1, file + entry[0].begin);
	sp_tensor_encode(dtype, numbers, 6, file + entry[1].begin);
	return scratch_write(name, file, (size_t)size);
}

static void what_is_written_is_read_back(void **state)
{
	static const struct {
		enum sp_tensor_dtype dtype;
		const char *name;
		float error; /* relative, of -1e-3, the one number that 16 bits do not hold */
	} cases[] = {
		{ SP_TENSOR_F32, "F32", 0 }, { SP_TENSOR_F64, "F64", 0 }, { SP_TENSOR_F16, "F16", 0x1p-11f },
		{ SP_TENSOR_BF16, "BF16", 0x1p-8f },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sp_safetensors *f;
		float values[6];
		assert_int_equal(sp_safetensors_open(write_file("m", cases[i].dtype), &f), SP_OK);
		assert_int_equal(sp_safetensors_count(f), 3);
		assert_string_equal(sp_safetensors_metadata(f, "format"), "pt");
		assert_null(sp_safetensors_metadata(f, "absent"));
		assert_null(sp_safetensors_find(f, "absent"));
		const struct sp_tensor_entry *matrix = sp_safetensors_find(f, "matrix"), *scalar = sp_safetensors_at(f, 0);
		assert_string_equal(scalar->name, "scalar");
		assert_int_equal(scalar->elements, 1);
		assert_string_equal(sp_tensor_dtype_name(matrix->dtype), cases[i].name);
		assert_int_equal(matrix->dimensions, 2);
		assert_int_equal(matrix->shape[0], 2);
		assert_int_equal(matrix->shape[1], 3);
		assert_int_equal(sp_safetensors_find(f, "empty")->elements, 0);
		assert_int_equal(sp_safetensors_read(f, scalar, 0, 1, values), SP_OK);
		assert_float_equal(values[0], 42, 0);
		assert_int_equal(sp_safetensors_read(f, matrix, 0, 6, values), SP_OK);
		for (int j = 0; j < 6; j++)
			assert_float_equal(values[j], numbers[j], j == 4 ? cases[i].error * fabsf(numbers[j]) : 0);
		assert_int_equal(sp_safetensors_read(f, matrix, 2, 2, values), SP_OK);
		assert_float_equal(values[0], 0.5, 0);
		assert_float_equal(values[1], 3.25, 0);
		sp_safetensors_close(f);
	}
}

static void a_tensor_longer_than_a_piece_is_read_whole_and_in_part(void **state)
{
	enum { N = 20011 };
	struct sp_tensor_entry entry = { .name = "long", .dtype = SP_TENSOR_BF16, .dimensions = 1, .shape = { N } };
	static float values[N], back[N];
	void *head;
	size_t head_size;
	uint64_t size;
	struct sp_safetensors *f;
	(void)state;
	for (int i = 0; i < N; i++)
		values[i] = (float)(i % 251);
	assert_int_equal(sp_safetensors_head(&entry, 1, NULL, &head, &head_size, &size), SP_OK);
	unsigned char *bytes = malloc((size_t)size);
	assert_non_null(bytes);
	memcpy(bytes, head, head_size);
	sp_tensor_encode(entry.dtype, values, N, bytes + entry.begin);
	assert_int_equal(sp_safetensors_open(scratch_write("long", bytes, (size_t)size), &f), SP_OK);
	assert_null(sp_safetensors_metadata(f, "format"));
	assert_int_equal(sp_safetensors_read(f, sp_safetensors_at(f, 0), 0, N, back), SP_OK);
	assert_memory_equal(values, back, sizeof values);
	assert_int_equal(sp_safetensors_read(f, sp_safetensors_at(f, 0), 9000, 10001, back), SP_OK);
	assert_memory_equal(values + 9000, back, 10001 * sizeof *back);
	sp_safetensors_close(f);
	free(bytes);
	free(head);
}

static void other_dtypes_are_skipped_but_not_read(void **state)
{
	static const char header[] = "{\"bert.embeddings.position_ids\":{\"dtype\":\"I64\",\"shape\":[1,2],"
	                             "\"data_offsets\":[0,16]},\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[16,20]}}";
	struct sp_safetensors *f;
	float value = 7;
	size_t size;
	(void)state;
	unsigned char *bytes = file_of(header, 20, &size);
	const char *path = scratch_write("ids", bytes, size);
	assert_int_equal(sp_safetensors_open(path, &f), SP_OK);
	const struct sp_tensor_entry *ids = sp_safetensors_find(f, "bert.embeddings.position_ids");
	assert_int_equal(ids->dtype, SP_TENSOR_OTHER);
	assert_int_equal(sp_tensor_dtype_size(ids->dtype), 0);
	messages_start();
	assert_int_equal(sp_safetensors_read(f, ids, 0, 2, &value), SP_ERR_FORMAT);
	assert_non_null(strstr(messages_end(), "ids: tensor 'bert.embeddings.position_ids': its dtype is not one of"));
	assert_int_equal(sp_safetensors_read(f, sp_safetensors_find(f, "w"), 0, 1, &value), SP_OK);
	assert_float_equal(value, 0, 0);
	sp_safetensors_close(f);
	free(bytes);
}

static void cannot_open(const char *path, int expected, const char *words)
{
	struct sp_safetensors *f = NULL;
	messages_start();
	const int status = sp_safetensors_open(path, &f);
	const char *said = messages_end();
	if (status != expected || f || !strstr(said, words) || !strstr(said, path))
		fail_msg("%s: status %d, expected \"%s\": %s", path, status, words, said);
}

static void every_cut_of_a_file_is_refused(void **state)
{
	size_t size;
	(void)state;
	write_file("whole", SP_TENSOR_F32);
	unsigned char *bytes = scratch_read("whole", &size);
	for (size_t cut = 0; cut < size; cut++) {
		const char *path = scratch_write("cut", bytes, cut);
		cannot_open(path, SP_ERR_FORMAT, cut < 10 ? "bytes long" : "cut");
	}
	free(bytes);
}

/* Whatever a flipped bit makes of the header, the file is refused or every tensor in it still lies within the file. */
static void every_flipped_bit_of_the_header_is_refused_or_harmless(void **state)
{
	size_t size;
	(void)state;
	write_file("whole", SP_TENSOR_F32);
	unsigned char *bytes = scratch_read("whole", &size);
	const size_t data = 4 + 6 * 4;
	for (size_t bit = 0; bit < 8 * (size - data); bit++) {
		struct sp_safetensors *f = NULL;
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		messages_start();
		const int status = sp_safetensors_parse("m", bytes, size, size, &f);
		const char *said = messages_end();
		if (status)
			assert_true(status == SP_ERR_FORMAT && strstr(said, "m: ") && !f);
		for (int i = 0; !status && i < sp_safetensors_count(f); i++)
			assert_true(sp_safetensors_at(f, i)->begin >= size - data && sp_safetensors_at(f, i)->end <= size);
		if (bit < 64)
			assert_int_equal(status, SP_ERR_FORMAT);
		if (!status)
			sp_safetensors_close(f);
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	free(bytes);
}

static void files_that_are_none_are_named(void **state)
{
	(void)state;
	cannot_open("/nowhere/m.safetensors", SP_ERR_IO, "cannot be opened: No such file");
	cannot_open(scratch, SP_ERR_IO, "not a regular file");
	assert_int_equal(mkfifo(scratch_path("pipe"), 0600), 0);
	cannot_open(scratch_path("pipe"), SP_ERR_IO, "not a regular file");
}

static void a_file_that_shrinks_after_opening_is_named_with_the_tensor(void **state)
{
	struct sp_safetensors *f;
	float values[6];
	(void)state;
	const char *path = write_file("shrinks", SP_TENSOR_F32);
	assert_int_equal(sp_safetensors_open(path, &f), SP_OK);
	const struct sp_tensor_entry *matrix = sp_safetensors_find(f, "matrix");
	assert_int_equal(truncate(path, (off_t)matrix->begin + 5), 0);
	messages_start();
	assert_int_equal(sp_safetensors_read(f, matrix, 0, 6, values), SP_ERR_IO);
	assert_non_null(strstr(messages_end(), "shrinks: matrix: the file ends at byte"));
	sp_safetensors_close(f);
}

static int enter(void **state)
{
	(void)state;
	scratch_make();
	return 0;
}

static int leave(void **state)
{
	(void)state;
	scratch_remove();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hostile_header_is_refused_by_name),
		cmocka_unit_test(a_wrong_length_of_the_header_is_refused),
		cmocka_unit_test(deep_json_and_long_names_are_refused),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(a_tensor_longer_than_a_piece_is_read_whole_and_in_part),
		cmocka_unit_test(other_dtypes_are_skipped_but_not_read),
		cmocka_unit_test(every_cut_of_a_file_is_refused),
		cmocka_unit_test(every_flipped_bit_of_the_header_is_refused_or_harmless),
		cmocka_unit_test(files_that_are_none_are_named),
		cmocka_unit_test(a_file_that_shrinks_after_opening_is_named_with_the_tensor),
	};
	return cmocka_run_group_tests(tests, enter, leave);
}
