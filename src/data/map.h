/* Which group of sentences is sample i of a split: every epoch cuts the documents anew and shuffles the pieces.
 * May include: base, data/indexed.h. */
#ifndef SP_DATA_MAP_H
#define SP_DATA_MAP_H

#include "data/group.h"
#include "data/indexed.h"

#include <stdint.h>

struct sp_map_options {
	struct sp_group_rule rule;
	double short_seq_prob;  /* share of groups whose target is drawn from 2 .. rule.most instead of being rule.most */
	int same_cuts;          /* every epoch is cut like epoch 0; only the order changes */
	uint64_t seed, stream;  /* maps of different streams share no random numbers */
	int64_t first, end;     /* documents first .. end - 1 */
};

struct sp_map;

/* Counts the groups of epoch 0; `x` is borrowed. SP_ERR_MEMORY. */
int sp_map_open(const struct sp_indexed *x, const struct sp_map_options *options, struct sp_map **map);
void sp_map_close(struct sp_map *m); /* NULL accepted */

/* Samples of every epoch: the groups that epoch 0 was cut into. An epoch that is cut into more leaves some out, never a
 * document's only one; one that is cut into fewer repeats some. So every document with enough tokens is in every epoch,
 * and the difference is of the order of the square root. Cuts move from epoch to epoch with the short sequences: with
 * short_seq_prob 0, or same_cuts, only the order changes. */
int64_t sp_map_size(const struct sp_map *m);

/* Documents without a single sample: empty, or with order of only one token. */
int64_t sp_map_unused(const struct sp_map *m);

/* How full the samples of epoch 0 are: text tokens / (samples * rule.most), from 0 to 1. What is missing is padding. */
double sp_map_fill(const struct sp_map *m);

/* The group of sample `index`; index / size is the epoch. The first call for an epoch builds its map (16 bytes a
 * sample, time proportional to the sentences); the two epochs used last are kept. SP_ERR_MEMORY. */
int sp_map_group(struct sp_map *m, uint64_t index, struct sp_group *group);

#endif
