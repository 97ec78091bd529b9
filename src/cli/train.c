/* seqpar train: trains a model. */
#include "config.h"

#include "cli/command.h"
#include "cli/options.h"
#include "cli/stop.h"
#include "train/trainer.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"usage: seqpar train [-c FILE]... [section.key=value]...\n"
	"       mpirun -n RANKS seqpar train [-c FILE]... [section.key=value]...\n\n"
	"Trains BERT as the settings say. Files are read in their order, then the words.\n"
	"The number of ranks must be a multiple of parallel.pipeline x parallel.sequence x parallel.tensor; what is\n"
	"left are data replicas.\n"
	"SIGINT, SIGTERM, SIGHUP and SIGUSR1 end training after the step at hand, which is saved if checkpoint.dir is\n"
	"set (exit status 3); a second SIGINT ends it at once. Started again it goes on from there.\n\n"
	"settings\n";

int sp_cli_train(int argc, char **argv)
{
	struct sp_settings settings;
	struct sp_comm *world = NULL;
	int wants_help, status = sp_cli_settings(argc, argv, &settings, &wants_help);
	if (wants_help) {
		fputs(help, stdout);
		sp_cli_print_settings();
		return SP_EXIT_DONE;
	}
	if (!status)
		status = sp_cli_open_world(&settings, sp_settings_model_ranks(&settings), &world);
	if (!status) {
		sp_cli_stop_install();
		signal(SIGPIPE, SIG_IGN); /* a closed pipe is then an error with a message */
		signal(SIGXFSZ, SIG_IGN); /* and so is a file that has reached its limit */
		status = sp_train(&settings, world, stdout, sp_cli_stop_flag());
	}
	return sp_cli_end(world, status);
}
