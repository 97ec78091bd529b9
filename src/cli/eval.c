/* seqpar eval: how well a trained model predicts the tokens of a split. */
#include "config.h"

#include "cli/command.h"
#include "cli/options.h"

#include "backend/compute.h"
#include "base/log.h"
#include "train/evaluate.h"
#include "train/setup.h"
#include "use/open.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"usage: seqpar eval DIR [--split train|valid|test] [--json] [-c FILE]... [section.key=value]...\n"
	"       mpirun -n RANKS seqpar eval DIR ...\n\n"
	"Prints the masked-language-model loss, perplexity and accuracy of the model in DIR, a checkpoint or a directory\n"
	"in Hugging Face's layout, on a token file (data.source=PREFIX), and loss and accuracy of the sentence order if the\n"
	"model has that head. The whole split is gone through (default valid), or, when train.eval_iters is given, as many\n"
	"global batches from its beginning on. The figures depend neither on the number of ranks nor on batch sizes. The\n"
	"settings are those of seqpar train, the model's own being taken from DIR.\n";

static const char *const splits[] = { "train", "valid", "test" };

struct request {
	const char *dir, *split_name;
	enum sp_split split;
	int json;
};

/* ---- the command line ---- */

static int parse_split(struct request *r)
{
	for (int i = 0; i < SP_SPLITS; i++)
		if (strcmp(r->split_name, splits[i]) == 0) {
			r->split = (enum sp_split)i;
			return SP_OK;
		}
	return sp_fail(SP_ERR_SETTING, "--split %s: expected train, valid or test", r->split_name);
}

/* 1 if argv[*i] (and its value, which *i then moves to) is this command's own. */
static int take(int argc, char **argv, int *i, struct request *r)
{
	static const char split[] = "--split";
	const char *word = argv[*i];
	const size_t length = sizeof split - 1;
	if (strcmp(word, "--json") == 0) {
		r->json = 1;
	} else if (strncmp(word, split, length) == 0 && word[length] == '=') {
		r->split_name = word + length + 1;
	} else if (strcmp(word, split) == 0) {
		r->split_name = *i + 1 < argc ? argv[++*i] : "";
	} else if (!r->dir && word[0] != '-' && !strchr(word, '=')) {
		r->dir = word;
	} else {
		return 0;
	}
	return 1;
}

/* Takes the command's own words out of argv; what is left are settings. */
static int take_own(int *argc, char **argv, struct request *r)
{
	int kept = 1;
	for (int i = 1; i < *argc; i++) {
		const int file = strcmp(argv[i], "-c") == 0 && i + 1 < *argc;
		if (!file && take(*argc, argv, &i, r))
			continue;
		argv[kept++] = argv[i];
		if (file)
			argv[kept++] = argv[++i];
	}
	*argc = kept;
	return parse_split(r);
}

/* The model is given as if by checkpoint.init, last, so that it wins. */
static int read_settings(int argc, char **argv, const struct request *r, struct sp_settings *s, int *wants_help)
{
	char word[SP_TEXT + 32], **words = malloc((size_t)(argc + 2) * sizeof *words);
	if (!words)
		return sp_fail(SP_ERR_MEMORY, "no memory for %d words", argc);
	memcpy(words, argv, (size_t)argc * sizeof *words);
	snprintf(word, sizeof word, "checkpoint.init=%s", r->dir ? r->dir : "");
	words[argc] = word;
	words[argc + 1] = NULL;
	int status = sp_cli_settings(argc + 1, words, s, wants_help);
	free(words);
	if (status || *wants_help)
		return status;
	if (!r->dir)
		return sp_fail(SP_ERR_SETTING, "eval: the directory of a model is missing; seqpar eval --help shows the usage");
	if (!sp_settings_given(s, "data.source"))
		return sp_fail(SP_ERR_SETTING, "eval: data.source=PREFIX is missing, the token file to evaluate on; seqpar "
		               "tokenize makes one");
	s->checkpoint.dir[0] = 0;
	return SP_OK;
}

/* ---- the work ---- */

enum { ROUNDS = 4 }; /* through a pipeline in a step: filling and draining it then costs a fifth at most */

/* Batches serve speed alone: one micro-batch a step on each data replica, or several for each stage of a pipeline. */
static int evaluate(struct sp_settings *s, struct sp_compute *compute, struct sp_comm *world, const struct request *r,
                    struct sp_evaluation *e)
{
	struct sp_setup setup;
	const int64_t wanted = sp_settings_given(s, "train.eval_iters") ? s->train.eval_iters * s->train.global_batch : 0;
	const int64_t replicas = sp_comm_size(world) / sp_settings_model_ranks(s);
	const int64_t stages = s->parallel.pipeline, micro_batches = stages > 1 ? ROUNDS * stages : 1;
	s->train.global_batch = s->train.micro_batch * micro_batches * (replicas ? replicas : 1);
	int status = sp_use_check_heads(s, world, s->model.sentence_order);
	if (status)
		return status;
	status = sp_setup_open_forward(s, compute, world, r->split, &setup);
	if (!status)
		status = sp_evaluate_split(&setup, r->split, wanted ? wanted : sp_dataset_size(setup.dataset, r->split), e);
	/* Closing is collective, and after an error the others need not be here. */
	if (!status || sp_comm_size(world) == 1)
		sp_setup_close(&setup);
	return status;
}

static int print(const struct sp_settings *s, const struct request *r, const struct sp_evaluation *e)
{
	printf("%-15s %s of %s\n", "split", splits[r->split], s->data.source);
	printf("%-15s %lld", "samples", (long long)e->samples);
	if (s->data.packing)
		printf(" in %lld sequences", (long long)e->sequences);
	printf(" of %lld tokens, %.1f %% filled\n", (long long)s->train.sequence_length, 100 * e->fill);
	printf("%-15s %lld tokens\n", "predicted", (long long)e->predicted);
	printf("%-15s %.6f\n", "mlm_loss", e->mlm);
	printf("%-15s %.4f\n", "perplexity", e->perplexity);
	printf("%-15s %.6f\n", "accuracy", e->accuracy);
	if (s->model.sentence_order)
		printf("%-15s %.6f\n%-15s %.6f\n", "order_loss", e->order_loss, "order_accuracy", e->order_accuracy);
	printf("%-15s %.6f\n", "loss", e->loss);
	return SP_OK;
}

static int print_json(const struct sp_settings *s, const struct request *r, const struct sp_evaluation *e)
{
	json_t *all = json_pack("{s:s, s:s, s:I, s:I, s:f, s:I, s:f, s:f, s:f, s:f}", "split", splits[r->split], "source",
	                        s->data.source, "samples", (json_int_t)e->samples, "sequences",
	                        (json_int_t)e->sequences, "fill", e->fill, "predicted", (json_int_t)e->predicted, "loss", e->loss,
	                        "mlm_loss", e->mlm, "perplexity", e->perplexity, "accuracy", e->accuracy);
	if (all && s->model.sentence_order) {
		json_object_set_new(all, "order_loss", json_real(e->order_loss));
		json_object_set_new(all, "order_accuracy", json_real(e->order_accuracy));
	}
	int status = all && json_dumpf(all, stdout, 0) == 0 ? SP_OK : sp_fail(SP_ERR_IO, "the figures cannot be printed");
	json_decref(all);
	putchar('\n');
	return status;
}

int sp_cli_eval(int argc, char **argv)
{
	struct request r = { .split_name = splits[SP_VALID] };
	struct sp_settings s;
	struct sp_evaluation e;
	struct sp_comm *world = NULL;
	struct sp_compute *compute = NULL;
	int wants_help = 0, status = take_own(&argc, argv, &r);
	if (!status)
		status = read_settings(argc, argv, &r, &s, &wants_help);
	if (wants_help) {
		fputs(help, stdout);
		return SP_EXIT_DONE;
	}
	if (!status)
		status = sp_cli_open_world(&s, sp_settings_model_ranks(&s), &world);
	if (!status)
		status = sp_setup_open_device(&s, world, &compute);
	if (!status)
		status = evaluate(&s, compute, world, &r, &e);
	if (!status)
		status = r.json ? print_json(&s, &r, &e) : print(&s, &r, &e);
	sp_setup_close_device(compute, world, status);
	return sp_cli_end(world, status);
}
