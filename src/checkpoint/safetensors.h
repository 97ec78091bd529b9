/* Files of tensors in the safetensors format: eight bytes with the length of a JSON header, the header, the data.
 * May include: base.
 *
 * Such files come from anywhere, so nothing in one is believed: length of the header, depth and form of the JSON,
 * duplicate names, dtypes, shapes, and that the data areas cover the file without gap or overlap are all checked before
 * the first tensor is used. Everything is little-endian. https://github.com/huggingface/safetensors */
#ifndef SP_CHECKPOINT_SAFETENSORS_H
#define SP_CHECKPOINT_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

enum { SP_TENSOR_DIMENSIONS = 8 };

enum sp_tensor_dtype { SP_TENSOR_F32 = 0, SP_TENSOR_F16, SP_TENSOR_BF16, SP_TENSOR_F64, SP_TENSOR_OTHER };

/* Bytes of an element; 0 for SP_TENSOR_OTHER, which can be skipped but not read. */
size_t sp_tensor_dtype_size(enum sp_tensor_dtype dtype);
const char *sp_tensor_dtype_name(enum sp_tensor_dtype dtype); /* "F32" ... */

struct sp_tensor_entry {
	const char *name;
	enum sp_tensor_dtype dtype;
	int dimensions;
	int64_t shape[SP_TENSOR_DIMENSIONS];
	int64_t elements;
	uint64_t begin, end; /* bytes from the start of the file */
};

/* ---- reading ---- */

struct sp_safetensors;

/* Opens and checks. SP_ERR_IO, SP_ERR_FORMAT, SP_ERR_MEMORY, logged with the file and the tensor. */
int sp_safetensors_open(const char *path, struct sp_safetensors **file);
/* The same checks on the first bytes of a file of `file_size` bytes; `name` stands for it in messages; such a one cannot
 * be read from. */
int sp_safetensors_parse(const char *name, const void *bytes, size_t size, uint64_t file_size,
                         struct sp_safetensors **file);
void sp_safetensors_close(struct sp_safetensors *f); /* NULL accepted */

int sp_safetensors_count(const struct sp_safetensors *f);
const struct sp_tensor_entry *sp_safetensors_at(const struct sp_safetensors *f, int i); /* in the order of their data */
const struct sp_tensor_entry *sp_safetensors_find(const struct sp_safetensors *f, const char *name); /* NULL: none */
/* A text of the header's __metadata__, or NULL. */
const char *sp_safetensors_metadata(const struct sp_safetensors *f, const char *key);

/* Elements [first, first + count) of a tensor, converted to float. SP_ERR_IO, SP_ERR_FORMAT (dtype), logged. */
int sp_safetensors_read(const struct sp_safetensors *f, const struct sp_tensor_entry *tensor, int64_t first,
                        int64_t count, float *values);

/* ---- writing: the head first, then each tensor's bytes at its place, by anyone, in any order ---- */

/* The first bytes of a file that holds these tensors, in this order and without gaps: fills begin and end of each
 * entry (name, dtype and shape are given) and the size of the whole file. `metadata` is NULL or key, value, ..., NULL.
 * *head is the caller's to free. SP_ERR_MEMORY, logged. */
int sp_safetensors_head(struct sp_tensor_entry *entry, int count, const char *const *metadata, void **head,
                        size_t *head_size, uint64_t *file_size);
/* `count` floats as elements of dtype (round to nearest even), at `bytes`. */
void sp_tensor_encode(enum sp_tensor_dtype dtype, const float *values, int64_t count, void *bytes);
void sp_tensor_decode(enum sp_tensor_dtype dtype, const void *bytes, int64_t count, float *values);

#endif
