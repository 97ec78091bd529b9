#include "config.h"

#include "backend/operands.h"

#include "base/log.h"

#include <inttypes.h>

int sp_operand_is_element(enum sp_dtype dtype)
{
	return dtype == SP_F32 || dtype == SP_BF16 || dtype == SP_F16;
}

/* What the operands marked E should have: the dtype of the first that there is, or is meant to be but empty. */
static enum sp_dtype element_of(const struct sp_operand *parts, size_t n)
{
	enum sp_dtype element = SP_F32;
	for (size_t i = n; i-- > 0;)
		if (parts[i].flags & SP_E && (parts[i].given.data || element == SP_F32))
			element = parts[i].given.dtype;
	return sp_operand_is_element(element) ? element : SP_F32;
}

static int refuse(const char *op, const struct sp_operand *p, const char *what)
{
	const struct sp_matrix *m = &p->given;
	return sp_fail(SP_ERR_SHAPE, "%s: %s %s: it is %" PRId64 " x %" PRId64 " %s, stride %" PRId64 ", at %p; expected %" PRId64
	               " x %" PRId64 " %s", op, p->name, what, m->rows, m->cols, sp_dtype_name(m->dtype), m->stride, m->data,
	               p->rows, p->cols, sp_dtype_name(p->dtype));
}

static int fits_alone(const char *op, const struct sp_operand *p)
{
	const struct sp_matrix *m = &p->given;
	if (p->flags & SP_ABSENT)
		return m->data ? refuse(op, p, "must be absent here") : SP_OK;
	if (!m->data && p->flags & SP_OPTIONAL)
		return SP_OK;
	if (p->rows < 0 || p->cols < 0 || m->rows != p->rows || m->cols != p->cols)
		return refuse(op, p, "has the wrong shape");
	if (m->dtype != p->dtype || sp_dtype_size(m->dtype) == 0)
		return refuse(op, p, "has the wrong dtype");
	if (m->stride < m->cols)
		return refuse(op, p, "has a stride smaller than its rows");
	if (!m->data && m->rows && m->cols)
		return refuse(op, p, "is required");
	return SP_OK;
}

static int same(const struct sp_matrix *a, const struct sp_matrix *b)
{
	return a->data == b->data && a->dtype == b->dtype && a->rows == b->rows && a->cols == b->cols && (a->stride == b->stride || a->rows < 2);
}

/* Columns of one packed matrix lie in each other's range without sharing an element. */
static int overlap(const struct sp_matrix *a, const struct sp_matrix *b)
{
	if (!a->data || !b->data || !a->rows || !b->rows || !a->cols || !b->cols)
		return 0;
	if ((uintptr_t)a->data > (uintptr_t)b->data)
		return overlap(b, a);
	uint64_t size = sp_dtype_size(a->dtype), apart = (uintptr_t)b->data - (uintptr_t)a->data;
	if (apart >= ((uint64_t)(a->rows - 1) * (uint64_t)a->stride + (uint64_t)a->cols) * size)
		return 0;
	uint64_t stride = (uint64_t)a->stride * size, column = apart % stride;
	int interleaved = a->dtype == b->dtype && a->stride == b->stride && column >= (uint64_t)a->cols * size &&
	                  column + (uint64_t)b->cols * size <= stride;
	return !interleaved;
}

int sp_operands_fit(const char *op, const struct sp_operand *parts, size_t n)
{
	const enum sp_dtype element = element_of(parts, n);
	for (size_t i = 0; i < n; i++) {
		struct sp_operand p = parts[i];
		if (p.flags & SP_E)
			p.dtype = element;
		if (fits_alone(op, &p))
			return SP_ERR_SHAPE;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++) {
			const struct sp_operand *p = &parts[i], *q = &parts[j];
			if (!((p->flags | q->flags) & SP_OUT) || !overlap(&p->given, &q->given))
				continue;
			if (!(p->alias & q->alias) || !same(&p->given, &q->given))
				return sp_fail(SP_ERR_SHAPE, "%s: %s (at %p) and %s (at %p) overlap", op, p->name, p->given.data, q->name,
				               q->given.data);
		}
	return SP_OK;
}

struct sp_matrix sp_operand_vector(const void *data, int64_t n)
{
	return sp_vector((float *)(uintptr_t)data, n);
}

int sp_operand_there(const char *op, const char *name, const void *pointer, int64_t n)
{
	if (n < 0 || (n > 0 && !pointer))
		return sp_fail(SP_ERR_SHAPE, "%s: %s is required: %" PRId64 " elements at %p", op, name, n, pointer);
	return SP_OK;
}

int sp_operand_activation(const char *op, enum sp_activation act)
{
	if ((unsigned)act > SP_ACT_GELU_TANH)
		return sp_fail(SP_ERR_SHAPE, "%s: there is no activation %d", op, (int)act);
	return SP_OK;
}

int sp_operand_dropped(const struct sp_dropout *d)
{
	return d->keep < 65536;
}

int sp_operand_keep(const char *op, const struct sp_dropout *d)
{
	if (d->keep < 1 || d->keep > 65536)
		return sp_fail(SP_ERR_SHAPE, "%s: dropout keeps %" PRIu32 " / 65536: expected 1 to 65536", op, d->keep);
	return SP_OK;
}

int sp_operand_dropout(const char *op, const struct sp_dropout *d, const struct sp_rows *rows, int64_t T)
{
	if (sp_operand_keep(op, d))
		return SP_ERR_SHAPE;
	if (!sp_operand_dropped(d))
		return SP_OK;
	if (rows->batch < 0 || rows->chunk < 0 || rows->batch * rows->chunk != T)
		return sp_fail(SP_ERR_SHAPE, "%s: dropout coordinates are of %" PRId64 " x %" PRId64 " rows: expected %" PRId64, op,
		               rows->batch, rows->chunk, T);
	return sp_operand_there(op, "rows.sample", rows->sample, T ? rows->batch : 0);
}
