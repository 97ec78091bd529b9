/* Which tokens of a batch are global, and the arrays that say so to attention. May include: libc.
 *
 * Global is the first token of every document; and, where they are asked for, every separator. A sample has as many as were
 * planned for: in the order of their positions, and those behind are tokens like others. That depends on the sample alone, so
 * it is the same for any number of ranks. */
#ifndef SP_ATTENTION_GLOBALS_H
#define SP_ATTENTION_GLOBALS_H

#include <stdint.h>

/* A micro-batch of one rank, on the host; the arrays are those of struct sp_attention_globals and sp_attention_call. */
struct sp_globals_cut {
	int64_t batch, chunk, globals; /* globals: the most of a sample */
	int ranks, rank;
	const int32_t *doc;      /* [ranks][batch][chunk] */
	const int32_t *read_doc; /* [batch][chunk], of this rank */
	int32_t *global_doc;     /* [batch][globals] written, as all that follows */
	int32_t *other;          /* [ranks][batch][chunk] */
	int32_t *read_other;     /* [batch][chunk] */
	int32_t *row, *slot;     /* [batch * globals] */
	int64_t own;             /* of row and slot: 0 before the first sample, grows */
};

/* Of sample `i`, samples ascending. token, the sample's `length` ids, and `separator` among them: may be NULL and -1. */
void sp_attention_globals_cut(struct sp_globals_cut *cut, int64_t i, const int32_t *token, int64_t length, int32_t separator);

#endif
