/* Whole-word n-gram masking of one sequence (Devlin et al. 2019, its later whole-word variant; n-grams as in
 * Megatron-LM). May include: base, data/alphabet.h. */
#ifndef SP_DATA_MASK_H
#define SP_DATA_MASK_H

#include "base/rng.h"
#include "data/alphabet.h"

#include <stdint.h>

/* Workspace for sequences of up to a given length. */
struct sp_mask_word {
	int32_t first, count; /* tokens of a word */
};
struct sp_mask_work {
	struct sp_mask_word *word;
	int32_t *order;
};

/* How many of n tokens (special ones counted, as BERT does) are to be predicted: mask_prob * n rounded, at least 1. */
int64_t sp_mask_budget(int64_t n, double mask_prob);

/* Chooses words of token[0 .. n - 1] to predict, writes their original ids to label and -1 elsewhere, and replaces each
 * chosen token: 80 % [MASK], 10 % itself, 10 % a random token that is not special. A word is a token and the "##"
 * pieces that follow it; it is chosen whole, in runs of 1 .. 3 words with probability proportional to 1 / run.
 * Special tokens are never chosen and end a run. No more tokens than the budget are chosen, unless every word is
 * longer than it: then the shortest. `work` holds n entries each. Ids must be below alphabet->size. Returns how many
 * were chosen: 0 only if all are special. */
int64_t sp_mask_apply(const struct sp_alphabet *alphabet, double mask_prob, struct sp_rng *rng, int64_t n,
	int32_t *token, int32_t *label, struct sp_mask_work work);

#endif
