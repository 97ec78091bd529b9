#include "config.h"

#include "use/fill.h"

#include "base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one row ---- */

/* Puts a token into the best `count` of at most k; they are kept in order. Probability holds the logit meanwhile. */
static int64_t insert(struct sp_fill_guess *guess, int64_t count, int64_t k, int32_t id, float logit)
{
	int64_t at = count;
	while (at > 0 && guess[at - 1].probability < (double)logit)
		at--;
	if (at == k)
		return count;
	const int64_t kept = count < k ? count : k - 1;
	memmove(guess + at + 1, guess + at, (size_t)(kept - at) * sizeof *guess);
	guess[at] = (struct sp_fill_guess){ id, (double)logit };
	return kept + 1;
}

int sp_use_top(const float *logits, int64_t rows, int64_t tokens, int64_t k, struct sp_fill_guess *guess)
{
	double largest = -INFINITY, sum = 0;
	int64_t count = 0;
	for (int64_t j = 0; j < rows; j++) {
		if (!isfinite(logits[j]))
			return sp_fail(SP_ERR_NUMERIC, "the model gives a logit that is not finite: its weights are damaged");
		largest = fmax(largest, (double)logits[j]);
	}
	for (int64_t j = 0; j < rows; j++)
		sum += exp((double)logits[j] - largest);
	for (int64_t j = 0; j < tokens; j++)
		if (count < k || (double)logits[j] > guess[k - 1].probability)
			count = insert(guess, count, k, (int32_t)j, logits[j]);
	for (int64_t i = 0; i < k; i++)
		guess[i].probability = exp(guess[i].probability - largest) / sum;
	return SP_OK;
}

/* ---- a document ---- */

static int check(const struct sp_use *use, const struct sp_use_document *document, const struct sp_fill *fill)
{
	const int64_t tokens = sp_vocab_size(use->vocab);
	if (fill->k < 1 || fill->k > tokens)
		return sp_fail(SP_ERR_SETTING, "%lld tokens are wanted for each mask: give 1 to %lld, the size of the vocabulary",
		               (long long)fill->k, (long long)tokens);
	if (fill->masks == 0)
		return sp_fail(SP_ERR_SETTING, "the text holds no [MASK]: write [MASK] where a token is to be filled in");
	if (document->length <= sp_model_longest(&use->config))
		return SP_OK;
	return sp_fail(SP_ERR_ARGUMENT,
	               "the text has %lld tokens, [CLS] and [SEP] among them, but model.max_positions = %lld: shorten it, or "
	               "extend the model's positions (model.max_positions = %lld with model.extend_positions = tile or "
	               "interpolate), best by training on with checkpoint.init",
	               (long long)document->length, (long long)use->config.max_positions, (long long)document->length);
}

static void find_masks(const struct sp_use *use, const struct sp_use_document *document, struct sp_fill *fill)
{
	const int32_t mask = sp_vocab_special(use->vocab, SP_MASK);
	fill->masks = 0;
	for (int64_t t = 0; t < document->length; t++)
		if (document->id[t] == mask) {
			if (fill->position)
				fill->position[fill->masks] = t;
			fill->masks++;
		}
}

/* What one rank finds: the masks first .. first + rows - 1 are its own. */
struct own {
	const struct sp_use *use;
	struct sp_fill *fill;
	int64_t first;
};

static int take(void *context, int64_t i, const float *logits)
{
	const struct own *o = context;
	return sp_use_top(logits, o->use->config.vocab_size, sp_vocab_size(o->use->vocab), o->fill->k,
	                  o->fill->guess + (o->first + i) * o->fill->k);
}

static int predict(struct sp_use *use, const struct sp_use_states *states, struct sp_fill *fill, int32_t *row)
{
	struct own own = { use, fill, 0 };
	int64_t n = 0;
	for (int64_t i = 0; i < fill->masks; i++) {
		if (fill->position[i] < states->first)
			own.first++;
		else if (fill->position[i] < states->first + states->chunk)
			row[n++] = (int32_t)(fill->position[i] - states->first);
	}
	return sp_use_predict(use, row, n, take, &own);
}

/* Each guess was made on one rank and is zero on the others. */
static int gather(struct sp_use *use, struct sp_fill *fill)
{
	const int64_t n = fill->masks * fill->k;
	double *both = malloc((size_t)n * 2 * sizeof *both);
	if (!both)
		return sp_fail(SP_ERR_MEMORY, "no memory for %lld guesses", (long long)n);
	for (int64_t i = 0; i < n; i++) {
		both[2 * i] = fill->guess[i].id;
		both[2 * i + 1] = fill->guess[i].probability;
	}
	int status = sp_comm_all_reduce(use->world, both, 2 * n, SP_F64, SP_SUM);
	for (int64_t i = 0; i < n; i++)
		fill->guess[i] = (struct sp_fill_guess){ (int32_t)both[2 * i], both[2 * i + 1] };
	free(both);
	return status;
}

static int run(struct sp_use *use, const struct sp_use_document *document, struct sp_fill *fill)
{
	struct sp_use_states states;
	int32_t *row = malloc((size_t)fill->masks * sizeof *row);
	if (!row)
		return sp_fail(SP_ERR_MEMORY, "no memory for %lld masks", (long long)fill->masks);
	int status = sp_use_encode(use, document, 1, 1, &states);
	if (!status)
		status = predict(use, &states, fill, row);
	free(row);
	return status ? status : gather(use, fill);
}

int sp_use_fill(struct sp_use *use, const struct sp_use_document *document, int64_t k, struct sp_fill *fill)
{
	*fill = (struct sp_fill){ .k = k };
	find_masks(use, document, fill);
	int status = check(use, document, fill);
	if (status)
		return status;
	fill->position = calloc((size_t)fill->masks, sizeof *fill->position);
	fill->guess = calloc((size_t)(fill->masks * k), sizeof *fill->guess);
	if (!fill->position || !fill->guess) {
		status = sp_fail(SP_ERR_MEMORY, "no memory for %lld guesses at %lld masks", (long long)k, (long long)fill->masks);
	} else {
		find_masks(use, document, fill);
		status = run(use, document, fill);
	}
	if (status)
		sp_use_fill_free(fill);
	return status;
}

void sp_use_fill_free(struct sp_fill *fill)
{
	free(fill->position);
	free(fill->guess);
	*fill = (struct sp_fill){ 0 };
}
