/* Activations as floats for the kernels that work on them, whatever they are stored in: float32 where it lies, bfloat16 widened
 * into room of the caller's and rounded on its way back. May include: cpu/{bf16,kernels}.h. Only for kernel sources. */
#ifndef SP_CPU_ELEMENTS_H
#define SP_CPU_ELEMENTS_H

#include "cpu/bf16.h"
#include "cpu/kernels.h"

static inline void sp_widen(const uint16_t *x, int64_t n, float *y)
{
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		y[j] = sp_bf16_wide(x[j]);
}

static inline void sp_narrow(const float *x, int64_t n, uint16_t *y)
{
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		y[j] = sp_bf16_round(x[j]);
}

/* ---- n elements of row i, from column j ---- */

static inline float *sp_float_at(const struct sp_matrix *m, int64_t i, int64_t j)
{
	return (float *)m->data + i * m->stride + j;
}

static inline uint16_t *sp_half_at(const struct sp_matrix *m, int64_t i, int64_t j)
{
	return (uint16_t *)m->data + i * m->stride + j;
}

/* To be written, all of them: in place, or in `room` until they are put back. */
static inline float *sp_elements_open(const struct sp_matrix *m, int64_t i, int64_t j, float *room)
{
	return m->dtype == SP_F32 ? sp_float_at(m, i, j) : room;
}

/* To be read, or read and written. */
static inline float *sp_elements_read(const struct sp_matrix *m, int64_t i, int64_t j, int64_t n, float *room)
{
	if (m->dtype != SP_F32)
		sp_widen(sp_half_at(m, i, j), n, room);
	return sp_elements_open(m, i, j, room);
}

static inline void sp_elements_close(const struct sp_matrix *m, int64_t i, int64_t j, int64_t n, const float *x)
{
	if (m->dtype != SP_F32)
		sp_narrow(x, n, sp_half_at(m, i, j));
}

/* How far apart rows of n floats lie in a kernel's room. */
static inline int64_t sp_room_row(int64_t n)
{
	return (n + 15) / 16 * 16;
}

/* Kernels without room, which look at each element alone, widen so many at a time; float32 is taken whole. */
enum { SP_ELEMENTS_PART = 512 };

static inline int64_t sp_elements_part(const struct sp_matrix *m, int64_t left)
{
	return m->dtype == SP_F32 || left < SP_ELEMENTS_PART ? left : SP_ELEMENTS_PART;
}

#endif
