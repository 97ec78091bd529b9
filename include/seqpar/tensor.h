/* Views of device memory: a matrix of rows with a row stride. May include: libc.
 *
 * Everything a transformer layer touches is tokens x features, so one kind of view serves the whole operation table.
 * Views own nothing. Stride is in elements and at least `cols`; a vector of n values is a matrix of 1 row, n columns. */
#ifndef SEQPAR_TENSOR_H
#define SEQPAR_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sp_dtype {
	SP_F32 = 0,
	SP_F64,
	SP_I32,
	SP_I64,
	SP_BF16, /* the upper half of a float32: 8 bits of exponent, 7 behind the point */
	SP_F16,  /* IEEE 754 binary16 */
	SP_DTYPES /* how many there are */
};

/* Bytes of one element; 0 for an unknown dtype. */
size_t sp_dtype_size(enum sp_dtype dtype);
const char *sp_dtype_name(enum sp_dtype dtype);

struct sp_matrix {
	void *data; /* NULL means "not given" wherever an operation calls a matrix optional */
	int64_t rows, cols;
	int64_t stride; /* elements from one row to the next, >= cols */
	enum sp_dtype dtype;
};

/* Rows of an element type without gaps between them. */
static inline struct sp_matrix sp_matrix_of(void *data, int64_t rows, int64_t cols, enum sp_dtype dtype)
{
	struct sp_matrix m = { data, rows, cols, cols, dtype };
	return m;
}

static inline struct sp_matrix sp_matrix(float *data, int64_t rows, int64_t cols)
{
	struct sp_matrix m = { data, rows, cols, cols, SP_F32 };
	return m;
}

static inline struct sp_matrix sp_vector(float *data, int64_t n)
{
	return sp_matrix(data, 1, n);
}

/* Columns [first, first + cols) of every row. */
static inline struct sp_matrix sp_matrix_columns(struct sp_matrix m, int64_t first, int64_t cols)
{
	struct sp_matrix v = { (char *)m.data + (size_t)first * sp_dtype_size(m.dtype), m.rows, cols, m.stride, m.dtype };
	return v;
}

/* Rows [first, first + rows). */
static inline struct sp_matrix sp_matrix_rows(struct sp_matrix m, int64_t first, int64_t rows)
{
	struct sp_matrix v = { (char *)m.data + (size_t)(first * m.stride) * sp_dtype_size(m.dtype), rows, m.cols, m.stride,
		               m.dtype };
	return v;
}

#ifdef __cplusplus
}
#endif

#endif
