#include "config.h"

#include "cli/using.h"

#include "backend/comm.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/options.h"
#include "train/adopt.h"
#include "train/setup.h"
#include "use/open.h"

#include <stdio.h>
#include <string.h>

static int is_setting(const char *word)
{
	static const char *const sections[] = { "backend.", "parallel.", "model." };
	for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
		const size_t length = strlen(sections[i]);
		if (strncmp(word, sections[i], length) == 0)
			return word[length + strspn(word + length, "abcdefghijklmnopqrstuvwxyz_0123456789")] == '=';
	}
	return 0;
}

static int take_settings(char **argv, int *words, struct sp_settings *s)
{
	int status = SP_OK, kept = 0;
	for (int i = 1; i <= *words && !status; i++) {
		if (is_setting(argv[i]))
			status = sp_settings_word(s, argv[i]);
		else
			argv[++kept] = argv[i];
	}
	*words = kept;
	return status;
}

/* How attention crosses ranks may be chosen. */
static int is_of_attention(const char *name)
{
	static const char *const names[] = { "parallel.attention", "parallel.gather_chunk", "parallel.ring",
		                                   "parallel.ulysses", "parallel.overlap" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return 1;
	return 0;
}

/* Texts go to ranks as they come: there is no grid to choose. */
static int check_parallel(const char *command, const struct sp_settings *s)
{
	struct sp_setting_row row;
	for (size_t i = 0; !sp_settings_row(i, &row); i++)
		if (strncmp(row.name, "parallel.", 9) == 0 && !is_of_attention(row.name) && sp_settings_given(s, row.name))
			return sp_fail(SP_ERR_SETTING, "%s uses all ranks for its texts: leave out %s", command, row.name);
	return SP_OK;
}

static int check_kernel(const char *command, const struct sp_settings *s)
{
	if (s->backend.attention_kernel != SP_KERNEL_CUDNN)
		return SP_OK;
	return sp_fail(SP_ERR_SETTING, "%s computes in fp32, and cuDNN's attention in 16 bits alone: leave out backend.attention_kernel=cudnn",
	               command);
}

int sp_cli_using_settings(char **argv, int *words, struct sp_settings *s)
{
	sp_settings_default(s);
	int status = take_settings(argv, words, s);
	if (!status)
		status = check_parallel(argv[0], s);
	if (!status)
		status = check_kernel(argv[0], s);
	if (status)
		return status;
	if (*words == 0)
		return sp_fail(SP_ERR_SETTING, "%s: the directory of a model is missing; seqpar %s --help shows the usage",
		               argv[0], argv[0]);
	const int length = snprintf(s->checkpoint.init, sizeof s->checkpoint.init, "%s", argv[1]);
	if (length < 1 || length >= (int)sizeof s->checkpoint.init)
		return sp_fail(SP_ERR_SETTING, "\"%.40s...\" is no name of a directory", argv[1]);
	memmove(argv + 1, argv + 2, (size_t)(*words - 1) * sizeof *argv);
	(*words)--;
	return sp_adopt_model(s, s->checkpoint.init);
}

int sp_cli_using_open(int head, struct sp_cli_using *u)
{
	int status = sp_cli_open_world(&u->settings, 1, &u->world);
	if (status)
		return status;
	status = sp_setup_open_device(&u->settings, u->world, &u->compute);
	return status ? status : sp_use_open(&u->settings, u->compute, u->world, head, &u->use);
}

int sp_cli_using_end(struct sp_cli_using *u, int status)
{
	sp_use_close(&u->use);
	sp_setup_close_device(u->compute, u->world, status);
	return sp_cli_end(u->world, status);
}
