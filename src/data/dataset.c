#include "config.h"

#include "data/dataset.h"

#include "base/log.h"
#include "base/rng.h"
#include "base/size.h"
#include "data/alphabet.h"
#include "data/blend.h"
#include "data/corpus.h"
#include "data/mask.h"
#include "data/pair.h"
#include "data/split.h"
#include "data/synthetic.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sp_dataset {
	int64_t length, longest; /* of a sequence, of a sample */
	double mask_prob, short_seq_prob;
	double weight[SP_SPLITS];
	int sentence_order, packing;
	uint64_t seed;
	struct sp_alphabet alphabet;
	struct sp_blend blend;    /* one corpus is a blend of one */
	struct sp_corpus *corpus; /* NULL: synthetic */
	struct sp_mask_work work;
};

static int is_synthetic(const char *source)
{
	return strcmp(source, "synthetic") == 0;
}

static int is_empty(const char *text)
{
	return !text || !text[0];
}

static int check_share(const char *key, double value)
{
	if (value >= 0 && value <= 1)
		return SP_OK;
	return sp_fail(SP_ERR_SETTING, "%s = %g: must be from 0 to 1", key, value);
}

/* Tokens of a sample at most. */
static int64_t longest(const struct sp_dataset_options *o)
{
	return o->packing && o->longest > 0 ? sp_min(o->longest, o->length) : o->length;
}

static int check_length(const struct sp_dataset_options *o)
{
	const int64_t least = is_synthetic(o->source) ? sp_synthetic_least(o->sentence_order) : o->sentence_order ? 5 : 3;
	const char *room = least > 1 ? " to hold text beside the [CLS] and [SEP] tokens" : "";
	if (o->length < least || o->length > INT32_MAX / 4)
		return sp_fail(SP_ERR_SETTING, "train.sequence_length = %lld: must be from %lld to %d%s", (long long)o->length,
			(long long)least, INT32_MAX / 4, room);
	if (longest(o) < least)
		return sp_fail(SP_ERR_SETTING, "model.max_positions = %lld: must be at least %lld%s", (long long)o->longest,
			(long long)least, room);
	return SP_OK;
}

static int check_options(const struct sp_dataset_options *o)
{
	if (is_empty(o->source))
		return sp_fail(SP_ERR_SETTING,
			"data.source is not set: give synthetic, the PREFIX of a token file (PREFIX.bin, PREFIX.idx), or a blend "
			"such as 0.7:A,0.3:B");
	int status = check_share("data.mask_prob", o->mask_prob);
	if (!status)
		status = check_share("data.short_seq_prob", o->short_seq_prob);
	if (status)
		return status;
	return check_length(o);
}

static int open_vocabulary(const struct sp_dataset_options *o, struct sp_dataset *d)
{
	struct sp_vocab *vocab;
	if (is_empty(o->vocab))
		return sp_fail(SP_ERR_SETTING,
			"data.vocab is not set: give the vocabulary that %s was made with (seqpar vocab makes one)", o->source);
	int status = sp_vocab_read(o->vocab, &vocab);
	if (status)
		return status;
	const int32_t size = sp_vocab_size(vocab);
	if (o->vocab_size > 0 && size > o->vocab_size)
		status = sp_fail(SP_ERR_SETTING,
			"model.vocab_size = %lld, but the vocabulary %s has %d tokens: set model.vocab_size to %d or more",
			(long long)o->vocab_size, o->vocab, (int)size, (int)size);
	else if (size <= SP_SPECIALS)
		status = sp_fail(SP_ERR_FORMAT, "%s: %d tokens, none beside the special ones: make it again with seqpar vocab",
			o->vocab, (int)size);
	else
		status = sp_alphabet_from_vocab(vocab, &d->alphabet);
	sp_vocab_free(vocab);
	return status;
}

static int open_corpora(const struct sp_dataset_options *o, struct sp_dataset *d)
{
	int status = sp_blend_parse(o->source, &d->blend);
	if (!status)
		status = open_vocabulary(o, d);
	if (status)
		return status;
	d->corpus = calloc((size_t)d->blend.corpora, sizeof *d->corpus);
	if (!d->corpus)
		return sp_fail(SP_ERR_MEMORY, "no memory for %d corpora", d->blend.corpora);
	for (int c = 0; !status && c < d->blend.corpora; c++) {
		struct sp_corpus_options corpus = {
			.prefix = d->blend.prefix[c],
			.vocab = o->vocab,
			.alphabet = &d->alphabet,
			.rule = { (int32_t)(d->longest - sp_pair_specials(o->sentence_order)), o->sentence_order },
			.short_seq_prob = o->short_seq_prob,
			.packed = o->packing ? o->length : 0,
			.seed = o->seed,
			.number = c,
		};
		memcpy(corpus.weight, d->weight, sizeof corpus.weight);
		status = sp_corpus_open(&corpus, &d->corpus[c]);
	}
	return status;
}

static int open_synthetic(const struct sp_dataset_options *o, struct sp_dataset *d)
{
	if (o->vocab_size <= SP_SPECIALS || o->vocab_size > INT32_MAX)
		return sp_fail(SP_ERR_SETTING,
			"model.vocab_size = %lld: synthetic data needs %d to %d, five ids are special tokens",
			(long long)o->vocab_size, SP_SPECIALS + 1, INT32_MAX);
	return sp_alphabet_plain((int32_t)o->vocab_size, &d->alphabet);
}

static int allocate_work(struct sp_dataset *d)
{
	d->work.word = calloc((size_t)d->length, sizeof *d->work.word);
	d->work.order = calloc((size_t)d->length, sizeof *d->work.order);
	if (!d->work.word || !d->work.order)
		return sp_fail(SP_ERR_MEMORY, "no memory for samples of %lld tokens", (long long)d->length);
	return SP_OK;
}

int sp_dataset_open(const struct sp_dataset_options *options, struct sp_dataset **dataset)
{
	int status = check_options(options);
	if (status)
		return status;
	struct sp_dataset *d = calloc(1, sizeof *d);
	if (!d)
		return sp_fail(SP_ERR_MEMORY, "no memory for a dataset");
	d->length = options->length;
	d->longest = longest(options);
	d->mask_prob = options->mask_prob;
	d->short_seq_prob = options->short_seq_prob;
	d->sentence_order = options->sentence_order;
	d->packing = options->packing;
	d->seed = options->seed;
	status = sp_split_parse(options->split, d->weight);
	if (!status)
		status = is_synthetic(options->source) ? open_synthetic(options, d) : open_corpora(options, d);
	if (!status)
		status = allocate_work(d);
	if (status) {
		sp_dataset_close(d);
		return status;
	}
	*dataset = d;
	return SP_OK;
}

void sp_dataset_close(struct sp_dataset *d)
{
	if (!d)
		return;
	for (int c = 0; d->corpus && c < d->blend.corpora; c++)
		sp_corpus_close(&d->corpus[c]);
	free(d->corpus);
	sp_blend_free(&d->blend);
	sp_alphabet_free(&d->alphabet);
	free(d->work.word);
	free(d->work.order);
	free(d);
}

int64_t sp_dataset_size(const struct sp_dataset *d, enum sp_split split)
{
	int64_t size = 0;
	if (d->weight[split] <= 0)
		return 0;
	if (!d->corpus)
		return SP_SYNTHETIC_EPOCH;
	for (int c = 0; c < d->blend.corpora; c++)
		size += sp_corpus_size(&d->corpus[c], split);
	return size;
}

/* ---- one sample of those that make a sequence ---- */

/* Where the next sample goes. */
struct cursor {
	int64_t at;  /* tokens there are */
	int32_t doc; /* samples there are */
};

static struct sp_sample rest_of(const struct sp_sample *s, int64_t at)
{
	return (struct sp_sample){ .length = s->length - at,
		                       .token = s->token + at,
		                       .position = s->position + at,
		                       .kind = s->kind + at,
		                       .doc = s->doc + at,
		                       .label = s->label + at,
		                       .order = s->order ? s->order + at : NULL };
}

/* Masks the sample of `used` tokens at `to`, and says where and in which document they are. */
static void finish(const struct sp_dataset *d, struct sp_rng *mask_rng, int64_t used, struct cursor *to,
	struct sp_sample *sample, struct sp_sample *sequence)
{
	sp_mask_apply(&d->alphabet, d->mask_prob, mask_rng, used, sample->token, sample->label, d->work);
	for (int64_t i = 0; i < used; i++) {
		sample->position[i] = (int32_t)i;
		sample->doc[i] = to->doc;
	}
	for (int64_t i = 0; sample->order && i < used; i++)
		sample->order[i] = i == 0 ? sample->swapped : -1;
	if (to->at == 0)
		sequence->swapped = sample->swapped;
	to->at += used;
	to->doc++;
}

/* Sample `own` of a corpus. */
static int add_text(struct sp_dataset *d, int c, enum sp_split split, uint64_t own, struct cursor *to,
	struct sp_sample *sequence)
{
	const struct sp_corpus *corpus = &d->corpus[c];
	struct sp_sample sample = rest_of(sequence, to->at);
	struct sp_group group;
	struct sp_rng rng, mask_rng;
	int64_t used;
	int status = sp_map_group(corpus->map[split], own, &group);
	if (status)
		return status;
	assert(group.target + sp_pair_specials(d->sentence_order) <= d->longest);
	sp_rng_start(&rng, d->seed, SP_RNG_SAMPLE, own, sp_corpus_stream(c, split, SP_STREAM_PAIR));
	sp_rng_start(&mask_rng, d->seed, SP_RNG_MASK, own, sp_corpus_stream(c, split, SP_STREAM_MASK));
	status = sp_pair_build(corpus->x, corpus->prefix, &group, &d->alphabet, d->sentence_order, &rng, &sample, &used);
	if (!status)
		finish(d, &mask_rng, used, to, &sample, sequence);
	return status;
}

/* ---- a sequence ---- */

static int fill_packed(struct sp_dataset *d, int c, enum sp_split split, uint64_t own, struct cursor *to,
	struct sp_sample *sequence)
{
	struct sp_pack_members members;
	int status = sp_pack_members(d->corpus[c].pack[split], own, &members);
	for (int64_t i = 0; !status && i < members.count; i++)
		status = add_text(d, c, split, members.first + (uint64_t)members.number[i], to, sequence);
	return status;
}

static int fill_text(struct sp_dataset *d, enum sp_split split, uint64_t index, struct cursor *to,
	struct sp_sample *sequence)
{
	uint64_t own;
	int c;
	sp_blend_locate(&d->blend, index, &c, &own);
	return d->packing ? fill_packed(d, c, split, own, to, sequence) : add_text(d, c, split, own, to, sequence);
}

static void fill_synthetic(struct sp_dataset *d, enum sp_split split, uint64_t index, struct cursor *to,
	struct sp_sample *sequence)
{
	struct sp_rng rng, mask_rng;
	sp_rng_start(&rng, d->seed, SP_RNG_SYNTHETIC, index, (uint64_t)split);
	sp_rng_start(&mask_rng, d->seed, SP_RNG_MASK, index, sp_corpus_stream(0, split, SP_STREAM_MASK));
	do {
		struct sp_sample sample = rest_of(sequence, to->at);
		const int64_t used =
			sp_synthetic_build(&d->alphabet, d->short_seq_prob, d->longest, d->sentence_order, &rng, &sample);
		finish(d, &mask_rng, used, to, &sample, sequence);
	} while (d->packing && sequence->length - to->at >= sp_synthetic_least(d->sentence_order));
}

static void pad(const struct sp_dataset *d, int64_t used, struct sp_sample *sample)
{
	for (int64_t i = used; i < d->length; i++) {
		sample->token[i] = d->alphabet.special[SP_PAD];
		sample->position[i] = d->packing ? 0 : (int32_t)i;
		sample->kind[i] = 0;
		sample->doc[i] = -1;
		sample->label[i] = -1;
	}
	for (int64_t i = used; sample->order && i < d->length; i++)
		sample->order[i] = -1;
}

int sp_dataset_sample(struct sp_dataset *d, enum sp_split split, uint64_t index, struct sp_sample *sample)
{
	struct cursor to = { 0 };
	int status = SP_OK;
	if (sample->length != d->length)
		return sp_fail(SP_ERR_ARGUMENT, "a sample of %lld tokens was asked for, the dataset makes %lld",
			(long long)sample->length, (long long)d->length);
	if (d->weight[split] <= 0)
		return sp_fail(SP_ERR_SETTING,
			"data.split gives no documents to %s, but a sample of it is needed: give it weight", sp_split_name(split));
	if (d->corpus)
		status = fill_text(d, split, index, &to, sample);
	else
		fill_synthetic(d, split, index, &to, sample);
	if (!status)
		pad(d, to.at, sample);
	return status;
}

int32_t sp_dataset_separator(const struct sp_dataset *d)
{
	return d->alphabet.special[SP_SEP];
}

int64_t sp_dataset_vocab_size(const struct sp_dataset *d)
{
	return d->alphabet.size;
}

/* Adds one corpus's frequencies, with its share of the blend, to `share`. */
static int add_shares(const struct sp_dataset *d, int c, enum sp_split split, int64_t *count, double *share)
{
	const int32_t ids = d->alphabet.size;
	int64_t total = 0;
	memset(count, 0, (size_t)ids * sizeof *count);
	int status = sp_corpus_count(&d->corpus[c], split, ids, count);
	if (status)
		return status;
	for (int32_t id = 0; id < ids; id++)
		total += d->alphabet.kind[id] & SP_ALPHABET_SPECIAL ? 0 : count[id];
	for (int32_t id = 0; id < ids && total > 0; id++)
		if (!(d->alphabet.kind[id] & SP_ALPHABET_SPECIAL))
			share[id] += (double)d->blend.weight[c] / (double)d->blend.period * ((double)count[id] / (double)total);
	return SP_OK;
}

static double entropy_of(const double *share, int32_t ids)
{
	double sum = 0;
	for (int32_t id = 0; id < ids; id++)
		if (share[id] > 0)
			sum -= share[id] * log(share[id]);
	return sum;
}

int sp_dataset_unigram_entropy(const struct sp_dataset *d, enum sp_split split, double *nats)
{
	const size_t ids = (size_t)d->alphabet.size;
	if (d->weight[split] <= 0)
		return sp_fail(SP_ERR_SETTING, "data.split gives no documents to %s", sp_split_name(split));
	if (!d->corpus) {
		*nats = log((double)(d->alphabet.size - SP_SPECIALS));
		return SP_OK;
	}
	int64_t *count = calloc(ids, sizeof *count);
	double *share = calloc(ids, sizeof *share);
	int status = count && share ? SP_OK : sp_fail(SP_ERR_MEMORY, "no memory to count %zu tokens", ids);
	for (int c = 0; !status && c < d->blend.corpora; c++)
		status = add_shares(d, c, split, count, share);
	if (!status)
		*nats = entropy_of(share, d->alphabet.size);
	free(count);
	free(share);
	return status;
}
