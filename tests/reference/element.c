#include "config.h"

#include "reference/reference.h"

#include <math.h>

/* Of a dtype of 16 bits: significant bits, the first of them included, and the exponents of its least and its largest normal
 * number. */
struct format {
	int digits, least, most;
};

static const struct format bf16 = { 8, -126, 127 }, f16 = { 11, -14, 15 };

/* Counted in units of the last place, neighbouring numbers have neighbouring bits, over the borders of exponents, too. */
static uint16_t encode(const struct format *f, double x)
{
	const int stored = f->digits - 1;
	const unsigned sign = signbit(x) ? 0x8000 : 0, infinite = (unsigned)(f->most - f->least + 2) << stored;
	if (isnan(x))
		return (uint16_t)(sign | infinite | 1u << (stored - 1));
	if (isinf(x))
		return (uint16_t)(sign | infinite);
	const int exponent = x == 0 || ilogb(x) < f->least ? f->least : ilogb(x);
	const unsigned units = (unsigned)nearbyint(ldexp(fabs(x), stored - exponent)); /* ties to even */
	const unsigned bits = ((unsigned)(exponent - f->least) << stored) + units;
	return (uint16_t)(sign | (bits < infinite ? bits : infinite));
}

static double decode(const struct format *f, uint16_t bits)
{
	const int stored = f->digits - 1, field = (bits & 0x7fff) >> stored, fraction = bits & ((1 << stored) - 1);
	double x;
	if (field == f->most - f->least + 2)
		x = fraction ? NAN : INFINITY;
	else if (field)
		x = ldexp(fraction + (1 << stored), field - 1 + f->least - stored);
	else
		x = ldexp(fraction, f->least - stored);
	return bits & 0x8000 ? -x : x;
}

void sp_reference_store(enum sp_dtype dtype, double x, void *array, size_t i)
{
	if (dtype == SP_F32)
		((float *)array)[i] = (float)x;
	else
		((uint16_t *)array)[i] = encode(dtype == SP_BF16 ? &bf16 : &f16, x);
}

double sp_reference_load(enum sp_dtype dtype, const void *array, size_t i)
{
	if (dtype == SP_F32)
		return ((const float *)array)[i];
	return decode(dtype == SP_BF16 ? &bf16 : &f16, ((const uint16_t *)array)[i]);
}

double sp_reference_largest(enum sp_dtype dtype)
{
	static const uint16_t largest[] = { 0x7f7f, 0x7bff };
	return dtype == SP_F32 ? 0x1.fffffep127 : decode(dtype == SP_BF16 ? &bf16 : &f16, largest[dtype == SP_F16]);
}

double sp_reference_least(enum sp_dtype dtype)
{
	return ldexp(1, dtype == SP_F16 ? f16.least : -126);
}
