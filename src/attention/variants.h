/* The variants, for the table, and what they share. May include: attention/attention.h. */
#ifndef SP_ATTENTION_VARIANTS_H
#define SP_ATTENTION_VARIANTS_H

#include "attention/attention.h"

extern const struct sp_attention_variant sp_attention_full;
extern const struct sp_attention_variant sp_attention_ring;
extern const struct sp_attention_variant sp_attention_allgather;
extern const struct sp_attention_variant sp_attention_ulysses;
extern const struct sp_attention_variant sp_attention_hybrid;
extern const struct sp_attention_variant sp_attention_rsa;
extern const struct sp_attention_variant sp_attention_linformer;
extern const struct sp_attention_variant sp_attention_window;

/* The shape of one step of the queries of rank `rank` against the keys of rank `keys_of` (C tokens each). While it runs, what is
 * under way moves on, if transfers overlap. */
struct sp_attention_shape sp_attention_step_shape(const struct sp_attention_setup *setup, const struct sp_attention_call *call,
                                                  int rank, int keys_of);

/* Whether in that step every query may attend to every key; with the documents and all keys that the shape was made with. */
int sp_attention_whole(const struct sp_attention_call *call, int rank, int keys_of);

/* q, k, v of a packed (T, 3 H) projection, or of its gradient. */
struct sp_attention_qkv {
	struct sp_matrix q, k, v;
};
struct sp_attention_qkv sp_attention_split(struct sp_matrix qkv);

/* What a rank's part of the sequences at hand is: tokens of a sample, the first of them. */
int64_t sp_attention_chunk(const struct sp_attention_setup *setup, int rank);
int64_t sp_attention_first(const struct sp_attention_setup *setup, int rank);
/* Takes over what `share` was given, and gives row vectors of this rank, (B A, C), their columns. */
void sp_attention_share(struct sp_attention_setup *setup, const struct sp_attention_parts *parts, struct sp_matrix *rows);

/* Elements of one of q, k, v of this rank: B C H. */
uint64_t sp_attention_block(const struct sp_attention_shape_host *shape);
/* Waits at once if transfers shall not overlap. */
int sp_attention_started(const struct sp_attention_setup *setup, int status, struct sp_transfer *transfer);

/* Row vectors (B A, C) from the arena. */
int sp_attention_take_rows(const struct sp_attention_shape_host *shape, struct sp_arena *arena, struct sp_matrix *rows);

/* Where activations are of 16 bits: float32 room for the accumulator, and in training for dqkv, (T, 3 H), in the same place.
 * Else nothing. */
int sp_attention_take_wide(const struct sp_attention_setup *setup, struct sp_arena *arena, struct sp_matrix *wide);
/* Where what ends as `narrow` is summed up: there, or in `wide`. */
struct sp_matrix sp_attention_widen(struct sp_matrix narrow, struct sp_matrix wide);
/* The end of it: converted if it was elsewhere. */
int sp_attention_narrow(const struct sp_attention_setup *setup, struct sp_matrix summed, struct sp_matrix narrow);

/* The last step of forward: acc is the accumulator (state->o, or float32), state->lse holds the maxima, l the sums. */
int sp_attention_end_forward(const struct sp_attention_setup *setup, const struct sp_attention_state *state,
                             struct sp_matrix acc, struct sp_matrix l);
/* The first of backward: dots = rowsum(dout * o) per head. */
int sp_attention_begin_backward(const struct sp_attention_setup *setup, const struct sp_attention_state *state,
                                struct sp_matrix dout, struct sp_matrix dots);

#endif
