#include "config.h"

#include "unit/data/token_files.h"

#include "base/size.h"
#include "data/pair.h"

enum { IDS = 1000, DOCUMENTS = 200 };

/* Token files of the tests:
 *   owned    document d has only the ids 5 + 4 d .. 8 + 4 d, so that a sample shows its document; 1 .. 12 sentences
 *   counted  four sentences of ten tokens, the k-th token of the document being 5 + k: a sample shows places and order
 *   pairs    two sentences of forty tokens, numbered alike
 *   single   one sentence of 300 tokens, numbered alike
 *   uneven   id 5 half of the time, 6 and 7 a quarter, in the first half of the documents; 8 only in the second half */
static int owned_sentence(int document, int sentence, uint16_t *ids, int room)
{
	const int n = 1 + (document * 7 + sentence * 5) % 23;
	(void)room;
	if (sentence > document % 12)
		return -1;
	for (int i = 0; i < n; i++)
		ids[i] = (uint16_t)(5 + 4 * document + (i + sentence) % 4);
	return n;
}

static int numbered(int sentence, int sentences, int size, uint16_t *ids)
{
	if (sentence >= sentences)
		return -1;
	for (int i = 0; i < size; i++)
		ids[i] = (uint16_t)(5 + sentence * size + i);
	return size;
}

static int counted_sentence(int document, int sentence, uint16_t *ids, int room)
{
	(void)document;
	(void)room;
	return numbered(sentence, 4, 10, ids);
}

static int pairs_sentence(int document, int sentence, uint16_t *ids, int room)
{
	(void)document;
	(void)room;
	return numbered(sentence, 2, 40, ids);
}

static int single_sentence(int document, int sentence, uint16_t *ids, int room)
{
	(void)document;
	(void)room;
	return numbered(sentence, 1, 300, ids);
}

static int uneven_sentence(int document, int sentence, uint16_t *ids, int room)
{
	(void)room;
	if (sentence > 0)
		return -1;
	for (int i = 0; i < 8; i++)
		ids[i] = (uint16_t)(document >= DOCUMENTS / 2 ? 8 : i < 4 ? 5 : 6 + i % 2);
	return 8;
}

static int large_id_sentence(int document, int sentence, uint16_t *ids, int room)
{
	(void)room;
	ids[0] = document == 3 ? IDS : 5;
	return sentence ? -1 : 1;
}

static int empty_sentence(int document, int sentence, uint16_t *ids, int room)
{
	(void)document;
	(void)ids;
	(void)room;
	return sentence ? -1 : 0;
}

static int make_files(void **state)
{
	if (directory_make(state))
		return -1;
	vocabulary_make("words", IDS, 0);
	vocabulary_make("pieces", IDS, 3);
	vocabulary_make("few", 5, 0);
	token_file_make("owned", DOCUMENTS, owned_sentence);
	token_file_make("counted", DOCUMENTS, counted_sentence);
	token_file_make("pairs", DOCUMENTS, pairs_sentence);
	token_file_make("single", DOCUMENTS, single_sentence);
	token_file_make("uneven", DOCUMENTS, uneven_sentence);
	token_file_make("large_id", 10, large_id_sentence);
	token_file_make("empty", 10, empty_sentence);
	token_file_make("two", 2, counted_sentence);
	return 0;
}

static struct sp_dataset_options options_make(const char *source, int64_t length)
{
	static char vocab[PATH_MAX];
	snprintf(vocab, sizeof vocab, "%s", path_of("words"));
	return (struct sp_dataset_options){ .source = source, .vocab = vocab, .split = "949,50,1", .vocab_size = 1024,
		.length = length, .mask_prob = 0.15, .short_seq_prob = 0.1, .sentence_order = 0, .seed = 1234 };
}

static struct sp_dataset *open_or_fail(const struct sp_dataset_options *o)
{
	struct sp_dataset *d = NULL;
	capture_begin(); /* what is left out, such as documents of one token, is warned of */
	int status = sp_dataset_open(o, &d);
	capture_end();
	assert_int_equal(status, 0);
	return d;
}

/* Everything the contract says about one sample of a token file. */
static void assert_valid(const struct sp_sample *s, int order, double mask_prob)
{
	const int64_t used = sample_used(s);
	int64_t seps = 0, predicted = 0;
	assert_true(used >= (order ? 5 : 3));
	assert_int_equal(s->token[0], 2);
	assert_int_equal(s->token[used - 1], 3);
	for (int64_t i = 0; i < s->length; i++) {
		assert_int_equal(s->position[i], i);
		assert_int_equal(s->doc[i], i < used ? 0 : -1);
		if (i >= used) {
			assert_true(s->token[i] == 0 && s->kind[i] == 0 && s->label[i] == -1);
			continue;
		}
		assert_true(s->token[i] > 1 && s->token[i] < IDS);
		assert_int_equal(s->kind[i], seps);
		const int special = i == 0 || s->token[i] == 3;
		if (s->label[i] >= 0) {
			predicted++;
			assert_true(!special && s->label[i] > 4 && s->label[i] < IDS);
		} else {
			assert_int_equal(s->label[i], -1);
			assert_true(special || s->token[i] > 4);
		}
		seps += s->token[i] == 3;
		if (i > 0 && s->token[i] == 3)
			assert_true(s->token[i - 1] != 3 && s->token[i - 1] != 2);
	}
	assert_int_equal(seps, order ? 2 : 1);
	const int64_t budget = llround(mask_prob * (double)used);
	assert_int_equal(predicted, budget > 1 ? budget : 1); /* all words are single tokens here */
	assert_true(order ? s->swapped == 0 || s->swapped == 1 : s->swapped == -1);
}

static void every_sample_is_valid(void **state)
{
	static const int64_t lengths[] = { 3, 4, 5, 6, 7, 8, 31, 64, 128, 1000, 100003 };
	static const char *const files[] = { "owned", "counted", "pairs", "single" };
	(void)state;
	for (size_t k = 0; k < 2 * 4 * sizeof lengths / sizeof *lengths; k++) {
		struct sp_dataset_options o = options_make(path_of(files[k / 2 % 4]), lengths[k / 8]);
		o.sentence_order = k % 2;
		if (o.sentence_order && o.length < 5)
			continue;
		struct sp_dataset *d = open_or_fail(&o);
		struct sp_sample s = sample_make(o.length);
		for (int split = 0; split < SP_SPLITS; split++) {
			const int64_t size = sp_dataset_size(d, split);
			assert_true(size > 0);
			for (int64_t i = 0; i < 2 * size && i < (o.length > 1000 ? 20 : 2000); i++) {
				assert_int_equal(sp_dataset_sample(d, split, (uint64_t)i, &s), 0);
				assert_valid(&s, o.sentence_order, o.mask_prob);
			}
		}
		sample_free(&s);
		sp_dataset_close(d);
	}
}

/* Two handles, forwards and backwards over three epochs and all splits: the same bits. */
static void samples_do_not_depend_on_the_order_of_calls(void **state)
{
	static const char *const sources[] = { "owned", "blend", "synthetic" };
	char blend[PATH_MAX * 2];
	(void)state;
	snprintf(blend, sizeof blend, "0.7:%s,0.3:%s", path_of("owned"), path_of("pairs"));
	for (int k = 0; k < 3; k++) {
		struct sp_dataset_options o = options_make(k == 0 ? path_of("owned") : k == 1 ? blend : sources[k], 61);
		o.sentence_order = 1;
		o.short_seq_prob = 0.5;
		struct sp_dataset *a = open_or_fail(&o), *b = open_or_fail(&o);
		enum { SAMPLES = 900 };
		static struct sp_sample seen[SP_SPLITS][SAMPLES];
		struct sp_sample s = sample_make(o.length);
		for (int split = 0; split < SP_SPLITS; split++)
			for (uint64_t i = 0; i < SAMPLES; i++) {
				seen[split][i] = sample_make(o.length);
				assert_int_equal(sp_dataset_sample(a, split, i, &seen[split][i]), 0);
			}
		for (uint64_t i = SAMPLES; i-- > 0;)
			for (int split = SP_SPLITS; split-- > 0;) {
				assert_int_equal(sp_dataset_sample(b, split, i, &s), 0);
				assert_true(sample_equal(&s, &seen[split][i]));
				sample_free(&seen[split][i]);
			}
		sample_free(&s);
		sp_dataset_close(a);
		sp_dataset_close(b);
	}
}

static void samples_differ_by_index_epoch_split_and_seed(void **state)
{
	char blend[PATH_MAX * 2];
	(void)state;
	snprintf(blend, sizeof blend, "1:%s,1:%s", path_of("pairs"), path_of("pairs"));
	for (int k = 0; k < 3; k++) {
		struct sp_dataset_options o = options_make(k == 0 ? path_of("pairs") : k == 1 ? blend : "synthetic", 64);
		struct sp_dataset *d = open_or_fail(&o);
		o.seed++;
		struct sp_dataset *other = open_or_fail(&o);
		struct sp_sample s = sample_make(64), t = sample_make(64);
		const uint64_t size = (uint64_t)sp_dataset_size(d, SP_TRAIN);
		/* All documents of `pairs` hold the same text, so what differs is drawn. */
		for (uint64_t i = 0; i < 50; i++) {
			assert_int_equal(sp_dataset_sample(d, SP_TRAIN, i, &s), 0);
			for (uint64_t j = 0; j < i; j++) {
				assert_int_equal(sp_dataset_sample(d, SP_TRAIN, j, &t), 0);
				assert_false(sample_equal(&s, &t));
			}
			assert_int_equal(sp_dataset_sample(d, SP_TRAIN, i + size, &t), 0);
			assert_false(sample_equal(&s, &t));
			assert_int_equal(sp_dataset_sample(d, SP_VALID, i, &t), 0);
			assert_false(sample_equal(&s, &t));
			assert_int_equal(sp_dataset_sample(other, SP_TRAIN, i, &t), 0);
			assert_false(sample_equal(&s, &t));
		}
		sample_free(&s);
		sample_free(&t);
		sp_dataset_close(d);
		sp_dataset_close(other);
	}
}

static void an_epoch_uses_all_documents_of_its_split_and_no_other(void **state)
{
	static const int first[SP_SPLITS + 1] = { 0, 140, 190, 200 };
	(void)state;
	for (int order = 0; order < 2; order++) {
		struct sp_dataset_options o = options_make(path_of("owned"), 32);
		o.split = "70,25,5";
		o.sentence_order = order;
		struct sp_dataset *d = open_or_fail(&o);
		struct sp_sample s = sample_make(32);
		for (int split = 0; split < SP_SPLITS; split++)
			for (uint64_t epoch = 0; epoch < 3; epoch++) {
				const uint64_t size = (uint64_t)sp_dataset_size(d, split);
				int used[DOCUMENTS] = { 0 };
				for (uint64_t i = 0; i < size; i++) {
					assert_int_equal(sp_dataset_sample(d, split, epoch * size + i, &s), 0);
					const int document = (original(&s, 1) - 5) / 4;
					for (int64_t t = 1; t < sample_used(&s); t++)
						if (original(&s, t) != 3)
							assert_int_equal((original(&s, t) - 5) / 4, document);
					used[document] = 1;
				}
				for (int k = 0; k < DOCUMENTS; k++) {
					const int inside = k >= first[split] && k < first[split + 1];
					const int one_token = k % 12 == 0 && k * 7 % 23 == 0;
					assert_int_equal(used[k], inside && !(order && one_token));
				}
			}
		sample_free(&s);
		sp_dataset_close(d);
	}
}

/* Length of the first segment's text and of the second's, and their first original ids. */
struct segments {
	int64_t a, b;
	int32_t a_first, b_first;
};

static struct segments segments_of(const struct sp_sample *s)
{
	struct segments g = { 0 };
	const int64_t used = sample_used(s);
	int64_t i = 1;
	g.a_first = original(s, 1);
	while (s->token[i] != 3) {
		assert_int_equal(original(s, i), g.a_first + (i - 1));
		i++;
	}
	g.a = i - 1;
	if (i + 1 == used)
		return g;
	g.b_first = original(s, i + 1);
	for (int64_t j = i + 1; j < used - 1; j++)
		assert_int_equal(original(s, j), g.b_first + (j - i - 1));
	g.b = used - 1 - (i + 1);
	return g;
}

static void assert_share(int64_t count, int64_t all, double p)
{
	const double sigma = sqrt(p * (1 - p) / (double)all);
	if (!(fabs((double)count / (double)all - p) <= 4.5 * sigma))
		fail_msg("%lld of %lld, expected a share of %.3f", (long long)count, (long long)all, p);
}

static void pairs_meet_at_a_random_sentence_and_are_swapped_half_the_time(void **state)
{
	enum { SAMPLES = 6000 };
	struct sp_dataset_options o = options_make(path_of("counted"), 64);
	int64_t cut[3] = { 0 }, swapped = 0;
	(void)state;
	o.sentence_order = 1;
	o.short_seq_prob = 0;
	struct sp_dataset *d = open_or_fail(&o);
	struct sp_sample s = sample_make(64);
	for (uint64_t i = 0; i < SAMPLES; i++) {
		assert_int_equal(sp_dataset_sample(d, SP_TRAIN, i, &s), 0);
		struct segments g = segments_of(&s);
		assert_int_equal(g.a + g.b, 40);
		const int64_t front = s.swapped ? g.b : g.a;
		assert_true(front == 10 || front == 20 || front == 30);
		assert_int_equal(s.swapped ? g.b_first : g.a_first, 5);
		assert_int_equal(s.swapped ? g.a_first : g.b_first, 5 + front);
		cut[front / 10 - 1]++;
		swapped += s.swapped;
	}
	for (int k = 0; k < 3; k++)
		assert_share(cut[k], SAMPLES, 1.0 / 3);
	assert_share(swapped, SAMPLES, 0.5);
	sample_free(&s);
	sp_dataset_close(d);
}

static void pairs_are_truncated_from_the_longer_at_either_end(void **state)
{
	enum { SAMPLES = 4000, EXCESS = 80 - 61 };
	struct sp_dataset_options o = options_make(path_of("pairs"), 64);
	int64_t front = 0, swapped = 0;
	(void)state;
	o.sentence_order = 1;
	o.short_seq_prob = 0;
	struct sp_dataset *d = open_or_fail(&o);
	struct sp_sample s = sample_make(64);
	for (uint64_t i = 0; i < SAMPLES; i++) {
		assert_int_equal(sp_dataset_sample(d, SP_TRAIN, i, &s), 0);
		struct segments g = segments_of(&s);
		assert_int_equal(g.a + g.b, 61);
		assert_true(g.a - g.b == 1 || g.b - g.a == 1);
		assert_int_equal(s.swapped, g.b_first < g.a_first);
		front += (g.a_first - 5) % 40 + (g.b_first - 5) % 40;
		swapped += s.swapped;
	}
	assert_share(front, (int64_t)SAMPLES * EXCESS, 0.5);
	assert_share(swapped, SAMPLES, 0.5);
	sample_free(&s);
	sp_dataset_close(d);
}

static void without_order_all_text_is_one_segment_of_type_0(void **state)
{
	struct sp_dataset_options o = options_make(path_of("counted"), 64);
	(void)state;
	o.short_seq_prob = 0;
	struct sp_dataset *d = open_or_fail(&o);
	struct sp_sample s = sample_make(64);
	for (uint64_t i = 0; i < 300; i++) {
		assert_int_equal(sp_dataset_sample(d, SP_TRAIN, i, &s), 0);
		struct segments g = segments_of(&s);
		assert_true(g.a == 40 && g.b == 0 && g.a_first == 5);
	}
	sample_free(&s);
	sp_dataset_close(d);
}

/* 300 tokens in samples of 61: all of them come up, in full samples and one rest, and a pair is cut inside the
 * sentence. */
static void a_sentence_longer_than_a_sample_is_cut_and_used_whole(void **state)
{
	(void)state;
	for (int order = 0; order < 2; order++) {
		struct sp_dataset_options o = options_make(path_of("single"), 61 + 2 + order);
		o.sentence_order = order;
		o.short_seq_prob = 0;
		o.split = "1";
		struct sp_dataset *d = open_or_fail(&o);
		struct sp_sample s = sample_make(o.length);
		int seen[300] = { 0 };
		assert_int_equal(sp_dataset_size(d, SP_TRAIN), 5 * DOCUMENTS);
		for (uint64_t i = 0; i < 5 * DOCUMENTS; i++) {
			assert_int_equal(sp_dataset_sample(d, SP_TRAIN, i, &s), 0);
			struct segments g = segments_of(&s);
			assert_true(g.a + g.b == 61 || g.a + g.b == 300 - 4 * 61);
			if (order) {
				assert_true(g.a > 0 && g.b > 0);
				assert_true(s.swapped ? g.b_first + g.b == g.a_first : g.a_first + g.a == g.b_first);
			}
			for (int64_t k = 0; k < g.a; k++)
				seen[g.a_first - 5 + k]++;
			for (int64_t k = 0; k < g.b; k++)
				seen[g.b_first - 5 + k]++;
		}
		for (int k = 0; k < 300; k++)
			assert_int_equal(seen[k], DOCUMENTS);
		sample_free(&s);
		sp_dataset_close(d);
	}
}

static void a_sentence_is_divided_between_words(void **state)
{
	struct sp_dataset_options o = options_make(path_of("single"), 64);
	(void)state;
	o.vocab = path_of("pieces");
	o.sentence_order = 1;
	struct sp_dataset *d = open_or_fail(&o);
	struct sp_sample s = sample_make(64);
	for (uint64_t i = 0; i < 2000; i++) {
		assert_int_equal(sp_dataset_sample(d, SP_TRAIN, i, &s), 0);
		struct segments g = segments_of(&s);
		const int32_t second = s.swapped ? g.a_first : g.b_first;
		/* Ids that three divides are pieces; two tokens that are one word have to be parted. */
		assert_true(second % 3 != 0 || g.a + g.b == 2);
	}
	sample_free(&s);
	sp_dataset_close(d);
}

/* As after opening a file that is too large to be read whole. */
static void an_id_outside_the_vocabulary_is_found_when_the_sample_is_made(void **state)
{
	const struct sp_group_rule rule = { 8, 0 };
	struct sp_sample s = sample_make(10);
	struct sp_alphabet few = { 0 };
	struct sp_indexed *x;
	struct sp_rng rng;
	int64_t used;
	(void)state;
	assert_int_equal(sp_indexed_open(path_of("counted"), &x), 0);
	assert_int_equal(sp_alphabet_plain(12, &few), 0);
	sp_rng_start(&rng, 1, SP_RNG_SAMPLE, 0, 0);
	struct sp_group good = sp_group_gather(x, &rule, 4, (struct sp_cursor){ 0, 0 }, 7);
	struct sp_group wrong = sp_group_gather(x, &rule, 4, (struct sp_cursor){ 0, 3 }, 7);
	assert_int_equal(sp_pair_build(x, "counted", &good, &few, 0, &rng, &s, &used), 0);
	assert_int_equal(used, 9);
	capture_begin();
	int status = sp_pair_build(x, "counted", &wrong, &few, 0, &rng, &s, &used);
	const char *said = capture_end();
	assert_int_equal(status, SP_ERR_FORMAT);
	assert_non_null(strstr(said, "counted.bin: id 12 at or after sentence 0, but the vocabulary has 12 tokens"));
	sp_alphabet_free(&few);
	sp_indexed_close(x);
	sample_free(&s);
}

static void words_of_the_vocabulary_are_masked_whole(void **state)
{
	struct sp_dataset_options o = options_make(path_of("owned"), 128);
	int64_t predicted = 0;
	(void)state;
	o.vocab = path_of("pieces");
	struct sp_dataset *d = open_or_fail(&o);
	struct sp_sample s = sample_make(128);
	for (uint64_t i = 0; i < 1000; i++) {
		assert_int_equal(sp_dataset_sample(d, SP_TRAIN, i, &s), 0);
		for (int64_t k = 2; k < sample_used(&s) - 1; k++) {
			predicted += s.label[k] >= 0;
			if (original(&s, k) % 3 == 0)
				assert_int_equal(s.label[k] >= 0, s.label[k - 1] >= 0);
		}
	}
	assert_true(predicted > 1000);
	sample_free(&s);
	sp_dataset_close(d);
}

static void a_blend_takes_its_shares_of_both_corpora(void **state)
{
	char blend[PATH_MAX * 2];
	int64_t counted = 0;
	(void)state;
	snprintf(blend, sizeof blend, "0.7:%s,0.3:%s", path_of("counted"), path_of("pairs"));
	struct sp_dataset_options o = options_make(blend, 128);
	o.short_seq_prob = 0;
	o.split = "1";
	struct sp_dataset *d = open_or_fail(&o);
	struct sp_sample s = sample_make(128);
	assert_int_equal(sp_dataset_size(d, SP_TRAIN), 2 * DOCUMENTS);
	for (uint64_t i = 0; i < 1000; i++) {
		assert_int_equal(sp_dataset_sample(d, SP_TRAIN, i, &s), 0);
		counted += sample_used(&s) == 42;
		assert_true(fabs((double)counted - 0.7 * (double)(i + 1)) < 1);
	}
	sample_free(&s);
	sp_dataset_close(d);
}

static void synthetic_samples_are_valid_distinct_and_of_any_length(void **state)
{
	static const int64_t lengths[] = { 1, 2, 7, 63, 128 };
	(void)state;
	for (int k = 0; k < 10; k++) {
		const int64_t least = 1 + k % 2; /* with order a sample begins with [CLS] */
		struct sp_dataset_options o = options_make("synthetic", sp_max(least, lengths[k / 2]));
		o.vocab = NULL;
		o.vocab_size = 30528;
		o.sentence_order = k % 2;
		o.short_seq_prob = 0.5;
		struct sp_dataset *d = open_or_fail(&o);
		struct sp_sample s = sample_make(o.length);
		int64_t full = 0, swapped = 0, tokens = 0, kinds = 0, low = 0;
		assert_int_equal(sp_dataset_vocab_size(d), 30528);
		for (uint64_t i = 0; i < 4000; i++) {
			assert_int_equal(sp_dataset_sample(d, SP_TRAIN, i, &s), 0);
			const int64_t used = sample_used(&s), budget = llround(0.15 * (double)used);
			int64_t predicted = 0;
			assert_true(used >= least);
			for (int64_t t = 0; t < o.length; t++) {
				assert_int_equal(s.position[t], t);
				if (t >= used) {
					assert_true(s.token[t] == 0 && s.kind[t] == 0 && s.doc[t] == -1 && s.label[t] == -1);
					continue;
				}
				if (o.sentence_order && t == 0)
					assert_true(s.token[t] == 2 && s.label[t] == -1);
				else
					assert_true(s.token[t] == 4 ? s.label[t] >= 5 : s.token[t] >= 5 && s.token[t] < 30528);
				assert_true(s.doc[t] == 0 && (s.kind[t] == 0 || s.kind[t] == 1));
				assert_true(t == 0 || s.kind[t] >= s.kind[t - 1]);
				predicted += s.label[t] >= 0;
				tokens += t >= least - 1;
				kinds += s.kind[t];
				low += t >= least - 1 && original(&s, t) < 5 + (30528 - 5) / 4;
			}
			assert_int_equal(predicted, budget > 1 ? budget : 1);
			full += used == o.length;
			assert_true(o.sentence_order ? s.swapped == 0 || s.swapped == 1 : s.swapped == -1);
			swapped += s.swapped > 0;
		}
		assert_share(low, tokens, 0.25);
		assert_share(full, 4000, 0.5 + 0.5 / (double)(o.length - least + 1));
		if (o.sentence_order)
			assert_share(swapped, 4000, 0.5);
		if (o.length > 2)
			assert_true(kinds > tokens / 4 && kinds < tokens * 3 / 4);
		sample_free(&s);
		sp_dataset_close(d);
	}
}

static void unigram_entropy_is_that_of_the_split(void **state)
{
	struct sp_dataset_options o = options_make(path_of("uneven"), 16);
	double nats = -1;
	(void)state;
	o.split = "50,50,0";
	struct sp_dataset *d = open_or_fail(&o);
	assert_int_equal(sp_dataset_unigram_entropy(d, SP_TRAIN, &nats), 0);
	assert_true(fabs(nats - 1.5 * log(2)) < 1e-12);
	assert_int_equal(sp_dataset_unigram_entropy(d, SP_VALID, &nats), 0);
	assert_true(fabs(nats) < 1e-12);
	sp_dataset_close(d);
	o = options_make("synthetic", 16);
	d = open_or_fail(&o);
	assert_int_equal(sp_dataset_unigram_entropy(d, SP_TRAIN, &nats), 0);
	assert_true(fabs(nats - log(1024 - 5)) < 1e-12);
	sp_dataset_close(d);
}

static void assert_refused(const struct sp_dataset_options *o, int wanted, const char *message)
{
	struct sp_dataset *d = NULL;
	capture_begin();
	int status = sp_dataset_open(o, &d);
	const char *said = capture_end();
	if (status != wanted || !strstr(said, message))
		fail_msg("status %d, expected %d with \"%s\": %s", status, wanted, message, said);
	assert_null(d);
}

static void what_does_not_fit_together_is_refused_with_a_remedy(void **state)
{
	struct sp_dataset_options good = options_make(path_of("owned"), 64), o;
	(void)state;
	o = good, o.source = "";
	assert_refused(&o, SP_ERR_SETTING, "data.source is not set");
	o = good, o.source = path_of("absent");
	assert_refused(&o, SP_ERR_IO, "absent");
	o = good, o.vocab = "";
	assert_refused(&o, SP_ERR_SETTING, "data.vocab is not set");
	o = good, o.vocab = path_of("absent");
	assert_refused(&o, SP_ERR_IO, "absent");
	o = good, o.vocab = path_of("few");
	assert_refused(&o, SP_ERR_FORMAT, "none beside the special ones");
	o = good, o.vocab_size = IDS - 1;
	assert_refused(&o, SP_ERR_SETTING, "set model.vocab_size to 1000 or more");
	o = good, o.source = path_of("large_id");
	assert_refused(&o, SP_ERR_FORMAT, "its largest id is 1000");
	o = good, o.source = path_of("empty");
	assert_refused(&o, SP_ERR_FORMAT, "holds no tokens");
	o = good, o.source = path_of("two");
	assert_refused(&o, SP_ERR_SETTING, "has 2 documents");
	o = good, o.split = "949;50";
	assert_refused(&o, SP_ERR_SETTING, "data.split = 949;50: character 4");
	o = good, o.length = 2;
	assert_refused(&o, SP_ERR_SETTING, "train.sequence_length = 2: must be from 3");
	o = good, o.length = 4, o.sentence_order = 1;
	assert_refused(&o, SP_ERR_SETTING, "train.sequence_length = 4: must be from 5");
	o = good, o.mask_prob = 1.5;
	assert_refused(&o, SP_ERR_SETTING, "data.mask_prob = 1.5");
	o = good, o.short_seq_prob = -1;
	assert_refused(&o, SP_ERR_SETTING, "data.short_seq_prob = -1");
	o = good, o.source = "0.7:A,B";
	assert_refused(&o, SP_ERR_SETTING, "character 7");
	o = good, o.source = "synthetic", o.vocab_size = 5;
	assert_refused(&o, SP_ERR_SETTING, "model.vocab_size = 5");
}

static void documents_that_cannot_be_used_are_counted_in_a_warning(void **state)
{
	struct sp_dataset_options o = options_make(path_of("owned"), 64);
	struct sp_dataset *d = NULL;
	(void)state;
	o.sentence_order = 1;
	o.split = "1";
	capture_begin();
	int status = sp_dataset_open(&o, &d);
	const char *said = capture_end();
	assert_int_equal(status, 0);
	assert_non_null(strstr(said, "owned: documents of train that are not used because they do not have two tokens: 1"));
	sp_dataset_close(d);
}

static void samples_that_are_mostly_padding_are_warned_of(void **state)
{
	static const struct {
		int64_t length;
		const char *message;
	} cases[] = { { 42, "" }, { 82, "" }, { 402, "counted: 200 samples of train, 10 % text, the rest padding; " } };
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sp_dataset_options o = options_make(path_of("counted"), cases[i].length);
		struct sp_dataset *d = NULL;
		o.short_seq_prob = 0;
		o.split = "1";
		capture_begin();
		int status = sp_dataset_open(&o, &d);
		const char *said = capture_end();
		assert_int_equal(status, 0);
		if (!strstr(said, cases[i].message) || !cases[i].message[0] != !said[0])
			fail_msg("%lld: %s", (long long)cases[i].length, said);
		sp_dataset_close(d);
	}
	/* Evaluation alone is not worth a warning. */
	struct sp_dataset_options o = options_make(path_of("counted"), 402);
	struct sp_dataset *d = NULL;
	o.split = "0,1,1";
	capture_begin();
	int status = sp_dataset_open(&o, &d);
	const char *said = capture_end();
	assert_int_equal(status, 0);
	assert_string_equal(said, "");
	sp_dataset_close(d);
}

static void a_split_without_weight_is_empty_and_gives_no_samples(void **state)
{
	static const char *const sources[] = { "owned", "synthetic" };
	(void)state;
	for (int k = 0; k < 2; k++) {
		struct sp_dataset_options o = options_make(k ? sources[k] : path_of(sources[k]), 64);
		o.split = "1,0,1";
		struct sp_dataset *d = open_or_fail(&o);
		struct sp_sample s = sample_make(64);
		double nats;
		assert_int_equal(sp_dataset_size(d, SP_VALID), 0);
		assert_true(sp_dataset_size(d, SP_TEST) > 0);
		capture_begin();
		int status = sp_dataset_sample(d, SP_VALID, 0, &s), counted = sp_dataset_unigram_entropy(d, SP_VALID, &nats);
		const char *said = capture_end();
		assert_int_equal(status, SP_ERR_SETTING);
		assert_int_equal(counted, SP_ERR_SETTING);
		assert_non_null(strstr(said, "valid"));
		s.length = 63;
		capture_begin();
		status = sp_dataset_sample(d, SP_TRAIN, 0, &s);
		capture_end();
		assert_int_equal(status, SP_ERR_ARGUMENT);
		sample_free(&s);
		sp_dataset_close(d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_sample_is_valid),
		cmocka_unit_test(samples_do_not_depend_on_the_order_of_calls),
		cmocka_unit_test(samples_differ_by_index_epoch_split_and_seed),
		cmocka_unit_test(an_epoch_uses_all_documents_of_its_split_and_no_other),
		cmocka_unit_test(pairs_meet_at_a_random_sentence_and_are_swapped_half_the_time),
		cmocka_unit_test(pairs_are_truncated_from_the_longer_at_either_end),
		cmocka_unit_test(without_order_all_text_is_one_segment_of_type_0),
		cmocka_unit_test(a_sentence_longer_than_a_sample_is_cut_and_used_whole),
		cmocka_unit_test(a_sentence_is_divided_between_words),
		cmocka_unit_test(an_id_outside_the_vocabulary_is_found_when_the_sample_is_made),
		cmocka_unit_test(words_of_the_vocabulary_are_masked_whole),
		cmocka_unit_test(a_blend_takes_its_shares_of_both_corpora),
		cmocka_unit_test(synthetic_samples_are_valid_distinct_and_of_any_length),
		cmocka_unit_test(unigram_entropy_is_that_of_the_split),
		cmocka_unit_test(what_does_not_fit_together_is_refused_with_a_remedy),
		cmocka_unit_test(documents_that_cannot_be_used_are_counted_in_a_warning),
		cmocka_unit_test(samples_that_are_mostly_padding_are_warned_of),
		cmocka_unit_test(a_split_without_weight_is_empty_and_gives_no_samples),
	};
	return cmocka_run_group_tests_name("dataset", tests, make_files, directory_remove);
}
