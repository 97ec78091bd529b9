#include "config.h"

#include "data/indexed.h"

#include "base/log.h"
#include "base/size.h"
#include "data/indexed_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define REMAKE "make the pair again with 'seqpar tokenize'"

struct mapping {
	char *path;
	const unsigned char *bytes; /* NULL when the file is empty */
	size_t size;
};

struct sp_indexed {
	struct mapping idx, bin;
	int borrowed; /* the bytes are the caller's */
	enum sp_indexed_dtype dtype;
	size_t width; /* bytes of a token */
	int64_t sentences, documents, tokens;
	const unsigned char *sizes, *pointers, *doc_idx;
};

/* The arrays begin at byte 34, so nothing in them is aligned. */
static uint64_t get64(const unsigned char *p)
{
	uint64_t value;
	memcpy(&value, p, sizeof value);
	return le64toh(value);
}

static int32_t get32(const unsigned char *p)
{
	uint32_t value;
	memcpy(&value, p, sizeof value);
	return (int32_t)le32toh(value);
}

static int map_file(struct mapping *m, const char *prefix, const char *ending)
{
	m->path = sp_indexed_path(prefix, ending);
	if (!m->path)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory to open it", prefix);
	int fd = open(m->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return sp_fail(SP_ERR_IO,
		               "%s: cannot open the token file: %s (the name to give is that of the pair without .bin "
		               "and .idx)",
		               m->path, strerror(errno));
	struct stat info;
	void *bytes = NULL;
	int status = SP_OK;
	if (fstat(fd, &info) != 0)
		status = sp_fail(SP_ERR_IO, "%s: %s", m->path, strerror(errno));
	else if (!S_ISREG(info.st_mode))
		status = sp_fail(SP_ERR_IO, "%s: not a regular file", m->path);
	else if (info.st_size > 0 && (bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED)
		status = sp_fail(SP_ERR_IO, "%s: cannot map %lld bytes: %s", m->path, (long long)info.st_size, strerror(errno));
	if (status == SP_OK) {
		m->bytes = bytes;
		m->size = (size_t)info.st_size;
	}
	close(fd);
	return status;
}

static int borrow(struct mapping *m, const char *prefix, const char *ending, const void *bytes, size_t size)
{
	m->path = sp_indexed_path(prefix, ending);
	m->bytes = bytes;
	m->size = size;
	return m->path ? SP_OK : sp_fail(SP_ERR_MEMORY, "%s: no memory to open it", prefix);
}

static int check_dtype(struct sp_indexed *x, int code)
{
	x->dtype = (enum sp_indexed_dtype)code;
	x->width = sp_indexed_width(x->dtype);
	if (x->width == 0)
		return sp_fail(SP_ERR_FORMAT,
		               "%s: byte 17: dtype code %d is not understood, only 8 (uint16) and 4 (int32): " REMAKE,
		               x->idx.path, code);
	return SP_OK;
}

/* The index must be as long as its own counts say, which also bounds the counts. */
static int check_counts(struct sp_indexed *x, uint64_t sentences, uint64_t entries)
{
	uint64_t room = x->idx.size - SP_INDEXED_HEADER;
	if (entries < 1)
		return sp_fail(SP_ERR_FORMAT, "%s: byte 26: the document index has no entry, at least the 0 it starts with is "
		               "expected: " REMAKE, x->idx.path);
	if (sentences > room / 12 || entries > room / 8 || sentences * 12 + entries * 8 != room)
		return sp_fail(SP_ERR_FORMAT,
		               "%s: %zu bytes long, but its header tells of %llu sentences and %llu document entries: "
		               "cut short or damaged; " REMAKE,
		               x->idx.path, x->idx.size, (unsigned long long)sentences, (unsigned long long)entries);
	x->sentences = (int64_t)sentences;
	x->documents = (int64_t)entries - 1;
	x->sizes = x->idx.bytes + SP_INDEXED_HEADER;
	x->pointers = x->sizes + 4 * sentences;
	x->doc_idx = x->pointers + 8 * sentences;
	return SP_OK;
}

static int check_header(struct sp_indexed *x)
{
	const unsigned char *p = x->idx.bytes;
	if (x->idx.size < SP_INDEXED_HEADER)
		return sp_fail(SP_ERR_FORMAT, "%s: %zu bytes long, a header alone has %d: cut short; " REMAKE, x->idx.path,
		               x->idx.size, SP_INDEXED_HEADER);
	if (memcmp(p, SP_INDEXED_MAGIC, 9) != 0)
		return sp_fail(SP_ERR_FORMAT, "%s: does not begin with MMIDIDX: not an index of a token file; " REMAKE,
		               x->idx.path);
	if (get64(p + 9) != SP_INDEXED_VERSION)
		return sp_fail(SP_ERR_FORMAT, "%s: byte 9: version %llu, expected %d: " REMAKE, x->idx.path,
		               (unsigned long long)get64(p + 9), SP_INDEXED_VERSION);
	int status = check_dtype(x, p[17]);
	return status == SP_OK ? check_counts(x, get64(p + 18), get64(p + 26)) : status;
}

/* Sentences lie one after the other without gaps, so each pointer is the sum of the sizes before it. The sum cannot
 * overflow: it stays within the length of PREFIX.bin. */
static int check_sentences(struct sp_indexed *x)
{
	uint64_t place = 0;
	for (int64_t i = 0; i < x->sentences; i++) {
		int32_t size = get32(x->sizes + 4 * i);
		uint64_t pointer = get64(x->pointers + 8 * i);
		if (size < 0)
			return sp_fail(SP_ERR_FORMAT, "%s: sentence %lld has %d tokens: damaged; " REMAKE, x->idx.path,
			               (long long)i, size);
		if (pointer != place)
			return sp_fail(SP_ERR_FORMAT,
			               "%s: sentence %lld is said to begin at byte %llu, but those before it end at %llu: "
			               "damaged; " REMAKE,
			               x->idx.path, (long long)i, (unsigned long long)pointer, (unsigned long long)place);
		place += (uint64_t)size * x->width;
		if (place > x->bin.size)
			return sp_fail(SP_ERR_FORMAT,
			               "%s: %zu bytes long, but sentence %lld of %s ends at byte %llu: cut short, or the two "
			               "files are not of one pair; " REMAKE,
			               x->bin.path, x->bin.size, (long long)i, x->idx.path, (unsigned long long)place);
	}
	if (place != x->bin.size)
		return sp_fail(SP_ERR_FORMAT,
		               "%s: %zu bytes long, but the sentences of %s end at byte %llu: the two files are not of "
		               "one pair; " REMAKE,
		               x->bin.path, x->bin.size, x->idx.path, (unsigned long long)place);
	x->tokens = (int64_t)(place / x->width);
	return SP_OK;
}

static int check_documents(struct sp_indexed *x)
{
	uint64_t before = 0;
	for (int64_t d = 0; d <= x->documents; d++) {
		uint64_t first = get64(x->doc_idx + 8 * d);
		if (first < before || first > (uint64_t)x->sentences || (d == 0 && first != 0))
			return sp_fail(SP_ERR_FORMAT,
			               "%s: document %lld is said to begin at sentence %llu, expected %llu to %lld: "
			               "damaged; " REMAKE,
			               x->idx.path, (long long)d, (unsigned long long)first, (unsigned long long)before,
			               d == 0 ? 0LL : (long long)x->sentences);
		before = first;
	}
	if (before != (uint64_t)x->sentences)
		return sp_fail(SP_ERR_FORMAT, "%s: the documents hold %llu sentences, the file %lld: damaged; " REMAKE,
		               x->idx.path, (unsigned long long)before, (long long)x->sentences);
	return SP_OK;
}

static int check(struct sp_indexed *x)
{
	int status = check_header(x);
	if (status == SP_OK)
		status = check_sentences(x);
	return status == SP_OK ? check_documents(x) : status;
}

static struct sp_indexed *allocate(const char *prefix)
{
	struct sp_indexed *x = calloc(1, sizeof *x);
	if (!x)
		sp_fail(SP_ERR_MEMORY, "%s: no memory to open it", prefix);
	return x;
}

/* Hands it over if all went well. */
static int give(struct sp_indexed *x, int status, struct sp_indexed **indexed)
{
	if (status == SP_OK)
		*indexed = x;
	else
		sp_indexed_close(x);
	return status;
}

int sp_indexed_open(const char *prefix, struct sp_indexed **indexed)
{
	struct sp_indexed *x = allocate(prefix);
	if (!x)
		return SP_ERR_MEMORY;
	int status = map_file(&x->idx, prefix, ".idx");
	if (status == SP_OK)
		status = map_file(&x->bin, prefix, ".bin");
	return give(x, status == SP_OK ? check(x) : status, indexed);
}

int sp_indexed_parse(const char *name, const void *idx, size_t idx_size, const void *bin, size_t bin_size,
                     struct sp_indexed **indexed)
{
	struct sp_indexed *x = allocate(name);
	if (!x)
		return SP_ERR_MEMORY;
	x->borrowed = 1;
	int status = borrow(&x->idx, name, ".idx", idx, idx_size);
	if (status == SP_OK)
		status = borrow(&x->bin, name, ".bin", bin, bin_size);
	return give(x, status == SP_OK ? check(x) : status, indexed);
}

static void release(const struct sp_indexed *x, struct mapping *m)
{
	if (m->bytes && !x->borrowed)
		munmap((void *)(uintptr_t)m->bytes, m->size);
	free(m->path);
}

void sp_indexed_close(struct sp_indexed *x)
{
	if (!x)
		return;
	release(x, &x->idx);
	release(x, &x->bin);
	free(x);
}

int64_t sp_indexed_documents(const struct sp_indexed *x)
{
	return x->documents;
}

int64_t sp_indexed_sentences(const struct sp_indexed *x)
{
	return x->sentences;
}

int64_t sp_indexed_tokens(const struct sp_indexed *x)
{
	return x->tokens;
}

int64_t sp_indexed_document_first(const struct sp_indexed *x, int64_t d)
{
	return (int64_t)get64(x->doc_idx + 8 * d);
}

int32_t sp_indexed_size(const struct sp_indexed *x, int64_t i)
{
	return get32(x->sizes + 4 * i);
}

const void *sp_indexed_raw(const struct sp_indexed *x, int64_t i, enum sp_indexed_dtype *dtype, int32_t *size)
{
	*dtype = x->dtype;
	*size = sp_indexed_size(x, i);
	return x->bin.size ? x->bin.bytes + get64(x->pointers + 8 * i) : (const void *)"";
}

static int32_t get_id(const unsigned char *p, enum sp_indexed_dtype dtype)
{
	uint16_t narrow;
	if (dtype == SP_INDEXED_INT32)
		return get32(p);
	memcpy(&narrow, p, sizeof narrow);
	return le16toh(narrow);
}

void sp_indexed_read(const struct sp_indexed *x, int64_t i, int32_t first, int32_t count, int32_t *ids)
{
	enum sp_indexed_dtype dtype;
	int32_t size;
	const unsigned char *raw = sp_indexed_raw(x, i, &dtype, &size);
	raw += (size_t)first * x->width;
	for (int32_t j = 0; j < count; j++)
		ids[j] = get_id(raw + (size_t)j * x->width, dtype);
}

int sp_indexed_max_id(const struct sp_indexed *x, int32_t *max_id)
{
	int32_t largest = -1;
	for (int64_t i = 0; i < x->tokens; i++) {
		int32_t id = get_id(x->bin.bytes + (size_t)i * x->width, x->dtype);
		if (id < 0)
			return sp_fail(SP_ERR_FORMAT, "%s: token %lld has the id %d: damaged; " REMAKE, x->bin.path, (long long)i,
			               id);
		largest = id > largest ? id : largest;
	}
	*max_id = largest;
	return SP_OK;
}
