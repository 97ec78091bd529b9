/* Model files of tests: parameters written under the names that others use. May include: libc, base, model, checkpoint,
 * unit/data/scratch.h. */
#ifndef SP_TESTS_MODEL_FILES_H
#define SP_TESTS_MODEL_FILES_H

#include "checkpoint/safetensors.h"
#include "model/parameters.h"
#include "unit/data/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODEL_FILES_MOST = 128 };

/* Tensors of a file to be. */
struct model_file {
	struct sp_tensor_entry entry[MODEL_FILES_MOST];
	char name[MODEL_FILES_MOST][128];
	const float *values[MODEL_FILES_MOST];
	int count;
};

static inline void model_file_add(struct model_file *f, const char *name, int64_t rows, int64_t cols, const float *values)
{
	struct sp_tensor_entry *e = &f->entry[f->count];
	if (f->count == MODEL_FILES_MOST)
		abort();
	snprintf(f->name[f->count], sizeof f->name[0], "%s", name);
	*e = (struct sp_tensor_entry){ .name = f->name[f->count], .dtype = SP_TENSOR_F32, .dimensions = rows == 1 ? 1 : 2 };
	e->shape[0] = rows == 1 ? cols : rows;
	e->shape[1] = rows == 1 ? 0 : cols;
	f->values[f->count++] = values;
}

/* All parameters whose name `rename` gives (it returns 0 for those to be left out); NULL: as they are. */
static inline void model_file_fill(struct model_file *f, const struct sp_parameters *table, const float *values,
                                   int (*rename)(const char *name, char *other))
{
	memset(f, 0, sizeof *f);
	for (int i = 0; i < table->count; i++) {
		const struct sp_parameter *p = &table->entry[i];
		char name[128];
		snprintf(name, sizeof name, "%s", p->name);
		if (!rename || rename(p->name, name))
			model_file_add(f, name, p->rows, p->cols, values + p->offset);
	}
}

/* Writes it below the scratch directory. */
static inline void model_file_write(struct model_file *f, const char *name)
{
	static const char *const metadata[] = { "format", "pt", NULL };
	void *head;
	size_t head_size;
	uint64_t size;
	if (sp_safetensors_head(f->entry, f->count, metadata, &head, &head_size, &size))
		abort();
	unsigned char *bytes = malloc((size_t)size);
	if (!bytes)
		abort();
	memcpy(bytes, head, head_size);
	for (int i = 0; i < f->count; i++)
		sp_tensor_encode(f->entry[i].dtype, f->values[i], f->entry[i].elements, bytes + f->entry[i].begin);
	scratch_write(name, bytes, (size_t)size);
	free(bytes);
	free(head);
}

#endif
