/* seqpar fill-mask: the most probable tokens in place of each [MASK]. */
#include "config.h"

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/using.h"

#include "base/log.h"
#include "use/fill.h"
#include "use/tokens.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char about[] =
	"usage: seqpar fill-mask DIR [TEXT] [-k N] [--json] [section.key=value]...\n"
	"       mpirun -n RANKS seqpar fill-mask DIR ...\n\n"
	"Prints the most probable tokens for each [MASK] of the text (from standard input if TEXT is - or absent), with\n"
	"their probabilities, by the model in DIR: a checkpoint, or a directory in Hugging Face's layout. With several ranks\n"
	"the text is split over all of them. Settings of the sections backend and model may follow.\n\n";

/* ---- the text ---- */

static int read_all(FILE *file, char **text, size_t *size)
{
	size_t room = 0;
	*text = NULL;
	*size = 0;
	do {
		room = room ? 2 * room : 1 << 16;
		char *more = realloc(*text, room);
		if (!more) {
			free(*text);
			return sp_fail(SP_ERR_MEMORY, "no memory for a text of %zu bytes", room);
		}
		*text = more;
		*size += fread(*text + *size, 1, room - *size, file);
	} while (*size == room);
	if (!ferror(file))
		return SP_OK;
	free(*text);
	return sp_fail(SP_ERR_IO, "standard input: cannot read it: %s", strerror(errno));
}

static int tokenize(struct sp_use *use, const char *word, struct sp_ids *ids)
{
	char *text = NULL;
	size_t size;
	int status = SP_OK;
	if (!word || strcmp(word, "-") == 0) {
		status = read_all(stdin, &text, &size);
		word = text;
	} else {
		size = strlen(word);
	}
	if (status)
		return status;
	const int64_t invalid = sp_use_invalid(word, size);
	if (invalid)
		sp_log(SP_LOG_WARNING, "%lld bytes of the text are not UTF-8 and were left out", (long long)invalid);
	status = sp_use_tokens(use, word, size, ids);
	free(text);
	return status;
}

/* ---- the answer ---- */

static void print(const struct sp_use *use, const struct sp_fill *fill)
{
	for (int64_t i = 0; i < fill->masks; i++) {
		printf("[MASK] at token %lld\n", (long long)fill->position[i]);
		for (int64_t j = 0; j < fill->k; j++) {
			const struct sp_fill_guess *g = &fill->guess[i * fill->k + j];
			printf("  %.6f  %s\n", g->probability, sp_vocab_token(use->vocab, g->id));
		}
	}
}

/* A vocabulary may hold what JSON cannot. */
static json_t *token_text(const char *token)
{
	json_t *text = json_string(token);
	return text ? text : json_string("\xEF\xBF\xBD");
}

static json_t *guesses(const struct sp_use *use, const struct sp_fill *fill, int64_t mask)
{
	json_t *list = json_array();
	for (int64_t j = 0; j < fill->k; j++) {
		const struct sp_fill_guess *g = &fill->guess[mask * fill->k + j];
		json_array_append_new(list, json_pack("{s:o, s:i, s:f}", "token", token_text(sp_vocab_token(use->vocab, g->id)),
		                                      "id", (int)g->id, "probability", g->probability));
	}
	return list;
}

static int print_json(const struct sp_use *use, const struct sp_fill *fill, int64_t tokens)
{
	json_t *masks = json_array(), *all = json_pack("{s:I, s:o}", "tokens", (json_int_t)tokens, "masks", masks);
	for (int64_t i = 0; all && i < fill->masks; i++)
		json_array_append_new(masks, json_pack("{s:I, s:o}", "position", (json_int_t)fill->position[i], "predictions",
		                                       guesses(use, fill, i)));
	if (!all || json_array_size(masks) != (size_t)fill->masks || json_dumpf(all, stdout, 0) != 0) {
		json_decref(all);
		return sp_fail(SP_ERR_MEMORY, "no memory to print %lld masks", (long long)fill->masks);
	}
	json_decref(all);
	putchar('\n');
	return SP_OK;
}

static int run(struct sp_use *use, const char *word, int64_t k, int json)
{
	struct sp_ids ids = { 0 };
	struct sp_fill fill = { 0 };
	int status = sp_comm_rank(use->world) == 0 ? tokenize(use, word, &ids) : SP_OK;
	status = sp_use_share(use, status, &ids);
	if (!status)
		status = sp_use_fill(use, &(struct sp_use_document){ ids.id, (int64_t)ids.count }, k, &fill);
	if (!status && json)
		status = print_json(use, &fill, (int64_t)ids.count);
	else if (!status)
		print(use, &fill);
	sp_use_fill_free(&fill);
	free(ids.id);
	return status;
}

int sp_cli_fill_mask(int argc, char **argv)
{
	struct sp_cli_using u = { .world = NULL };
	int64_t k = 5;
	int json = 0, words;
	const struct sp_cli_flag flags[] = {
		{ "top-k", 'k', SP_CLI_COUNT, &k, "N", "how many tokens for each [MASK] (default 5)", 1, INT32_MAX },
		{ "json", 0, SP_CLI_FLAG, &json, NULL, "one JSON object instead of lines to read", 0, 0 },
		{ 0 },
	};
	enum sp_cli_verdict verdict = sp_cli_flags(argc, argv, about, flags, &words);
	if (verdict != SP_CLI_GO_ON)
		return verdict == SP_CLI_HELPED ? SP_EXIT_DONE : SP_EXIT_USAGE;
	int status = sp_cli_using_settings(argv, &words, &u.settings);
	if (!status && words > 1)
		status = sp_fail(SP_ERR_SETTING, "fill-mask takes one text; put \"%.40s ...\" in quotes", argv[1]);
	if (!status)
		status = sp_cli_using_open(1, &u);
	if (!status)
		status = run(&u.use, words ? argv[1] : NULL, k, json);
	return sp_cli_using_end(&u, status);
}
