/* A file of vectors: a JSON object a line, or one array for NumPy. May include: base.
 *
 * A named file is written beside its name and gets it when it is whole. Where numbers go to JSON they have as many digits
 * as give the same float back. The array is float32, one row a document
 * (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.0); its head holds the number of
 * rows, so it is written last. */
#ifndef SP_USE_VECTORS_H
#define SP_USE_VECTORS_H

#include <stdint.h>

enum sp_vectors_format { SP_VECTORS_JSONL = 0, SP_VECTORS_NPY };

struct sp_vectors;

struct sp_vectors_row {
	int64_t index;  /* of the document, from 0 */
	int64_t tokens; /* that went through the model, [CLS] and [SEP] among them */
	int truncated;
	const float *value; /* [hidden], during the call */
};

/* path NULL: standard output, JSON lines only. SP_ERR_IO, SP_ERR_MEMORY, logged. */
int sp_vectors_open(const char *path, enum sp_vectors_format format, int64_t hidden, struct sp_vectors **vectors);
int sp_vectors_put(struct sp_vectors *v, const struct sp_vectors_row *row); /* SP_ERR_IO, logged */
/* Completes the file and gives it its name. The writer is to be closed afterwards, whatever happened. */
int sp_vectors_finish(struct sp_vectors *v);
/* Without a finish that succeeded nothing is left of a named file. NULL accepted. */
void sp_vectors_close(struct sp_vectors *v);

#endif
