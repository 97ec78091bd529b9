#include "config.h"

#include "base/rng.h"

#include <math.h>

void sp_rng_key(uint64_t seed, enum sp_rng_purpose purpose, uint64_t a, uint64_t b, uint32_t key[2])
{
	/* Two rounds of the generator itself: the first absorbs seed and purpose, the second the indices. */
	uint32_t k[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) }, out[4];
	const uint32_t first[4] = { (uint32_t)purpose, 0, 0, 0x73707231u };
	sp_philox(k, first, out);
	const uint32_t mixed[2] = { out[0] ^ out[2], out[1] ^ out[3] };
	const uint32_t second[4] = { (uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b, (uint32_t)(b >> 32) };
	sp_philox(mixed, second, out);
	key[0] = out[0];
	key[1] = out[1];
}

void sp_rng_start(struct sp_rng *rng, uint64_t seed, enum sp_rng_purpose purpose, uint64_t a, uint64_t b)
{
	sp_rng_key(seed, purpose, a, b, rng->key);
	rng->block = 0;
	rng->left = 0;
}

uint32_t sp_rng_u32(struct sp_rng *rng)
{
	if (rng->left == 0) {
		const uint32_t counter[4] = { (uint32_t)rng->block, (uint32_t)(rng->block >> 32), 0, 0 };
		sp_philox(rng->key, counter, rng->word);
		rng->block++;
		rng->left = 4;
	}
	return rng->word[4 - rng->left--];
}

uint64_t sp_rng_u64(struct sp_rng *rng)
{
	uint64_t low = sp_rng_u32(rng);
	return low | (uint64_t)sp_rng_u32(rng) << 32;
}

double sp_rng_uniform(struct sp_rng *rng)
{
	return (double)(sp_rng_u64(rng) >> 11) * 0x1p-53;
}

uint64_t sp_rng_below(struct sp_rng *rng, uint64_t n)
{
	/* Values in the last, incomplete run of n are drawn again. */
	const uint64_t limit = UINT64_MAX - UINT64_MAX % n;
	uint64_t x;
	do
		x = sp_rng_u64(rng);
	while (x >= limit);
	return x % n;
}

double sp_rng_normal(struct sp_rng *rng)
{
	double u = 1.0 - sp_rng_uniform(rng); /* (0, 1] */
	double v = sp_rng_uniform(rng);
	return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}
