/* Rows of several samples, `chunk` tokens of each, worked on a few at a time. May include: libc.
 *
 * A piece is several whole samples, or some tokens of one: so it is a batch of its own, of rows that lie side by side. */
#ifndef SP_BASE_CUT_H
#define SP_BASE_CUT_H

#include <stdint.h>

struct sp_cut {
	int64_t batch, chunk;    /* what is cut */
	int64_t samples, tokens; /* of a piece, at most: either tokens is chunk or samples is 1 */
	int64_t pieces;
};

/* Tokens [token, token + tokens) of samples [sample, sample + samples): rows [row, row + rows). */
struct sp_piece {
	int64_t sample, samples, token, tokens, row, rows;
};

/* As few pieces of at most `rows` >= 1 rows as there can be of this kind, and of one sample none much shorter than the others. */
struct sp_cut sp_cut_make(int64_t batch, int64_t chunk, int64_t rows);
struct sp_piece sp_cut_piece(const struct sp_cut *cut, int64_t i);

#endif
