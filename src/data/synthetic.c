#include "config.h"

#include "data/synthetic.h"

int64_t sp_synthetic_build(const struct sp_alphabet *alphabet, double short_seq_prob, int order, struct sp_rng *rng,
	struct sp_sample *sample)
{
	const uint64_t length = (uint64_t)sample->length, words = (uint64_t)alphabet->size - SP_SPECIALS;
	const int is_short = sp_rng_uniform(rng) < short_seq_prob;
	const uint64_t least = order ? 2 : 1; /* [CLS] and a token to predict */
	const int64_t used = is_short ? (int64_t)(least + sp_rng_below(rng, length - least + 1)) : sample->length;
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
