/* The table of parameters: the one place that knows their names, shapes, initial values, decay and place in the flat
 * buffer. Gradients and optimiser state use the same offsets. May include: base, model/config.h.
 *
 * Names are those of Hugging Face's BertForPreTraining. Query, key and value are three parameters side by side, so that
 * together they are one (3 H, H) matrix. The MLM decoder is tied to the word table and is not a parameter of its own. */
#ifndef SP_MODEL_PARAMETERS_H
#define SP_MODEL_PARAMETERS_H

#include "model/config.h"

#include <stddef.h>
#include <stdint.h>

struct sp_parameter {
	char name[96];
	int64_t rows, cols; /* a vector has 1 row */
	float mean, std;    /* initial values: normal (mean, std); std 0: all `mean` */
	int decay;          /* weight decay applies (not on biases and norms) */
	int64_t offset;     /* elements from the start of the flat buffer */
};

struct sp_parameters {
	struct sp_parameter *entry;
	int count;
	int64_t elements; /* of the flat buffer, gaps for alignment included (gaps are zero) */
	int64_t values;   /* of the parameters alone */
};

/* Needs no device. Free with sp_parameters_destroy. SP_ERR_MEMORY. */
int sp_parameters_create(const struct sp_model_config *config, struct sp_parameters *table);
void sp_parameters_destroy(struct sp_parameters *table);
/* NULL if there is none. */
const struct sp_parameter *sp_parameters_find(const struct sp_parameters *table, const char *name);

/* Fills `values` (table->elements floats, host) with initial values: a function of seed and name only. */
void sp_parameters_init(const struct sp_parameters *table, uint64_t seed, float *values);

#endif
