/* Attention over whole sequences while each rank holds a part of each: one contract, one table of variants.
 * May include: backend, base.
 *
 * Per rank: B samples of C tokens, T = B C rows; q, k, v are the three thirds of the columns of `qkv` (T, 3 H). */
#ifndef SP_ATTENTION_ATTENTION_H
#define SP_ATTENTION_ATTENTION_H

#include "backend/arena.h"
#include "backend/comm.h"
#include "backend/compute.h"

/* What else of the settings some kinds look at. All zero: their defaults. */
struct sp_attention_choice {
	int64_t gather_chunk; /* allgather: tokens of each rank gathered at a time; 0: all */
	int ring_queries;     /* ring, hybrid: in backward queries go round instead of keys and values */
	int ulysses;          /* hybrid: ranks that exchange heads; 0: as many as can */
};

struct sp_attention_shape_host {
	int64_t batch, chunk, heads, head_dim;
	int ranks; /* of the sequence group */
	int rank;  /* which of them; buffers do not depend on it */
	struct sp_attention_choice choice;
};

/* What every call of one variant shares. Borrowed pointers. */
struct sp_attention_setup {
	struct sp_compute *compute;
	struct sp_comm *comm; /* the sequence group */
	struct sp_attention_shape_host shape;
	int overlap; /* 0: each transfer is waited for before the compute it could hide behind */
	int forward_only; /* backward is never called: nothing is laid out for it */
};

/* The micro-batch at hand: where its tokens lie, who may attend to whom, which dropout. */
struct sp_attention_call {
	const int32_t *doc;     /* [ranks][batch][chunk], device */
	const uint32_t *sample; /* [batch], device */
	struct sp_dropout dropout;
};

/* Forward buffers: qkv in; o (T, H) and lse (B A, C) out, kept for backward; of kinds that keep scores also these. */
struct sp_attention_state {
	struct sp_matrix qkv, o, lse;
	struct sp_matrix scores; /* (B A C, ranks C), without gaps */
};

struct sp_attention_variant {
	const char *name;
	int keeps_scores; /* whole rows of them, of every layer; needs the device's operations on these */
	/* SP_OK, or SP_ERR_SETTING with the reason logged. */
	int (*check)(const struct sp_attention_shape_host *shape);
	/* Carves the buffers that all layers share from the arena; *work is freed by destroy, before that memory
	 * is given back. An arena that only counts gives a work that may only be destroyed. Else collective. */
	int (*create)(const struct sp_attention_setup *setup, struct sp_arena *arena, void **work);
	void (*destroy)(void *work);
	/* o and lse from qkv. Collective over the sequence group. */
	int (*forward)(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state);
	/* Optional: NULL means that nothing can be done ahead. Before backward with the same state, while other things are computed: what
	 * it needs of other ranks may set out. Collective. */
	int (*begin_backward)(void *work, const struct sp_attention_state *state);
	/* dqkv (T, 3 H), overwritten, from dout (T, H); needs the forward's state unchanged. Collective. */
	int (*backward)(void *work, const struct sp_attention_call *call, const struct sp_attention_state *state,
	                struct sp_matrix dout, struct sp_matrix dqkv);
	/* Optional: NULL means that there is nothing to wait for. Other ranks read nothing that lies in the work's buffers any more:
	 * before their memory is used for something else. */
	int (*settle)(void *work);
	/* Elements this rank sends per layer, forward and backward; the formulas are those at the top of each source file. */
	uint64_t (*sent_forward)(const struct sp_attention_shape_host *shape);
	uint64_t (*sent_backward)(const struct sp_attention_shape_host *shape);
};

/* "full" (one rank), "ring", "allgather", "ulysses", "hybrid", "rsa"; NULL, logged with the known names, if there is none of that name. */
const struct sp_attention_variant *sp_attention_find(const char *name);
/* i-th variant's name, NULL after the last. */
const char *sp_attention_name(int i);

#endif
