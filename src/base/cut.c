#include "config.h"

#include "base/cut.h"

#include "base/size.h"

struct sp_cut sp_cut_make(int64_t batch, int64_t chunk, int64_t rows)
{
	const int64_t in_sample = sp_ceil_div(chunk, sp_min(rows, chunk));
	struct sp_cut cut = { .batch = batch, .chunk = chunk, .tokens = sp_ceil_div(chunk, in_sample) };
	cut.samples = in_sample > 1 ? 1 : sp_min(sp_max(rows / chunk, 1), batch);
	cut.pieces = sp_ceil_div(batch, cut.samples) * in_sample;
	return cut;
}

struct sp_piece sp_cut_piece(const struct sp_cut *cut, int64_t i)
{
	const int64_t in_sample = sp_ceil_div(cut->chunk, cut->tokens);
	struct sp_piece p = { .sample = i / in_sample * cut->samples, .token = i % in_sample * cut->tokens };
	p.samples = sp_min(cut->samples, cut->batch - p.sample);
	p.tokens = sp_min(cut->tokens, cut->chunk - p.token);
	p.row = p.sample * cut->chunk + p.token;
	p.rows = p.samples * p.tokens;
	return p;
}
