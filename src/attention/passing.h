/* How a ring's keys and values go round and the gradients of them come home: by messages, or read in place where ranks share
 * memory. One contract, one table of ways; both give the same bits. May include: attention/attention.h.
 *
 * Of R places, place s meets at hop t = 1..R-1 the keys and values of place s - t, and leaves gradients of them that place
 * s + 1 adds its own to at its hop t + 1, until place s - t itself does at the end. All calls are collective over the ring, and
 * every rank makes them in the same order. */
#ifndef SP_ATTENTION_PASSING_H
#define SP_ATTENTION_PASSING_H

#include "attention/attention.h"

struct sp_passing;

struct sp_passing_way {
	/* This rank's own set out; they may change after that. */
	int (*keys_begin)(struct sp_passing *p, struct sp_matrix own);
	/* Those of hop t, for hops 1, 2, .. R - 1 in turn, each readable until the next. */
	int (*keys)(struct sp_passing *p, int hop, struct sp_matrix *kv);
	/* None of them are read any more. */
	void (*keys_end)(struct sp_passing *p);
	/* Where the gradients of hop t's keys are to be written, for hops 1 .. R - 1; */
	int (*gradients)(struct sp_passing *p, int hop, struct sp_matrix *dkv);
	/* which then go on, with those of the ranks before. */
	int (*gradients_on)(struct sp_passing *p, int hop);
	/* Where the gradients of the own keys are to be written; */
	struct sp_matrix (*gradients_own)(struct sp_passing *p);
	/* and at last the sum of all ranks' for them, readable until the next call. */
	int (*gradients_home)(struct sp_passing *p, struct sp_matrix *sum);
	/* Nobody reads what lies in this rank's buffers: their memory may be used for something else until keys_begin. */
	int (*settle)(struct sp_passing *p);
};

/* Keys beside values, and gradients of them. What goes round may as well be queries with all that their gradients need, and these
 * the gradients: of other widths. */
struct sp_passing {
	const struct sp_passing_way *way;
	const struct sp_attention_setup *setup; /* borrowed */
	int stride, places;         /* the next place is `stride` ranks of the sequence away */
	struct sp_matrix kv[2];     /* setup->shape.element. [0]: own keys; by messages in turns one is computed with, the other received */
	struct sp_matrix fresh;     /* by messages: this hop's gradients */
	struct sp_matrix travel[2]; /* by messages in turns one is sent, the other received */
	struct sp_transfer keys_under_way, gradients_under_way;
	int begun;                  /* own keys have set out, and hop 1 has not come */
	/* Read in place: */
	struct sp_window *window; /* kv[0], fresh, travel */
	const char *first;        /* where it begins */
	uint64_t rounds;          /* of keys that this rank has sent out */
	uint64_t sums;            /* blocks of gradients that it has sent out */
};

/* Carves matrices (rows, cols) of what goes round, in setup->shape.element, and of its gradients, in float32, from the arena, the same whatever the way, which all ranks choose alike. Collective over all of
 * setup->comm, unless the arena only counts; setup, stride and places are set. */
int sp_passing_create(struct sp_passing *p, int64_t rows, int64_t cols, int64_t gradient_cols, struct sp_arena *arena);
/* The matrices were made for the most columns that are needed; places of one ring use the same. */
void sp_passing_narrow(struct sp_passing *p, int64_t cols, int64_t gradient_cols);
void sp_passing_destroy(struct sp_passing *p); /* before the arena's memory is given back; zeroed is fine */
/* Of a matrix that holds, or is to hold, what belongs to the place `hops` places back, 0 <= hops <= R: the rows that do. */
struct sp_matrix sp_passing_block(const struct sp_passing *p, struct sp_matrix m, int hops);
/* The sequence rank that is `hops` places further on, -R < hops < R. */
int sp_passing_rank(const struct sp_passing *p, int hops);

extern const struct sp_passing_way sp_passing_by_messages, sp_passing_in_place;

#endif
