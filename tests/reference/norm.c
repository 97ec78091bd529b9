#include "config.h"

#include "reference/reference.h"

#include <math.h>

void sp_reference_norm_row(struct sp_matrix s, struct sp_matrix gamma, struct sp_matrix beta, double eps, int64_t row,
                           struct sp_matrix y, struct sp_matrix mean, struct sp_matrix rstd)
{
	const int64_t H = s.cols;
	double average = 0, variance = 0;
	for (int64_t h = 0; h < H; h++)
		average += *sp_at(s, row, h) / (double)H;
	for (int64_t h = 0; h < H; h++)
		variance += pow(*sp_at(s, row, h) - average, 2) / (double)H;
	const double r = 1 / sqrt(variance + eps);
	for (int64_t h = 0; h < H; h++)
		*sp_at(y, row, h) = (*sp_at(s, row, h) - average) * r * *sp_at(gamma, 0, h) + *sp_at(beta, 0, h);
	*sp_at(mean, 0, row) = average;
	*sp_at(rstd, 0, row) = r;
}

/* With xhat = (s - mean) rstd and g = dy gamma:  ds = rstd (g - mean(g) - xhat mean(g xhat)). */
void sp_reference_norm_row_backward(const struct sp_reference_norm_gradient *args, int64_t row, double *ds)
{
	const int64_t H = args->dy.cols;
	const double mean = *sp_at(args->mean, 0, row), rstd = *sp_at(args->rstd, 0, row);
	double mean_g = 0, mean_gx = 0;
	for (int64_t h = 0; h < H; h++) {
		const double xhat = (*sp_at(args->s, row, h) - mean) * rstd;
		const double dy = *sp_at(args->dy, row, h);
		const double g = dy * *sp_at(args->gamma, 0, h);
		mean_g += g / (double)H;
		mean_gx += g * xhat / (double)H;
		*sp_at(args->dgamma, 0, h) += dy * xhat;
		*sp_at(args->dbeta, 0, h) += dy;
	}
	for (int64_t h = 0; h < H; h++) {
		const double xhat = (*sp_at(args->s, row, h) - mean) * rstd;
		const double g = *sp_at(args->dy, row, h) * *sp_at(args->gamma, 0, h);
		ds[h] = rstd * (g - mean_g - xhat * mean_gx);
	}
}

void sp_reference_norm_forward(const struct sp_norm_forward *args)
{
	for (int64_t t = 0; t < args->x.rows; t++) {
		for (int64_t h = 0; h < args->x.cols; h++) {
			double z = *sp_at(args->x, t, h) + (args->bias.data ? *sp_at(args->bias, 0, h) : 0);
			z *= sp_reference_row_dropout(&args->dropout, &args->rows, t, h);
			*sp_at(args->x, t, h) = z + (args->residual.data ? *sp_at(args->residual, t, h) : 0);
		}
		if (args->y.data)
			sp_reference_norm_row(args->x, args->gamma, args->beta, args->eps, t, args->y, args->mean, args->rstd);
	}
}

void sp_reference_norm_backward(const struct sp_norm_backward *args)
{
	const struct sp_reference_norm_gradient norm = { args->dy,   args->s,      args->gamma, args->mean,
		                                         args->rstd, args->dgamma, args->dbeta };
	for (int64_t t = 0; t < args->dx.rows; t++) {
		const int64_t H = args->dx.cols;
		double g[H ? H : 1];
		for (int64_t h = 0; h < H; h++)
			g[h] = 0;
		if (args->dy.data)
			sp_reference_norm_row_backward(&norm, t, g);
		for (int64_t h = 0; h < H; h++) {
			if (args->dsum.data)
				g[h] += *sp_at(args->dsum, t, h);
			const double dx = g[h] * sp_reference_row_dropout(&args->dropout, &args->rows, t, h);
			if (args->dresidual.data)
				*sp_at(args->dresidual, t, h) = g[h];
			*sp_at(args->dx, t, h) = dx;
			if (args->dbias.data)
				*sp_at(args->dbias, 0, h) += dx;
		}
	}
}
