/* seqpar plan: what a configuration needs of each rank, without starting any. */
#include "config.h"

#include "cli/command.h"
#include "cli/options.h"

#include "backend/compute.h"
#include "base/log.h"
#include "train/planned.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"usage: seqpar plan -n RANKS [-c FILE]... [section.key=value]...\n\n"
	"Prints the memory that each rank would need to train the configuration on RANKS ranks, and what it would send in\n"
	"a step. Nothing is allocated and no rank is started; seqpar train takes the same figures. The settings are those\n"
	"of seqpar train.\n";

/* Takes "-n RANKS" out of argv; 0 if it is missing or no positive number. */
static int take_ranks(int *argc, char **argv)
{
	for (int i = 1; i + 1 < *argc; i++) {
		if (strcmp(argv[i], "-n") != 0)
			continue;
		char *end;
		const long ranks = strtol(argv[i + 1], &end, 10);
		memmove(argv + i, argv + i + 2, (size_t)(*argc - i - 1) * sizeof *argv);
		*argc -= 2;
		return *end || ranks < 1 || ranks > INT_MAX ? 0 : (int)ranks;
	}
	return 0;
}

static void print(const struct sp_plan *p, int ranks)
{
	const struct {
		const char *name;
		size_t bytes;
	} rows[] = {
		{ "parameters", p->model.parameters },
		{ "gradients", p->model.gradients },
		{ "optimizer moments, own share", p->optimizer },
		{ "activations kept for backward", p->model.activations },
		{ "scratch of layers, ring buffers", p->model.scratch },
		{ "  of it attention and ring", p->model.attention },
		{ "prediction head, in its place", p->model.head },
		{ "arena (kept + larger of the two)", p->model.arena },
		{ "samples of a step", p->batches },
		{ "snapshot for checkpoints", p->snapshot },
		{ "total", p->total },
	};
	printf("%-34s %12s\n", "per rank", "MiB");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		printf("%-34s %12.1f\n", rows[i].name, (double)rows[i].bytes / 1048576.0);
	printf("\n%-34s %12s\n", "sent by each rank, per step", "MiB");
	printf("%-34s %12.1f\n", "keys, values and their gradients", (double)p->ring_bytes / 1048576.0);
	printf("%-34s %12.1f\n", "sums over tensor ranks", (double)p->tensor_bytes / 1048576.0);
	printf("%-34s %12.1f\n", "gradients and parameters", (double)p->gradient_bytes / 1048576.0);
	printf("\n%d ranks; libraries and program need about 30 to 60 MiB more on each\n", ranks);
}

int sp_cli_plan(int argc, char **argv)
{
	struct sp_settings settings;
	struct sp_plan plan;
	int wants_help;
	const int ranks = take_ranks(&argc, argv);
	int status = sp_cli_settings(argc, argv, &settings, &wants_help);
	if (wants_help) {
		fputs(help, stdout);
		return SP_EXIT_DONE;
	}
	if (!status && ranks == 0)
		status = sp_fail(SP_ERR_SETTING, "seqpar plan wants -n RANKS, a positive number");
	if (!status)
		status = sp_planned(&settings, ranks, 1, &plan);
	if (!status)
		print(&plan, ranks);
	return sp_cli_exit(status);
}
