#include "config.h"

#include "mpi/half.h"

#include <math.h>
#include <string.h>

enum { KINDS = 2, REDUCTIONS = 3 };

static float float_of(uint32_t bits)
{
	float x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

static uint32_t bits_of(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	return bits;
}

/* ---- bfloat16: the upper half of a float32 ---- */

static float from_bf16(uint16_t b)
{
	return float_of((uint32_t)b << 16);
}

static uint16_t to_bf16(float x)
{
	const uint32_t bits = bits_of(x);
	if (isnan(x))
		return (uint16_t)(bits >> 16 | 0x40);
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* ---- binary16: 5 bits of exponent, 10 behind the point ---- */

static float from_f16(uint16_t h)
{
	const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
	if (exponent == 0)
		return copysignf((float)fraction * 0x1p-24f, float_of(sign));
	return float_of(sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13);
}

static uint16_t to_f16(float x)
{
	const uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
	if (isnan(x))
		return (uint16_t)(sign | 0x7e00);
	if (size >= 0x477ff000) /* 65520, from where on it is nearer to 2^16 */
		return (uint16_t)(sign | 0x7c00);
	if (size < 0x38800000) /* 2^-14: less has no leading 1; added to 1/2 it is rounded at the right place */
		return (uint16_t)(sign | (bits_of(float_of(size) + 0.5f) - bits_of(0.5f)));
	return (uint16_t)(sign | (size - (112u << 23) + 0xfff + (size >> 13 & 1)) >> 13);
}

/* ---- the operations, as MPI calls them: b = a op b ---- */

static float sum(float a, float b)
{
	return a + b;
}

#define OPERATION(type, reduction, function)                                                                               \
	static void type##_##reduction(void *from, void *to, int *count, MPI_Datatype *unused)                                 \
	{                                                                                                                      \
		const uint16_t *a = from;                                                                                          \
		uint16_t *b = to;                                                                                                  \
		(void)unused;                                                                                                      \
		for (int i = 0; i < *count; i++)                                                                                   \
			b[i] = to_##type(function(from_##type(a[i]), from_##type(b[i])));                                              \
	}

OPERATION(bf16, sum, sum)
OPERATION(bf16, max, fmaxf)
OPERATION(bf16, min, fminf)
OPERATION(f16, sum, sum)
OPERATION(f16, max, fmaxf)
OPERATION(f16, min, fminf)

static MPI_User_function *const functions[KINDS][REDUCTIONS] = {
	{ [SP_SUM] = bf16_sum, [SP_MAX] = bf16_max, [SP_MIN] = bf16_min },
	{ [SP_SUM] = f16_sum, [SP_MAX] = f16_max, [SP_MIN] = f16_min },
};
static MPI_Op operations[KINDS][REDUCTIONS];
static int is_open;

int sp_mpi_half_open(void)
{
	int code = MPI_SUCCESS;
	for (int i = 0; i < KINDS * REDUCTIONS && code == MPI_SUCCESS; i++)
		code = MPI_Op_create(functions[i / REDUCTIONS][i % REDUCTIONS], 1, &operations[i / REDUCTIONS][i % REDUCTIONS]);
	is_open = code == MPI_SUCCESS;
	return code;
}

void sp_mpi_half_close(void)
{
	for (int i = 0; i < KINDS * REDUCTIONS && is_open; i++)
		MPI_Op_free(&operations[i / REDUCTIONS][i % REDUCTIONS]);
	is_open = 0;
}

MPI_Op sp_mpi_half_op(enum sp_dtype dtype, enum sp_reduction reduction)
{
	return operations[dtype == SP_F16][reduction];
}
