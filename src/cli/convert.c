/* seqpar convert: a model to a directory of its own, without the state of training. */
#include "config.h"

#include "cli/command.h"

#include "base/clock.h"
#include "base/log.h"
#include "checkpoint/durable.h"
#include "checkpoint/export.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/manifest.h"
#include "checkpoint/tokenizer_files.h"
#include "checkpoint/weights.h"
#include "cli/flags.h"
#include "cli/stop.h"
#include "data/vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VOCAB_MOST = 1 << 30 }; /* bytes */

static const char about[] =
	"usage: seqpar convert DIR -o OUT [OPTION]...\n\n"
	"Writes the model in DIR, a checkpoint or a directory of transformers (config.json, model.safetensors in one file or\n"
	"several, vocab.txt), to the new directory OUT, which transformers and seqpar load: weights in one file under today's\n"
	"names, config.json and the tokenizer's files, without optimizer.\n\n";

/* The words of --dtype. */
static const struct {
	const char *word;
	enum sp_tensor_dtype dtype;
} dtypes[] = {
	{ "fp32", SP_TENSOR_F32 },
	{ "fp16", SP_TENSOR_F16 },
	{ "bf16", SP_TENSOR_BF16 },
};

struct job {
	const char *from, *output;
	enum sp_tensor_dtype dtype;
	struct sp_model_config config;
	struct sp_parameters table;
	struct sp_weights *weights;
	float *values;
	unsigned char *present;
	char *text; /* of vocab.txt */
	size_t text_size;
	struct sp_vocab *vocab;
	int cased;
	uint64_t bytes;
};

/* DIR/NAME for free(), or NULL after a word about memory. */
static char *path_of(const struct job *j, const char *name)
{
	char *path;
	if (asprintf(&path, "%s/%s", j->from, name) >= 0)
		return path;
	sp_fail(SP_ERR_MEMORY, "%s: no memory to read it", j->from);
	return NULL;
}

/* A checkpoint says what its files must be; a directory from elsewhere has no such file. */
static int check_sums(const struct job *j)
{
	char *path = path_of(j, SP_MANIFEST), why[512];
	int status = path ? SP_OK : SP_ERR_MEMORY;
	if (path && access(path, F_OK) == 0) {
		status = sp_manifest_verify(j->from, why, sizeof why);
		if (status)
			sp_fail(status, "%s: %s", j->from, why);
	}
	free(path);
	return status;
}

static int take_vocab(struct job *j, const char *path)
{
	char why[512];
	int status = sp_durable_read(path, VOCAB_MOST, &j->text, &j->text_size, why, sizeof why);
	if (status)
		return sp_fail(status, "%s", why);
	status = sp_vocab_parse(path, j->text, j->text_size, &j->vocab);
	if (status == SP_OK && sp_vocab_size(j->vocab) > j->config.vocab_size)
		status = sp_fail(SP_ERR_FORMAT, "%s: %d tokens, but the model has %lld: they do not belong together", path,
		                 sp_vocab_size(j->vocab), (long long)j->config.vocab_size);
	return status ? status : sp_tokenizer_cased(j->from, j->vocab, &j->cased);
}

/* A model of synthetic data has none. */
static int read_vocab(struct job *j)
{
	char *path = path_of(j, "vocab.txt");
	int status = path ? SP_OK : SP_ERR_MEMORY;
	if (path && access(path, F_OK) != 0)
		sp_log(SP_LOG_WARNING, "%s: there is no vocab.txt, so %s gets no tokenizer", j->from, j->output);
	else if (path)
		status = take_vocab(j, path);
	free(path);
	return status;
}

/* What the model has not, its copy has not either; what it has beside BERT is left behind. */
static void say_differences(const struct job *j, const struct sp_weights_note *note)
{
	const char *first = NULL, *unused = strstr(note->text, "not used: ");
	int missing = 0;
	for (int i = 0; i < j->table.count; i++) {
		missing += !j->present[i];
		first = first || j->present[i] ? first : j->table.entry[i].name;
	}
	if (missing > 0)
		sp_log(SP_LOG_WARNING, "%s: %d tensors of the heads are not there (%s%s), so %s lacks them too", j->from, missing,
		       first, missing > 1 ? " ..." : "", j->output);
	if (unused)
		sp_log(SP_LOG_WARNING, "%s: %s", j->from, unused);
}

static int read_weights(struct job *j)
{
	struct sp_weights_note note;
	int status = sp_parameters_create(&j->config, &j->table);
	if (status == SP_OK)
		status = sp_weights_open(j->from, &j->weights);
	if (status)
		return status;
	j->values = calloc((size_t)j->table.elements, sizeof *j->values);
	j->present = calloc((size_t)j->table.count, 1);
	if (!j->values || !j->present)
		return sp_fail(SP_ERR_MEMORY, "%s: no memory for %lld weights", j->from, (long long)j->table.values);
	status = sp_weights_fill(j->weights, &j->table, SP_EXTEND_NO, j->values, &note);
	if (status)
		return status;
	for (int i = 0; i < j->table.count; i++)
		j->present[i] = (unsigned char)sp_weights_has(j->weights, j->table.entry[i].name);
	say_differences(j, &note);
	return SP_OK;
}

static int convert(struct job *j)
{
	int status = sp_export_check(j->output);
	if (status == SP_OK)
		status = check_sums(j);
	if (status == SP_OK)
		status = sp_hf_config_read(j->from, &j->config);
	if (status == SP_OK)
		status = read_vocab(j);
	if (status == SP_OK)
		status = read_weights(j);
	if (status)
		return status;
	const struct sp_export out = {
		.config = &j->config,
		.table = &j->table,
		.values = j->values,
		.present = j->present,
		.dtype = j->dtype,
		.vocab = j->text,
		.vocab_size = j->text_size,
		.pad = j->vocab ? sp_vocab_special(j->vocab, SP_PAD) : 0,
		.cased = j->cased,
		.stop = sp_cli_stop_flag(),
	};
	return sp_export_write(j->output, &out, &j->bytes);
}

static int run(struct job *j)
{
	const double start = sp_clock();
	sp_cli_stop_install();
	const int status = convert(j);
	if (status == SP_OK)
		printf("%s: %lld layers of %lld features, %lld %spositions, %lld tokens, %.1f MB in %.1f s\n", j->output,
		       (long long)j->config.layers, (long long)j->config.hidden, (long long)j->config.max_positions,
		       j->config.rope_base > 0 ? "rotary " : "",
		       (long long)j->config.vocab_size, (double)j->bytes / 1e6, sp_clock() - start);
	if (status == SP_OK && j->config.rope_base > 0)
		sp_log(SP_LOG_WARNING, "%s: has rotary positions, which no class of transformers has: seqpar alone reads it", j->output);
	if (status == SP_ERR_STOPPED)
		sp_log(SP_LOG_ERROR, "convert: stopped by a signal; nothing is left of %s", j->output);
	sp_weights_close(j->weights);
	sp_parameters_destroy(&j->table);
	sp_vocab_free(j->vocab);
	free(j->values);
	free(j->present);
	free(j->text);
	return sp_cli_exit(status);
}

static int wrong(const char *why)
{
	sp_log(SP_LOG_ERROR, "convert: %s; seqpar convert --help shows the usage", why);
	return SP_EXIT_USAGE;
}

static int take_dtype(struct job *j, const char *word)
{
	for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
		if (strcmp(dtypes[i].word, word) == 0) {
			j->dtype = dtypes[i].dtype;
			return SP_OK;
		}
	return SP_ERR_ARGUMENT;
}

int sp_cli_convert(int argc, char **argv)
{
	struct job j = { .dtype = SP_TENSOR_F32 };
	const char *dtype = "fp32";
	int words;
	const struct sp_cli_flag table[] = {
		{ "output", 'o', SP_CLI_TEXT, &j.output, "OUT", "the directory to make; must not exist; required", 0, 0 },
		{ "dtype", 0, SP_CLI_TEXT, &dtype, "TYPE", "of the weights: fp32 (default), fp16 or bf16", 0, 0 },
		{ NULL, 0, SP_CLI_FLAG, NULL, NULL, NULL, 0, 0 },
	};
	enum sp_cli_verdict verdict = sp_cli_flags(argc, argv, about, table, &words);
	if (verdict != SP_CLI_GO_ON)
		return verdict == SP_CLI_HELPED ? SP_EXIT_DONE : SP_EXIT_USAGE;
	if (words != 1)
		return wrong(words ? "more than one DIR is given" : "which DIR?");
	if (!j.output || !j.output[0])
		return wrong("-o OUT is missing");
	if (take_dtype(&j, dtype))
		return wrong("--dtype is not one of fp32, fp16 and bf16");
	j.from = argv[1];
	return run(&j);
}
