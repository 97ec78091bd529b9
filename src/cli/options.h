/* What the commands that take settings have in common. May include: settings. */
#ifndef SP_CLI_OPTIONS_H
#define SP_CLI_OPTIONS_H

#include "settings/settings.h"

/* Reads `[-c FILE]... [section.key=value]...` into finished settings: files first, in their order, then words.
 * SP_ERR_SETTING or SP_ERR_IO, logged. *help is set, and nothing read, if -h or --help is among the arguments. */
int sp_cli_settings(int argc, char **argv, struct sp_settings *settings, int *help);

/* All settings with type, default, range and help. */
void sp_cli_print_settings(void);

struct sp_comm;

/* Joins the ranks of the job, through the module that the settings name, names this one in its messages, and has a thread
 * watch the others. It is an error, logged, if `want` is more than one and this process is alone. */
int sp_cli_open_world(const struct sp_settings *settings, int64_t want, struct sp_comm **world);

#endif
