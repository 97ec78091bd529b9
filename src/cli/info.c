/* seqpar info: what this build and this machine can do. */
#include "config.h"

#include "cli/command.h"

#include "backend/comm.h"
#include "backend/compute.h"
#include "backend/launcher.h"
#include "backend/module.h"
#include "base/log.h"
#include "cli/flags.h"
#include "cli/grid.h"
#include "cli/machine.h"
#include "cli/measure.h"
#include "cli/options.h"
#include "settings/settings.h"
#include "train/setup.h"

#include <stdio.h>
#include <string.h>

static const char about[] =
	"usage: seqpar info [--measure] [backend.key=value]... [train.precision=...]\n"
	"       mpirun -n RANKS seqpar info --measure\n"
	"       seqpar info --grid -n RANKS [-c FILE] [section.key=value]...\n\n"
	"Prints version, backend modules and why one cannot be used, processor, BLAS, threads and ranks; or, with --grid, where\n"
	"each of RANKS ranks would stand and with whom it would share what. No rank is started for that. The rate of products that\n"
	"--measure prints is that of matrices in train.precision, fp32 unless it is given.\n\n";

static void print_modules(void)
{
	puts("modules");
	for (size_t i = 0; sp_module_name(i); i++) {
		char text[512] = "";
		const struct sp_module *module;
		int status = sp_module_probe(sp_module_name(i), &module, text, sizeof text);
		/* of a module that was not built, `text` says so itself */
		const char *built = status && status != SP_ERR_ABSENT ? "built, not usable: " : "";
		printf("  %-8s %s%s\n", sp_module_name(i), built, text);
	}
}

static void print_compute(struct sp_compute *compute)
{
	char text[512] = "", warning[512] = "";
	sp_compute_describe(compute, text, sizeof text, warning, sizeof warning);
	printf("compute    %s: %s\n", sp_compute_name(compute), text);
	printf("threads    %d per rank\n", sp_compute_threads(compute));
	if (warning[0])
		printf("WARNING    %s\n", warning);
}

static void print_ranks(const struct sp_comm *comm)
{
	struct sp_launcher by = sp_launcher_find();
	struct sp_place place = sp_comm_place(comm);
	printf("ranks      %d, %d of them on this machine; messages by %s; %s%s\n", place.size, place.local_size,
	       sp_comm_name(comm), by.name ? "started by " : "started alone", by.name ? by.name : "");
}

static int print_messages(struct sp_comm *comm)
{
	char text[768];
	int status = sp_comm_describe(comm, text, sizeof text);
	if (status == SP_OK && text[0])
		printf("messages   %s\n", text);
	return status;
}

static int print_all(const struct sp_settings *s, int measure, struct sp_comm **comm)
{
	struct sp_compute *compute = NULL;
	print_modules();
	int status = sp_cli_open_world(s, 1, comm);
	if (status == SP_OK)
		status = sp_setup_open_device(s, *comm, &compute);
	if (status == SP_OK) {
		print_ranks(*comm);
		status = print_messages(*comm);
	}
	if (status == SP_OK)
		print_compute(compute);
	if (status == SP_OK && measure)
		status = sp_cli_measure(s, compute, *comm);
	sp_setup_close_device(compute, *comm, status);
	return status;
}

static int read_settings(struct sp_settings *s, int n, char **words)
{
	sp_settings_default(s);
	for (int i = 0; i < n; i++) {
		if (strncmp(words[i], "backend.", 8) != 0 && strncmp(words[i], "train.precision=", 16) != 0)
			return sp_fail(SP_ERR_SETTING, "info takes settings of backend and train.precision only, not \"%s\"", words[i]);
		int status = sp_settings_word(s, words[i]);
		if (status)
			return status;
	}
	return SP_OK;
}

int sp_cli_info(int argc, char **argv)
{
	int measure = 0, grid = 0, words;
	int64_t ranks = 1;
	const char *file = NULL;
	const struct sp_cli_flag flags[] = {
		{ "grid", 'g', SP_CLI_FLAG, &grid, NULL, "print the process grid of a configuration", 0, 0 },
		{ "ranks", 'n', SP_CLI_COUNT, &ranks, "RANKS", "how many ranks the grid has", 1, 1 << 20 },
		{ "config", 'c', SP_CLI_TEXT, &file, "FILE", "settings of the grid", 0, 0 },
		{ "measure", 'm', SP_CLI_FLAG, &measure, NULL, "measure GEMM, memory and, between ranks, messages; some seconds", 0, 0 },
		{ 0 },
	};
	enum sp_cli_verdict verdict = sp_cli_flags(argc, argv, about, flags, &words);
	if (verdict != SP_CLI_GO_ON)
		return verdict == SP_CLI_HELPED ? SP_EXIT_DONE : SP_EXIT_USAGE;

	if (grid)
		return sp_cli_exit(sp_cli_print_grid(file, words, argv + 1, ranks));
	if (file)
		return sp_cli_exit(sp_fail(SP_ERR_SETTING, "info: -c FILE belongs to --grid"));
	struct sp_settings settings;
	struct sp_comm *comm = NULL;
	int status = read_settings(&settings, words, argv + 1);
	if (status == SP_OK) {
		printf("%s\n", PACKAGE_STRING);
		sp_cli_print_machine();
		status = print_all(&settings, measure, &comm);
	}
	return sp_cli_end(comm, status);
}
