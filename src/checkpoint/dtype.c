/* Numbers as safetensors files hold them: little-endian, in 2, 4 or 8 bytes. */
#include "config.h"

#include "checkpoint/safetensors.h"

#include <assert.h>
#include <endian.h>
#include <math.h>
#include <string.h>

static const struct {
	const char *name;
	size_t size;
} dtypes[] = {
	[SP_TENSOR_F32] = { "F32", 4 }, [SP_TENSOR_F16] = { "F16", 2 }, [SP_TENSOR_BF16] = { "BF16", 2 },
	[SP_TENSOR_F64] = { "F64", 8 }, [SP_TENSOR_OTHER] = { "other", 0 },
};

size_t sp_tensor_dtype_size(enum sp_tensor_dtype dtype)
{
	return dtypes[dtype].size;
}

const char *sp_tensor_dtype_name(enum sp_tensor_dtype dtype)
{
	return dtypes[dtype].name;
}

static uint32_t bits_of(float value)
{
	uint32_t bits;
	memcpy(&bits, &value, sizeof bits);
	return bits;
}

static float float_of(uint32_t bits)
{
	float value;
	memcpy(&value, &bits, sizeof value);
	return value;
}

/* bits >> shift, to nearest, halves to even. */
static uint32_t shift_rounded(uint32_t bits, unsigned shift)
{
	const uint32_t half = (UINT32_C(1) << (shift - 1)) - 1;
	return (bits + half + (bits >> shift & 1)) >> shift;
}

static uint16_t to_bf16(float value)
{
	const uint32_t bits = bits_of(value);
	if (isnan(value))
		return (uint16_t)(bits >> 16 | 0x40); /* rounding could carry it into infinity */
	return (uint16_t)shift_rounded(bits, 16);
}

static float from_bf16(uint16_t half)
{
	return float_of((uint32_t)half << 16);
}

/* binary16: 5 bits of exponent (bias 15), 10 of fraction. A carry out of the fraction raises the exponent, as it should,
 * up to infinity. */
static uint16_t to_f16(float value)
{
	const uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
	if (size > 0x7f800000)
		return (uint16_t)(sign | 0x7e00 | (size >> 13 & 0x3ff));
	if (size >= 0x47800000) /* 2^16; what rounding carries there, from 65520 on, becomes infinite as well */
		return (uint16_t)(sign | 0x7c00);
	if (size >= 0x38800000) /* 2^-14, the least normal number: the exponent's bias goes from 127 to 15 */
		return (uint16_t)(sign | shift_rounded(size - (UINT32_C(112) << 23), 13));
	const uint32_t exponent = size >> 23;
	if (exponent < 102) /* below 2^-25, half of the least number */
		return (uint16_t)sign;
	return (uint16_t)(sign | shift_rounded((size & 0x7fffff) | 0x800000, 126 - exponent)); /* in units of 2^-24 */
}

static float from_f16(uint16_t half)
{
	const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3ff;
	if (exponent == 31)
		return float_of(sign | 0x7f800000 | fraction << 13);
	if (exponent == 0) {
		const float size = (float)fraction * 0x1p-24f;
		return sign ? -size : size;
	}
	return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

static void put16(unsigned char *to, uint16_t bits)
{
	bits = htole16(bits);
	memcpy(to, &bits, sizeof bits);
}

static uint16_t get16(const unsigned char *from)
{
	uint16_t bits;
	memcpy(&bits, from, sizeof bits);
	return le16toh(bits);
}

static void put_f32(unsigned char *to, float value)
{
	const uint32_t bits = htole32(bits_of(value));
	memcpy(to, &bits, sizeof bits);
}

static float get_f32(const unsigned char *from)
{
	uint32_t bits;
	memcpy(&bits, from, sizeof bits);
	return float_of(le32toh(bits));
}

static void put_f64(unsigned char *to, float value)
{
	const double wide = value;
	uint64_t bits;
	memcpy(&bits, &wide, sizeof bits);
	bits = htole64(bits);
	memcpy(to, &bits, sizeof bits);
}

static float get_f64(const unsigned char *from)
{
	uint64_t bits;
	double wide;
	memcpy(&bits, from, sizeof bits);
	bits = le64toh(bits);
	memcpy(&wide, &bits, sizeof wide);
	return (float)wide;
}

void sp_tensor_encode(enum sp_tensor_dtype dtype, const float *values, int64_t count, void *bytes)
{
	unsigned char *to = bytes;
	assert(dtype != SP_TENSOR_OTHER);
	for (int64_t i = 0; i < count && dtype == SP_TENSOR_F32; i++)
		put_f32(to + 4 * i, values[i]);
	for (int64_t i = 0; i < count && dtype == SP_TENSOR_F16; i++)
		put16(to + 2 * i, to_f16(values[i]));
	for (int64_t i = 0; i < count && dtype == SP_TENSOR_BF16; i++)
		put16(to + 2 * i, to_bf16(values[i]));
	for (int64_t i = 0; i < count && dtype == SP_TENSOR_F64; i++)
		put_f64(to + 8 * i, values[i]);
}

void sp_tensor_decode(enum sp_tensor_dtype dtype, const void *bytes, int64_t count, float *values)
{
	const unsigned char *from = bytes;
	assert(dtype != SP_TENSOR_OTHER);
	for (int64_t i = 0; i < count && dtype == SP_TENSOR_F32; i++)
		values[i] = get_f32(from + 4 * i);
	for (int64_t i = 0; i < count && dtype == SP_TENSOR_F16; i++)
		values[i] = from_f16(get16(from + 2 * i));
	for (int64_t i = 0; i < count && dtype == SP_TENSOR_BF16; i++)
		values[i] = from_bf16(get16(from + 2 * i));
	for (int64_t i = 0; i < count && dtype == SP_TENSOR_F64; i++)
		values[i] = get_f64(from + 8 * i);
}
