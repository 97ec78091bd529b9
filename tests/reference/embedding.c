#include "config.h"

#include "reference/reference.h"

void sp_reference_embedding_forward(const struct sp_embedding_forward *args)
{
	for (int64_t t = 0; t < args->s.rows; t++) {
		for (int64_t h = 0; h < args->s.cols; h++)
			*sp_at(args->s, t, h) = *sp_at(args->word, args->token[t], h) + *sp_at(args->type, args->kind[t], h) +
			                        (args->position.data ? *sp_at(args->position, args->pos[t], h) : 0);
		if (args->gamma.data)
			sp_reference_norm_row(args->s, args->gamma, args->beta, args->eps, t, args->y, args->mean, args->rstd);
		for (int64_t h = 0; h < args->s.cols; h++) {
			const double normed = args->gamma.data ? *sp_at(args->y, t, h) : *sp_at(args->s, t, h);
			*sp_at(args->y, t, h) = normed * sp_reference_row_dropout(&args->dropout, &args->rows, t, h);
		}
	}
}

void sp_reference_embedding_backward(const struct sp_embedding_backward *args)
{
	const struct sp_reference_norm_gradient norm = { args->dy,   args->s,      args->gamma, args->mean,
		                                         args->rstd, args->dgamma, args->dbeta };
	for (int64_t t = 0; t < args->dy.rows; t++) {
		for (int64_t h = 0; h < args->dy.cols; h++)
			*sp_at(args->dy, t, h) *= sp_reference_row_dropout(&args->dropout, &args->rows, t, h);
		if (args->gamma.data)
			sp_reference_norm_row_backward(&norm, t, sp_at(args->dy, t, 0));
		for (int64_t h = 0; h < args->dy.cols; h++) {
			*sp_at(args->dword, args->token[t], h) += *sp_at(args->dy, t, h);
			if (args->dposition.data)
				*sp_at(args->dposition, args->pos[t], h) += *sp_at(args->dy, t, h);
			*sp_at(args->dtype, args->kind[t], h) += *sp_at(args->dy, t, h);
		}
	}
}
