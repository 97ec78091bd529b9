/* Which samples share a sequence when several do (data.packing): every sample of an epoch lies in exactly one sequence.
 * May include: base, data/map.h.
 *
 * Samples are put where they fit best, the longest first (best fit decreasing, Johnson 1974; for BERT, Krell et al. 2021),
 * so that of a text of short documents next to nothing is padding. Among samples of one length chance decides, anew in
 * every epoch, as over the order of sequences. How many sequences it takes depends on the samples' lengths alone: the map
 * must cut every epoch alike. */
#ifndef SP_DATA_PACK_H
#define SP_DATA_PACK_H

#include "data/map.h"

#include <stdint.h>

struct sp_pack_options {
	int64_t length;        /* tokens of a sequence */
	int64_t specials;      /* of a sample, beside its text */
	uint64_t seed, stream; /* packs of different streams share no random numbers */
};

struct sp_pack;

/* Packs epoch 0 of `map`, which is borrowed and has samples, none longer than a sequence. SP_ERR_MEMORY. */
int sp_pack_open(struct sp_map *map, const struct sp_pack_options *options, struct sp_pack **pack);
void sp_pack_close(struct sp_pack *p); /* NULL accepted */

/* Sequences of every epoch. */
int64_t sp_pack_size(const struct sp_pack *p);
/* Share of their places that hold tokens, special ones counted, from 0 to 1. */
double sp_pack_fill(const struct sp_pack *p);

/* The samples of a sequence: those of the map with the indices first + number[0 .. count - 1], ascending. */
struct sp_pack_members {
	uint64_t first;
	const int64_t *number;
	int64_t count;
};
/* Of sequence `index`; index / size is the epoch. The first call for an epoch packs it (8 bytes a sample and sequence); the
 * two epochs used last are kept, and what is returned with them. SP_ERR_MEMORY. */
int sp_pack_members(struct sp_pack *p, uint64_t index, struct sp_pack_members *members);

#endif
