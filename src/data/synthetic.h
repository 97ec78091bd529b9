/* Random tokens in the form of samples, for trying out and measuring without any file. May include: base,
 * data/{alphabet,dataset}.h. */
#ifndef SP_DATA_SYNTHETIC_H
#define SP_DATA_SYNTHETIC_H

#include "base/rng.h"
#include "data/alphabet.h"
#include "data/dataset.h"

/* Samples that make an epoch; there is no end to the different ones. */
#define SP_SYNTHETIC_EPOCH (INT64_C(1) << 20)

/* The fewest tokens of a sample: [CLS] if order wants it, and one to predict. */
static inline int64_t sp_synthetic_least(int order)
{
	return order ? 2 : 1;
}

/* Tokens drawn uniformly from those that are not special, of type 0 up to a random place and 1 after it; they are `longest`, or
 * with probability short_seq_prob a number drawn uniformly from 1 .. longest, but at most sample->length. With order swapped is
 * a coin and the first token [CLS], which is never predicted; length must then be at least 2. Fills token, kind and swapped;
 * returns how many tokens are used. */
int64_t sp_synthetic_build(const struct sp_alphabet *alphabet, double short_seq_prob, int64_t longest, int order,
	struct sp_rng *rng, struct sp_sample *sample);

#endif
