/* seqpar vocab: a WordPiece vocabulary from text. */
#include "config.h"

#include "cli/command.h"

#include "base/clock.h"
#include "base/log.h"
#include "cli/flags.h"
#include "cli/stop.h"
#include "data/text.h"
#include "data/vocab.h"
#include "data/vocab_train.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static const char about[] =
	"usage: seqpar vocab --size N -o VOCAB.TXT [OPTION]... FILE...\n\n"
	"Makes a BERT WordPiece vocabulary of N tokens from text. FILE is a text file (UTF-8), one compressed by gzip, a\n"
	"directory (all files below it), or - for standard input.\n\n";

struct job {
	const char *output;
	int cased;
	struct sp_vocab_train_options training;
	struct sp_text *text;
	struct sp_word_counts *words;
	struct sp_vocab_trained trained;
};

static void draw(const struct job *j, double *last)
{
	double now = sp_clock();
	if (now - *last < 0.5)
		return;
	*last = now;
	fprintf(stderr, "\r%.1f MB, %zu different words", (double)sp_text_bytes(j->text) / 1e6,
	        sp_word_counts_size(j->words));
	if (sp_text_share(j->text) >= 0)
		fprintf(stderr, ", %.0f %%", 100 * sp_text_share(j->text));
	fputs("\033[K", stderr);
}

static int count_words(struct job *j)
{
	struct sp_sentence sentence;
	int terminal = isatty(STDERR_FILENO), more, status = SP_OK;
	double last = sp_clock();
	while (status == SP_OK && (more = sp_text_next(j->text, &sentence)) != 0) {
		status = more < 0 ? more : sp_word_counts_add(j->words, sentence.text, sentence.size);
		if (status == SP_OK && *sp_cli_stop_flag())
			status = SP_ERR_STOPPED;
		if (terminal)
			draw(j, &last);
	}
	if (terminal)
		fputs("\r\033[K", stderr);
	return status;
}

static int make(struct job *j, const char *const *files, int count)
{
	const struct sp_text_options lines = { .sentence_per_line = 1 }; /* a word does not go beyond its line */
	int status = sp_text_open(files, (size_t)count, &lines, &j->text);
	if (status == SP_OK)
		status = sp_word_counts_new(j->cased, &j->words);
	if (status == SP_OK)
		status = count_words(j);
	if (status == SP_OK)
		status = sp_vocab_train(j->words, &j->training, &j->trained);
	if (status == SP_OK && *sp_cli_stop_flag())
		status = SP_ERR_STOPPED;
	return status == SP_OK ? sp_vocab_write(j->output, &j->trained) : status;
}

static void summarise(const struct job *j, double seconds)
{
	const struct sp_vocab_trained *t = &j->trained;
	if (t->unused > 0)
		sp_log(SP_LOG_WARNING,
		       "the text yields %" PRId64 " tokens of frequency %" PRId64 " or more, not %" PRId64
		       ": the last %" PRId64 " are [unused0] ...; give more text, or a lower --size or --min-frequency",
		       t->count - t->unused, j->training.min_frequency, t->count, t->unused);
	if (t->dropped > 0)
		sp_log(SP_LOG_INFO, "%" PRId64 " rare characters are left out of the alphabet (--alphabet)", t->dropped);
	printf("%s: %" PRId64 " tokens (%" PRId64 " characters, %" PRId64
	       " unused) from %zu different words, %.1f MB of text, in "
	       "%.1f s, %" PRId64 " invalid bytes replaced\n",
	       j->output, t->count, t->characters, t->unused, sp_word_counts_size(j->words),
	       (double)sp_text_bytes(j->text) / 1e6, seconds, sp_text_invalid(j->text));
}

static int run(struct job *j, const char *const *files, int count)
{
	double start = sp_clock();
	sp_cli_stop_install();
	int status = make(j, files, count);
	if (status == SP_OK)
		summarise(j, sp_clock() - start);
	if (status == SP_ERR_STOPPED)
		sp_log(SP_LOG_ERROR, "vocab: stopped by a signal; no file is left");
	sp_text_close(j->text);
	sp_word_counts_free(j->words);
	sp_vocab_trained_free(&j->trained);
	return sp_cli_exit(status);
}

static int wrong(const char *why)
{
	sp_log(SP_LOG_ERROR, "vocab: %s; seqpar vocab --help shows the usage", why);
	return SP_EXIT_USAGE;
}

int sp_cli_vocab(int argc, char **argv)
{
	struct job j = { .training = { .min_frequency = 2, .alphabet = 1000 } };
	int words;
	const struct sp_cli_flag table[] = {
		{ "size", 0, SP_CLI_COUNT, &j.training.size, "N", "tokens of the vocabulary, special ones included; required",
		  SP_SPECIALS + 1, 1 << 24 },
		{ "output", 'o', SP_CLI_TEXT, &j.output, "FILE", "where to write the vocabulary; required", 0, 0 },
		{ "cased", 0, SP_CLI_FLAG, &j.cased, NULL, "keep capitals and accents", 0, 0 },
		{ "min-frequency", 0, SP_CLI_COUNT, &j.training.min_frequency, "N",
		  "join no pieces seen less often (default: 2)", 1, INT32_MAX },
		{ "alphabet", 0, SP_CLI_COUNT, &j.training.alphabet, "N", "different characters at most (default: 1000)", 1,
		  0x110000 },
		{ NULL, 0, SP_CLI_FLAG, NULL, NULL, NULL, 0, 0 },
	};
	enum sp_cli_verdict verdict = sp_cli_flags(argc, argv, about, table, &words);
	if (verdict != SP_CLI_GO_ON)
		return verdict == SP_CLI_HELPED ? SP_EXIT_DONE : SP_EXIT_USAGE;
	if (j.training.size == 0)
		return wrong("--size N is missing");
	if (!j.output)
		return wrong("-o FILE is missing");
	if (words == 0)
		return wrong("no FILE is given (- reads standard input)");
	return run(&j, (const char *const *)argv + 1, words);
}
