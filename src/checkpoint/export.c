#include "config.h"

#include "checkpoint/export.h"

#include "base/log.h"
#include "base/size.h"
#include "checkpoint/directory.h"
#include "checkpoint/durable.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/tokenizer_files.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 18 }; /* elements converted at a time */

/* The least size that becomes infinite, and the name of the dtype in config.json. */
static const struct {
	double limit;
	const char *name, *words;
} dtypes[] = {
	[SP_TENSOR_F32] = { INFINITY, "float32", "float32" },
	[SP_TENSOR_F16] = { 65520.0, "float16", "fp16, which ends at 65504; give another --dtype" },
	[SP_TENSOR_BF16] = { 0x1.ffp127, "bfloat16", "bf16, which ends at 3.39e38; give another --dtype" },
};

/* The directory being written. */
struct job {
	const struct sp_export *e;
	char *out, *part;
	struct sp_tensor_entry *entry; /* of the parameters that are written */
	const float **values;
	int count;
	uint64_t bytes;
	char why[512];
};

static char *join(const char *a, const char *b)
{
	char *text;
	return asprintf(&text, "%s%s", a, b) < 0 ? NULL : text;
}

static int no_memory(const char *out)
{
	return sp_fail(SP_ERR_MEMORY, "%s: no memory to write it", out);
}

/* ---- what is written ---- */

static int check_numbers(const struct job *j, const struct sp_parameter *p, const float *values)
{
	const double limit = dtypes[j->e->dtype].limit;
	int64_t too_large = 0, strange = 0;
	double largest = 0;
	for (int64_t i = 0; i < p->rows * p->cols; i++) {
		const double size = fabs((double)values[i]);
		strange += !isfinite(values[i]);
		too_large += isfinite(values[i]) && size >= limit;
		largest = isfinite(values[i]) && size > largest ? size : largest;
	}
	if (strange > 0)
		sp_log(SP_LOG_WARNING, "tensor '%s': %lld of its numbers are not finite", p->name, (long long)strange);
	if (too_large > 0)
		return sp_fail(SP_ERR_NUMERIC, "tensor '%s': %lld of its numbers, of up to %g, are too large for %s", p->name,
		               (long long)too_large, largest, dtypes[j->e->dtype].words);
	return SP_OK;
}

static int choose_tensors(struct job *j)
{
	const struct sp_parameters *t = j->e->table;
	int status = SP_OK;
	j->entry = calloc((size_t)t->count, sizeof *j->entry);
	j->values = calloc((size_t)t->count, sizeof *j->values);
	if (!j->entry || !j->values)
		return no_memory(j->out);
	for (int i = 0; i < t->count && status == SP_OK; i++) {
		const struct sp_parameter *p = &t->entry[i];
		const int vector = !p->decay; /* biases and norms, and nothing else */
		if (j->e->present && !j->e->present[i])
			continue;
		j->values[j->count] = j->e->values + p->offset;
		j->entry[j->count++] = (struct sp_tensor_entry){
			.name = p->name,
			.dtype = j->e->dtype,
			.dimensions = vector ? 1 : 2,
			.shape = { vector ? p->cols : p->rows, vector ? 0 : p->cols },
		};
		status = check_numbers(j, p, j->e->values + p->offset);
	}
	return status;
}

/* ---- files ---- */

static int put(struct job *j, const char *name, const void *bytes, size_t count)
{
	char *path = join(j->part, name);
	if (!path)
		return no_memory(j->out);
	int status = sp_durable_put(path, bytes, count, j->why, sizeof j->why);
	free(path);
	return status ? sp_fail(status, "cannot write %s", j->why) : SP_OK;
}

/* A text that was just made, or could not be. */
static int put_text(struct job *j, int made, const char *name, char *text)
{
	int status = made == SP_OK ? put(j, name, text, strlen(text)) : made;
	free(text);
	return status;
}

static int put_config(struct job *j)
{
	char *text = NULL;
	if (j->e->config->linformer_k > 0)
		sp_log(SP_LOG_WARNING, "%s: a model with parallel.attention = linformer: seqpar reads it, transformers has no such model",
		       j->out);
	if (j->e->config->window > 0)
		sp_log(SP_LOG_WARNING, "%s: a model with parallel.attention = window: seqpar reads it, transformers has no such model",
		       j->out);
	const int made = sp_hf_config_text(j->e->config, j->e->pad, dtypes[j->e->dtype].name, &text);
	return put_text(j, made, "/" SP_CHECKPOINT_CONFIG, text);
}

static int put_tokenizer(struct job *j)
{
	const struct sp_export *e = j->e;
	char *text = NULL;
	int status = sp_tokenizer_config_text(e->cased, e->config->max_positions, &text);
	status = put_text(j, status, "/" SP_CHECKPOINT_TOKENIZER, text);
	if (status)
		return status;
	text = NULL;
	status = sp_tokenizer_special_text(&text);
	status = put_text(j, status, "/" SP_CHECKPOINT_SPECIAL, text);
	return status ? status : put(j, "/" SP_CHECKPOINT_VOCAB, e->vocab, e->vocab_size);
}

static int write_tensor(struct job *j, int fd, const char *path, int i, unsigned char *piece)
{
	const struct sp_tensor_entry *t = &j->entry[i];
	const size_t width = sp_tensor_dtype_size(t->dtype);
	int status = j->e->stop && *j->e->stop ? SP_ERR_STOPPED : SP_OK;
	for (int64_t at = 0; at < t->elements && status == SP_OK; at += PIECE) {
		const int64_t n = sp_min(PIECE, t->elements - at);
		sp_tensor_encode(t->dtype, j->values[i] + at, n, piece);
		status = sp_durable_write(fd, path, piece, (size_t)n * width, t->begin + (uint64_t)at * width, j->why,
		                          sizeof j->why);
		if (status)
			sp_fail(status, "cannot write %s", j->why);
	}
	return status;
}

static int write_tensors(struct job *j, int fd, const char *path, const void *head, size_t head_size)
{
	unsigned char *piece = malloc(PIECE * sp_tensor_dtype_size(j->e->dtype));
	if (!piece)
		return no_memory(j->out);
	int status = sp_durable_write(fd, path, head, head_size, 0, j->why, sizeof j->why);
	if (status)
		sp_fail(status, "cannot write %s", j->why);
	for (int i = 0; i < j->count && status == SP_OK; i++)
		status = write_tensor(j, fd, path, i, piece);
	free(piece);
	return status;
}

static int put_weights(struct job *j)
{
	static const char *const metadata[] = { "format", "pt", NULL }; /* transformers asks for it */
	void *head = NULL;
	size_t head_size;
	char *path = join(j->part, "/" SP_CHECKPOINT_MODEL);
	int status = path ? sp_safetensors_head(j->entry, j->count, metadata, &head, &head_size, &j->bytes) : no_memory(j->out);
	if (status == SP_OK) {
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		status = fd < 0 ? sp_fail(SP_ERR_IO, "cannot write %s: %s", path, strerror(errno)) :
		                  write_tensors(j, fd, path, head, head_size);
		int closed = fd < 0 ? SP_OK : sp_durable_close(fd, path, j->why, sizeof j->why);
		if (closed && !status)
			status = sp_fail(closed, "cannot write %s", j->why);
	}
	free(head);
	free(path);
	return status;
}

/* ---- names ---- */

static int exists(const char *path)
{
	struct stat info;
	return lstat(path, &info) == 0;
}

int sp_export_check(const char *out)
{
	if (!exists(out))
		return SP_OK;
	return sp_fail(SP_ERR_IO, "%s: is there already and is not overwritten; give another name or remove it", out);
}

static int make_directory(struct job *j)
{
	int status = sp_export_check(j->out);
	if (status == SP_OK && mkdir(j->part, 0777) != 0)
		status = sp_fail(SP_ERR_IO, "%s: cannot be made: %s", j->part, strerror(errno));
	return status;
}

/* Only what was written here. */
static void remove_directory(const struct job *j)
{
	static const char *const names[] = { "/" SP_CHECKPOINT_MODEL, "/" SP_CHECKPOINT_CONFIG, "/" SP_CHECKPOINT_VOCAB,
		                                 "/" SP_CHECKPOINT_TOKENIZER, "/" SP_CHECKPOINT_SPECIAL };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char *path = join(j->part, names[i]);
		if (path)
			unlink(path);
		free(path);
	}
	rmdir(j->part);
}

static int sync_directory(struct job *j, const char *path)
{
	const int status = sp_durable_directory(path, j->why, sizeof j->why);
	return status ? sp_fail(status, "cannot write %s", j->why) : SP_OK;
}

static int sync_parent(struct job *j)
{
	char *copy = strdup(j->out);
	const int status = copy ? sync_directory(j, dirname(copy)) : no_memory(j->out);
	free(copy);
	return status;
}

static int write_all(struct job *j)
{
	int status = put_weights(j);
	if (status == SP_OK)
		status = put_config(j);
	if (status == SP_OK && j->e->vocab)
		status = put_tokenizer(j);
	if (status == SP_OK)
		status = sync_directory(j, j->part);
	if (status == SP_OK)
		status = sp_export_check(j->out);
	if (status == SP_OK && rename(j->part, j->out) != 0)
		status = sp_fail(SP_ERR_IO, "%s: cannot be renamed to %s: %s", j->part, j->out, strerror(errno));
	if (status)
		remove_directory(j);
	return status ? status : sync_parent(j);
}

static int name_output(struct job *j, const char *out)
{
	size_t length = strlen(out);
	while (length > 1 && out[length - 1] == '/')
		length--;
	j->out = strndup(out, length);
	if (!j->out || asprintf(&j->part, "%s.part-%ld", j->out, (long)getpid()) < 0) {
		j->part = NULL;
		return no_memory(out);
	}
	return SP_OK;
}

int sp_export_write(const char *out, const struct sp_export *e, uint64_t *bytes)
{
	struct job j = { .e = e };
	assert(e->dtype == SP_TENSOR_F32 || e->dtype == SP_TENSOR_F16 || e->dtype == SP_TENSOR_BF16);
	int status = name_output(&j, out);
	if (status == SP_OK)
		status = choose_tensors(&j);
	if (status == SP_OK)
		status = make_directory(&j);
	if (status == SP_OK)
		status = write_all(&j);
	if (status == SP_OK)
		*bytes = j.bytes;
	free(j.entry);
	free(j.values);
	free(j.part);
	free(j.out);
	return status;
}
