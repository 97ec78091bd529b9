/* The memory model of Li et al. 2021, "Sequence Parallelism: Long Sequence Training from System Perspective", Tables 1 and
 * 2, to hold this program against. May include: plan.
 *
 * The paper counts, for one layer on one of N ranks, the elements of the weights four times (value, gradient, Adam's two
 * moments) and of what a block's forward pass leaves behind, the whole score matrix among it:
 *
 *     block       N tensor ranks (Megatron-LM)                    N sequence ranks (ring, scores kept)     sequence less if
 *     MLP         32 H^2/N + 4 BLH/N + BLH                        32 H^2 + 5 BLH/N                         BL > 32 H
 *     attention   16 AZH/N + 4 BLZA/N + BZL^2/N + BLH             16 AZH + 4 BLZA/N + BZL^2/N + BLH/N      BL > 16 AZ
 *
 * with B sequences of L tokens, H features, Z heads of A features. It does not count copies of the scores for softmax and
 * dropout, LayerNorm, the GELU's input, embeddings and logits. */
#ifndef SP_PLAN_PAPER_H
#define SP_PLAN_PAPER_H

#include "plan/plan.h"

struct sp_paper_shape {
	int64_t batch, length, hidden, heads, head_dim;
	int ranks;
};

enum sp_paper_block { SP_PAPER_MLP = 0, SP_PAPER_ATTENTION, SP_PAPER_BLOCKS };
enum sp_paper_scheme { SP_PAPER_TENSOR = 0, SP_PAPER_SEQUENCE, SP_PAPER_SCHEMES };

/* Elements of a block on one rank, buffer by buffer; what ranks share is divided and rounded up. */
int64_t sp_paper_elements(const struct sp_paper_shape *shape, enum sp_paper_block block, enum sp_paper_scheme scheme);
/* Of them those of the score matrix. */
int64_t sp_paper_scores(const struct sp_paper_shape *shape);

/* The fewest tokens B L, L a multiple of the ranks, with which sequence ranks need less of a block than tensor ranks: found
 * by trying one length after the other. shape->length is not looked at. 0 if there are none up to 2^24. */
int64_t sp_paper_crossover(const struct sp_paper_shape *shape, enum sp_paper_block block);

/* The most sequences of shape->length tokens, and the longest of shape->batch sequences that ranks can share evenly, which
 * `layers` layers have room for by these tables in `memory` bytes a rank, 4 an element. What is asked for is not looked at in the
 * shape. 0 if there are none. */
int64_t sp_paper_largest_batch(const struct sp_paper_shape *shape, int64_t layers, size_t memory, enum sp_paper_scheme scheme);
int64_t sp_paper_longest(const struct sp_paper_shape *shape, int64_t layers, size_t memory, enum sp_paper_scheme scheme);

/* What one more layer takes of this program on one of `ranks` tensor or sequence ranks, in elements of 4 bytes: its
 * parameters, gradients, own share of the moments and the activations kept for backward, from the same layout that a run
 * allocates. Errors as sp_plan_make(). */
int sp_paper_own_layer(const struct sp_plan_input *input, int ranks, enum sp_paper_scheme scheme, int64_t *elements);
/* Where sequence ranks begin to need less of it, as sp_paper_crossover(). */
int sp_paper_own_crossover(const struct sp_plan_input *input, int ranks, int64_t *tokens);

#endif
