/* Samples for BERT pre-training, each a pure function of (seed, split, index): no state, no rank, nothing broadcast.
 * May include: base. */
#ifndef SP_DATA_DATASET_H
#define SP_DATA_DATASET_H

#include <stddef.h>
#include <stdint.h>

enum sp_split { SP_TRAIN = 0, SP_VALID, SP_TEST, SP_SPLITS };

/* One sequence of exactly `length` tokens: a sample, or with packing several. Arrays are the caller's, `length` entries each. */
struct sp_sample {
	int64_t length;
	int32_t *token;    /* after masking; [PAD] at the end */
	int32_t *position; /* 0 .. length - 1; with packing 0, 1, ... in each sample, and 0 for padding */
	int32_t *kind;     /* token type: 0 for [CLS] A [SEP], 1 for B [SEP]; 0 for padding */
	int32_t *doc;      /* 0 for tokens, with packing 0, 1, ... for those of each sample; -1 for padding */
	int32_t *label;    /* the original token where it is to be predicted, else -1 */
	int32_t *order;    /* optional: the sentence order as in `swapped` at the first token of each sample, -1 elsewhere */
	int32_t swapped;   /* sentence order: 0 in order, 1 swapped; -1 when sentence_order is off; of the first sample */
};

struct sp_dataset_options {
	const char *source; /* "synthetic", PREFIX of .bin/.idx, or a blend "0.7:A,0.3:B" (no comma in its prefixes) */
	const char *vocab;  /* vocab.txt; ignored for synthetic */
	const char *split;  /* weights, "949,50,1" */
	int64_t vocab_size; /* rows of the word table; every id must be below. 0: not known, any id of the vocabulary */
	int64_t length;
	double mask_prob;      /* share of the tokens to predict; at least one is */
	double short_seq_prob; /* share of samples of a random shorter length (synthetic: padded to a random part) */
	int sentence_order;
	int packing;     /* a sequence holds several samples, each what it would be alone in one */
	int64_t longest; /* with packing, tokens of a sample at most; 0: length */
	uint64_t seed;
};

struct sp_dataset;

/* How samples are made, from a token file:
 *   - sentences of one document, in order, until they fill the sample ([CLS] A [SEP]; with sentence_order [CLS] A
 *     [SEP] B [SEP], A and B meeting at a random sentence boundary, swapped with probability 1/2); what exceeds is
 *     cut away. Without sentence_order all text is A and every token type 0, as in Megatron-LM without its binary head;
 *   - round(mask_prob * tokens), at least one, are predicted: whole words in runs of 1 .. 3 (see mask.h).
 *   - with packing each sample of an epoch lies in one sequence (pack.h). The cuts of all epochs are those of the first, so that
 *     every epoch has as many sequences. A blend counts sequences.
 * synthetic: uniform random tokens, ids 5 and up (0 .. 4 stand for the special tokens), of both types, masked alike; with
 * sentence_order the first is [CLS]. With packing samples follow one another until the sequence is full, the last is cut. */

/* Opens and checks everything: index against data file, ids against vocabulary, at least one document in each split
 * that has weight. Not collective: every rank opens the files itself. SP_ERR_IO, SP_ERR_FORMAT, SP_ERR_SETTING, all
 * logged with file, place and remedy. */
int sp_dataset_open(const struct sp_dataset_options *options, struct sp_dataset **dataset);
void sp_dataset_close(struct sp_dataset *d); /* NULL accepted */

/* Samples, with packing sequences, of one epoch of a split; index / size is the epoch, and each epoch is a new shuffle with new cuts and masks.
 * 0: the split is empty. */
int64_t sp_dataset_size(const struct sp_dataset *d, enum sp_split split);

/* Fills `sample` (length set by the caller, equal to options.length). Same bits for the same (options, split, index),
 * whatever was asked before. One thread at a time for each dataset. The first sample of an epoch takes time
 * proportional to the sentences of its split. */
int sp_dataset_sample(struct sp_dataset *d, enum sp_split split, uint64_t index, struct sp_sample *sample);

/* The id of [SEP]. */
int32_t sp_dataset_separator(const struct sp_dataset *d);

/* Tokens in the vocabulary in use (synthetic: options.vocab_size). */
int64_t sp_dataset_vocab_size(const struct sp_dataset *d);

/* Entropy, in nats, of the tokens of a split (special ones left out, since they are never predicted): the loss of the
 * best guess that knows how frequent each token is and nothing else. Reads the whole split. A blend counts its
 * corpora by their weights; synthetic data has ln of the number of its tokens. */
int sp_dataset_unigram_entropy(const struct sp_dataset *d, enum sp_split split, double *nats);

#endif
