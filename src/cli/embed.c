/* seqpar embed: one vector for each document. */
#include "config.h"

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/stop.h"
#include "cli/using.h"

#include "base/log.h"
#include "use/embed.h"

#include <stdio.h>
#include <string.h>

static const char about[] =
	"usage: seqpar embed DIR [OPTION]... [FILE]... [section.key=value]...\n"
	"       mpirun -n RANKS seqpar embed DIR ...\n\n"
	"Writes one vector for each document of the text (standard input if no FILE is given), by the encoder of the model in\n"
	"DIR: a checkpoint, or a directory in Hugging Face's layout. A blank line ends a document. With several ranks long\n"
	"documents are split over all of them, and batches of short ones are shared out. Settings of the sections backend\n"
	"and model may follow.\n\n";

struct options {
	const char *pool, *format, *output;
	int64_t budget;
	int truncate;
	struct sp_text_options reading;
};

/* The place of `word` among `words`, or -1, logged. */
static int choose(const char *option, const char *word, const char *const *words, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	sp_log(SP_LOG_ERROR, "--%s %s: expected %s or %s", option, word, words[0], words[1]);
	return -1;
}

static int put(void *context, const struct sp_vectors_row *row)
{
	return sp_vectors_put(context, row);
}

static void tell(const struct sp_use *use, const struct sp_text *text, const struct sp_embed_counts *counts)
{
	if (sp_text_invalid(text))
		sp_log(SP_LOG_WARNING, "%lld bytes of the text are not UTF-8 and were replaced", (long long)sp_text_invalid(text));
	if (counts->truncated)
		sp_log(SP_LOG_WARNING, "%lld of %lld documents were cut to %lld tokens", (long long)counts->truncated,
		       (long long)counts->documents, (long long)use->config.max_positions);
}

/* Files are rank 0's; their errors are everyone's. */
static int run(struct sp_use *use, char **file, int files, const struct options *o, struct sp_embed_options *embed,
               enum sp_vectors_format format)
{
	static const char *const standard_input = "-";
	const char *const *path = files ? (const char *const *)file : &standard_input;
	const int first = sp_comm_rank(use->world) == 0;
	struct sp_text *text = NULL;
	struct sp_vectors *vectors = NULL;
	struct sp_embed_counts counts;
	int status = first ? sp_text_open(path, files ? (size_t)files : 1, &o->reading, &text) : SP_OK;
	if (first && !status)
		status = sp_vectors_open(o->output, format, use->config.hidden, &vectors);
	status = sp_use_agree(use, status);
	embed->context = vectors;
	if (!status)
		status = sp_use_embed(use, text, embed, &counts);
	if (!status && first)
		status = sp_vectors_finish(vectors);
	if (!status && first)
		tell(use, text, &counts);
	if (status == SP_ERR_STOPPED && first)
		sp_log(SP_LOG_ERROR, "embed: stopped by a signal%s", o->output ? "; no file is left" : "");
	sp_vectors_close(vectors);
	sp_text_close(text);
	return status;
}

static int wrong(const char *why)
{
	sp_log(SP_LOG_ERROR, "embed: %s; seqpar embed --help shows the usage", why);
	return SP_EXIT_USAGE;
}

int sp_cli_embed(int argc, char **argv)
{
	static const char *const pools[] = { "mean", "cls" }, *const formats[] = { "jsonl", "npy" };
	struct sp_cli_using u = { .world = NULL };
	struct options o = { .pool = "mean", .format = "jsonl", .budget = 4096 };
	int words;
	const struct sp_cli_flag flags[] = {
		{ "pool", 0, SP_CLI_TEXT, &o.pool, "mean|cls", "mean of all tokens, or [CLS] alone (default mean)", 0, 0 },
		{ "format", 0, SP_CLI_TEXT, &o.format, "jsonl|npy", "JSON lines, or a NumPy array (default jsonl)", 0, 0 },
		{ "output", 'o', SP_CLI_TEXT, &o.output, "FILE", "where to write (default: standard output); npy needs it", 0, 0 },
		{ "document-per-line", 0, SP_CLI_FLAG, &o.reading.document_per_line, NULL,
		  "each line is one document, also if it is empty", 0, 0 },
		{ "document-per-file", 0, SP_CLI_FLAG, &o.reading.document_per_file, NULL, "each file is one document", 0, 0 },
		{ "truncate", 0, SP_CLI_FLAG, &o.truncate, NULL, "cut documents that are too long; else they are an error", 0, 0 },
		{ "batch-tokens", 0, SP_CLI_COUNT, &o.budget, "N",
		  "tokens of a batch on a rank; longer documents are split over all ranks (default 4096)", 1, 1 << 30 },
		{ 0 },
	};
	enum sp_cli_verdict verdict = sp_cli_flags(argc, argv, about, flags, &words);
	if (verdict != SP_CLI_GO_ON)
		return verdict == SP_CLI_HELPED ? SP_EXIT_DONE : SP_EXIT_USAGE;
	const int pool = choose("pool", o.pool, pools, 2), format = choose("format", o.format, formats, 2);
	if (pool < 0 || format < 0)
		return SP_EXIT_USAGE;
	if (format == SP_VECTORS_NPY && !o.output)
		return wrong("--format npy needs -o FILE: the head of an array is written last");
	if (o.reading.document_per_line && o.reading.document_per_file)
		return wrong("--document-per-line and --document-per-file contradict each other");
	struct sp_embed_options embed = {
		.pool = (enum sp_embed_pool)pool,
		.budget = o.budget,
		.truncate = o.truncate,
		.stop = sp_cli_stop_flag(),
		.put = put,
	};
	int status = sp_cli_using_settings(argv, &words, &u.settings);
	if (!status)
		status = sp_cli_using_open(0, &u);
	if (!status) {
		sp_cli_stop_install();
		status = run(&u.use, argv + 1, words, &o, &embed, (enum sp_vectors_format)format);
	}
	return sp_cli_using_end(&u, status);
}
