#include "config.h"

#include "base/log.h"
#include "data/indexed_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* The number of sentences is not known beforehand and may be large, so nothing is kept in memory: sizes go straight to
 * their place in the index, document ends to a nameless file that is appended at the end. */
struct output {
	char *path, *temporary; /* path NULL: a nameless file */
	FILE *file;
};

struct sp_indexed_writer {
	struct output bin, idx, docs;
	enum sp_indexed_dtype dtype;
	size_t width;
	uint64_t sentences, documents, ended; /* ended: sentences that belong to a finished document */
};

static int cannot_write(const struct output *o)
{
	int error = errno;
	return sp_fail(SP_ERR_IO, "%s: cannot write: %s%s", o->temporary, strerror(error),
	               error == ENOSPC || error == EDQUOT ? ": make room or write elsewhere with -o" : "");
}

static int put(struct output *o, const void *bytes, size_t size)
{
	return size == 0 || fwrite(bytes, 1, size, o->file) == size ? SP_OK : cannot_write(o);
}

static int put64(struct output *o, uint64_t value)
{
	value = htole64(value);
	return put(o, &value, sizeof value);
}

static int create(struct output *o, const char *prefix, const char *ending)
{
	char suffix[64];
	struct stat info;
	snprintf(suffix, sizeof suffix, "%s.tmp.%ld", ending, (long)getpid());
	o->path = sp_indexed_path(prefix, ending);
	o->temporary = sp_indexed_path(prefix, suffix);
	if (!o->path || !o->temporary)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory to write it", prefix);
	if (stat(o->path, &info) == 0 && !S_ISREG(info.st_mode))
		return sp_fail(SP_ERR_IO, "%s: is there and not a regular file: give another name with -o", o->path);
	o->file = fopen(o->temporary, "w+be");
	if (!o->file)
		return sp_fail(SP_ERR_IO, "%s: cannot create the file: %s (its directory must exist and be writable)",
		               o->temporary, strerror(errno));
	setvbuf(o->file, NULL, _IOFBF, 1 << 18);
	return SP_OK;
}

static void discard(struct output *o)
{
	if (o->file) {
		fclose(o->file);
		if (o->path)
			unlink(o->temporary);
	}
	free(o->path);
	free(o->temporary);
}

/* Removes the name at once: the file lives as long as it is open. */
static void make_nameless(struct output *o)
{
	unlink(o->temporary);
	free(o->path);
	o->path = NULL;
}

int sp_indexed_writer_open(const char *prefix, enum sp_indexed_dtype dtype, struct sp_indexed_writer **writer)
{
	struct sp_indexed_writer *w = calloc(1, sizeof *w);
	if (!w)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory to write it", prefix);
	w->dtype = dtype;
	w->width = sp_indexed_width(dtype);
	static const unsigned char header[SP_INDEXED_HEADER]; /* its place; filled in at the end */
	int status = create(&w->bin, prefix, ".bin");
	if (status == SP_OK)
		status = create(&w->idx, prefix, ".idx");
	if (status == SP_OK)
		status = create(&w->docs, prefix, ".docs");
	if (status == SP_OK) {
		make_nameless(&w->docs);
		status = put(&w->idx, header, sizeof header);
	}
	if (status == SP_OK)
		status = put64(&w->docs, 0);
	if (status != SP_OK) {
		sp_indexed_writer_close(w);
		return status;
	}
	*writer = w;
	return SP_OK;
}

static int put_ids(struct sp_indexed_writer *w, const void *ids, int32_t count)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return put(&w->bin, ids, (size_t)count * w->width);
#else
	int status = SP_OK;
	for (int32_t i = 0; i < count && status == SP_OK; i++) {
		uint16_t narrow = w->width == 2 ? htole16(((const uint16_t *)ids)[i]) : 0;
		uint32_t wide = w->width == 4 ? htole32(((const uint32_t *)ids)[i]) : 0;
		status = w->width == 2 ? put(&w->bin, &narrow, 2) : put(&w->bin, &wide, 4);
	}
	return status;
#endif
}

int sp_indexed_writer_sentence(struct sp_indexed_writer *w, const void *ids, int32_t count)
{
	uint32_t size = htole32((uint32_t)count);
	int status = put_ids(w, ids, count);
	if (status == SP_OK)
		status = put(&w->idx, &size, sizeof size);
	w->sentences += status == SP_OK;
	return status;
}

int sp_indexed_writer_document(struct sp_indexed_writer *w)
{
	int status = put64(&w->docs, w->sentences);
	w->documents += status == SP_OK;
	w->ended = w->sentences;
	return status;
}

static int put_header(struct sp_indexed_writer *w)
{
	unsigned char dtype = (unsigned char)w->dtype;
	if (fseeko(w->idx.file, 0, SEEK_SET) != 0)
		return cannot_write(&w->idx);
	int status = put(&w->idx, SP_INDEXED_MAGIC, 9);
	if (status == SP_OK)
		status = put64(&w->idx, SP_INDEXED_VERSION);
	if (status == SP_OK)
		status = put(&w->idx, &dtype, 1);
	if (status == SP_OK)
		status = put64(&w->idx, w->sentences);
	if (status == SP_OK)
		status = put64(&w->idx, w->documents + 1);
	return status;
}

/* Pointers follow from the sizes, which are read back through a second descriptor while pointers are appended. */
static int put_pointers(struct sp_indexed_writer *w)
{
	FILE *sizes = fflush(w->idx.file) == 0 ? fopen(w->idx.temporary, "rbe") : NULL;
	if (!sizes)
		return cannot_write(&w->idx);
	int status = fseeko(sizes, SP_INDEXED_HEADER, SEEK_SET) == 0 ? SP_OK : cannot_write(&w->idx);
	uint64_t place = 0;
	for (uint64_t i = 0; i < w->sentences && status == SP_OK; i++) {
		uint32_t size;
		if (fread(&size, sizeof size, 1, sizes) != 1)
			status = cannot_write(&w->idx);
		else
			status = put64(&w->idx, place);
		place += status == SP_OK ? (uint64_t)le32toh(size) * w->width : 0;
	}
	fclose(sizes);
	return status;
}

static int put_documents(struct sp_indexed_writer *w)
{
	char bytes[1 << 14];
	size_t got;
	int status = SP_OK;
	if (fflush(w->docs.file) != 0 || fseeko(w->docs.file, 0, SEEK_SET) != 0)
		return cannot_write(&w->docs);
	while (status == SP_OK && (got = fread(bytes, 1, sizeof bytes, w->docs.file)) > 0)
		status = put(&w->idx, bytes, got);
	return status == SP_OK && ferror(w->docs.file) ? cannot_write(&w->docs) : status;
}

/* Errors of delayed writes show up here at the latest. */
static int complete(struct output *o)
{
	int status = SP_OK;
	if (fflush(o->file) != 0 || fsync(fileno(o->file)) != 0)
		status = cannot_write(o);
	if (fclose(o->file) != 0 && status == SP_OK)
		status = cannot_write(o);
	o->file = NULL;
	if (status != SP_OK)
		unlink(o->temporary);
	return status;
}

static int give_name(const struct output *o)
{
	return rename(o->temporary, o->path) == 0 ? SP_OK :
	       sp_fail(SP_ERR_IO, "%s: cannot rename to %s: %s", o->temporary, o->path, strerror(errno));
}

/* The two names cannot change at once. The older index goes first: no moment has an index beside data not its own. */
static int give_names(struct sp_indexed_writer *w)
{
	int status = SP_OK;
	if (unlink(w->idx.path) != 0 && errno != ENOENT)
		status = sp_fail(SP_ERR_IO, "%s: cannot replace the older file: %s", w->idx.path, strerror(errno));
	if (status == SP_OK)
		status = give_name(&w->bin);
	if (status == SP_OK && (status = give_name(&w->idx)) != SP_OK)
		unlink(w->bin.path);
	if (status != SP_OK) {
		unlink(w->bin.temporary);
		unlink(w->idx.temporary);
	}
	return status;
}

int sp_indexed_writer_finish(struct sp_indexed_writer *w)
{
	int status = SP_OK;
	if (w->ended < w->sentences)
		status = sp_indexed_writer_document(w);
	if (status == SP_OK)
		status = put_pointers(w);
	if (status == SP_OK)
		status = put_documents(w);
	if (status == SP_OK)
		status = put_header(w);
	if (status == SP_OK)
		status = complete(&w->idx);
	if (status == SP_OK && (status = complete(&w->bin)) != SP_OK)
		unlink(w->idx.temporary);
	return status == SP_OK ? give_names(w) : status;
}

void sp_indexed_writer_close(struct sp_indexed_writer *w)
{
	if (!w)
		return;
	discard(&w->bin);
	discard(&w->idx);
	discard(&w->docs);
	free(w);
}
