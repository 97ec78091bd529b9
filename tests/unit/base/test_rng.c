/* Philox is Random123's, streams are apart and pinned, and what is drawn from them has the distribution it should. */
#include "config.h"

#include "support.h"

#include "base/rng.h"
#include "reference/reference.h"

#include <stdlib.h>
#include <string.h>

static void philox_gives_the_known_answers_of_random123(void **state)
{
	static const struct {
		uint32_t counter[4], key[2], out[4];
	} known[] = {
		{ { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
		{ { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
		  { 0xffffffff, 0xffffffff },
		  { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
		{ { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
		  { 0xa4093822, 0x299f31d0 },
		  { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
	};
	(void)state;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		uint32_t out[4];
		sp_philox(known[i].key, known[i].counter, out);
		assert_memory_equal(out, known[i].out, sizeof out);
	}
}

static void philox_equals_the_reference(void **state)
{
	struct sp_rng rng;
	(void)state;
	sp_rng_start(&rng, 5, SP_RNG_SHUFFLE, 0, 0);
	for (int i = 0; i < 1000; i++) {
		uint32_t key[2], counter[4], got[4], want[4];
		for (int j = 0; j < 2; j++)
			key[j] = sp_rng_u32(&rng);
		for (int j = 0; j < 4; j++)
			counter[j] = sp_rng_u32(&rng);
		sp_philox(key, counter, got);
		sp_reference_philox(key, counter, want);
		assert_memory_equal(got, want, sizeof got);
	}
}

/* A model trained today and resumed with another build must see the same numbers. */
static void streams_are_pinned(void **state)
{
	struct sp_rng rng;
	uint32_t key[2];
	(void)state;
	sp_rng_key(1234, SP_RNG_DROPOUT, 5, 6, key);
	assert_int_equal(key[0], 0xc8d13e55u);
	assert_int_equal(key[1], 0xc9863b68u);
	sp_rng_start(&rng, 1234, SP_RNG_INIT, 7, 8);
	assert_int_equal(sp_rng_u32(&rng), 0x57234061u);
	assert_true(sp_rng_u64(&rng) == UINT64_C(0xe6ab411f70ff5aa1));
	assert_true(sp_rng_below(&rng, 1000) == 938);
	assert_true(sp_rng_uniform(&rng) == 0x1.13d1eabe876a4p-1);
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, 2 * sizeof(uint32_t));
}

/* Seeds, purposes and indices that are near each other, or the same with parts exchanged. */
static void streams_do_not_share_keys(void **state)
{
	static const uint64_t values[] = { 0, 1, 2, 3, 1234, UINT64_C(1) << 32, UINT64_MAX };
	enum { VALUES = sizeof values / sizeof *values, KEYS = VALUES * VALUES * VALUES * SP_RNG_SYNTHETIC };
	uint32_t(*keys)[2] = malloc(sizeof *keys * KEYS);
	int n = 0;
	(void)state;
	assert_non_null(keys);
	for (int seed = 0; seed < VALUES; seed++)
		for (int purpose = SP_RNG_INIT; purpose <= SP_RNG_SYNTHETIC; purpose++)
			for (int a = 0; a < VALUES; a++)
				for (int b = 0; b < VALUES; b++)
					sp_rng_key(values[seed], (enum sp_rng_purpose)purpose, values[a], values[b], keys[n++]);
	assert_int_equal(n, KEYS);
	qsort(keys, KEYS, sizeof *keys, compare_keys);
	for (int i = 1; i < KEYS; i++)
		assert_int_not_equal(compare_keys(keys[i - 1], keys[i]), 0);
	free(keys);
}

static void a_stream_repeats_and_does_not_cycle(void **state)
{
	struct sp_rng once, again;
	uint64_t first[64];
	(void)state;
	sp_rng_start(&once, 9, SP_RNG_MASK, 1, 2);
	sp_rng_start(&again, 9, SP_RNG_MASK, 1, 2);
	for (int i = 0; i < 64; i++) {
		first[i] = sp_rng_u64(&once);
		assert_true(sp_rng_u64(&again) == first[i]);
		for (int j = 0; j < i; j++)
			assert_true(first[i] != first[j]);
	}
	/* The block counter goes on beyond 32 bits. */
	again.block = UINT64_C(1) << 32;
	again.left = 0;
	assert_true(sp_rng_u64(&again) != first[0]);
}

enum { DRAWS = 200000 };

static void uniform_is_uniform(void **state)
{
	enum { BINS = 20 };
	int count[BINS] = { 0 };
	double sum = 0, squares = 0, chi = 0;
	struct sp_rng rng;
	(void)state;
	sp_rng_start(&rng, 1, SP_RNG_SAMPLE, 0, 0);
	for (int i = 0; i < DRAWS; i++) {
		const double u = sp_rng_uniform(&rng);
		assert_true(u >= 0 && u < 1);
		sum += u;
		squares += u * u;
		count[(int)(u * BINS)]++;
	}
	for (int i = 0; i < BINS; i++)
		chi += pow(count[i] - (double)DRAWS / BINS, 2) / ((double)DRAWS / BINS);
	/* Four standard deviations; chi squared of 19 degrees of freedom is above 43.8 once in a thousand. */
	assert_true(fabs(sum / DRAWS - 0.5) < 4 * sqrt(1.0 / 12 / DRAWS));
	assert_true(fabs(squares / DRAWS - 1.0 / 3) < 4 * sqrt(4.0 / 45 / DRAWS));
	assert_true(chi < 43.8);
}

static void below_reaches_every_value_alike(void **state)
{
	enum { N = 7 };
	int count[N] = { 0 };
	double chi = 0;
	struct sp_rng rng;
	(void)state;
	sp_rng_start(&rng, 2, SP_RNG_SAMPLE, 0, 0);
	for (int i = 0; i < DRAWS; i++) {
		const uint64_t x = sp_rng_below(&rng, N);
		assert_true(x < N);
		count[x]++;
	}
	for (int i = 0; i < N; i++)
		chi += pow(count[i] - (double)DRAWS / N, 2) / ((double)DRAWS / N);
	assert_true(chi < 22.5); /* 6 degrees of freedom, once in a thousand */
	for (int i = 0; i < 100; i++)
		assert_true(sp_rng_below(&rng, 1) == 0);
}

/* x mod n of 64-bit x would give the lower half of n = 3 * 2^62 twice as often as the rest. */
static void below_has_no_bias_for_large_n(void **state)
{
	const uint64_t n = UINT64_C(3) << 62;
	int low = 0;
	struct sp_rng rng;
	(void)state;
	sp_rng_start(&rng, 3, SP_RNG_SAMPLE, 0, 0);
	for (int i = 0; i < 30000; i++) {
		const uint64_t x = sp_rng_below(&rng, n);
		assert_true(x < n);
		low += x < UINT64_C(1) << 62;
	}
	assert_true(abs(low - 10000) < 4 * 82); /* sqrt(30000 / 3 * 2 / 3) = 82 */
}

static void normal_is_normal(void **state)
{
	double moment[5] = { 0 };
	int beyond[4] = { 0 };
	static const double share[] = { 1, 0.3173105, 0.0455003, 0.0026998 }; /* beyond 0, 1, 2, 3 standard deviations */
	struct sp_rng rng;
	(void)state;
	sp_rng_start(&rng, 4, SP_RNG_INIT, 0, 0);
	for (int i = 0; i < DRAWS; i++) {
		const double x = sp_rng_normal(&rng);
		assert_true(isfinite(x));
		for (int k = 1; k < 5; k++)
			moment[k] += pow(x, k) / DRAWS;
		for (int k = 0; k < 4; k++)
			beyond[k] += fabs(x) > k;
	}
	/* Variances of the sample moments of a normal: 1, 2, 15, 96 over the number of draws; four standard deviations. */
	assert_true(fabs(moment[1]) < 4 * sqrt(1.0 / DRAWS));
	assert_true(fabs(moment[2] - 1) < 4 * sqrt(2.0 / DRAWS));
	assert_true(fabs(moment[3]) < 4 * sqrt(15.0 / DRAWS));
	assert_true(fabs(moment[4] - 3) < 4 * sqrt(96.0 / DRAWS));
	for (int k = 1; k < 4; k++)
		assert_true(fabs(beyond[k] - share[k] * DRAWS) < 4 * sqrt(share[k] * DRAWS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(philox_gives_the_known_answers_of_random123),
		cmocka_unit_test(philox_equals_the_reference),
		cmocka_unit_test(streams_are_pinned),
		cmocka_unit_test(streams_do_not_share_keys),
		cmocka_unit_test(a_stream_repeats_and_does_not_cycle),
		cmocka_unit_test(uniform_is_uniform),
		cmocka_unit_test(below_reaches_every_value_alike),
		cmocka_unit_test(below_has_no_bias_for_large_n),
		cmocka_unit_test(normal_is_normal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
