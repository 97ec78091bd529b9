/* seqpar check: is what the ranks compute together what one computes alone? */
#include "config.h"

#include "cli/command.h"
#include "cli/options.h"
#include "train/selfcheck.h"

#include <stdio.h>

static const char help[] =
	"usage: seqpar check [-c FILE]... [section.key=value]...\n"
	"       mpirun -n RANKS seqpar check [-c FILE]... [section.key=value]...\n\n"
	"Runs one training step of a small copy of the configuration, on synthetic data and with dropout, split over\n"
	"the ranks and unsplit on one; prints how much the loss and each gradient differ. Exit status 1 if that is more\n"
	"than rounding explains. The settings are those of seqpar train.\n";

int sp_cli_check(int argc, char **argv)
{
	struct sp_settings settings;
	struct sp_comm *world = NULL;
	int wants_help, status = sp_cli_settings(argc, argv, &settings, &wants_help);
	if (wants_help) {
		fputs(help, stdout);
		return SP_EXIT_DONE;
	}
	if (!status)
		status = sp_cli_open_world(&settings, 1, &world);
	if (!status)
		status = sp_selfcheck(&settings, world, stdout);
	return sp_cli_end(world, status);
}
