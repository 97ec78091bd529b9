/* Numbers of 16 bits on the processor: bfloat16 and float16 to float32, exactly, and back, to nearest, ties to even. What is
 * too large becomes infinite, what is no number becomes 0x7fff, as on the device. May include: libc. */
#ifndef SP_TESTS_CUDASIM_SIXTEEN_HPP
#define SP_TESTS_CUDASIM_SIXTEEN_HPP

#include <math.h>
#include <stdint.h>
#include <string.h>

namespace simulator {

static inline uint32_t bits_of(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	return bits;
}

static inline float float_of(uint32_t bits)
{
	float x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

/* The upper bits of `bits`, `dropped` of them left out; those decide whether to go up. A carry into the exponent is right. */
static inline uint32_t round_off(uint32_t bits, int dropped)
{
	const uint32_t half = 1u << (dropped - 1);
	return (bits + half - 1 + (bits >> dropped & 1)) >> dropped;
}

static inline uint16_t to_bfloat16(float x)
{
	return isnan(x) ? 0x7fff : (uint16_t)round_off(bits_of(x), 16);
}

static inline float from_bfloat16(uint16_t x)
{
	return float_of((uint32_t)x << 16);
}

static inline uint16_t to_float16(float x)
{
	const uint32_t sign = bits_of(x) >> 16 & 0x8000, size = bits_of(x) & 0x7fffffff;
	if (isnan(x))
		return 0x7fff;
	if (size >= 0x477ff000) /* 65520: half way from the largest to what would be the next */
		return (uint16_t)(sign | 0x7c00);
	if (size < 0x38800000) /* 2^-14: below lie multiples of 2^-24 */
		return (uint16_t)(sign | (uint32_t)nearbyintf(float_of(size) * 0x1p24f));
	return (uint16_t)(sign | round_off(size - ((127 - 15) << 23), 13));
}

static inline float from_float16(uint16_t x)
{
	const uint32_t sign = (uint32_t)(x & 0x8000) << 16, exponent = x >> 10 & 31, fraction = x & 1023;
	if (exponent == 31)
		return float_of(sign | 0x7f800000 | fraction << 13);
	if (exponent == 0)
		return copysignf((float)fraction * 0x1p-24f, float_of(sign));
	return float_of(sign | (exponent + 127 - 15) << 23 | fraction << 13);
}

} // namespace simulator

#endif
