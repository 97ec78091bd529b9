#include "config.h"

#include "use/open.h"

#include "base/log.h"
#include "checkpoint/tokenizer_files.h"
#include "checkpoint/weights.h"
#include "train/adopt.h"
#include "train/planned.h"

#include <stdio.h>
#include <stdlib.h>

static int read_vocabulary(const char *dir, struct sp_vocab **vocab, int *cased)
{
	char path[SP_TEXT + 16];
	snprintf(path, sizeof path, "%s/vocab.txt", dir);
	int status = sp_vocab_read(path, vocab);
	if (status)
		return status;
	status = sp_tokenizer_cased(dir, *vocab, cased);
	if (status)
		sp_vocab_free(*vocab);
	return status;
}

static int find_heads(const struct sp_weights *weights, const char *dir, int order)
{
	if (!sp_weights_has(weights, "cls.predictions.transform.dense.weight"))
		return sp_fail(SP_ERR_FORMAT, "%s: this model has no masked-language-model head (cls.predictions); take one "
		               "saved as BertForMaskedLM or BertForPreTraining, or train it with checkpoint.init", dir);
	if (order && !sp_weights_has(weights, "cls.seq_relationship.weight"))
		return sp_fail(SP_ERR_FORMAT, "%s: this model has no sentence-order head (cls.seq_relationship); leave out "
		               "model.sentence_order", dir);
	return SP_OK;
}

/* A model of another attention has nothing to project sequences with. */
static int find_projections(const struct sp_weights *weights, const char *dir, const struct sp_model_config *c)
{
	const char *name = c->linformer_share == SP_LINFORMER_MODEL ? "bert.encoder.sequence.weight" :
	                                                              "bert.encoder.layer.0.sequence_key.weight";
	if (c->linformer_k == 0 || sp_weights_has(weights, name))
		return SP_OK;
	return sp_fail(SP_ERR_FORMAT, "%s: this model was not trained with parallel.attention = linformer: it has no tensor '%s'; "
	               "leave out parallel.attention, or train it with checkpoint.init", dir, name);
}

static int find(const struct sp_settings *settings, int head, int order)
{
	const struct sp_model_config config = sp_planned_config(settings);
	const char *dir = settings->checkpoint.init;
	struct sp_weights *weights;
	int status = sp_weights_open(dir, &weights);
	if (status)
		return status;
	status = head ? find_heads(weights, dir, order) : SP_OK;
	if (!status)
		status = find_projections(weights, dir, &config);
	sp_weights_close(weights);
	return status;
}

static int check(const struct sp_settings *settings, struct sp_comm *world, int head, int order)
{
	int32_t status = sp_comm_rank(world) == 0 ? find(settings, head, order) : SP_OK;
	int failed = sp_comm_broadcast(world, &status, sizeof status, 0);
	return failed ? failed : status;
}

int sp_use_check_heads(const struct sp_settings *settings, struct sp_comm *world, int order)
{
	return check(settings, world, 1, order);
}

/* What the directory lacks and nobody asked for, such as a head, keeps initial values that nothing reads. */
static int load(struct sp_use *use, const struct sp_settings *settings, int head)
{
	const struct sp_model_config config = sp_planned_config(settings);
	struct sp_weights_note note;
	int status = check(settings, use->world, head, 0);
	return status ? status : sp_adopt_weights(settings, use->compute, use->world, &config, use->model, &note);
}

int sp_use_open(const struct sp_settings *settings, struct sp_compute *compute, struct sp_comm *world, int head,
                struct sp_use *use)
{
	struct sp_use_options options = {
		.compute = compute,
		.world = world,
		.settings = settings,
		.config = sp_planned_config(settings),
	};
	int status = read_vocabulary(settings->checkpoint.init, &options.vocab, &options.cased);
	if (!status)
		status = sp_use_create(&options, use);
	if (status)
		return status;
	status = load(use, settings, head);
	if (status)
		sp_use_close(use);
	return status;
}
