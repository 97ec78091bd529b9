/* Several samples in a sequence: each is what it would be alone, all of an epoch are there once, little is padding. */
#include "config.h"

#include "unit/data/token_files.h"

#include "base/size.h"
#include "data/pair.h"

enum { IDS = 1000, DOCUMENTS = 211 };

/* Token files of the tests:
 *   short    documents of one to four sentences of 3 .. 12 tokens
 *   mixed    documents of 1 .. 40 sentences, so that some are longer than a sample */
static int some_sentence(int document, int sentence, int sentences, uint16_t *ids)
{
	const int n = 3 + (document * 5 + sentence * 7) % 10;
	if (sentence >= sentences)
		return -1;
	for (int i = 0; i < n; i++)
		ids[i] = (uint16_t)(5 + (document * 31 + sentence * 17 + i * 3) % (IDS - 5));
	return n;
}

static int short_sentence(int document, int sentence, uint16_t *ids, int room)
{
	(void)room;
	return some_sentence(document, sentence, 1 + document % 4, ids);
}

static int mixed_sentence(int document, int sentence, uint16_t *ids, int room)
{
	(void)room;
	return some_sentence(document, sentence, 1 + document * 13 % 40, ids);
}

static int make_files(void **state)
{
	if (directory_make(state))
		return -1;
	vocabulary_make("words", IDS, 0);
	token_file_make("short", DOCUMENTS, short_sentence);
	token_file_make("mixed", DOCUMENTS, mixed_sentence);
	return 0;
}

static struct sp_dataset_options options_make(const char *source, int64_t length)
{
	static char vocab[PATH_MAX];
	snprintf(vocab, sizeof vocab, "%s", path_of("words"));
	return (struct sp_dataset_options){ .source = source, .vocab = vocab, .split = "949,50,1", .vocab_size = 1024,
		.length = length, .mask_prob = 0.15, .short_seq_prob = 0.3, .packing = 1, .seed = 1234 };
}

static struct sp_dataset *open_or_fail(const struct sp_dataset_options *o)
{
	struct sp_dataset *d = NULL;
	capture_begin(); /* of much padding is warned */
	const int status = sp_dataset_open(o, &d);
	capture_end();
	assert_int_equal(status, 0);
	return d;
}

static void draw(struct sp_dataset *d, enum sp_split split, uint64_t index, struct sp_sample *s)
{
	assert_int_equal(sp_dataset_sample(d, split, index, s), 0);
}

/* Tokens from `at` on of the same document. */
static int64_t document_size(const struct sp_sample *s, int64_t at)
{
	int64_t n = 0;
	while (at + n < s->length && s->doc[at + n] == s->doc[at])
		n++;
	return n;
}

/* Ids count the documents, positions begin anew in each, and behind the last there is nothing but padding. */
static void assert_laid_out(const struct sp_sample *s, int order)
{
	int64_t at = 0;
	for (int32_t doc = 0; at < s->length && s->doc[at] >= 0; doc++) {
		const int64_t n = document_size(s, at);
		assert_int_equal(s->doc[at], doc);
		assert_true(order ? s->order[at] == 0 || s->order[at] == 1 : s->order[at] == -1);
		for (int64_t i = 0; i < n; i++) {
			assert_int_equal(s->position[at + i], i);
			assert_true(i == 0 || s->order[at + i] == -1);
		}
		at += n;
	}
	assert_true(at > 0 && s->swapped == s->order[0]);
	for (; at < s->length; at++)
		assert_true(s->token[at] == 0 && s->position[at] == 0 && s->kind[at] == 0 && s->doc[at] == -1 &&
		            s->label[at] == -1 && s->order[at] == -1);
}

/* Whether the document at `at` of a sequence is, token by token, the sample `alone`. */
static int is_sample(const struct sp_sample *s, int64_t at, int64_t n, const struct sp_sample *alone)
{
	const size_t bytes = (size_t)n * sizeof(int32_t);
	return sample_used(alone) == n && s->order[at] == alone->swapped && !memcmp(s->token + at, alone->token, bytes) &&
	       !memcmp(s->kind + at, alone->kind, bytes) && !memcmp(s->label + at, alone->label, bytes);
}

static int64_t find(const struct sp_sample *s, int64_t at, int64_t n, const struct sp_sample *alone, const char *taken,
	int64_t samples)
{
	for (int64_t i = 0; i < samples; i++)
		if (!taken[i] && is_sample(s, at, n, &alone[i]))
			return i;
	fail_msg("a packed sample is none of the epoch's");
	return -1;
}

/* Epoch `epoch` of a split, packed, against the samples of that epoch without packing. Returns the share of padding. */
static double assert_epoch(struct sp_dataset *packed, struct sp_dataset *unpacked, const struct sp_dataset_options *o,
	int64_t longest, uint64_t epoch)
{
	const int64_t samples = sp_dataset_size(unpacked, SP_TRAIN), sequences = sp_dataset_size(packed, SP_TRAIN);
	struct sp_sample *alone = calloc((size_t)samples, sizeof *alone), s = sample_make(o->length);
	char *taken = calloc((size_t)samples, 1);
	int64_t seen = 0, tokens = 0;
	for (int64_t i = 0; i < samples; i++) {
		alone[i] = sample_make(longest);
		draw(unpacked, SP_TRAIN, epoch * (uint64_t)samples + (uint64_t)i, &alone[i]);
	}
	for (int64_t i = 0; i < sequences; i++) {
		draw(packed, SP_TRAIN, epoch * (uint64_t)sequences + (uint64_t)i, &s);
		assert_laid_out(&s, o->sentence_order);
		for (int64_t at = 0, n; at < s.length && s.doc[at] >= 0; at += n, seen++, tokens += n) {
			n = document_size(&s, at);
			taken[find(&s, at, n, alone, taken, samples)] = 1;
		}
	}
	assert_int_equal(seen, samples);
	for (int64_t i = 0; i < samples; i++)
		sample_free(&alone[i]);
	free(alone);
	free(taken);
	sample_free(&s);
	return 1 - (double)tokens / (double)(sequences * o->length);
}

/* In epoch 0 always; later where the cuts of unpacked samples do not move either. */
static void an_epoch_packed_is_that_of_samples_alone(void **state)
{
	static const struct {
		const char *file;
		int64_t length, longest;
		int order;
		double shorter;
	} cases[] = { { "short", 128, 128, 0, 0 }, { "short", 64, 64, 1, 0 }, { "mixed", 128, 128, 0, 0 },
		{ "mixed", 200, 61, 1, 0 }, { "mixed", 97, 97, 0, 0.3 }, { "short", 7, 7, 0, 0.3 }, { "short", 4097, 50, 1, 0.5 } };
	(void)state;
	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
		struct sp_dataset_options o = options_make(path_of(cases[k].file), cases[k].length), alone;
		o.sentence_order = cases[k].order;
		o.short_seq_prob = cases[k].shorter;
		o.longest = cases[k].longest;
		alone = o;
		alone.packing = 0;
		alone.length = cases[k].longest;
		struct sp_dataset *packed = open_or_fail(&o), *unpacked = open_or_fail(&alone);
		for (uint64_t epoch = 0; epoch < (cases[k].shorter > 0 ? 1 : 3); epoch++)
			assert_epoch(packed, unpacked, &o, cases[k].longest, epoch);
		sp_dataset_close(packed);
		sp_dataset_close(unpacked);
	}
}

static void short_documents_leave_little_padding(void **state)
{
	(void)state;
	struct sp_dataset_options o = options_make(path_of("short"), 128);
	o.split = "1,0,0";
	struct sp_dataset *packed = open_or_fail(&o);
	o.packing = 0;
	struct sp_dataset *unpacked = open_or_fail(&o);
	o.packing = 1;
	o.short_seq_prob = 0.3;
	assert_true(assert_epoch(packed, unpacked, &o, 128, 0) < 0.04); /* the last sequence is a fortieth of them */
	assert_true(sp_dataset_size(packed, SP_TRAIN) < sp_dataset_size(unpacked, SP_TRAIN) / 4);
	sp_dataset_close(packed);
	sp_dataset_close(unpacked);
}

/* Also where cuts are drawn. */
static void every_epoch_has_samples_of_the_same_lengths_in_other_company(void **state)
{
	(void)state;
	struct sp_dataset_options o = options_make(path_of("mixed"), 96);
	struct sp_dataset *d = open_or_fail(&o);
	const int64_t sequences = sp_dataset_size(d, SP_TRAIN);
	struct sp_sample s = sample_make(o.length);
	int64_t sum[3] = { 0 }, documents[3] = { 0 }, same = 0;
	int32_t first[3][64];
	for (uint64_t epoch = 0; epoch < 3; epoch++)
		for (int64_t i = 0; i < sequences; i++) {
			draw(d, SP_TRAIN, epoch * (uint64_t)sequences + (uint64_t)i, &s);
			const int64_t used = sample_used(&s);
			for (int64_t t = 0; t < used; t++)
				sum[epoch] += s.position[t]; /* n (n - 1) / 2 of each sample */
			documents[epoch] += s.doc[used - 1] + 1;
			if (i < 64)
				first[epoch][i] = original(&s, 1);
		}
	for (int i = 0; i < 64; i++)
		same += first[0][i] == first[1][i];
	assert_true(sequences >= 64 && same < 16);
	assert_int_equal(sum[0], sum[1]);
	assert_int_equal(sum[0], sum[2]);
	assert_int_equal(documents[0], documents[2]);
	sample_free(&s);
	sp_dataset_close(d);
}

static void a_sequence_does_not_depend_on_what_was_asked_before(void **state)
{
	(void)state;
	char source[3 * PATH_MAX], shorts[PATH_MAX];
	snprintf(shorts, sizeof shorts, "%s", path_of("short"));
	snprintf(source, sizeof source, "2:%s,1:%s", shorts, path_of("mixed"));
	struct sp_dataset_options o = options_make(source, 90);
	o.sentence_order = 1;
	struct sp_dataset *forward = open_or_fail(&o), *backward = open_or_fail(&o);
	const uint64_t n = 3 * (uint64_t)sp_dataset_size(forward, SP_TRAIN) + 5;
	struct sp_sample *s = calloc(n, sizeof *s), again = sample_make(o.length);
	for (uint64_t i = 0; i < n; i++) {
		s[i] = sample_make(o.length);
		draw(forward, SP_TRAIN, i, &s[i]);
		assert_laid_out(&s[i], 1);
	}
	for (uint64_t i = n; i-- > 0;) {
		draw(backward, i % 3 ? SP_TRAIN : SP_VALID, i, &again);
		draw(backward, SP_TRAIN, i, &again);
		assert_true(sample_equal(&s[i], &again));
		sample_free(&s[i]);
	}
	free(s);
	sample_free(&again);
	sp_dataset_close(forward);
	sp_dataset_close(backward);
}

static void synthetic_sequences_are_full_of_samples(void **state)
{
	(void)state;
	for (int order = 0; order < 2; order++) {
		struct sp_dataset_options o = options_make("synthetic", 101);
		o.sentence_order = order;
		o.short_seq_prob = 1;
		o.longest = 20;
		struct sp_dataset *d = open_or_fail(&o);
		struct sp_sample s = sample_make(o.length);
		int64_t documents = 0;
		for (uint64_t i = 0; i < 300; i++) {
			draw(d, SP_TRAIN, i, &s);
			assert_laid_out(&s, order);
			assert_true(sample_used(&s) >= o.length - order);
			for (int64_t at = 0, n; at < s.length && s.doc[at] >= 0; at += n, documents++) {
				n = document_size(&s, at);
				assert_true(n <= 20);
				assert_true(!order || (s.token[at] == 2 && s.label[at] == -1));
			}
		}
		assert_true(documents > 300 * 7);
		sample_free(&s);
		sp_dataset_close(d);
	}
}

static void positions_too_few_for_a_sample_are_refused(void **state)
{
	(void)state;
	struct sp_dataset *d = NULL;
	struct sp_dataset_options o = options_make(path_of("short"), 64);
	o.longest = 4;
	o.sentence_order = 1;
	capture_begin();
	const int status = sp_dataset_open(&o, &d);
	const char *said = capture_end();
	assert_int_equal(status, SP_ERR_SETTING);
	assert_non_null(strstr(said, "model.max_positions = 4: must be at least 5"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_epoch_packed_is_that_of_samples_alone),
		cmocka_unit_test(short_documents_leave_little_padding),
		cmocka_unit_test(every_epoch_has_samples_of_the_same_lengths_in_other_company),
		cmocka_unit_test(a_sequence_does_not_depend_on_what_was_asked_before),
		cmocka_unit_test(synthetic_sequences_are_full_of_samples),
		cmocka_unit_test(positions_too_few_for_a_sample_are_refused),
	};
	return cmocka_run_group_tests(tests, make_files, directory_remove);
}
