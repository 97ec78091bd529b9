/* What an operation is given, held against what it must look like. May include: base, seqpar.
 *
 * Each wrapper of src/backend/compute*.c lists its operands with the shapes they must have. Shapes follow from one input of each operation
 * (its x, or the sizes given as numbers). All return SP_OK, or SP_ERR_SHAPE with operation, operand and values logged. */
#ifndef SP_BACKEND_OPERANDS_H
#define SP_BACKEND_OPERANDS_H

#include <seqpar/compute.h>
#include <seqpar/status.h>

enum {
	SP_OPTIONAL = 1, /* may be absent */
	SP_ABSENT = 2,   /* must be absent */
	SP_OUT = 4,      /* written: may not overlap another operand */
	SP_E = 8,        /* of the dtype that all operands with this flag share, one that sp_operand_is_element knows; `dtype` is not read */
};

/* An operand and what it must look like. Two that share a bit of `alias` may be the same memory, if
 * they are exactly the same. */
struct sp_operand {
	const char *name;
	struct sp_matrix given;
	int64_t rows, cols;
	int flags, alias;
	enum sp_dtype dtype; /* SP_F32 where nothing is said */
};

#define SP_OPERANDS_FIT(op, operands) sp_operands_fit(op, operands, sizeof(operands) / sizeof *(operands))
/* Whether activations may have this dtype: SP_F32, SP_BF16, SP_F16. */
int sp_operand_is_element(enum sp_dtype dtype);
int sp_operands_fit(const char *op, const struct sp_operand *operands, size_t n);

struct sp_matrix sp_operand_vector(const void *data, int64_t n);
/* `n` things at `pointer`, which may be NULL only if there are none. */
int sp_operand_there(const char *op, const char *name, const void *pointer, int64_t n);
int sp_operand_activation(const char *op, enum sp_activation act);
int sp_operand_dropped(const struct sp_dropout *d); /* nonzero: random numbers are drawn */
int sp_operand_keep(const char *op, const struct sp_dropout *d);
/* Dropout of T rows needs their coordinates. */
int sp_operand_dropout(const char *op, const struct sp_dropout *d, const struct sp_rows *rows, int64_t T);

#endif
