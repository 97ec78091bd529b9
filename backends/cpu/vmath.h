/* Elementary functions and random bits that the compiler can vectorise: no call, no branch, no table.
 * May include: libc, seqpar/compute.h. Only for kernel sources (compiled once per instruction set): all is static.
 *
 * Use inside `#pragma omp simd` loops. The errors quoted are the largest seen on dense samples against the double
 * precision functions (tests/unit/cpu/test_math.c). */
#ifndef SP_CPU_VMATH_H
#define SP_CPU_VMATH_H

#include <seqpar/compute.h>

#include <stdint.h>
#include <string.h>

static inline float sp_bits_float(uint32_t bits)
{
	float x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

static inline uint32_t sp_float_bits(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	return bits;
}

/* e^x for x <= 88 (-inf and NaN included; not checked), within 1.1 ulp; exactly 0 below -87.336 where the result would
 * be subnormal. x = n ln 2 + r with |r| <= ln(2)/2, e^r by a near-minimax polynomial of degree 6. */
static inline float sp_exp(float x)
{
	const float magic = 0x1.8p23f; /* adding it rounds to an integer, which then sits in the low bits */
	const float shifted = x * 0x1.715476p+0f + magic;
	const float n = shifted - magic;
	const float r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;
	float p = 0x1.6a215ap-10f;
	p = p * r + 0x1.123b9ap-7f;
	p = p * r + 0x1.5558fcp-5f;
	p = p * r + 0x1.55549p-3f;
	p = p * r + 0x1.fffffcp-2f;
	p = p * (r * r) + r + 1.0f;
	const float power = sp_bits_float((sp_float_bits(shifted) + 127u) << 23);
	return x < -87.336f ? 0.0f : p * power;
}

/* 2^x for x < 127 (-inf and NaN included; not checked), within 1.7e-7; exactly 0 below -126. x = n + r with |r| <= 1/2, 2^r
 * by a near-minimax polynomial of degree 5. */
static inline float sp_exp2(float x)
{
	const float magic = 0x1.8p23f;
	const float shifted = x + magic;
	const float r = x - (shifted - magic);
	float p = 0x1.5bba14p-10f;
	p = p * r + 0x1.3cea88p-7f;
	p = p * r + 0x1.c6b752p-5f;
	p = p * r + 0x1.ebf9bcp-3f;
	p = p * r + 0x1.62e42ap-1f;
	p = p * r + 1.0f;
	return x < -126.0f ? 0.0f : sp_bits_float(sp_float_bits(p) + (sp_float_bits(shifted) << 23));
}

/* Phi(x), the normal distribution function (1 + erf(x / sqrt 2)) / 2, within 1.2e-7; *density = e^(-x^2/2).
 * Phi(-a) e^(a^2/2) is 1/2 plus a polynomial in u = a / (a + 3), fitted for 0 <= a <= 13.2; that Phi(-a) is e^(-a^2/2)
 * times a polynomial in a rational function of a is Abramowitz & Stegun 7.1.26. */
static inline float sp_normal_cdf(float x, float *density)
{
	const float a = __builtin_fabsf(x);
	const float e = sp_exp(-0.5f * x * x);
	const float u = a / (a + 3.0f);
	float p = -0.04636503756046295f;
	p = p * u + 0.10534296184778214f;
	p = p * u + 0.02188854105770588f;
	p = p * u - 0.14913661777973175f;
	p = p * u - 0.28821030259132385f;
	p = p * u + 1.0532305240631104f;
	p = p * u - 1.196828007698059f;
	p = p * u + 0.5f;
	const float tail = p * e;
	*density = e;
	return x > 0.0f ? 1.0f - tail : tail;
}

/* 1 / (1 + e^-x), within 3 ulp; *slope is its derivative. */
static inline float sp_logistic(float x, float *slope)
{
	const float e = sp_exp(-__builtin_fabsf(x));
	const float inverse = 1.0f / (1.0f + e);
	*slope = e * inverse * inverse;
	return x > 0.0f ? inverse : e * inverse;
}

/* tanh x, within 2 ulp: a polynomial below 0.625, (1 - e) / (1 + e) with e = e^(-2|x|) above. */
static inline float sp_tanh(float x)
{
	const float a = __builtin_fabsf(x), y = x * x;
	const float e = sp_exp(-2.0f * a);
	const float large = (1.0f - e) / (1.0f + e);
	float p = -0.005697384011000395f;
	p = p * y + 0.0206325463950634f;
	p = p * y - 0.05373779684305191f;
	p = p * y + 0.13331420719623566f;
	p = p * y - 0.3333328068256378f;
	const float small = a + a * y * p;
	return __builtin_copysignf(a < 0.625f ? small : large, x);
}

/* Sine and cosine of an angle from 0 to 2^30 in float64, rounded to float32: within 1.6 ulp of the larger of the result and
 * 1/8 (sin) or 1/2 (cos). a = n pi/2 + r with |r| <= pi/4, pi/2 in two parts of which the first has 23 bits, so that n times it
 * is exact; polynomials of degree 7 and 8, near-minimax. */
static inline void sp_sine_cosine(double a, float *sine, float *cosine)
{
	const double magic = 0x1.8p52;
	const double shifted = a * 0x1.45f306dc9c883p-1 + magic;
	const double n = shifted - magic;
	uint64_t quarter; /* its low bits are those of n */
	memcpy(&quarter, &shifted, sizeof quarter);
	const float r = (float)((a - n * 0x1.921fb4p+0) - n * 0x1.4442d18469899p-24), z = r * r;
	const float s = r + r * z * (-0.1666665068f + z * (0.008331979271f - z * 0.0001949571334f));
	const float c = 1.0f - 0.5f * z + z * z * (0.04166664688f - z * (0.00138873681f - z * 2.443852058e-05f));
	const float x = quarter & 1 ? c : s, y = quarter & 1 ? s : c;
	*sine = quarter & 2 ? -x : x;
	*cosine = (quarter + 1) & 2 ? -y : y;
}

/* x Phi(x), and its derivative Phi(x) + x phi(x). */
static inline float sp_gelu(float x)
{
	float density;
	return x * sp_normal_cdf(x, &density);
}

static inline float sp_gelu_slope(float x)
{
	float density;
	const float cdf = sp_normal_cdf(x, &density);
	return cdf + x * 0.3989422804014327f * density;
}

/* The tanh form: (1 + tanh u) / 2 = 1 / (1 + e^-2u) with 2 u = 2 sqrt(2/pi) (x + 0.044715 x^3). */
static inline float sp_gelu_tanh(float x)
{
	float slope;
	return x * sp_logistic(x * (1.5957691216057308f + 0.07135481282636f * x * x), &slope);
}

static inline float sp_gelu_tanh_slope(float x)
{
	const float square = x * x;
	float slope;
	const float s = sp_logistic(x * (1.5957691216057308f + 0.07135481282636f * square), &slope);
	return s + x * slope * (1.5957691216057308f + 0.21406443847908f * square);
}

/* ---- dropout decisions ---- */

/* One Philox call per 64-bit lane, because the multiplication wanted is 32 x 32 -> 64 bits; the upper halves of lanes
 * hold leftovers that no product reads. Two or four vectors run side by side to hide the multiplier's latency.
 * SP_LANES_LOW and _HIGH interleave the lower and the upper lanes of two vectors. */
#if defined __AVX512F__
#include <immintrin.h>
typedef uint64_t sp_lanes __attribute__((vector_size(64)));
#define SP_LANES_MUL(a, b) ((sp_lanes)_mm512_mul_epu32((__m512i)(a), (__m512i)(b)))
#define SP_LANES_LOW { 0, 8, 1, 9, 2, 10, 3, 11 }
#define SP_LANES_HIGH { 4, 12, 5, 13, 6, 14, 7, 15 }
#elif defined __AVX2__
#include <immintrin.h>
typedef uint64_t sp_lanes __attribute__((vector_size(32)));
#define SP_LANES_MUL(a, b) ((sp_lanes)_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
#define SP_LANES_LOW { 0, 4, 1, 5 }
#define SP_LANES_HIGH { 2, 6, 3, 7 }
#elif defined __SSE2__
#include <emmintrin.h>
typedef uint64_t sp_lanes __attribute__((vector_size(16)));
#define SP_LANES_MUL(a, b) ((sp_lanes)_mm_mul_epu32((__m128i)(a), (__m128i)(b)))
#else
typedef uint64_t sp_lanes __attribute__((vector_size(16)));
#define SP_LANES_MUL(a, b) (((a) & 0xffffffffu) * ((b) & 0xffffffffu))
#endif
#ifndef SP_LANES_LOW
#define SP_LANES_LOW { 0, 2 }
#define SP_LANES_HIGH { 1, 3 }
#endif
#define SP_PHILOX_WIDTH ((int)(sizeof(sp_lanes) / sizeof(uint64_t)))
typedef sp_lanes sp_lanes_store __attribute__((aligned(2), may_alias));
#define SP_DROPOUT_BLOCK (8 * SP_PHILOX_WIDTH * 2) /* columns are drawn in multiples of it */

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "sp_philox_block stores words whose low half must come first"
#endif

/* The round keys of one key, in every lane. */
struct sp_philox_keys {
	sp_lanes k0[10], k1[10];
};

static inline void sp_philox_schedule(const uint32_t key[2], struct sp_philox_keys *keys)
{
	const sp_lanes zero = { 0 };
	for (int round = 0; round < 10; round++) {
		keys->k0[round] = zero + (key[0] + (uint32_t)round * 0x9E3779B9u);
		keys->k1[round] = zero + (key[1] + (uint32_t)round * 0xBB67AE85u);
	}
}

/* The 16-bit numbers of the counters (c0, c1, c2, 0), (c0 + 1, c1, c2, 0), ...: those of 2 or 4 vectors. */
static inline __attribute__((always_inline)) void sp_philox_block(const struct sp_philox_keys *keys, uint32_t c0,
                                                                  uint32_t c1, uint32_t c2, int vectors, uint16_t *half)
{
	sp_lanes x0[4], x1[4], x2[4], x3[4];
	const sp_lanes zero = { 0 }, m0 = zero + 0xD2511F53u, m1 = zero + 0xCD9E8D57u;
	sp_lanes lane = zero;
#pragma GCC unroll 8
	for (int i = 0; i < SP_PHILOX_WIDTH; i++)
		lane[i] = (uint64_t)i;
#pragma GCC unroll 4
	for (int v = 0; v < vectors; v++) {
		x0[v] = lane + (c0 + (uint32_t)(v * SP_PHILOX_WIDTH)); /* a carry into an upper half is left there */
		x1[v] = zero + c1;
		x2[v] = zero + c2;
		x3[v] = zero;
	}
#pragma GCC unroll 10
	for (int round = 0; round < 10; round++) {
#pragma GCC unroll 4
		for (int v = 0; v < vectors; v++) {
			const sp_lanes a = SP_LANES_MUL(x0[v], m0), b = SP_LANES_MUL(x2[v], m1);
			x0[v] = (b >> 32) ^ x1[v] ^ keys->k0[round];
			x2[v] = (a >> 32) ^ x3[v] ^ keys->k1[round];
			x1[v] = b;
			x3[v] = a;
		}
	}
#pragma GCC unroll 4
	for (int v = 0; v < vectors; v++) {
		const sp_lanes low = (x0[v] & 0xffffffffu) | x1[v] << 32, high = (x2[v] & 0xffffffffu) | x3[v] << 32;
		sp_lanes_store *out = (sp_lanes_store *)(half + 8 * SP_PHILOX_WIDTH * v);
		out[0] = __builtin_shuffle(low, high, (sp_lanes)SP_LANES_LOW);
		out[1] = __builtin_shuffle(low, high, (sp_lanes)SP_LANES_HIGH);
	}
}

/* Numbers that drawing n columns may write. */
static inline size_t sp_dropout_room(int64_t n)
{
	return ((size_t)n + 7 + SP_DROPOUT_BLOCK - 1) / SP_DROPOUT_BLOCK * SP_DROPOUT_BLOCK;
}

/* Draws for the columns [first, first + n) of the row with counter words c1, c2, and returns where in `half` column
 * `first` lies. `half` must hold sp_dropout_room(n) numbers. An element is kept if its number is < keep.
 * Not inline: it is long; never NULL, which callers specialised for "no dropout" must know. */
static __attribute__((noinline, unused, returns_nonnull)) const uint16_t *
sp_dropout_draw(const struct sp_dropout *dropout, uint32_t c1, uint32_t c2, uint32_t first, int64_t n, uint16_t *half)
{
	const int64_t end = n + (first & 7);
	struct sp_philox_keys keys;
	sp_philox_schedule(dropout->key_at ? dropout->key_at : dropout->key, &keys);
	int64_t j = 0;
	for (; end - j > SP_DROPOUT_BLOCK; j += 2 * SP_DROPOUT_BLOCK)
		sp_philox_block(&keys, first / 8 + (uint32_t)(j / 8), c1, c2, 4, half + j);
	if (j < end)
		sp_philox_block(&keys, first / 8 + (uint32_t)(j / 8), c1, c2, 2, half + j);
	return half + (first & 7);
}

/* 0, or `scale` = 65536 / keep. */
static inline float sp_dropout_factor(uint16_t half, uint32_t keep, float scale)
{
	return half < keep ? scale : 0.0f;
}

static inline float sp_dropout_scale(const struct sp_dropout *dropout)
{
	return 65536.0f / (float)dropout->keep;
}

#endif
