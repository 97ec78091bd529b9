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

static int find_heads(const char *dir, int order)
{
	struct sp_weights *weights;
	int status = sp_weights_open(dir, &weights);
	if (status)
		return status;
	if (!sp_weights_has(weights, "cls.predictions.transform.dense.weight"))
		status = sp_fail(SP_ERR_FORMAT, "%s: this model has no masked-language-model head (cls.predictions); take one "
		                 "saved as BertForMaskedLM or BertForPreTraining, or train it with checkpoint.init", dir);
	else if (order && !sp_weights_has(weights, "cls.seq_relationship.weight"))
		status = sp_fail(SP_ERR_FORMAT, "%s: this model has no sentence-order head (cls.seq_relationship); leave out "
		                 "model.sentence_order", dir);
	sp_weights_close(weights);
	return status;
}

int sp_use_check_heads(const struct sp_settings *settings, struct sp_comm *world, int order)
{
	int32_t status = sp_comm_rank(world) == 0 ? find_heads(settings->checkpoint.init, order) : SP_OK;
	int failed = sp_comm_broadcast(world, &status, sizeof status, 0);
	return failed ? failed : status;
}

/* What the directory lacks and nobody asked for, such as a head, keeps initial values that nothing reads. */
static int load(struct sp_use *use, const struct sp_settings *settings, int head)
{
	const struct sp_model_config config = sp_planned_config(settings);
	struct sp_weights_note note;
	int status = head ? sp_use_check_heads(settings, use->world, 0) : SP_OK;
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
