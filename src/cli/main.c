/* seqpar: finds the command and hands over. */
#include "config.h"

#include "cli/command.h"

#include "base/log.h"
#include "base/words.h"

#include <stdio.h>
#include <string.h>

static int help(int argc, char **argv);

/* The commands, in the order of the help. */
static const struct command {
	const char *name, *help;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "train", "train a model", sp_cli_train },
	{ "check", "does a split model compute what an unsplit one does?", sp_cli_check },
	{ "plan", "memory and traffic of a configuration, per rank", sp_cli_plan },
	{ "launch", "start a command as several ranks on this machine", sp_cli_launch },
	{ "convert", "write a model to a directory of its own, in another dtype", sp_cli_convert },
	{ "bench", "measure products, attention, messages, training, scaling, memory", sp_cli_bench },
	{ "info", "what this build and this machine can do", sp_cli_info },
	{ "vocab", "make a WordPiece vocabulary from text", sp_cli_vocab },
	{ "tokenize", "make a token file from text and a vocabulary", sp_cli_tokenize },
	{ "eval", "how well a trained model predicts", sp_cli_eval },
	{ "fill-mask", "the most probable tokens in place of [MASK]", sp_cli_fill_mask },
	{ "embed", "one vector for each document of a text", sp_cli_embed },
	{ "help", "help of a command: seqpar help COMMAND", help },
	{ NULL, NULL, NULL },
};

static const struct command *find(const char *name)
{
	const struct command *c = commands;
	while (c->name && strcmp(c->name, name) != 0)
		c++;
	return c->name ? c : NULL;
}

static const char *nearest(const char *name)
{
	const struct command *best = commands;
	for (const struct command *c = commands; c->name; c++)
		if (sp_words_distance(name, c->name) < sp_words_distance(name, best->name))
			best = c;
	return best->name;
}

static int unknown(const char *name)
{
	sp_log(SP_LOG_ERROR, "there is no command \"%s\"; did you mean \"%s\"? seqpar --help lists them", name, nearest(name));
	return SP_EXIT_USAGE;
}

static int usage(void)
{
	printf("seqpar trains BERT with every sequence split over several ranks.\n\n"
	       "usage: seqpar COMMAND [OPTION]... [ARGUMENT]...\n\n");
	for (const struct command *c = commands; c->name; c++)
		printf("  %-10s  %s\n", c->name, c->help);
	printf("\n  --help      this text; after a command: its help\n"
	       "  --version   version of this program\n\n"
	       "exit status: 0 done, 1 failed, 2 wrong usage or settings, 3 stopped by a signal after saving\n");
	return SP_EXIT_DONE;
}

static int missing(void)
{
	sp_log(SP_LOG_ERROR, "which command? seqpar --help lists them");
	return SP_EXIT_USAGE;
}

static int version(void)
{
	puts(PACKAGE_STRING);
	return SP_EXIT_DONE;
}

static int help(int argc, char **argv)
{
	if (argc < 2 || argv[1][0] == '-')
		return usage();
	const struct command *c = find(argv[1]);
	if (!c)
		return unknown(argv[1]);
	if (c->run == help)
		return usage();
	char *words[] = { argv[1], "--help", NULL };
	return c->run(2, words);
}

static int dispatch(int argc, char **argv)
{
	if (argc < 2)
		return missing();
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return usage();
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		return version();
	const struct command *c = find(argv[1]);
	return c ? c->run(argc - 1, argv + 1) : unknown(argv[1]);
}

int main(int argc, char **argv)
{
	sp_cli_begin();
	int code = dispatch(argc, argv);
	if (fflush(stdout) || ferror(stdout)) {
		sp_log(SP_LOG_ERROR, "standard output cannot be written");
		code = code ? code : SP_EXIT_FAILED;
	}
	return sp_cli_finish(code);
}
