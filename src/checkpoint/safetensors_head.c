/* The head of a safetensors file to be written. */
#include "config.h"

#include "checkpoint/safetensors.h"

#include "base/log.h"
#include "base/size.h"

#include <assert.h>
#include <endian.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 8 }; /* bytes of the header's length; the data begin at a multiple of it, as in files of others */

static json_t *describe_shape(const struct sp_tensor_entry *e)
{
	json_t *shape = json_array();
	for (int i = 0; i < e->dimensions; i++)
		if (json_array_append_new(shape, json_integer(e->shape[i])) != 0) {
			json_decref(shape);
			return NULL;
		}
	return shape;
}

/* Until the length of the head is known, begin and end count from its end. */
static json_t *describe(const struct sp_tensor_entry *e)
{
	return json_pack("{s:s, s:o, s:[I, I]}", "dtype", sp_tensor_dtype_name(e->dtype), "shape", describe_shape(e),
	                 "data_offsets", (json_int_t)e->begin, (json_int_t)e->end);
}

static int add_metadata(json_t *header, const char *const *metadata)
{
	json_t *texts = json_object();
	int failed = json_object_set_new(header, "__metadata__", texts);
	for (; !failed && *metadata; metadata += 2)
		failed = json_object_set_new(texts, metadata[0], json_string(metadata[1]));
	return failed;
}

static char *header_text(const struct sp_tensor_entry *entry, int count, const char *const *metadata)
{
	json_t *header = json_object();
	int failed = metadata ? add_metadata(header, metadata) : header == NULL;
	for (int i = 0; i < count && !failed; i++)
		failed = json_object_set_new(header, entry[i].name, describe(&entry[i]));
	char *text = failed ? NULL : json_dumps(header, JSON_COMPACT);
	json_decref(header);
	return text;
}

static uint64_t place(struct sp_tensor_entry *entry, int count)
{
	uint64_t end = 0;
	for (int i = 0; i < count; i++) {
		struct sp_tensor_entry *e = &entry[i];
		assert(e->dtype != SP_TENSOR_OTHER && e->dimensions <= SP_TENSOR_DIMENSIONS);
		e->elements = 1;
		for (int d = 0; d < e->dimensions; d++)
			e->elements *= e->shape[d];
		e->begin = end;
		e->end = end += (uint64_t)e->elements * sp_tensor_dtype_size(e->dtype);
	}
	return end;
}

int sp_safetensors_head(struct sp_tensor_entry *entry, int count, const char *const *metadata, void **head,
                        size_t *head_size, uint64_t *file_size)
{
	const uint64_t data = place(entry, count);
	char *text = header_text(entry, count, metadata);
	const size_t used = text ? strlen(text) : 0, size = (size_t)sp_round_up((int64_t)used, PREFIX);
	char *bytes = malloc(PREFIX + size);
	if (!text || !bytes) {
		free(text);
		free(bytes);
		return sp_fail(SP_ERR_MEMORY, "no memory for the header of a file of %d tensors", count);
	}
	const uint64_t length = htole64(size);
	memcpy(bytes, &length, sizeof length);
	memcpy(bytes + PREFIX, text, used);
	memset(bytes + PREFIX + used, ' ', size - used);
	free(text);
	for (int i = 0; i < count; i++) {
		entry[i].begin += PREFIX + size;
		entry[i].end += PREFIX + size;
	}
	*head = bytes;
	*head_size = PREFIX + size;
	*file_size = PREFIX + size + data;
	return SP_OK;
}
