/* Numbers of 16 bits against definitions in float64. */
#include "config.h"

#include "support.h"

#include "base/rng.h"
#include "checkpoint/safetensors.h"

#include <math.h>
#include <string.h>

/* What 16 bits stand for: `exponent` bits of exponent, the rest of fraction. */
static double value_of(uint16_t bits, int exponent)
{
	const int fraction = 15 - exponent, most = (1 << exponent) - 1, bias = most / 2;
	const int e = bits >> fraction & most, f = bits & ((1 << fraction) - 1);
	double size = e == 0 ? ldexp(f, 1 - bias - fraction) : ldexp(f + (1 << fraction), e - bias - fraction);
	if (e == most)
		size = f ? NAN : INFINITY;
	return bits & 0x8000 ? -size : size;
}

static const struct {
	enum sp_tensor_dtype dtype;
	int exponent;
} halves[] = { { SP_TENSOR_F16, 5 }, { SP_TENSOR_BF16, 8 } };

static uint16_t encode(enum sp_tensor_dtype dtype, float value)
{
	unsigned char bytes[2];
	sp_tensor_encode(dtype, &value, 1, bytes);
	return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static void every_half_decodes_to_its_value_and_encodes_back(void **state)
{
	(void)state;
	for (size_t h = 0; h < sizeof halves / sizeof *halves; h++)
		for (uint32_t bits = 0; bits < 65536; bits++) {
			const unsigned char bytes[2] = { (unsigned char)bits, (unsigned char)(bits >> 8) };
			const double expected = value_of((uint16_t)bits, halves[h].exponent);
			float value;
			sp_tensor_decode(halves[h].dtype, bytes, 1, &value);
			assert_true(isnan(expected) ? isnan(value) : value == expected && !signbit(value) == !signbit(expected));
			const uint16_t back = encode(halves[h].dtype, value);
			assert_true(isnan(expected) ? isnan(value_of(back, halves[h].exponent)) : back == bits);
		}
}

/* The middle between two neighbours goes to the even one, anything beside it to the nearer. */
static void encoding_rounds_to_nearest_even(void **state)
{
	(void)state;
	for (size_t h = 0; h < sizeof halves / sizeof *halves; h++) {
		const int exponent = halves[h].exponent;
		const uint16_t infinity = (uint16_t)(((1 << exponent) - 1) << (15 - exponent));
		for (uint32_t bits = 0; bits + 1 < infinity; bits++) {
			const double low = value_of((uint16_t)bits, exponent), high = value_of((uint16_t)(bits + 1), exponent);
			const float middle = (float)((low + high) / 2);
			assert_int_equal(encode(halves[h].dtype, middle), bits % 2 ? bits + 1 : bits);
			assert_int_equal(encode(halves[h].dtype, -middle), (bits % 2 ? bits + 1 : bits) | 0x8000);
			assert_int_equal(encode(halves[h].dtype, nextafterf(middle, 0)), bits);
			assert_int_equal(encode(halves[h].dtype, nextafterf(middle, INFINITY)), bits + 1);
		}
	}
}

static void what_is_too_large_becomes_infinite(void **state)
{
	(void)state;
	assert_int_equal(encode(SP_TENSOR_F16, 65519.996f), 0x7bff);
	assert_int_equal(encode(SP_TENSOR_F16, 65520.0f), 0x7c00);
	assert_int_equal(encode(SP_TENSOR_F16, -1e30f), 0xfc00);
	assert_int_equal(encode(SP_TENSOR_F16, INFINITY), 0x7c00);
	assert_int_equal(encode(SP_TENSOR_BF16, 3.4028234e38f), 0x7f80);
	assert_true(isnan(value_of(encode(SP_TENSOR_F16, NAN), 5)));
	assert_true(isnan(value_of(encode(SP_TENSOR_BF16, NAN), 8)));
}

static void wide_dtypes_keep_every_bit(void **state)
{
	static const enum sp_tensor_dtype wide[] = { SP_TENSOR_F32, SP_TENSOR_F64 };
	float values[1000], back[1000];
	unsigned char bytes[8001];
	struct sp_rng rng;
	(void)state;
	sp_rng_start(&rng, 7, SP_RNG_SYNTHETIC, 0, 0);
	for (int i = 0; i < 1000; i++)
		values[i] = (float)ldexp(sp_rng_normal(&rng), (int)sp_rng_below(&rng, 200) - 100);
	for (int w = 0; w < 2; w++) {
		sp_tensor_encode(wide[w], values, 1000, bytes + 1); /* nothing need be aligned */
		sp_tensor_decode(wide[w], bytes + 1, 1000, back);
		assert_memory_equal(values, back, sizeof values);
	}
	values[0] = 1.0f;
	sp_tensor_encode(SP_TENSOR_F32, values, 1, bytes);
	assert_memory_equal(bytes, "\0\0\x80\x3f", 4);
	sp_tensor_encode(SP_TENSOR_F64, values, 1, bytes);
	assert_memory_equal(bytes, "\0\0\0\0\0\0\xf0\x3f", 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_half_decodes_to_its_value_and_encodes_back),
		cmocka_unit_test(encoding_rounds_to_nearest_even),
		cmocka_unit_test(what_is_too_large_becomes_infinite),
		cmocka_unit_test(wide_dtypes_keep_every_bit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
