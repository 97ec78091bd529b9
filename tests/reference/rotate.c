#include "config.h"

#include "reference/reference.h"

#include <math.h>

void sp_reference_rotate(const struct sp_rotate *args)
{
	const int64_t half = args->head_dim / 2;
	for (int64_t t = 0; t < args->x.rows; t++)
		for (int64_t head = 0; head < args->x.cols; head += args->head_dim)
			for (int64_t j = 0; j < half; j++) {
				const double angle = args->position[t] * pow(args->base, -2.0 * (double)j / (double)args->head_dim);
				const double c = cos(angle), s = args->inverse ? -sin(angle) : sin(angle);
				double *low = sp_at(args->x, t, head + j), *high = low + half, was = *low;
				*low = was * c - *high * s;
				*high = *high * c + was * s;
			}
}
