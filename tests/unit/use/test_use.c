/* Text to ids, masks filled, documents to vectors, on one rank. */
#include "config.h"

#include "support.h"

#include "base/log.h"
#include "unit/data/messages.h"
#include "unit/data/scratch.h"
#include "unit/use/small.h"
#include "use/embed.h"
#include "use/fill.h"
#include "use/tokens.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct sp_compute *compute;
static struct sp_comm *comm;
static struct sp_settings settings;
static struct sp_use use;

/* ---- tokens ---- */

static void assert_ids(const char *text, size_t size, const char *expected)
{
	struct sp_ids ids = { 0 };
	char seen[1024] = "";
	assert_int_equal(sp_use_tokens(&use, text, size, &ids), SP_OK);
	for (size_t i = 0; i < ids.count; i++) {
		strcat(seen, i ? " " : "");
		strcat(seen, sp_vocab_token(use.vocab, ids.id[i]));
	}
	free(ids.id);
	assert_string_equal(seen, expected);
}

static void special_tokens_stand_for_themselves_wherever_they_are(void **state)
{
	(void)state;
	assert_ids("The [MASK] sat.", 15, "[CLS] the [MASK] sat . [SEP]");
	assert_ids("", 0, "[CLS] [SEP]");
	assert_ids("[MASK]", 6, "[CLS] [MASK] [SEP]");
	assert_ids("cat[MASK][MASK]s", 16, "[CLS] cat [MASK] [MASK] [UNK] [SEP]");
	assert_ids("a[SEP]b[CLS]c[PAD]d[UNK]e", 25, "[CLS] a [SEP] b [CLS] c [PAD] d [UNK] e [SEP]");
	assert_ids("[mask] [MASK", 12, "[CLS] [ [UNK] ] [ [UNK] [SEP]");
	assert_ids("cats\xff\xc3", 6, "[CLS] cat ##s [SEP]");
}

static void bytes_that_are_not_utf8_are_counted(void **state)
{
	(void)state;
	assert_int_equal(sp_use_invalid("cats\xff\xc3", 6), 2);
	assert_int_equal(sp_use_invalid("c\xc3\xa4t", 4), 0);
	assert_int_equal(sp_use_invalid("", 0), 0);
}

/* ---- the best of a row ---- */

static void assert_same_guesses(const struct sp_fill_guess *a, const struct sp_fill_guess *b, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		assert_int_equal(a[i].id, b[i].id);
		assert_true(a[i].probability == b[i].probability);
	}
}

static void the_best_tokens_are_those_of_a_full_sort(void **state)
{
	(void)state;
	enum { ROWS = 300, TOKENS = 290 };
	float logits[ROWS];
	struct sp_fill_guess all[TOKENS], some[TOKENS];
	struct sp_rng rng;
	double sum = 0, total = 0;
	sp_rng_start(&rng, 3, SP_RNG_INIT, 0, 0);
	for (int i = 0; i < ROWS; i++)
		logits[i] = (float)((int)sp_rng_below(&rng, 60)) / 7 - 2; /* ties */
	for (int i = 0; i < ROWS; i++)
		sum += exp((double)logits[i]);
	assert_int_equal(sp_use_top(logits, ROWS, TOKENS, TOKENS, all), SP_OK);
	for (int i = 0; i < TOKENS; i++) {
		assert_true(fabs(all[i].probability - exp((double)logits[all[i].id]) / sum) < 1e-14);
		assert_true(i == 0 || logits[all[i - 1].id] > logits[all[i].id] ||
		            (logits[all[i - 1].id] == logits[all[i].id] && all[i - 1].id < all[i].id));
		total += all[i].probability;
	}
	assert_true(total < 1); /* the rows without a token have their share */
	for (int k = 1; k < TOKENS; k += 17) {
		assert_int_equal(sp_use_top(logits, ROWS, TOKENS, k, some), SP_OK);
		assert_same_guesses(some, all, k);
	}
}

static void logits_that_are_not_finite_are_an_error(void **state)
{
	const float bad[2][3] = { { 1, NAN, 2 }, { 1, INFINITY, 2 } };
	struct sp_fill_guess guess;
	(void)state;
	messages_start();
	assert_int_equal(sp_use_top(bad[0], 3, 3, 1, &guess), SP_ERR_NUMERIC);
	assert_int_equal(sp_use_top(bad[1], 3, 3, 1, &guess), SP_ERR_NUMERIC);
	const char *said = messages_end();
	assert_non_null(strstr(said, "not finite"));
}

/* ---- masks ---- */

static int fill(const char *text, int64_t k, struct sp_fill *f)
{
	struct sp_ids ids = { 0 };
	assert_int_equal(sp_use_tokens(&use, text, strlen(text), &ids), SP_OK);
	int status = sp_use_fill(&use, &(struct sp_use_document){ ids.id, (int64_t)ids.count }, k, f);
	free(ids.id);
	return status;
}

static void each_mask_gets_its_tokens(void **state)
{
	struct sp_fill f, one;
	(void)state;
	assert_int_equal(fill("the [MASK] sat on a [MASK].", SMALL_TOKENS, &f), SP_OK);
	assert_int_equal(f.masks, 2);
	assert_int_equal(f.position[0], 2);
	assert_int_equal(f.position[1], 6);
	for (int64_t i = 0; i < 2; i++) {
		double total = 0;
		for (int64_t j = 0; j < f.k; j++)
			total += f.guess[i * f.k + j].probability;
		assert_true(total > 0.1 && total < 1); /* two rows have no token */
	}
	assert_true(f.guess[0].probability != f.guess[f.k].probability);
	assert_int_equal(fill("the [MASK] sat on a [MASK].", 1, &one), SP_OK);
	assert_same_guesses(&one.guess[0], &f.guess[0], 1);
	assert_same_guesses(&one.guess[1], &f.guess[f.k], 1);
	sp_use_fill_free(&one);
	sp_use_fill_free(&f);
}

static void what_cannot_be_filled_is_refused_with_the_remedy(void **state)
{
	char text[4 * SMALL_POSITIONS] = "[MASK]";
	struct sp_fill f;
	(void)state;
	for (int i = 0; i < SMALL_POSITIONS - 3; i++)
		strcat(text, " a");
	assert_int_equal(fill(text, 5, &f), SP_OK);
	sp_use_fill_free(&f);
	strcat(text, " a");
	messages_start();
	assert_int_equal(fill("the cat", 5, &f), SP_ERR_SETTING);
	assert_int_equal(fill("[MASK]", 0, &f), SP_ERR_SETTING);
	assert_int_equal(fill("[MASK]", SMALL_TOKENS + 1, &f), SP_ERR_SETTING);
	assert_int_equal(fill(text, 5, &f), SP_ERR_ARGUMENT);
	const char *said = messages_end();
	assert_non_null(strstr(said, "no [MASK]"));
	assert_non_null(strstr(said, "1 to 22"));
	assert_non_null(strstr(said, "model.max_positions = 150"));
	assert_non_null(strstr(said, "model.extend_positions"));
}

/* ---- vectors ---- */

enum { MOST_VECTORS = 2100 };

static struct {
	int64_t count, tokens[MOST_VECTORS], truncated[MOST_VECTORS];
	float value[MOST_VECTORS][SMALL_HIDDEN];
	int64_t stop_at;
} seen;

static int see(void *context, const struct sp_vectors_row *row)
{
	assert_null(context);
	assert_true(seen.count < MOST_VECTORS);
	assert_int_equal(row->index, seen.count);
	seen.tokens[seen.count] = row->tokens;
	seen.truncated[seen.count] = row->truncated;
	memcpy(seen.value[seen.count++], row->value, sizeof *seen.value);
	return seen.count == seen.stop_at ? SP_ERR_IO : SP_OK;
}

static int embed(const char *text, size_t size, struct sp_embed_options options, int per_line,
                 struct sp_embed_counts *counts)
{
	const char *path = scratch_write("t.txt", text, size);
	const struct sp_text_options reading = { .document_per_line = per_line };
	struct sp_text *reader;
	seen.count = 0;
	options.put = see;
	assert_int_equal(sp_text_open(&path, 1, &reading, &reader), SP_OK);
	int status = sp_use_embed(&use, reader, &options, counts);
	sp_text_close(reader);
	return status;
}

static double distance(int64_t a, int64_t b)
{
	double reference[SMALL_HIDDEN];
	for (int j = 0; j < SMALL_HIDDEN; j++)
		reference[j] = (double)seen.value[b][j];
	return relative_l2(seen.value[a], reference, SMALL_HIDDEN);
}

/* The last hidden states of one document by itself: (tokens, hidden). */
static int64_t states_of(const char *text, float *states)
{
	struct sp_ids ids = { 0 };
	struct sp_use_states s;
	assert_int_equal(sp_wordpiece_encode(use.wordpiece, text, strlen(text), &ids), SP_OK);
	int32_t all[SMALL_POSITIONS];
	const int64_t n = (int64_t)ids.count + 2;
	all[0] = sp_vocab_special(use.vocab, SP_CLS);
	memcpy(all + 1, ids.id, ids.count * sizeof *all);
	all[n - 1] = sp_vocab_special(use.vocab, SP_SEP);
	free(ids.id);
	assert_int_equal(sp_use_encode(&use, &(struct sp_use_document){ all, n }, 1, 0, &s), SP_OK);
	memcpy(states, s.hidden.data, (size_t)n * SMALL_HIDDEN * sizeof *states);
	return n;
}

static void vectors_are_means_of_hidden_states_or_that_of_cls(void **state)
{
	static const char *const documents[] = { "The cat sat on a mat.", "a", "b c d e f [MASK] the cats, on a mat! sat sat",
		                                     "the" };
	static const char text[] = "The cat sat\non a mat.\n\na\n\n\nb c d e f [MASK] the cats, on a mat! sat sat\n \nthe\n";
	(void)state;
	for (int64_t budget = 1; budget < 100; budget += 7)
		for (int pool = 0; pool < 2; pool++) {
			const struct sp_embed_options options = { .pool = (enum sp_embed_pool)pool, .budget = budget };
			struct sp_embed_counts counts;
			int64_t all = 0;
			assert_int_equal(embed(text, sizeof text - 1, options, 0, &counts), SP_OK);
			assert_int_equal(counts.documents, 4);
			assert_int_equal(seen.count, 4);
			for (int d = 0; d < 4; d++) {
				float states[SMALL_POSITIONS * SMALL_HIDDEN];
				double expected[SMALL_HIDDEN] = { 0 };
				const int64_t n = states_of(documents[d], states);
				for (int64_t t = 0; t < (pool ? 1 : n); t++)
					for (int j = 0; j < SMALL_HIDDEN; j++)
						expected[j] += (double)states[t * SMALL_HIDDEN + j] / (double)(pool ? 1 : n);
				assert_int_equal(seen.tokens[d], n);
				assert_true(relative_l2(seen.value[d], expected, SMALL_HIDDEN) < 2e-6);
				all += n;
			}
			assert_int_equal(counts.tokens, all);
		}
}

static void an_empty_line_is_the_vector_of_no_words(void **state)
{
	const struct sp_embed_options options = { .budget = 64 };
	struct sp_embed_counts counts;
	(void)state;
	assert_int_equal(embed("the cat\n\n\x01\n\n", 12, options, 1, &counts), SP_OK);
	assert_int_equal(counts.documents, 4);
	for (int i = 1; i < 4; i++) {
		assert_int_equal(seen.tokens[i], 2);
		assert_true(distance(i, 1) < 2e-6);
	}
	assert_int_equal(seen.tokens[0], 4);
	assert_int_equal(embed("", 0, options, 0, &counts), SP_OK);
	assert_int_equal(counts.documents, 0);
}

/* More documents than a window holds, the first of the second window a long one, and windows that fill by tokens. */
static void windows_lose_nothing(void **state)
{
	enum { DOCUMENTS = 2080, LONG = 400 };
	static char text[DOCUMENTS * 12 + 3 * 2 * LONG];
	struct sp_embed_counts counts;
	(void)state;
	for (int64_t budget = 3; budget < 10000; budget *= 10) {
		size_t used = 0;
		for (int d = 0; d < DOCUMENTS; d++) {
			const int words = d % 1024 == 0 ? LONG : d % 3 + 1;
			for (int w = 0; w < words; w++)
				used += (size_t)sprintf(text + used, "%c ", 'b' + (d + w) % 5);
			text[used++] = '\n';
		}
		const struct sp_embed_options options = { .budget = budget, .truncate = 1 };
		assert_int_equal(embed(text, used, options, 1, &counts), SP_OK);
		assert_int_equal(counts.documents, DOCUMENTS);
		assert_int_equal(counts.truncated, 3);
		for (int d = 0; d < DOCUMENTS; d++) {
			assert_int_equal(seen.truncated[d], d % 1024 == 0);
			assert_int_equal(seen.tokens[d], d % 1024 == 0 ? SMALL_POSITIONS : d % 3 + 3);
		}
		assert_true(distance(1, 16) < 2e-6); /* the same words */
		assert_true(distance(1, 2) > 1e-2);
	}
}

static void documents_too_long_are_an_error_unless_cut(void **state)
{
	const struct sp_embed_options options = { .budget = 64 };
	char text[2 * SMALL_POSITIONS + 20] = "the\n\n";
	struct sp_embed_counts counts;
	(void)state;
	for (int i = 0; i < SMALL_POSITIONS - 2; i++)
		strcat(text, "b ");
	assert_int_equal(embed(text, strlen(text), options, 0, &counts), SP_OK);
	assert_int_equal(seen.tokens[1], SMALL_POSITIONS);
	strcat(text, "b");
	messages_start();
	assert_int_equal(embed(text, strlen(text), options, 0, &counts), SP_ERR_ARGUMENT);
	const char *said = messages_end();
	assert_non_null(strstr(said, "document 2 has more tokens than model.max_positions = 150"));
	assert_non_null(strstr(said, "--truncate"));
}

static void a_failure_to_write_ends_the_work(void **state)
{
	const struct sp_embed_options options = { .budget = 64 };
	struct sp_embed_counts counts;
	(void)state;
	seen.stop_at = 2;
	assert_int_equal(embed("a\n\nb\n\nc\n", 8, options, 0, &counts), SP_ERR_IO);
	assert_int_equal(seen.count, 2);
	seen.stop_at = 0;
}

static void a_stop_is_obeyed(void **state)
{
	static const volatile sig_atomic_t stop = 1;
	const struct sp_embed_options options = { .budget = 64, .stop = &stop };
	struct sp_embed_counts counts;
	(void)state;
	assert_int_equal(embed("a\n", 2, options, 0, &counts), SP_ERR_STOPPED);
	assert_int_equal(seen.count, 0);
}

/* ---- files of vectors ---- */

static size_t contents(const char *path, char *bytes, size_t room)
{
	FILE *file = fopen(path, "rb");
	assert_non_null(file);
	const size_t size = fread(bytes, 1, room, file);
	fclose(file);
	return size;
}

static void an_array_has_a_head_that_numpy_reads(void **state)
{
	static const float rows[3][2] = { { 1, -2 }, { 3.25F, 1e-30F }, { 5, 6 } };
	const char *path = scratch_path("v.npy");
	char bytes[512], head[128];
	struct sp_vectors *v;
	(void)state;
	for (int n = 0; n <= 3; n++) {
		assert_int_equal(sp_vectors_open(path, SP_VECTORS_NPY, 2, &v), SP_OK);
		for (int i = 0; i < n; i++)
			assert_int_equal(sp_vectors_put(v, &(struct sp_vectors_row){ i, 4, 0, rows[i] }), SP_OK);
		assert_int_equal(sp_vectors_finish(v), SP_OK);
		sp_vectors_close(v);
		assert_int_equal(contents(path, bytes, sizeof bytes), 128 + (size_t)n * 8);
		assert_memory_equal(bytes, "\x93NUMPY\x01\x00\x76\x00", 10);
		snprintf(head, sizeof head, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 2), }", n);
		assert_memory_equal(bytes + 10, head, strlen(head));
		assert_int_equal(bytes[127], '\n');
		assert_memory_equal(bytes + 128, rows, (size_t)n * 8);
	}
}

static void lines_hold_the_same_floats(void **state)
{
	static const float row[3] = { 1.0F / 3, -1e-38F, 16777217.0F };
	const char *path = scratch_path("v.jsonl");
	char bytes[512] = "";
	float back[3];
	struct sp_vectors *v;
	(void)state;
	assert_int_equal(sp_vectors_open(path, SP_VECTORS_JSONL, 3, &v), SP_OK);
	assert_int_equal(sp_vectors_put(v, &(struct sp_vectors_row){ 0, 7, 1, row }), SP_OK);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(sp_vectors_finish(v), SP_OK);
	sp_vectors_close(v);
	contents(path, bytes, sizeof bytes - 1);
	assert_int_equal(sscanf(bytes, "{\"index\": 0, \"tokens\": 7, \"truncated\": true, \"vector\": [%f, %f, %f]}\n", &back[0],
	                        &back[1], &back[2]), 3);
	assert_memory_equal(back, row, sizeof row);
}

static void without_an_end_nothing_is_left(void **state)
{
	static const float row[1] = { 1 };
	struct sp_vectors *v;
	(void)state;
	assert_int_equal(sp_vectors_open(scratch_path("gone"), SP_VECTORS_NPY, 1, &v), SP_OK);
	assert_int_equal(sp_vectors_put(v, &(struct sp_vectors_row){ 0, 1, 0, row }), SP_OK);
	sp_vectors_close(v);
	char name[600];
	snprintf(name, sizeof name, "%s.tmp.%ld", scratch_path("gone"), (long)getpid());
	assert_int_equal(access(scratch_path("gone"), F_OK), -1);
	assert_int_equal(access(name, F_OK), -1);
	messages_start();
	assert_int_equal(sp_vectors_open(scratch_path("no/such/place"), SP_VECTORS_NPY, 1, &v), SP_ERR_IO);
	assert_int_equal(sp_vectors_open(scratch, SP_VECTORS_NPY, 1, &v), SP_ERR_IO);
	const char *said = messages_end();
	assert_non_null(strstr(said, "not a regular file"));
}

/* ---- opening ---- */

static void a_vocabulary_larger_than_the_word_table_is_refused(void **state)
{
	struct sp_use_options options = {
		.compute = compute, .world = comm, .settings = &settings, .config = small_config(0),
	};
	struct sp_use refused;
	(void)state;
	options.config.vocab_size = SMALL_TOKENS - 1;
	assert_int_equal(sp_vocab_parse("small", small_words, sizeof small_words - 1, &options.vocab), SP_OK);
	messages_start();
	assert_int_equal(sp_use_create(&options, &refused), SP_ERR_FORMAT);
	const char *said = messages_end();
	assert_non_null(strstr(said, "22 tokens, but the model's word table 21 rows"));
}

static int open_all(void **state)
{
	const struct sp_compute_options one = { .threads = 1 };
	(void)state;
	sp_settings_default(&settings);
	scratch_make();
	return sp_compute_open("cpu", &one, &compute) || sp_comm_open("self", 1, &comm) ||
	       small_open(compute, comm, &settings, 0, &use);
}

static int close_all(void **state)
{
	(void)state;
	sp_use_close(&use);
	sp_comm_close(comm);
	sp_compute_close(compute);
	scratch_remove();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(special_tokens_stand_for_themselves_wherever_they_are),
		cmocka_unit_test(bytes_that_are_not_utf8_are_counted),
		cmocka_unit_test(the_best_tokens_are_those_of_a_full_sort),
		cmocka_unit_test(logits_that_are_not_finite_are_an_error),
		cmocka_unit_test(each_mask_gets_its_tokens),
		cmocka_unit_test(what_cannot_be_filled_is_refused_with_the_remedy),
		cmocka_unit_test(vectors_are_means_of_hidden_states_or_that_of_cls),
		cmocka_unit_test(an_empty_line_is_the_vector_of_no_words),
		cmocka_unit_test(windows_lose_nothing),
		cmocka_unit_test(documents_too_long_are_an_error_unless_cut),
		cmocka_unit_test(a_failure_to_write_ends_the_work),
		cmocka_unit_test(a_stop_is_obeyed),
		cmocka_unit_test(an_array_has_a_head_that_numpy_reads),
		cmocka_unit_test(lines_hold_the_same_floats),
		cmocka_unit_test(without_an_end_nothing_is_left),
		cmocka_unit_test(a_vocabulary_larger_than_the_word_table_is_refused),
	};
	return cmocka_run_group_tests(tests, open_all, close_all);
}
