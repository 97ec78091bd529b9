#include "config.h"

#include "data/synthetic.h"

#include "base/size.h"

int64_t sp_synthetic_build(const struct sp_alphabet *alphabet, double short_seq_prob, int64_t longest, int order,
	struct sp_rng *rng, struct sp_sample *sample)
{
	const uint64_t words = (uint64_t)alphabet->size - SP_SPECIALS;
	const int is_short = sp_rng_uniform(rng) < short_seq_prob;
	const int64_t least = sp_synthetic_least(order);
	const int64_t drawn = is_short ? least + (int64_t)sp_rng_below(rng, (uint64_t)(longest - least + 1)) : longest;
	const int64_t used = sp_min(drawn, sample->length);
	const int64_t first = 1 + (int64_t)sp_rng_below(rng, (uint64_t)used); /* of type 0 */

	sample->swapped = order ? (int32_t)(sp_rng_u32(rng) & 1) : -1;
	for (int64_t i = 0; i < used; i++) {
		sample->token[i] = SP_SPECIALS + (int32_t)sp_rng_below(rng, words);
		sample->kind[i] = i >= first;
	}
	if (order)
		sample->token[0] = alphabet->special[SP_CLS];
	return used;
}
