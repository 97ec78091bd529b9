/* Options of commands that do not take settings. One table is both parsed and printed as help. May include: base. */
#ifndef SP_CLI_FLAGS_H
#define SP_CLI_FLAGS_H

#include <stdint.h>

enum sp_cli_kind {
	SP_CLI_FLAG,  /* int *: set to 1 */
	SP_CLI_COUNT, /* int64_t *: a whole number within least .. most */
	SP_CLI_TEXT,  /* const char **: points into argv */
};

struct sp_cli_flag {
	const char *name; /* without "--"; NULL ends the table */
	char letter;      /* short form, 0: none */
	enum sp_cli_kind kind;
	void *value;      /* its contents before parsing are the default */
	const char *argument, *help;
	int64_t least, most;
};

enum sp_cli_verdict { SP_CLI_GO_ON = 0, SP_CLI_HELPED, SP_CLI_WRONG };

/* Parses argv[1] ..: "--name value", "--name=value", "-o value", "-ovalue", mixed with other words; "--" ends the
 * options and "-" is a word. The words are moved to argv[1] .. argv[*words]. --help prints `about` and the table to
 * standard output. What is wrong is logged. */
enum sp_cli_verdict sp_cli_flags(int argc, char **argv, const char *about, const struct sp_cli_flag *options,
                                 int *words);

#endif
