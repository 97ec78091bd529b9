/* From a group of sentences to the tokens of a sample: [CLS] A [SEP], or [CLS] A [SEP] B [SEP]. May include: base,
 * data/{alphabet,group,indexed,dataset}.h. */
#ifndef SP_DATA_PAIR_H
#define SP_DATA_PAIR_H

#include "base/rng.h"
#include "data/alphabet.h"
#include "data/dataset.h"
#include "data/group.h"

/* Special tokens beside the text of a sample. */
static inline int64_t sp_pair_specials(int order)
{
	return order ? 3 : 2;
}

/* Fills token, kind and swapped of `sample` up to the last [SEP] and returns how many tokens that is (*used).
 *
 * Without order everything is A, as Megatron-LM does without its binary head. With order the group is divided at a
 * random sentence boundary (inside, at a word if possible, if it has one sentence only), and B comes first with
 * probability 1/2. What exceeds group->target is taken away token by token from the longer of the two, at its front
 * or back by a coin. SP_ERR_FORMAT if an id of the text is not below alphabet->size; `name` is the corpus in the
 * message. */
int sp_pair_build(const struct sp_indexed *x, const char *name, const struct sp_group *group,
	const struct sp_alphabet *alphabet, int order, struct sp_rng *rng, struct sp_sample *sample, int64_t *used);

#endif
