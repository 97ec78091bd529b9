/* The most probable tokens in place of each [MASK] of a text. May include: use/use.h. */
#ifndef SP_USE_FILL_H
#define SP_USE_FILL_H

#include "use/use.h"

struct sp_fill_guess {
	int32_t id;
	double probability; /* among all rows of the word table */
};

struct sp_fill {
	int64_t masks, k;
	int64_t *position;           /* [masks], of the tokens, [CLS] being 0 */
	struct sp_fill_guess *guess; /* [masks][k], the most probable first; equal ones in the order of their ids */
};

/* Runs one document, split over all ranks, whose ids must be the same on all; all get the result. Logits are made on the
 * rank that holds the mask, a chunk at a time. Logged with the remedy: SP_ERR_SETTING, no [MASK], or k not within 1 .. the
 * size of the vocabulary; SP_ERR_ARGUMENT, more tokens than positions; SP_ERR_NUMERIC, logits that are not finite.
 * Collective. */
int sp_use_fill(struct sp_use *use, const struct sp_use_document *document, int64_t k, struct sp_fill *fill);
void sp_use_fill_free(struct sp_fill *fill);

/* The k most probable of the first `tokens` of `rows` logits, by a softmax over all rows in double precision. k <= tokens
 * <= rows. SP_ERR_NUMERIC, logged, if one is not finite. */
int sp_use_top(const float *logits, int64_t rows, int64_t tokens, int64_t k, struct sp_fill_guess *guess);

#endif
