#include "config.h"

#include "use/use.h"

#include "attention/globals.h"
#include "base/log.h"
#include "base/size.h"
#include "parallel/shard.h"
#include "plan/batch_layout.h"
#include "train/planned.h"

#include <stdlib.h>
#include <string.h>

/* ---- opening ---- */

static int check(const struct sp_use_options *o, const struct sp_use *use)
{
	const struct sp_model_config *c = &o->config;
	const struct sp_compute_needs needs = { .dtype = SP_F32, .head_dim = c->hidden / c->heads,
		                                    .scores = use->together && use->together->keeps_scores,
		                                    .rotary = c->rope_base > 0 };
	const struct sp_attention_shape_host shape = {
		1, 1, c->heads, c->hidden / c->heads, sp_comm_size(o->world), sp_comm_rank(o->world),
		sp_planned_choice(o->settings),
	};
	if (!use->together)
		return SP_ERR_SETTING;
	if (sp_model_longest(c) < 2)
		return sp_fail(SP_ERR_FORMAT, "a model of one position has no room for [CLS] and [SEP]");
	if (sp_vocab_size(o->vocab) > c->vocab_size)
		return sp_fail(SP_ERR_FORMAT, "the vocabulary has %lld tokens, but the model's word table %lld rows: it is not "
		               "the model's vocabulary", (long long)sp_vocab_size(o->vocab), (long long)c->vocab_size);
	int status = use->together->check(&shape);
	return status ? status : sp_compute_supports(o->compute, &needs);
}

/* On one rank that holds whole documents. */
static const struct sp_attention_variant *alone(const struct sp_use *use)
{
	return use->together->projects || use->together->has_globals ? use->together : sp_attention_find("full");
}

/* Its first shape is a placeholder: each batch brings its own. */
static int create_model(struct sp_use *use, const struct sp_settings *settings)
{
	const struct sp_model_options options = {
		.config = use->config,
		.batch = 1,
		.chunk = 1,
		.attention = alone(use),
		.choice = sp_planned_choice(settings),
		.overlap = settings->parallel.overlap,
		.forward_only = 1,
	};
	use->batch = use->chunk = 1;
	return sp_model_create(use->compute, &options, &use->model);
}

int sp_use_create(const struct sp_use_options *options, struct sp_use *use)
{
	*use = (struct sp_use){
		.compute = options->compute,
		.world = options->world,
		.config = options->config,
		.vocab = options->vocab,
		.together = sp_attention_find(options->settings->parallel.attention),
	};
	int status = check(options, use);
	if (!status)
		status = sp_wordpiece_new(use->vocab, options->cased, &use->wordpiece);
	if (!status)
		status = create_model(use, options->settings);
	if (status)
		sp_use_close(use);
	return status;
}

void sp_use_close(struct sp_use *use)
{
	sp_model_destroy(use->model);
	if (use->device)
		sp_compute_free(use->compute, use->device);
	free(use->host);
	sp_wordpiece_free(use->wordpiece);
	sp_vocab_free(use->vocab);
	memset(use, 0, sizeof *use);
}

int sp_use_agree(const struct sp_use *use, int status)
{
	int32_t first = status;
	int failed = sp_comm_broadcast(use->world, &first, sizeof first, 0);
	return failed ? failed : first;
}

/* ---- a batch ---- */

static int lay_out(struct sp_use *use, int64_t batch, int64_t chunk, int split)
{
	if (batch == use->batch && chunk == use->chunk && split == use->split)
		return SP_OK;
	use->batch = batch;
	use->chunk = chunk;
	use->split = split;
	return sp_model_reshape(use->model, batch, chunk, split ? use->together : alone(use),
	                        split ? use->world : NULL);
}

static int make_room(struct sp_use *use, int64_t elements)
{
	if (elements <= use->room)
		return SP_OK;
	const size_t bytes = (size_t)elements * sizeof *use->host;
	sp_compute_free(use->compute, use->device);
	free(use->host);
	use->device = NULL;
	use->room = 0;
	use->host = malloc(bytes);
	if (!use->host)
		return sp_fail(SP_ERR_MEMORY, "no memory for the %zu bytes of a batch of documents", bytes);
	int status = sp_compute_alloc(use->compute, bytes, (void **)&use->device);
	if (!status)
		use->room = elements;
	return status;
}

/* This rank's tokens of document d, and which tokens all ranks hold. */
static void fill(int32_t *block, const struct sp_batch_layout *at, int64_t batch, const struct sp_shard *shard, int ranks,
                 int64_t d, const struct sp_use_document *document)
{
	const int64_t chunk = shard->chunk;
	for (int64_t i = 0; i < chunk && shard->first + i < document->length; i++) {
		block[at->token + d * chunk + i] = document->id[shard->first + i];
		block[at->position + d * chunk + i] = (int32_t)(shard->first + i);
	}
	for (int64_t r = 0; r < ranks; r++)
		for (int64_t i = 0; i < chunk; i++)
			block[at->doc + (r * batch + d) * chunk + i] = r * chunk + i < document->length ? 0 : -1;
	block[at->sample + d] = (int32_t)d;
	block[at->length + d] = (int32_t)document->length;
}

/* What attention wants to know of global tokens; returns how many this rank holds. */
static int64_t fill_globals(const struct sp_use *use, const struct sp_batch_layout *at, const struct sp_shard *shard, int ranks,
                            int64_t count, const struct sp_use_document *document)
{
	int32_t *block = use->host;
	struct sp_globals_cut cut = {
		.batch = count,
		.chunk = shard->chunk,
		.globals = use->config.globals,
		.ranks = ranks,
		.rank = (int)(shard->first / shard->chunk),
		.doc = block + at->doc,
		.global_doc = block + at->global_doc,
		.other = block + at->other_doc,
		.read_other = block + at->read_other_doc,
		.row = block + at->global_row,
		.slot = block + at->global_slot,
	};
	cut.read_doc = cut.doc + cut.rank * count * shard->chunk;
	const int32_t separator = use->config.global_separators ? sp_vocab_special(use->vocab, SP_SEP) : -1;
	for (int64_t d = 0; d < count && cut.globals > 0; d++)
		sp_attention_globals_cut(&cut, d, document[d].id, document[d].length, separator);
	return cut.own;
}

static int64_t longest_of(const struct sp_use_document *document, int64_t count)
{
	int64_t longest = 1;
	for (int64_t d = 0; d < count; d++)
		longest = sp_max(longest, document[d].length);
	return longest;
}

int sp_use_encode(struct sp_use *use, const struct sp_use_document *document, int64_t count, int split,
                  struct sp_use_states *states)
{
	const int ranks = split ? sp_comm_size(use->world) : 1, rank = split ? sp_comm_rank(use->world) : 0;
	const struct sp_shard shard =
		sp_shard_of(longest_of(document, count), ranks, rank, sp_compute_chunk_multiple(use->compute));
	if (count * shard.chunk > INT32_MAX)
		return sp_fail(SP_ERR_MEMORY, "%lld documents of %lld tokens on a rank are more than 2^31 rows", (long long)count,
		               (long long)shard.chunk);
	const struct sp_batch_layout at = sp_batch_layout_of(count, shard.chunk, ranks, 0, use->config.globals);
	int status = make_room(use, at.size);
	if (!status)
		status = lay_out(use, count, shard.chunk, split);
	if (status)
		return status;
	memset(use->host, 0, (size_t)at.size * sizeof *use->host);
	for (int64_t d = 0; d < count; d++)
		fill(use->host, &at, count, &shard, ranks, d, &document[d]);
	const int64_t globals = fill_globals(use, &at, &shard, ranks, count, document);
	status = sp_compute_copy_in(use->compute, use->device, use->host, (size_t)at.size * sizeof *use->host);
	if (status)
		return status;
	const struct sp_batch batch = {
		.batch = count,
		.chunk = shard.chunk,
		.token = use->device + at.token,
		.position = use->device + at.position,
		.kind = use->device + at.kind,
		.doc = use->device + at.doc,
		.length = use->host + at.length,
		.global_doc = use->device + at.global_doc,
		.other_doc = use->device + at.other_doc,
		.read_other_doc = use->device + at.read_other_doc,
		.global_row = use->device + at.global_row,
		.global_slot = use->device + at.global_slot,
		.globals = globals,
		.sample = (const uint32_t *)(use->device + at.sample),
		.first = (uint32_t)shard.first,
	};
	states->chunk = shard.chunk;
	states->first = shard.first;
	return sp_model_encode(use->model, &batch, &states->hidden);
}

int sp_use_predict(struct sp_use *use, const int32_t *row, int64_t n,
                   int (*take)(void *context, int64_t i, const float *logits), void *context)
{
	void *device;
	int status = sp_compute_alloc(use->compute, (size_t)n * sizeof *row, &device);
	if (status)
		return status;
	status = sp_compute_copy_in(use->compute, device, row, (size_t)n * sizeof *row);
	if (!status)
		status = sp_model_predict(use->model, device, n, take, context);
	sp_compute_free(use->compute, device);
	return status;
}
