#include "config.h"

#include "model/part.h"

#include "base/log.h"

/* ---- along the weights ---- */

int64_t sp_part_first(const struct sp_model_part *part, int64_t n)
{
	return part->tensors > 1 ? n * part->tensor / part->tensors : 0;
}

int64_t sp_part_end(const struct sp_model_part *part, int64_t n)
{
	return part->tensors > 1 ? n * (part->tensor + 1) / part->tensors : n;
}

int64_t sp_part_size(const struct sp_model_part *part, int64_t n)
{
	return sp_part_end(part, n) - sp_part_first(part, n);
}

/* ---- along the layers ---- */

int sp_part_stages(const struct sp_model_part *part)
{
	return part->stages > 1 ? part->stages : 1;
}

int sp_part_pieces(const struct sp_model_part *part)
{
	return part->pieces > 1 ? part->pieces : 1;
}

int sp_part_is_first(const struct sp_model_part *part)
{
	return part->stage == 0;
}

int sp_part_is_last(const struct sp_model_part *part)
{
	return part->stage == sp_part_stages(part) - 1;
}

/* Work of the heads, in layers: per token a layer multiplies its weights, the heads theirs for tokens that are predicted. */
static double work_of_heads(const struct sp_model_config *c)
{
	const double h = (double)c->hidden, layer = h * (4 * h + 2 * (double)c->intermediate);
	return h * (h + (double)c->vocab_size) / 7 / layer;
}

/* Every stage gets a layer; each of the others goes where the work is then least, to the earliest such stage. Between the
 * first and the last the stages are alike: what they hold together says what each of them holds. */
static struct sp_layer_range share(const struct sp_model_config *c, int stage, int stages)
{
	const double embedding = 0.05, heads = work_of_heads(c); /* an embedding reads and writes like one of a layer's norms */
	const int64_t between = stages - 2;
	int64_t first = 1, middle = between, last = 1;
	for (int64_t left = c->layers - stages; left > 0; left--) {
		const double at_first = (double)first + embedding, at_last = (double)last + heads,
					 at_middle = between > 0 ? (double)(middle / between) : at_last + at_first;
		if (at_first <= at_middle && at_first <= at_last)
			first++;
		else if (at_middle <= at_last)
			middle++;
		else
			last++;
	}
	if (stage == 0)
		return (struct sp_layer_range){ 0, first };
	if (stage == stages - 1)
		return (struct sp_layer_range){ c->layers - last, c->layers };
	const int64_t each = middle / between, more = middle % between, at = stage - 1;
	const int64_t begin = first + at * each + (at < more ? at : more);
	return (struct sp_layer_range){ begin, begin + each + (at < more) };
}

struct sp_layer_range sp_part_layers(const struct sp_model_part *part, const struct sp_model_config *config, int piece)
{
	const int stages = sp_part_stages(part), pieces = sp_part_pieces(part);
	if (stages == 1 && pieces == 1)
		return (struct sp_layer_range){ 0, config->layers };
	if (pieces == 1)
		return share(config, part->stage, stages);
	const int64_t length = config->layers / (stages * pieces), first = (piece * stages + part->stage) * length;
	return (struct sp_layer_range){ first, first + length };
}

static int check_tensors(const struct sp_model_part *part, const struct sp_model_config *c)
{
	const int n = part->tensors;
	if (n <= 1)
		return SP_OK;
	if (c->heads % n != 0)
		return sp_fail(SP_ERR_SETTING, "parallel.tensor = %d does not divide model.heads = %lld", n, (long long)c->heads);
	if (c->vocab_size >= n && c->intermediate >= n)
		return SP_OK;
	return sp_fail(SP_ERR_SETTING, "parallel.tensor = %d is more than model.vocab_size = %lld or model.intermediate = %lld",
	               n, (long long)c->vocab_size, (long long)c->intermediate);
}

static int check_stages(const struct sp_model_part *part, const struct sp_model_config *c)
{
	const int stages = sp_part_stages(part), pieces = sp_part_pieces(part);
	if (stages == 1 && pieces > 1)
		return sp_fail(SP_ERR_SETTING, "parallel.virtual_stages = %d wants parallel.pipeline of at least 2", pieces);
	if (stages > c->layers)
		return sp_fail(SP_ERR_SETTING, "parallel.pipeline = %d is more than model.layers = %lld: every stage needs a layer",
		               stages, (long long)c->layers);
	if (pieces > 1 && c->layers % ((int64_t)stages * pieces) != 0)
		return sp_fail(SP_ERR_SETTING,
		               "parallel.pipeline x parallel.virtual_stages = %d x %d = %d does not divide model.layers = %lld", stages,
		               pieces, stages * pieces, (long long)c->layers);
	return SP_OK;
}

/* Heads on several ranks would share the weights that project, stages likewise: nobody sums their gradients. */
static int check_projections(const struct sp_model_part *part, const struct sp_model_config *c)
{
	if (c->linformer_k > 0 && part->tensors > 1)
		return sp_fail(SP_ERR_SETTING,
		               "parallel.attention = linformer does not go with parallel.tensor = %d: all heads of a layer have to be on "
		               "one rank; set parallel.tensor = 1 and parallel.sequence or parallel.pipeline instead", part->tensors);
	if (c->linformer_k > 0 && c->linformer_share == SP_LINFORMER_MODEL && sp_part_stages(part) > 1)
		return sp_fail(SP_ERR_SETTING,
		               "model.linformer_share = model does not go with parallel.pipeline = %d: all layers have to be on one rank; "
		               "set model.linformer_share = layer, or parallel.pipeline = 1", sp_part_stages(part));
	return SP_OK;
}

int sp_part_check(const struct sp_model_part *part, const struct sp_model_config *config)
{
	int rc = check_tensors(part, config);
	if (rc == SP_OK)
		rc = check_projections(part, config);
	return rc ? rc : check_stages(part, config);
}
