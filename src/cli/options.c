#include "config.h"

#include "cli/options.h"

#include "backend/comm.h"
#include "base/log.h"
#include "cli/stop.h"
#include "cli/watch.h"
#include "train/adopt.h"

#include <stdio.h>
#include <string.h>

static int is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* The file of -c FILE, -cFILE or --config=FILE at argv[*i], moving *i over it; NULL if this is something else. */
static const char *file_at(int argc, char **argv, int *i)
{
	static const char longer[] = "--config=";
	const char *word = argv[*i];
	if (strncmp(word, longer, sizeof longer - 1) == 0)
		return word + sizeof longer - 1;
	if (strncmp(word, "-c", 2) != 0)
		return NULL;
	if (word[2])
		return word + 2;
	return *i + 1 < argc ? argv[++*i] : "";
}

static int read_files(int argc, char **argv, struct sp_settings *settings)
{
	for (int i = 1; i < argc; i++) {
		const char *file = file_at(argc, argv, &i);
		if (!file && argv[i][0] == '-')
			return sp_fail(SP_ERR_SETTING, "unknown option %s; seqpar %s --help lists options and settings", argv[i],
			               argv[0]);
		if (file && !file[0])
			return sp_fail(SP_ERR_SETTING, "-c wants the name of a file of settings");
		int status = file ? sp_settings_read(settings, file) : SP_OK;
		if (status)
			return status;
	}
	return SP_OK;
}

static int read_words(int argc, char **argv, struct sp_settings *settings)
{
	for (int i = 1; i < argc; i++) {
		int status = file_at(argc, argv, &i) ? SP_OK : sp_settings_word(settings, argv[i]);
		if (status)
			return status;
	}
	return SP_OK;
}

int sp_cli_settings(int argc, char **argv, struct sp_settings *settings, int *help)
{
	*help = 0;
	for (int i = 1; i < argc; i++)
		if (is_help(argv[i])) {
			*help = 1;
			return SP_OK;
		}
	sp_settings_default(settings);
	int status = read_files(argc, argv, settings);
	if (!status)
		status = read_words(argc, argv, settings);
	if (!status && settings->checkpoint.init[0])
		status = sp_adopt_model(settings, settings->checkpoint.init);
	return status ? status : sp_settings_finish(settings);
}

void sp_cli_print_settings(void)
{
	struct sp_setting_row row;
	for (size_t i = 0; !sp_settings_row(i, &row); i++) {
		printf("  %s = %s", row.name, row.type);
		if (row.initial[0])
			printf(", default %s", row.initial);
		if (row.range[0])
			printf(", range %s", row.range);
		printf("\n      %s\n", row.help);
	}
}

int sp_cli_open_world(const struct sp_settings *settings, int64_t want, struct sp_comm **world)
{
	int status = sp_comm_open(settings->backend.comm, (int)want, world);
	if (!status && sp_comm_size(*world) > 1) {
		char prefix[32];
		snprintf(prefix, sizeof prefix, "rank %d", sp_comm_rank(*world));
		sp_log_prefix(prefix);
		status = sp_cli_watch_start(*world, settings->backend.timeout, sp_cli_stop_flag());
	}
	return status;
}
