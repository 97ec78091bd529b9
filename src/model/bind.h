/* From the table of parameters to views of the flat buffers. May include: layers, model/parameters.h. */
#ifndef SP_MODEL_BIND_H
#define SP_MODEL_BIND_H

#include "layers/layer.h"
#include "model/parameters.h"

struct sp_binding {
	const struct sp_parameters *table;
	float *values, *gradients; /* both NULL when only counting */
	void *factors;             /* copies of what products are made with; NULL: the values themselves */
	enum sp_dtype element;     /* of the copies */
};

/* The parameter whose name is `prefix` and `suffix` put together; it must exist (our own impossibility otherwise). */
struct sp_weight sp_bind(const struct sp_binding *b, const char *prefix, const char *suffix);
/* The same of what activations are multiplied with: its value is the copy, if there are copies. */
struct sp_weight sp_bind_factor(const struct sp_binding *b, const char *prefix, const char *suffix);
/* Three neighbours of equal shape as one: rows (or, of vectors, columns) times three. */
struct sp_weight sp_bind_three(const struct sp_binding *b, const char *prefix, const char *suffix);
/* `prefix`.weight and `prefix`.bias; of the former, the copy. */
struct sp_dense_weights sp_bind_dense(const struct sp_binding *b, const char *prefix);
struct sp_norm_weights sp_bind_norm(const struct sp_binding *b, const char *prefix);

#endif
