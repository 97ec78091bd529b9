/* Random numbers by counter: Philox4x32-10 (Salmon et al. 2011). The same on every rank, thread and backend, because a
 * draw depends on a key and a counter only. May include: libc.
 *
 * Known answer (Random123): key 0,0, counter 0,0,0,0 gives 6627e8d5 e169c58d bc57ac4c 9b00dbd8. */
#ifndef SP_BASE_RNG_H
#define SP_BASE_RNG_H

#include <stdint.h>

static inline void sp_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
	uint32_t k0 = key[0], k1 = key[1];
	uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3];
	for (int round = 0; round < 10; round++) {
		uint64_t a = (uint64_t)0xD2511F53u * x0, b = (uint64_t)0xCD9E8D57u * x2;
		uint32_t y0 = (uint32_t)(b >> 32) ^ x1 ^ k0, y2 = (uint32_t)(a >> 32) ^ x3 ^ k1;
		x1 = (uint32_t)b;
		x3 = (uint32_t)a;
		x0 = y0;
		x2 = y2;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	out[0] = x0;
	out[1] = x1;
	out[2] = x2;
	out[3] = x3;
}

/* What a stream of random numbers is for; part of its key, so that no two purposes share numbers. */
enum sp_rng_purpose {
	SP_RNG_INIT = 1, /* parameters */
	SP_RNG_DROPOUT,  /* dropout masks */
	SP_RNG_SAMPLE,   /* which documents, where cut */
	SP_RNG_MASK,     /* which tokens are predicted */
	SP_RNG_SHUFFLE,  /* order of an epoch */
	SP_RNG_SYNTHETIC,
};

/* Key of a stream: well-mixed function of seed, purpose and two indices. */
void sp_rng_key(uint64_t seed, enum sp_rng_purpose purpose, uint64_t a, uint64_t b, uint32_t key[2]);

/* A sequential reader of one stream. */
struct sp_rng {
	uint32_t key[2];
	uint64_t block;
	uint32_t word[4];
	int left;
};

void sp_rng_start(struct sp_rng *rng, uint64_t seed, enum sp_rng_purpose purpose, uint64_t a, uint64_t b);
uint32_t sp_rng_u32(struct sp_rng *rng);
uint64_t sp_rng_u64(struct sp_rng *rng);
/* Uniform in [0, 1), 53 bits. */
double sp_rng_uniform(struct sp_rng *rng);
/* Uniform in 0 .. n-1 without bias; n >= 1. */
uint64_t sp_rng_below(struct sp_rng *rng, uint64_t n);
/* Standard normal (Box-Muller). */
double sp_rng_normal(struct sp_rng *rng);

#endif
