/* What the commands that use a trained model have in common: a directory, a few settings, the opened model.
 * May include: settings, backend, use. */
#ifndef SP_CLI_USING_H
#define SP_CLI_USING_H

#include "settings/settings.h"
#include "use/use.h"

struct sp_cli_using {
	struct sp_settings settings;
	struct sp_comm *world;
	struct sp_compute *compute;
	struct sp_use use;
};

/* Takes the words backend.KEY=VALUE, parallel.KEY=VALUE and model.KEY=VALUE out of argv[1] .. argv[*words] and the model
 * directory argv[1], into settings that have adopted its shape; what is left moves to argv[1] .. argv[*words].
 * SP_ERR_SETTING if there is no directory, or what reading it says, logged. */
int sp_cli_using_settings(char **argv, int *words, struct sp_settings *settings);

/* Joins the ranks, opens device and model; with `head`, it must be able to predict tokens. Collective. */
int sp_cli_using_open(int head, struct sp_cli_using *u);
/* Ends the command with this status, as sp_cli_end. */
int sp_cli_using_end(struct sp_cli_using *u, int status);

#endif
