/* The table of parameters: the one place that knows their names, shapes, initial values, decay and place in the flat
 * buffer. Gradients and optimiser state use the same offsets. May include: base, model/config.h.
 *
 * Names are those of Hugging Face's BertForPreTraining. Query, key and value are three parameters side by side, so that
 * together they are one (3 H, H) matrix. With rotary positions there is no table of positions. The MLM decoder is tied to the
 * word table and is not a parameter of its own. What projects sequences (attention = linformer) has no name there:
 * bert.encoder.layer.N.sequence_key.weight and .sequence_value.weight, or bert.encoder.sequence.weight for all, (positions, k) or
 * (positions, heads k). */
#ifndef SP_MODEL_PARAMETERS_H
#define SP_MODEL_PARAMETERS_H

#include "model/config.h"
#include "model/part.h"

#include <stddef.h>
#include <stdint.h>

struct sp_parameter {
	char name[96];
	int64_t rows, cols;           /* a vector has 1 row */
	int64_t first_row, first_col; /* of the whole parameter, of which this rank holds rows x cols */
	int64_t whole_rows, whole_cols;
	float mean, std;    /* initial values: normal (mean, std); std 0: all `mean` */
	int decay;          /* weight decay applies (not on biases and norms) */
	int counted;        /* 1 on one of the tensor ranks and stages that hold the same: there it enters norms and files */
	int64_t offset;     /* elements from the start of the flat buffer */
	int64_t factor;     /* where its copy lies among those of what products are made with, in elements; -1: it has none */
};

struct sp_parameters {
	struct sp_parameter *entry;
	int count;
	int64_t elements; /* of the flat buffer, gaps for alignment included (gaps are zero) */
	int64_t values;   /* of the parameters alone */
	int64_t factors;  /* elements of the copies of what products are made with, gaps included */
	int64_t tied;     /* elements at the start that another stage holds too, the word table; 0: there are none */
};

/* Needs no device. Free with sp_parameters_destroy. SP_ERR_MEMORY. */
int sp_parameters_create(const struct sp_model_config *config, struct sp_parameters *table);
/* The same of what a rank holds. */
int sp_parameters_create_part(const struct sp_model_config *config, const struct sp_model_part *part,
                              struct sp_parameters *table);
void sp_parameters_destroy(struct sp_parameters *table);
/* Values of the whole model, without memory. */
int64_t sp_parameters_values(const struct sp_model_config *config);
/* NULL if there is none. */
const struct sp_parameter *sp_parameters_find(const struct sp_parameters *table, const char *name);

/* 1 if this rank holds only a part of it; else all tensor ranks hold it, the same on each. */
int sp_parameter_is_cut(const struct sp_parameter *p);

/* A run of neighbouring elements, where a rank holds them and where they lie in the whole parameter. */
struct sp_parameter_run {
	int64_t own, whole; /* first element: in the rank's part, in the whole; both row by row */
	int64_t count;
};
/* The run that element `own` of the rank's part begins: to the end of the part, or of its row where rows are cut. */
struct sp_parameter_run sp_parameter_run(const struct sp_parameter *p, int64_t own);

/* Copies what a rank holds (`own`, a flat buffer of `part`) and is counted there to its place in a flat buffer of `whole`, a
 * table of the same model. The rest of `all` stays as it is. */
void sp_parameters_spread(const struct sp_parameters *part, const float *own, const struct sp_parameters *whole, float *all);

/* The way back: what a rank holds of a whole model; and of one parameter of a whole model, row by row in `values`, if the
 * rank has it at all. */
void sp_parameters_take(const struct sp_parameters *part, float *own, const struct sp_parameters *whole, const float *all);
void sp_parameter_take(const struct sp_parameters *part, float *own, const struct sp_parameter *whole, const float *values);

/* Fills `values` (rows x cols floats, host) with the initial values of what a rank holds of one parameter: a function of
 * seed and name only. */
void sp_parameter_init(const struct sp_parameter *p, uint64_t seed, float *values);
/* The same for all of a flat buffer (table->elements floats, host). */
void sp_parameters_init(const struct sp_parameters *table, uint64_t seed, float *values);

#endif
