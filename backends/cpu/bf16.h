/* bfloat16, which is the upper half of a float: to and from. Loops over these are vectorised with integer instructions that
 * every processor has. May include: libc. */
#ifndef SP_CPU_BF16_H
#define SP_CPU_BF16_H

#include <stdint.h>
#include <string.h>

static inline float sp_bf16_wide(uint16_t x)
{
	const uint32_t bits = (uint32_t)x << 16;
	float y;
	memcpy(&y, &bits, sizeof y);
	return y;
}

/* To nearest, ties to even; what is not a number stays none. */
static inline uint16_t sp_bf16_round(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, none = bits >> 16 | 0x40;
	return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? none : rounded);
}

#endif
