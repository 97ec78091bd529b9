/* seqpar tokenize: text to a token file. */
#include "config.h"

#include "cli/command.h"

#include "base/clock.h"
#include "base/log.h"
#include "cli/flags.h"
#include "cli/stop.h"
#include "data/tokenize.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static const char about[] =
	"usage: seqpar tokenize --vocab VOCAB.TXT -o PREFIX [OPTION]... FILE...\n\n"
	"Cuts text into sentences and WordPiece tokens and writes PREFIX.bin and PREFIX.idx, which data.source = PREFIX\n"
	"of seqpar train reads. FILE is a text file (UTF-8), one compressed by gzip, a directory (all files below it), or\n"
	"- for standard input. A blank line ends a document; within a document a newline is a space.\n\n";

struct watch {
	double start, last; /* seconds */
	int drawn;
};

static double per(double amount, double seconds)
{
	return seconds > 0 ? amount / seconds : 0;
}

static void draw(void *context, const struct sp_tokenize_counts *c)
{
	struct watch *w = context;
	double now = sp_clock();
	if (now - w->last < 0.5)
		return;
	w->last = now;
	w->drawn = 1;
	fprintf(stderr, "\r%.1f MB, %.1f MB/s, %" PRId64 " documents, %" PRId64 " sentences, %" PRId64 " tokens",
	        (double)c->bytes / 1e6, per((double)c->bytes / 1e6, now - w->start), c->documents, c->sentences,
	        c->tokens);
	if (c->share >= 0)
		fprintf(stderr, ", %.0f %%", 100 * c->share);
	fputs("\033[K", stderr);
}

static void summarise(const char *prefix, const struct sp_tokenize_counts *c, double seconds)
{
	printf("%s: %" PRId64 " documents, %" PRId64 " sentences, %" PRId64
	       " tokens in %.1f s (%.0f tokens/s, %.1f MB/s), "
	       "%.3f %% unknown, %" PRId64 " invalid bytes replaced\n",
	       prefix, c->documents, c->sentences, c->tokens, seconds, per((double)c->tokens, seconds),
	       per((double)c->bytes / 1e6, seconds), 100.0 * (double)c->unknown / (double)c->tokens, c->invalid);
}

static int run(const char *const *files, int count, const struct sp_text_options *reading, const char *prefix,
               struct sp_tokenize_options *options)
{
	struct sp_text *text = NULL;
	struct sp_tokenize_counts counts;
	struct watch watch = { .start = sp_clock() };
	int status = sp_text_open(files, (size_t)count, reading, &text);
	if (isatty(STDERR_FILENO)) {
		options->progress = draw;
		options->context = &watch;
	}
	if (status == SP_OK)
		status = sp_tokenize(text, prefix, options, &counts);
	if (watch.drawn)
		fputs("\r\033[K", stderr);
	if (status == SP_OK)
		summarise(prefix, &counts, sp_clock() - watch.start);
	if (status == SP_ERR_STOPPED)
		sp_log(SP_LOG_ERROR, "tokenize: stopped by a signal; no file is left");
	sp_text_close(text);
	return status;
}

static int cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : n > SP_TOKENIZE_WORKERS_MAX ? SP_TOKENIZE_WORKERS_MAX : (int)n;
}

static int wrong(const char *why)
{
	sp_log(SP_LOG_ERROR, "tokenize: %s; seqpar tokenize --help shows the usage", why);
	return SP_EXIT_USAGE;
}

int sp_cli_tokenize(int argc, char **argv)
{
	const char *path = NULL, *prefix = NULL;
	struct sp_text_options reading = { 0 };
	struct sp_tokenize_options options = { .stop = sp_cli_stop_flag() };
	int64_t workers = cores();
	int words;
	const struct sp_cli_flag table[] = {
		{ "vocab", 0, SP_CLI_TEXT, &path, "FILE", "the vocabulary, as seqpar vocab makes it; required", 0, 0 },
		{ "output", 'o', SP_CLI_TEXT, &prefix, "PREFIX", "where to write: PREFIX.bin and PREFIX.idx; required", 0, 0 },
		{ "cased", 0, SP_CLI_FLAG, &options.cased, NULL, "keep capitals and accents (a cased vocabulary)", 0, 0 },
		{ "workers", 0, SP_CLI_COUNT, &workers, "N", "threads (default: the cores); the output does not depend on it",
		  1, SP_TOKENIZE_WORKERS_MAX },
		{ "document-per-file", 0, SP_CLI_FLAG, &reading.document_per_file, NULL, "each file is one document", 0, 0 },
		{ "sentence-per-line", 0, SP_CLI_FLAG, &reading.sentence_per_line, NULL, "each line is one sentence", 0, 0 },
		{ NULL, 0, SP_CLI_FLAG, NULL, NULL, NULL, 0, 0 },
	};
	enum sp_cli_verdict verdict = sp_cli_flags(argc, argv, about, table, &words);
	if (verdict != SP_CLI_GO_ON)
		return verdict == SP_CLI_HELPED ? SP_EXIT_DONE : SP_EXIT_USAGE;
	if (!path)
		return wrong("--vocab FILE is missing");
	if (!prefix)
		return wrong("-o PREFIX is missing");
	if (words == 0)
		return wrong("no FILE is given (- reads standard input)");
	struct sp_vocab *vocab = NULL;
	int status = sp_vocab_read(path, &vocab);
	options.vocab = vocab;
	options.workers = (int)workers;
	sp_cli_stop_install();
	if (status == SP_OK)
		status = run((const char *const *)argv + 1, words, &reading, prefix, &options);
	sp_vocab_free(vocab);
	return sp_cli_exit(status);
}
