/* Halos: what a rank has of the tokens around its share, which ranks beside it hold: keys and values come, their gradients go home.
 * May include: attention, backend, parallel.
 *
 * A halo may be wider than a rank's share: a neighbour at distance d gives n_d = window - (d - 1) C of its C tokens, from 0 to C, of
 * each sample, and takes as many. Alone, without neighbours, a rank has an empty halo and every function does nothing. */
#ifndef SP_ATTENTION_HALO_H
#define SP_ATTENTION_HALO_H

#include "attention/variants.h"

/* What a neighbour gives: tokens [first, first + n) of its share; and what it takes, as many from [own, own + n). All of them lie
 * in rows [row, row + B n) of the halo. */
struct sp_halo_part {
	int rank;
	int64_t n, first, own, row;
};

#define SP_HALO_BEFORE_ALL ((struct sp_halo_part){ .rank = -1 })

struct sp_halo {
	const struct sp_attention_setup *setup;
	struct sp_matrix keys, gradients; /* (B N, 2 H): keys and values of neighbours, part after part; their gradients */
	struct sp_matrix edge;            /* (B N, 2 H): own ones for neighbours; then, of all neighbours, gradients of own ones */
	size_t *bytes;                    /* [P] of each neighbour's part */
	struct sp_transfer coming, going;
};

/* N, the sum of n_d over the neighbours that `rank` has on both sides; and over those of the rank that has most. */
int64_t sp_halo_tokens(const struct sp_attention_shape_host *s, int64_t rank);
int64_t sp_halo_most_tokens(const struct sp_attention_shape_host *s);

/* Takes its matrices from the arena, the same on all ranks. `setup` must outlive it. SP_ERR_MEMORY: nothing is left to be closed. */
int sp_halo_open(struct sp_halo *h, const struct sp_attention_setup *setup, struct sp_arena *arena);
void sp_halo_close(struct sp_halo *h);

/* The part behind `p`; 0: there is none. */
int sp_halo_next(const struct sp_halo *h, struct sp_halo_part *p);
/* Its rows of keys or gradients. */
struct sp_matrix sp_halo_rows(const struct sp_halo *h, struct sp_matrix halo, const struct sp_halo_part *p);

/* Collective over the ranks that share a sequence, in this order. Sends what neighbours want of own keys and values, (B C, 2 H), and
 * waits for theirs. */
int sp_halo_start(struct sp_halo *h, struct sp_matrix kv);
int sp_halo_wait(struct sp_halo *h);
/* Sends `gradients` home, and adds what comes home to those of own keys and values; then `gradients` is free. */
int sp_halo_send_home(struct sp_halo *h);
int sp_halo_add_home(struct sp_halo *h, struct sp_matrix dkv);

#endif
