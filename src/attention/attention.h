/* Attention over whole sequences while each rank holds a part of each: one contract, one table of variants.
 * May include: backend, base.
 *
 * Per rank: B samples of C tokens, T = B C rows; q, k, v are the three thirds of the columns of `qkv` (T, 3 H). Some kinds take
 * qkv, o, dout and dqkv in 16 bits (sp_attention_element); all else is float32, also what is summed up from hop to hop. */
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
	int64_t linformer_k;    /* linformer: rows that the keys and values of a sample are projected to */
	int linformer_per_head; /* linformer: each head has projections of its own, rather than all of a layer the same */
	int64_t window;  /* window: neighbours on each side that a token attends to */
	int64_t globals; /* window: most global tokens of a sample */
};

struct sp_attention_shape_host {
	int64_t batch, chunk, heads, head_dim;
	int ranks; /* of the sequence group */
	int rank;  /* which of them; buffers do not depend on it */
	struct sp_attention_choice choice;
	enum sp_dtype element; /* of qkv, o, dout, dqkv: sp_attention_element */
};

/* Where ranks hold parts of unequal length: rank r's queries and keys are rows of chunk[r] tokens a sample, the first of them
 * token first[r] of the sequence. All zero: `chunk` of the shape each, one part behind the other. */
struct sp_attention_parts {
	const int64_t *first, *chunk; /* [ranks], host */
	int64_t most;                 /* what the shape's chunk was when buffers were laid out: chunk[r] are at most that */
};

/* What every call of one variant shares. Borrowed pointers. */
struct sp_attention_setup {
	struct sp_compute *compute;
	struct sp_comm *comm; /* the sequence group */
	struct sp_attention_shape_host shape;
	int overlap; /* 0: each transfer is waited for before the compute it could hide behind */
	int forward_only; /* backward is never called: nothing is laid out for it */
	struct sp_attention_parts parts; /* set by `share` alone; then the shape's chunk is this rank's */
};

/* What projects keys and values along the sequence: row p has the weights with which the token at position p of a sample
 * enters each of the k rows of the projected sequence. (positions, n k): each n-th of the heads has k columns of its own. The
 * values' may be the keys'. Packed. */
struct sp_attention_projections {
	struct sp_matrix key, value;
	struct sp_matrix dkey, dvalue; /* accumulate; may be one; forward does not look at them */
};

/* Tokens that attend to all tokens of their document, and all of it to them. Made by sp_attention_globals_cut(). */
struct sp_attention_globals {
	const int32_t *doc;   /* [batch][globals], device: the documents of a sample's global tokens, ordered by position; then -1 */
	const int32_t *other; /* [ranks][batch][chunk], device: as `doc` of the call, but -1 where a token is global */
	const int32_t *read_other; /* [batch][chunk], device: as its query_doc, but -1 where a token is global; NULL if that is */
	const int32_t *row, *slot; /* [own], device: rows of this rank's global tokens, and which of the batch * globals they are */
	int64_t own;
};

/* The micro-batch at hand: where its tokens lie, who may attend to whom, which dropout. */
struct sp_attention_call {
	const int32_t *doc;     /* [ranks][batch][chunk], device; unequal parts begin where they would if all had the most tokens */
	/* [batch][chunk], device: as this rank's part of doc, but -1 where nobody reads what the query finds: o may be 0
	 * there, and dout must be. NULL: all is read. */
	const int32_t *query_doc;
	/* [ranks], host: 1 where all tokens that rank r holds of a sample are of the document of the sample's first token, in every sample.
	 * NULL: not known. */
	const uint8_t *whole;
	const uint32_t *sample; /* [batch], device */
	struct sp_dropout dropout;
	/* Only for kinds that project. Then a sample is one document, of id 0, and padding behind it. */
	const int32_t *length; /* [batch], host: tokens of each sample, over all ranks, that are not padding */
	struct sp_attention_projections projections;
	struct sp_attention_globals globals; /* only for kinds that have them */
};

/* Forward buffers: qkv in; o (T, H) and lse (B A, C) out, kept for backward; of kinds that keep more, also that. */
struct sp_attention_state {
	struct sp_matrix qkv, o, lse;
	struct sp_matrix scores;    /* (B A C, ranks C), without gaps */
	struct sp_matrix kept;      /* (1, kept()) of the variant, if it has that */
};

struct sp_attention_variant {
	const char *name;
	int keeps_scores; /* whole rows of them, of every layer; needs the device's operations on these */
	int narrow;       /* qkv, o, dout and dqkv may be of 16 bits, but with choice.ring_queries */
	int skips;        /* queries that nobody reads: they are not computed */
	int projects;     /* keys and values along the sequence: the model has weights for that */
	int repeats;      /* on one rank, calls for micro-batches of one shape queue the same operations, and do nothing else */
	int has_globals;  /* some tokens attend to all and all to them: the batch says which */
	/* Elements of state.kept, the same on all ranks. Optional: NULL means none. */
	int64_t (*kept)(const struct sp_attention_shape_host *shape);
	/* SP_OK, or SP_ERR_SETTING with the reason logged. */
	int (*check)(const struct sp_attention_shape_host *shape);
	/* Carves the buffers that all layers share from the arena; *work is freed by destroy, before that memory
	 * is given back. An arena that only counts gives a work that may only be destroyed. Else collective. */
	int (*create)(const struct sp_attention_setup *setup, struct sp_arena *arena, void **work);
	void (*destroy)(void *work);
	/* Optional: NULL means that ranks hold equal parts. How sequences are shared out in the calls that follow; arrays stay as they are
	 * until the next such call. The same on all ranks; nothing is sent. */
	void (*share)(void *work, const struct sp_attention_parts *parts);
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
	/* What this rank sends per layer, forward and backward, in units of four bytes; the formulas are those at the top of each
	 * source file. */
	uint64_t (*sent_forward)(const struct sp_attention_shape_host *shape);
	uint64_t (*sent_backward)(const struct sp_attention_shape_host *shape);
};

/* In what a kind takes qkv, o, dout and dqkv of activations in `element`: that, or float32, to and from which its caller
 * converts. */
enum sp_dtype sp_attention_element(const struct sp_attention_variant *variant, const struct sp_attention_choice *choice,
                                   enum sp_dtype element);

/* "full" (one rank), "ring", "allgather", "ulysses", "hybrid", "rsa", "linformer", "window"; NULL, logged with the known names, if there is none of that name. */
const struct sp_attention_variant *sp_attention_find(const char *name);
/* i-th variant's name, NULL after the last. */
const char *sp_attention_name(int i);

#endif
