#include "config.h"

#include "checkpoint/safetensors.h"

#include "base/log.h"
#include "base/size.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PREFIX = 8,              /* bytes of the header's length */
	HEADER_MOST = 16 << 20,  /* bytes; a hundred thousand tensors fit, and parsing takes some ten times as much memory */
	NAME_MOST = 256,         /* bytes of a tensor's name */
	PIECE = 16384,           /* bytes read at a time where they must be converted */
};

struct sp_safetensors {
	char *path;
	int fd;                        /* -1: only parsed */
	json_t *header;                /* owns names and metadata */
	json_t *metadata;              /* borrowed; NULL: none */
	struct sp_tensor_entry *entry; /* in the order of their data */
	const struct sp_tensor_entry **by_name;
	int count;
};

/* Every dtype the format had when this was written; those that are not numbers for us can be skipped if their size is
 * known. */
static const struct {
	const char *name;
	enum sp_tensor_dtype dtype;
	int64_t size;
} known[] = {
	{ "F32", SP_TENSOR_F32, 4 },      { "F16", SP_TENSOR_F16, 2 },      { "BF16", SP_TENSOR_BF16, 2 },
	{ "F64", SP_TENSOR_F64, 8 },      { "I64", SP_TENSOR_OTHER, 8 },    { "I32", SP_TENSOR_OTHER, 4 },
	{ "I16", SP_TENSOR_OTHER, 2 },    { "I8", SP_TENSOR_OTHER, 1 },     { "U64", SP_TENSOR_OTHER, 8 },
	{ "U32", SP_TENSOR_OTHER, 4 },    { "U16", SP_TENSOR_OTHER, 2 },    { "U8", SP_TENSOR_OTHER, 1 },
	{ "BOOL", SP_TENSOR_OTHER, 1 },   { "F8_E4M3", SP_TENSOR_OTHER, 1 }, { "F8_E5M2", SP_TENSOR_OTHER, 1 },
	{ "C64", SP_TENSOR_OTHER, 8 },
};

#define COPY_AGAIN "the file is damaged or no safetensors file; fetch or copy it again"

/* ---- the entry of one tensor: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]} ---- */

static int check_name(const struct sp_safetensors *f, const char *name, size_t size)
{
	if (size == 0 || size > NAME_MOST)
		return sp_fail(SP_ERR_FORMAT, "%s: tensor '%.80s': its name has %zu bytes, expected 1 to %d; " COPY_AGAIN,
		               f->path, name, size, NAME_MOST);
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
			return sp_fail(SP_ERR_FORMAT, "%s: tensor '%s': a control character in its name; " COPY_AGAIN, f->path,
			               name);
	return SP_OK;
}

static int take_dtype(const struct sp_safetensors *f, struct sp_tensor_entry *e, const json_t *value, int64_t *size)
{
	const char *name = json_string_value(value);
	for (size_t i = 0; name && i < sizeof known / sizeof *known; i++)
		if (strcmp(known[i].name, name) == 0) {
			e->dtype = known[i].dtype;
			*size = known[i].size;
			return SP_OK;
		}
	if (name)
		return sp_fail(SP_ERR_FORMAT, "%s: tensor '%s': dtype '%.80s' is not known; F32, F16, BF16 and F64 can be read",
		               f->path, e->name, name);
	return sp_fail(SP_ERR_FORMAT, "%s: tensor '%s': no dtype (a text is expected); " COPY_AGAIN, f->path, e->name);
}

static int take_shape(const struct sp_safetensors *f, struct sp_tensor_entry *e, const json_t *value)
{
	if (!json_is_array(value) || json_array_size(value) > SP_TENSOR_DIMENSIONS)
		return sp_fail(SP_ERR_FORMAT, "%s: tensor '%s': its shape is not a list of at most %d sizes; " COPY_AGAIN,
		               f->path, e->name, SP_TENSOR_DIMENSIONS);
	e->dimensions = (int)json_array_size(value);
	e->elements = 1;
	for (int i = 0; i < e->dimensions; i++) {
		const json_t *size = json_array_get(value, (size_t)i);
		if (!json_is_integer(size) || json_integer_value(size) < 0)
			return sp_fail(SP_ERR_FORMAT, "%s: tensor '%s': size %d of its shape is not a whole number from 0; " COPY_AGAIN,
			               f->path, e->name, i);
		e->shape[i] = json_integer_value(size);
		if (__builtin_mul_overflow(e->elements, e->shape[i], &e->elements))
			return sp_fail(SP_ERR_FORMAT, "%s: tensor '%s': its shape has more elements than can be counted; " COPY_AGAIN,
			               f->path, e->name);
	}
	return SP_OK;
}

/* The offsets count from the end of the header; entries hold them from the start of the file. */
static int take_offsets(const struct sp_safetensors *f, struct sp_tensor_entry *e, const json_t *value, int64_t width,
                        uint64_t data, uint64_t file_size)
{
	const json_t *first = json_array_get(value, 0), *second = json_array_get(value, 1);
	int64_t bytes;
	if (json_array_size(value) != 2 || !json_is_integer(first) || !json_is_integer(second))
		return sp_fail(SP_ERR_FORMAT, "%s: tensor '%s': its data_offsets are not two whole numbers; " COPY_AGAIN,
		               f->path, e->name);
	const int64_t begin = json_integer_value(first), end = json_integer_value(second);
	if (begin < 0 || end < begin || (uint64_t)end > file_size - data)
		return sp_fail(SP_ERR_FORMAT,
		               "%s: tensor '%s': its data is said to be bytes %lld to %lld of %llu that follow the header: the file "
		               "is cut short or damaged; copy it again",
		               f->path, e->name, (long long)begin, (long long)end, (unsigned long long)(file_size - data));
	if (__builtin_mul_overflow(e->elements, width, &bytes) || bytes != end - begin)
		return sp_fail(SP_ERR_FORMAT,
		               "%s: tensor '%s': its shape has %lld elements of %lld bytes, but its data is %lld bytes; " COPY_AGAIN,
		               f->path, e->name, (long long)e->elements, (long long)width, (long long)(end - begin));
	e->begin = data + (uint64_t)begin;
	e->end = data + (uint64_t)end;
	return SP_OK;
}

static int take_tensor(const struct sp_safetensors *f, struct sp_tensor_entry *e, const json_t *value, uint64_t data,
                       uint64_t file_size)
{
	static const char *const keys[] = { "dtype", "shape", "data_offsets" };
	int64_t width = 0;
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (!json_object_get(value, keys[i]))
			return sp_fail(SP_ERR_FORMAT, "%s: tensor '%s': its entry has no %s; " COPY_AGAIN, f->path, e->name, keys[i]);
	if (json_object_size(value) != sizeof keys / sizeof *keys)
		return sp_fail(SP_ERR_FORMAT,
		               "%s: tensor '%s': its entry holds more than dtype, shape and data_offsets: a newer form of the "
		               "format, or damaged",
		               f->path, e->name);
	int status = take_dtype(f, e, json_object_get(value, "dtype"), &width);
	if (status == SP_OK)
		status = take_shape(f, e, json_object_get(value, "shape"));
	return status ? status : take_offsets(f, e, json_object_get(value, "data_offsets"), width, data, file_size);
}

/* ---- all of them ---- */

static int take_metadata(struct sp_safetensors *f, json_t *value)
{
	const char *key;
	json_t *text;
	if (!json_is_object(value))
		return sp_fail(SP_ERR_FORMAT, "%s: __metadata__ is not an object of texts; " COPY_AGAIN, f->path);
	json_object_foreach(value, key, text)
		if (!json_is_string(text))
			return sp_fail(SP_ERR_FORMAT, "%s: __metadata__: '%.80s' is not a text; " COPY_AGAIN, f->path, key);
	f->metadata = value;
	return SP_OK;
}

static int take_entries(struct sp_safetensors *f, uint64_t data, uint64_t file_size)
{
	const char *name;
	json_t *value;
	f->entry = calloc(json_object_size(f->header) + 1, sizeof *f->entry);
	if (!f->entry)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory for its %zu tensors", f->path, json_object_size(f->header));
	int status = SP_OK;
	json_object_foreach(f->header, name, value) {
		if (strcmp(name, "__metadata__") == 0) {
			status = take_metadata(f, value);
		} else {
			f->entry[f->count].name = name;
			status = check_name(f, name, strlen(name));
			if (status == SP_OK)
				status = take_tensor(f, &f->entry[f->count++], value, data, file_size);
		}
		if (status)
			return status;
	}
	return SP_OK;
}

/* Empty tensors before those that begin at the same byte. */
static int by_place(const void *a, const void *b)
{
	const struct sp_tensor_entry *x = a, *y = b;
	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

/* The tensors' data fill the file from the header to its end: nothing is read twice and nothing hides between them. */
static int check_places(struct sp_safetensors *f, uint64_t data, uint64_t file_size)
{
	uint64_t place = data;
	qsort(f->entry, (size_t)f->count, sizeof *f->entry, by_place);
	for (int i = 0; i < f->count; i++) {
		const struct sp_tensor_entry *e = &f->entry[i];
		if (e->begin < place)
			return sp_fail(SP_ERR_FORMAT, "%s: tensor '%s': its data overlaps that of '%s'; " COPY_AGAIN, f->path, e->name,
			               f->entry[i - 1].name);
		if (e->begin > place)
			return sp_fail(SP_ERR_FORMAT, "%s: tensor '%s': %llu bytes before its data belong to no tensor; " COPY_AGAIN,
			               f->path, e->name, (unsigned long long)(e->begin - place));
		place = e->end;
	}
	if (place != file_size)
		return sp_fail(SP_ERR_FORMAT, "%s: %llu bytes after the last tensor%s%s%s belong to none; " COPY_AGAIN, f->path,
		               (unsigned long long)(file_size - place), f->count ? " '" : "",
		               f->count ? f->entry[f->count - 1].name : "", f->count ? "'" : "");
	return SP_OK;
}

static int compare_names(const void *a, const void *b)
{
	const struct sp_tensor_entry *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

static int sort_names(struct sp_safetensors *f)
{
	f->by_name = calloc((size_t)f->count + 1, sizeof(*f->by_name));
	if (!f->by_name)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory for its %d tensors", f->path, f->count);
	for (int i = 0; i < f->count; i++)
		f->by_name[i] = &f->entry[i];
	qsort(f->by_name, (size_t)f->count, sizeof(*f->by_name), compare_names);
	return SP_OK;
}

/* jansson itself bounds the depth (JSON_PARSER_MAX_DEPTH), refuses what is not UTF-8 and zero bytes in names. */
static int parse_header(struct sp_safetensors *f, const char *text, size_t size, uint64_t file_size)
{
	json_error_t error;
	if (text[0] != '{')
		return sp_fail(SP_ERR_FORMAT, "%s: its header does not begin with '{'; " COPY_AGAIN, f->path);
	f->header = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	if (!f->header)
		return sp_fail(SP_ERR_FORMAT, "%s: header, byte %d: %s; " COPY_AGAIN, f->path, PREFIX + error.position, error.text);
	int status = take_entries(f, PREFIX + size, file_size);
	if (status == SP_OK)
		status = check_places(f, PREFIX + size, file_size);
	return status ? status : sort_names(f);
}

/* The length of the header from the first eight bytes. */
static int header_size(const char *path, const void *bytes, uint64_t file_size, size_t *size)
{
	uint64_t length;
	memcpy(&length, bytes, sizeof length);
	length = le64toh(length);
	if (length > HEADER_MOST)
		return sp_fail(SP_ERR_FORMAT, "%s: its header is said to have %llu bytes, at most %d are accepted; " COPY_AGAIN,
		               path, (unsigned long long)length, HEADER_MOST);
	if (length < 2 || length > file_size - PREFIX)
		return sp_fail(SP_ERR_FORMAT, "%s: its header is said to have %llu bytes, the file has %llu: cut short or damaged; "
		               "copy it again", path, (unsigned long long)length, (unsigned long long)file_size);
	*size = (size_t)length;
	return SP_OK;
}

static int too_short(const char *path, uint64_t size)
{
	return sp_fail(SP_ERR_FORMAT, "%s: %llu bytes long, a safetensors file has at least %d: cut short; copy it again",
	               path, (unsigned long long)size, PREFIX + 2);
}

static struct sp_safetensors *new_file(const char *path)
{
	struct sp_safetensors *f = calloc(1, sizeof *f);
	if (f) {
		f->fd = -1;
		f->path = strdup(path);
	}
	if (f && f->path)
		return f;
	free(f);
	sp_fail(SP_ERR_MEMORY, "%s: no memory to read it", path);
	return NULL;
}

int sp_safetensors_parse(const char *name, const void *bytes, size_t size, uint64_t file_size,
                         struct sp_safetensors **file)
{
	size_t length;
	assert(size <= file_size);
	if (size < PREFIX + 2)
		return too_short(name, size);
	struct sp_safetensors *f = new_file(name);
	if (!f)
		return SP_ERR_MEMORY;
	int status = header_size(name, bytes, file_size, &length);
	if (status == SP_OK && length > size - PREFIX)
		status = too_short(name, size);
	if (status == SP_OK)
		status = parse_header(f, (const char *)bytes + PREFIX, length, file_size);
	if (status) {
		sp_safetensors_close(f);
		return status;
	}
	*file = f;
	return SP_OK;
}

/* ---- files ---- */

static int read_at(const struct sp_safetensors *f, const char *what, void *bytes, size_t size, uint64_t place)
{
	for (size_t done = 0; done < size;) {
		const ssize_t n = pread(f->fd, (char *)bytes + done, size - done, (off_t)(place + done));
		if (n < 0 && errno != EINTR)
			return sp_fail(SP_ERR_IO, "%s: %s: cannot be read: %s", f->path, what, strerror(errno));
		if (n == 0)
			return sp_fail(SP_ERR_IO, "%s: %s: the file ends at byte %llu, shorter than when it was opened", f->path, what,
			               (unsigned long long)(place + done));
		done += n > 0 ? (size_t)n : 0;
	}
	return SP_OK;
}

static int open_file(struct sp_safetensors *f, uint64_t *size)
{
	struct stat info;
	f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* of a pipe, too, it shall only be said that it is one */
	if (f->fd < 0 || fstat(f->fd, &info) != 0)
		return sp_fail(SP_ERR_IO, "%s: cannot be opened: %s", f->path, strerror(errno));
	if (!S_ISREG(info.st_mode))
		return sp_fail(SP_ERR_IO, "%s: not a regular file", f->path);
	*size = (uint64_t)info.st_size;
	return *size < PREFIX + 2 ? too_short(f->path, *size) : SP_OK;
}

static int read_header(struct sp_safetensors *f, uint64_t file_size)
{
	unsigned char prefix[PREFIX];
	size_t size;
	int status = read_at(f, "header", prefix, sizeof prefix, 0);
	if (status == SP_OK)
		status = header_size(f->path, prefix, file_size, &size);
	if (status)
		return status;
	char *text = malloc(size);
	if (!text)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory for a header of %zu bytes", f->path, size);
	status = read_at(f, "header", text, size, PREFIX);
	if (status == SP_OK)
		status = parse_header(f, text, size, file_size);
	free(text);
	return status;
}

int sp_safetensors_open(const char *path, struct sp_safetensors **file)
{
	uint64_t size = 0;
	struct sp_safetensors *f = new_file(path);
	if (!f)
		return SP_ERR_MEMORY;
	int status = open_file(f, &size);
	if (status == SP_OK)
		status = read_header(f, size);
	if (status) {
		sp_safetensors_close(f);
		return status;
	}
	*file = f;
	return SP_OK;
}

void sp_safetensors_close(struct sp_safetensors *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		close(f->fd);
	json_decref(f->header);
	free(f->by_name);
	free(f->entry);
	free(f->path);
	free(f);
}

int sp_safetensors_count(const struct sp_safetensors *f)
{
	return f->count;
}

const struct sp_tensor_entry *sp_safetensors_at(const struct sp_safetensors *f, int i)
{
	return &f->entry[i];
}

const struct sp_tensor_entry *sp_safetensors_find(const struct sp_safetensors *f, const char *name)
{
	const struct sp_tensor_entry wanted = { .name = name }, *key = &wanted;
	const struct sp_tensor_entry **found =
		bsearch(&key, f->by_name, (size_t)f->count, sizeof(*f->by_name), compare_names);
	return found ? *found : NULL;
}

const char *sp_safetensors_metadata(const struct sp_safetensors *f, const char *key)
{
	return json_string_value(json_object_get(f->metadata, key));
}

int sp_safetensors_read(const struct sp_safetensors *f, const struct sp_tensor_entry *tensor, int64_t first,
                        int64_t count, float *values)
{
	const size_t width = sp_tensor_dtype_size(tensor->dtype);
	unsigned char piece[PIECE];
	int status = SP_OK;
	assert(f->fd >= 0 && first >= 0 && count >= 0 && count <= tensor->elements - first);
	if (width == 0)
		return sp_fail(SP_ERR_FORMAT, "%s: tensor '%s': its dtype is not one of F32, F16, BF16 and F64", f->path,
		               tensor->name);
	for (int64_t done = 0; done < count && status == SP_OK;) {
		const int64_t n = sp_min(count - done, (int64_t)(PIECE / width));
		status = read_at(f, tensor->name, piece, (size_t)n * width, tensor->begin + (uint64_t)(first + done) * width);
		if (status == SP_OK)
			sp_tensor_decode(tensor->dtype, piece, n, values + done);
		done += n;
	}
	return status;
}
