/* Keys and values, or queries, passed round a ring of ranks: inside of the kinds that do so. May include: attention/{passing,variants}.h.
 *
 * The ring has R places; the rank at each holds U blocks, each of B samples of C tokens: those of sequence ranks
 * [place U, place U + U), one behind the other in every matrix. U = 1 is the plain ring: own tokens only. The neighbour
 * in the ring is U sequence ranks away. T = B C; h features of own heads. */
#ifndef SP_ATTENTION_RING_H
#define SP_ATTENTION_RING_H

#include "attention/passing.h"
#include "attention/variants.h"

struct sp_attention_ring {
	/* set by the kind */
	struct sp_attention_setup setup; /* shape: of one block, heads and head_dim as computed with here */
	int blocks, place, places;       /* U, own place, R */
	uint32_t all_heads, first_head;  /* as in struct sp_attention_shape */
	/* laid out */
	struct sp_matrix rows;     /* (U B A, C): l in forward */
	struct sp_passing passing; /* of (U T, 2 h), with more places than one */
	struct sp_matrix wide;     /* the kind's own */
	struct sp_matrix queries;  /* if these go round: (U T, 2 h + 2 n), what sets out, see ring_queries.c */
};

/* What one pass reads and writes; forward only the first five. */
struct sp_attention_ring_pass {
	const struct sp_attention_call *call;
	struct sp_matrix q, kv;       /* (U T, h), (U T, 2 h) */
	struct sp_matrix acc, o, lse; /* (U T, h) twice, acc float32: the same where o is that; (U B A, C). Backward looks at lse, and at o if it is there */
	struct sp_matrix dout, dots;  /* (U T, h), (U B A, C) */
	struct sp_matrix dq, dkv;     /* (U T, h), (U T, 2 h), float32; overwritten */
};

/* Collective over the sequence group, unless the arena only counts. The ring stays where it is. */
int sp_attention_ring_layout(struct sp_attention_ring *ring, struct sp_arena *arena);
void sp_attention_ring_release(struct sp_attention_ring *ring); /* before the arena's memory is given back */
int sp_attention_ring_forward(struct sp_attention_ring *ring, const struct sp_attention_ring_pass *pass);
/* Before backward, at any time, with its kv: they may set out while other things are computed. */
int sp_attention_ring_begin_backward(struct sp_attention_ring *ring, struct sp_matrix kv);
int sp_attention_ring_backward(struct sp_attention_ring *ring, const struct sp_attention_ring_pass *pass);
/* As the member of struct sp_attention_variant. */
int sp_attention_ring_settle(struct sp_attention_ring *ring);

/* Inside of these: where queries go round in backward. */
int sp_attention_ring_layout_queries(struct sp_attention_ring *ring, struct sp_arena *arena);
int sp_attention_ring_backward_queries(struct sp_attention_ring *ring, const struct sp_attention_ring_pass *pass);
int64_t sp_attention_ring_query_cols(const struct sp_attention_ring *ring);

/* Sent by the rank of a place, with `tokens` = U T and `heads` own ones, in units of four bytes. */
uint64_t sp_attention_ring_sent_forward(const struct sp_attention_shape_host *shape, int places, int64_t tokens, int64_t heads);
uint64_t sp_attention_ring_sent_backward(const struct sp_attention_shape_host *shape, int places, int64_t tokens, int64_t heads);

#endif
