/* A model as a directory that transformers loads: weights, shape, vocabulary and tokenizer, without any state of
 * training. May include: base, model/{config,parameters}.h, checkpoint. */
#ifndef SP_CHECKPOINT_EXPORT_H
#define SP_CHECKPOINT_EXPORT_H

#include "checkpoint/safetensors.h"
#include "model/parameters.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

struct sp_export {
	const struct sp_model_config *config;
	const struct sp_parameters *table;
	const float *values;          /* host, table->elements floats */
	const unsigned char *present; /* for each parameter: 0 leaves it out; NULL: all are written */
	enum sp_tensor_dtype dtype;   /* of the weights: SP_TENSOR_F32, SP_TENSOR_F16 or SP_TENSOR_BF16 */
	const char *vocab;            /* the bytes of vocab.txt; NULL: neither it nor the tokenizer's files are written */
	size_t vocab_size;
	int pad, cased;                    /* id of [PAD]; whether capitals are kept */
	const volatile sig_atomic_t *stop; /* not NULL: looked at between tensors */
};

/* SP_OK if nothing has the name `out` yet; else SP_ERR_IO, logged. For those who have much to do before writing. */
int sp_export_check(const char *out);

/* Writes the directory under a temporary name beside `out`, through to the disk, and then renames it, so `out` is there
 * when it is whole or not at all. `out` must not exist. *bytes: of the weights' file. SP_ERR_NUMERIC if a number is too
 * large for the dtype (logged with the tensor), SP_ERR_IO, SP_ERR_MEMORY, SP_ERR_STOPPED (not logged). */
int sp_export_write(const char *out, const struct sp_export *e, uint64_t *bytes);

#endif
