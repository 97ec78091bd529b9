/* A trained model put to use by several ranks: masks and vectors are those of one rank, whichever documents are split and
 * whichever rank works on the others. */
#include "config.h"

#include "support.h"

#include "ranks/ranks.h"
#include "unit/data/scratch.h"
#include "unit/use/small.h"
#include "use/embed.h"
#include "use/fill.h"
#include "use/tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct test_ranks ranks;

enum { MOST = 1400 };

struct vectors {
	int64_t count;
	float value[MOST][SMALL_HIDDEN];
};

static int keep(void *context, const struct sp_vectors_row *row)
{
	struct vectors *v = context;
	if (v->count == MOST || row->index != v->count)
		return SP_ERR_ARGUMENT;
	memcpy(v->value[v->count++], row->value, sizeof *v->value);
	return SP_OK;
}

/* The documents of a file, a line each, by all ranks of `world`. */
static int embed(struct sp_comm *world, const struct sp_settings *settings, int pre_norm, const char *path,
                 struct sp_embed_options options, struct vectors *v)
{
	const struct sp_text_options reading = { .document_per_line = 1 };
	struct sp_embed_counts counts;
	struct sp_text *text = NULL;
	struct sp_use use;
	int status = small_open(ranks.compute, world, settings, pre_norm, &use);
	if (status)
		return status;
	v->count = 0;
	options.put = keep;
	options.context = v;
	if (sp_comm_rank(world) == 0)
		status = sp_text_open(&path, 1, &reading, &text);
	if (!status)
		status = sp_use_embed(&use, text, &options, &counts);
	sp_text_close(text);
	sp_use_close(&use);
	return status;
}

static int differ(const struct vectors *a, const struct vectors *b)
{
	if (a->count != b->count)
		return 1;
	for (int64_t d = 0; d < a->count; d++) {
		const struct test_norms n = test_ranks_compare(a->value[d], b->value[d], SMALL_HIDDEN);
		if (n.difference <= 2e-6 * n.reference)
			continue;
		fprintf(stderr, "document %lld: the vector differs by %g of %g\n", (long long)d, n.difference, n.reference);
		return 1;
	}
	return 0;
}

/* Lines of 0 to 140 words, so that budgets in between split some and batch others. */
static const char *write_text(int documents)
{
	static char text[MOST * 300];
	size_t used = 0;
	for (int d = 0; d < documents; d++) {
		const int words = documents > 100 ? d * 7 % 5 : d * 31 % 141;
		for (int w = 0; w < words; w++)
			used += (size_t)sprintf(text + used, "%c ", 'a' + (d + w) % 6);
		text[used++] = '\n';
	}
	return scratch_write("documents.txt", text, used);
}

static void vectors_are_those_of_one_rank(void **state)
{
	static const int64_t budgets[] = { 1, 20, 64, 100, 5000 };
	static struct vectors split, whole;
	(void)state;
	struct sp_settings settings;
	sp_settings_default(&settings);
	const char *path = write_text(23);
	int bad = 0;
	for (int i = 0; i < 20; i++) {
		const struct sp_embed_options options = { .pool = i % 2 ? SP_POOL_CLS : SP_POOL_MEAN, .budget = budgets[i / 4] };
		bad |= embed(ranks.world, &settings, i / 2 % 2, path, options, &split) != 0;
		bad |= embed(ranks.alone, &settings, i / 2 % 2, path, options, &whole) != 0;
		bad |= whole.count != 23 || (ranks.rank == 0 && differ(&split, &whole));
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

static void many_short_documents_are_shared_out(void **state)
{
	static struct vectors split, whole;
	(void)state;
	struct sp_settings settings;
	sp_settings_default(&settings);
	const char *path = write_text(MOST);
	const struct sp_embed_options options = { .budget = 50 };
	int bad = embed(ranks.world, &settings, 0, path, options, &split) != 0;
	bad |= embed(ranks.alone, &settings, 0, path, options, &whole) != 0;
	bad |= whole.count != MOST || (ranks.rank == 0 && differ(&split, &whole));
	assert_false(test_ranks_agree(&ranks, bad));
}

static void all_ranks_return_the_error_of_the_one_that_reads(void **state)
{
	static struct vectors v;
	(void)state;
	struct sp_settings settings;
	sp_settings_default(&settings);
	char line[400] = "";
	for (int i = 0; i < 160; i++)
		strcat(line, "a ");
	const char *path = scratch_write("long.txt", line, strlen(line));
	const struct sp_embed_options options = { .budget = 50 };
	int bad = embed(ranks.world, &settings, 0, path, options, &v) != SP_ERR_ARGUMENT;
	assert_false(test_ranks_agree(&ranks, bad));
}

/* The ids come from rank 0 alone. */
static int fill(struct sp_comm *world, const struct sp_settings *settings, int pre_norm, const char *text, int64_t k,
                struct sp_fill *f)
{
	struct sp_ids ids = { 0 };
	struct sp_use use;
	int status = small_open(ranks.compute, world, settings, pre_norm, &use);
	if (status)
		return status;
	if (sp_comm_rank(world) == 0)
		status = sp_use_tokens(&use, text, strlen(text), &ids);
	status = sp_use_share(&use, status, &ids);
	if (!status)
		status = sp_use_fill(&use, &(struct sp_use_document){ ids.id, (int64_t)ids.count }, k, f);
	free(ids.id);
	sp_use_close(&use);
	return status;
}

static int fills_differ(const struct sp_fill *a, const struct sp_fill *b)
{
	if (a->masks != b->masks)
		return 1;
	for (int64_t i = 0; i < a->masks * a->k; i++)
		if (a->guess[i].id != b->guess[i].id ||
		    !(fabs(a->guess[i].probability - b->guess[i].probability) <= 1e-5 * b->guess[i].probability)) {
			fprintf(stderr, "rank %d, guess %lld: %d %.9g, alone %d %.9g\n", ranks.rank, (long long)i, (int)a->guess[i].id,
			        a->guess[i].probability, (int)b->guess[i].id, b->guess[i].probability);
			return 1;
		}
	return 0;
}

/* A mask in every seventh place of texts of many lengths: ranks with several, one and none. */
static void guesses_are_those_of_one_rank_on_all_ranks(void **state)
{
	static const int lengths[] = { 1, 2, 8, 60, 148 };
	(void)state;
	struct sp_settings settings;
	sp_settings_default(&settings);
	int bad = 0;
	for (int i = 0; i < 10; i++) {
		struct sp_fill split = { 0 }, whole = { 0 };
		char text[2000] = "";
		for (int w = 0; w < lengths[i / 2]; w++)
			sprintf(text + strlen(text), w % 7 == 0 ? "[MASK] " : "%c ", 'a' + w % 6);
		bad |= fill(ranks.world, &settings, i % 2, text, 4, &split) != 0;
		bad |= fill(ranks.alone, &settings, i % 2, text, 4, &whole) != 0;
		bad |= bad || fills_differ(&split, &whole);
		sp_use_fill_free(&split);
		sp_use_fill_free(&whole);
	}
	assert_false(test_ranks_agree(&ranks, bad));
}

static void full_attention_is_refused_where_texts_are_split(void **state)
{
	(void)state;
	struct sp_settings settings;
	struct sp_use use;
	sp_settings_default(&settings);
	strcpy(settings.parallel.attention, "full");
	int status = small_open(ranks.compute, ranks.world, &settings, 0, &use);
	if (!status)
		sp_use_close(&use);
	assert_false(test_ranks_agree(&ranks, status != (ranks.size > 1 ? SP_ERR_SETTING : SP_OK)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_are_those_of_one_rank),
		cmocka_unit_test(many_short_documents_are_shared_out),
		cmocka_unit_test(all_ranks_return_the_error_of_the_one_that_reads),
		cmocka_unit_test(guesses_are_those_of_one_rank_on_all_ranks),
		cmocka_unit_test(full_attention_is_refused_where_texts_are_split),
	};
	int rc = test_ranks_open(&ranks);
	if (rc)
		return rc;
	scratch_make();
	int failed = test_ranks_agree(&ranks, cmocka_run_group_tests(tests, NULL, NULL));
	scratch_remove();
	test_ranks_close(&ranks);
	return failed;
}
