/* Sizes that cannot overflow unseen. May include: libc. */
#ifndef SP_BASE_SIZE_H
#define SP_BASE_SIZE_H

#include <stddef.h>
#include <stdint.h>

/* *product = a * b, or *sum = a + b; nonzero if that does not fit. */
static inline int sp_size_mul(size_t a, size_t b, size_t *product)
{
	return __builtin_mul_overflow(a, b, product);
}

static inline int sp_size_add(size_t a, size_t b, size_t *sum)
{
	return __builtin_add_overflow(a, b, sum);
}

static inline int64_t sp_ceil_div(int64_t a, int64_t b)
{
	return (a + b - 1) / b;
}

static inline int64_t sp_round_up(int64_t a, int64_t multiple)
{
	return sp_ceil_div(a, multiple) * multiple;
}

static inline int64_t sp_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t sp_max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

#endif
