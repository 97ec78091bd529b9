#include "config.h"

#include "cli/flags.h"

#include "base/log.h"
#include "base/words.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_help(const char *about, const struct sp_cli_flag *options)
{
	fputs(about, stdout);
	for (const struct sp_cli_flag *o = options; o->name; o++) {
		char left[64];
		snprintf(left, sizeof left, "%c%c%s--%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
		         o->letter ? ", " : "  ", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
		printf("  %-26s  %s\n", left, o->help);
	}
	printf("      --%-20s  %s\n", "help", "this text");
}

static const struct sp_cli_flag *find_name(const struct sp_cli_flag *o, const char *name, size_t length)
{
	while (o->name && (strlen(o->name) != length || strncmp(o->name, name, length) != 0))
		o++;
	return o->name ? o : NULL;
}

static const struct sp_cli_flag *find_letter(const struct sp_cli_flag *o, char letter)
{
	while (o->name && o->letter != letter)
		o++;
	return o->name ? o : NULL;
}

static enum sp_cli_verdict unknown(const char *command, const char *word, const struct sp_cli_flag *options)
{
	const char *best = "help", *name = word + (word[1] == '-' ? 2 : 1);
	for (const struct sp_cli_flag *o = options; o->name; o++)
		if (sp_words_distance(name, o->name) < sp_words_distance(name, best))
			best = o->name;
	sp_log(SP_LOG_ERROR, "%s has no option %s; did you mean --%s? seqpar %s --help lists them", command, word, best,
	       command);
	return SP_CLI_WRONG;
}

static enum sp_cli_verdict set_count(const struct sp_cli_flag *o, const char *text)
{
	char *end;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (end == text || *end || errno || value < o->least || value > o->most) {
		sp_log(SP_LOG_ERROR, "--%s %s: expected a whole number from %" PRId64 " to %" PRId64, o->name, text, o->least,
		       o->most);
		return SP_CLI_WRONG;
	}
	*(int64_t *)o->value = value;
	return SP_CLI_GO_ON;
}

static enum sp_cli_verdict set(const struct sp_cli_flag *o, const char *text)
{
	if (o->kind == SP_CLI_COUNT)
		return set_count(o, text);
	if (o->kind == SP_CLI_TEXT)
		*(const char **)o->value = text;
	else
		*(int *)o->value = 1;
	return SP_CLI_GO_ON;
}

/* The option at argv[*at]; *at moves on to its value if that is a word of its own. */
static enum sp_cli_verdict parse_option(int argc, char **argv, int *at, const struct sp_cli_flag *options)
{
	char *word = argv[*at], *value = NULL;
	const struct sp_cli_flag *o;
	if (word[1] == '-') {
		size_t length = strcspn(word + 2, "=");
		value = word[2 + length] ? word + 3 + length : NULL;
		o = find_name(options, word + 2, length);
	} else {
		value = word[2] ? word + 2 : NULL;
		o = find_letter(options, word[1]);
	}
	if (!o)
		return unknown(argv[0], word, options);
	if (o->kind == SP_CLI_FLAG && value) {
		sp_log(SP_LOG_ERROR, "--%s takes no value", o->name);
		return SP_CLI_WRONG;
	}
	if (o->kind != SP_CLI_FLAG && !value && *at + 1 < argc)
		value = argv[++*at];
	if (o->kind != SP_CLI_FLAG && (!value || !*value)) {
		sp_log(SP_LOG_ERROR, "--%s needs a value: --%s %s", o->name, o->name, o->argument);
		return SP_CLI_WRONG;
	}
	return set(o, value);
}

enum sp_cli_verdict sp_cli_flags(int argc, char **argv, const char *about, const struct sp_cli_flag *options,
                                 int *words)
{
	enum sp_cli_verdict verdict = SP_CLI_GO_ON;
	int only_words = 0;
	*words = 0;
	for (int i = 1; i < argc && verdict == SP_CLI_GO_ON; i++) {
		if (only_words || argv[i][0] != '-' || argv[i][1] == 0) {
			argv[++*words] = argv[i];
		} else if (strcmp(argv[i], "--") == 0) {
			only_words = 1;
		} else if (strcmp(argv[i], "--help") == 0) {
			print_help(about, options);
			verdict = SP_CLI_HELPED;
		} else {
			verdict = parse_option(argc, argv, &i, options);
		}
	}
	return verdict;
}
