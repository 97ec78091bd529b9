#include "config.h"

#include "model/bind.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static struct sp_weight view(const struct sp_binding *b, const struct sp_parameter *p, int64_t rows, int64_t cols)
{
	const struct sp_weight w = {
		.value = sp_matrix(b->values ? b->values + p->offset : NULL, rows, cols),
		.grad = sp_matrix(b->gradients ? b->gradients + p->offset : NULL, rows, cols),
	};
	return w;
}

static const struct sp_parameter *find(const struct sp_binding *b, const char *prefix, const char *suffix)
{
	char name[128];
	snprintf(name, sizeof name, "%s%s", prefix, suffix);
	const struct sp_parameter *p = sp_parameters_find(b->table, name);
	assert(p && "the model binds only names of its own table");
	return p;
}

struct sp_weight sp_bind(const struct sp_binding *b, const char *prefix, const char *suffix)
{
	const struct sp_parameter *p = find(b, prefix, suffix);
	return view(b, p, p->rows, p->cols);
}

/* What products read of it. */
static struct sp_weight factor(const struct sp_binding *b, const struct sp_parameter *p, int64_t rows, int64_t cols)
{
	struct sp_weight w = view(b, p, rows, cols);
	assert(p->factor >= 0 && "the table tells what products are made with");
	if (b->factors)
		w.value = sp_matrix_of((char *)b->factors + (size_t)p->factor * sp_dtype_size(b->element), rows, cols, b->element);
	return w;
}

struct sp_weight sp_bind_factor(const struct sp_binding *b, const char *prefix, const char *suffix)
{
	const struct sp_parameter *p = find(b, prefix, suffix);
	return factor(b, p, p->rows, p->cols);
}

struct sp_weight sp_bind_three(const struct sp_binding *b, const char *prefix, const char *suffix)
{
	const struct sp_parameter *p = find(b, prefix, suffix);
	return p->whole_rows == 1 ? view(b, p, 1, 3 * p->cols) : factor(b, p, 3 * p->rows, p->cols);
}

struct sp_dense_weights sp_bind_dense(const struct sp_binding *b, const char *prefix)
{
	const struct sp_dense_weights w = { sp_bind_factor(b, prefix, ".weight"), sp_bind(b, prefix, ".bias") };
	return w;
}

struct sp_norm_weights sp_bind_norm(const struct sp_binding *b, const char *prefix)
{
	const struct sp_norm_weights w = { sp_bind(b, prefix, ".weight"), sp_bind(b, prefix, ".bias") };
	return w;
}
