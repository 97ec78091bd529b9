/* One token file, its documents divided between the splits, with a sample map for each. May include: base,
 * data/{alphabet,dataset,indexed,map,pack}.h. */
#ifndef SP_DATA_CORPUS_H
#define SP_DATA_CORPUS_H

#include "data/alphabet.h"
#include "data/dataset.h"
#include "data/indexed.h"
#include "data/map.h"
#include "data/pack.h"

struct sp_corpus {
	const char *prefix; /* borrowed */
	struct sp_indexed *x;
	int64_t bound[SP_SPLITS + 1]; /* split s has the documents bound[s] .. bound[s + 1] - 1 */
	struct sp_map *map[SP_SPLITS]; /* NULL where the split has no weight */
	struct sp_pack *pack[SP_SPLITS]; /* NULL there, and everywhere without packing */
};

struct sp_corpus_options {
	const char *prefix, *vocab; /* vocab: for messages */
	const struct sp_alphabet *alphabet;
	double weight[SP_SPLITS];
	struct sp_group_rule rule;
	double short_seq_prob;
	int64_t packed; /* tokens of a sequence that samples are packed into; 0: each sample is a sequence */
	uint64_t seed;
	int number; /* which corpus of a blend: the same file twice gives other samples */
};

/* What random numbers are for, within their purpose: no two corpora, splits or uses share a stream. */
static inline uint64_t sp_corpus_stream(int number, enum sp_split split, int use)
{
	return (uint64_t)number << 8 | (uint64_t)split << 4 | (uint64_t)use;
}
enum { SP_STREAM_MAP = 0, SP_STREAM_PAIR, SP_STREAM_MASK, SP_STREAM_PACK };

/* Sequences of an epoch of a split that has weight. */
int64_t sp_corpus_size(const struct sp_corpus *corpus, enum sp_split split);

/* Opens the file and checks it against the vocabulary and the split. The ids of a file of more than 2^31 tokens are
 * not all read here, but checked as samples are made. SP_ERR_*, logged. On failure there is nothing to close. */
int sp_corpus_open(const struct sp_corpus_options *options, struct sp_corpus *corpus);
void sp_corpus_close(struct sp_corpus *corpus); /* a zeroed one accepted */

/* Adds to count[id] how often each id occurs in a split; count has `ids` entries. SP_ERR_FORMAT if an id is larger. */
int sp_corpus_count(const struct sp_corpus *corpus, enum sp_split split, int32_t ids, int64_t *count);

#endif
