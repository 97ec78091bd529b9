/* The weights of a model directory in Hugging Face's layout, found by name and put into a flat buffer. May include:
 * base, model/{config,parameters}.h, checkpoint.
 *
 * A directory holds model.safetensors, or several files and model.safetensors.index.json. Names may lack the prefix
 * "bert.", norms may be called gamma and beta, and heads may be missing. */
#ifndef SP_CHECKPOINT_WEIGHTS_H
#define SP_CHECKPOINT_WEIGHTS_H

#include "model/parameters.h"

#include <stddef.h>

struct sp_weights;

/* SP_ERR_IO, SP_ERR_FORMAT, logged with the file and the remedy. Not collective: every rank that needs them opens them. */
int sp_weights_open(const char *dir, struct sp_weights **weights);
void sp_weights_close(struct sp_weights *w); /* NULL accepted */

/* 1 if the files hold the parameter of this name, under whichever of its names. */
int sp_weights_has(const struct sp_weights *w, const char *name);

/* How the position table grows from the rows in the file to those of the model (model.extend_positions). */
enum sp_extend {
	SP_EXTEND_NO = 0,      /* the rows must be as many */
	SP_EXTEND_TILE,        /* row i is row i mod n of the file */
	SP_EXTEND_INTERPOLATE, /* row i lies linearly between the file's rows around i (n - 1) / (N - 1) */
};

/* What was done besides copying, in words for a person; "" if nothing. */
struct sp_weights_note {
	char text[1024];
};

/* Fills the parameters of `table` found in the files; those of heads, pooler, sentence order and projections of
 * sequences that the files lack
 * keep the values they have (initial ones) and are named in `note`, as are tensors of the files that have no place here.
 * Anything else missing, and any shape that does not fit, is SP_ERR_FORMAT, logged. A word table with fewer rows than
 * the model's is an error too; the remedy is model.vocab_size.
 *   values  host, table->elements floats */
int sp_weights_fill(const struct sp_weights *w, const struct sp_parameters *table, enum sp_extend extend, float *values,
                    struct sp_weights_note *note);

#endif
