#include "config.h"

#include "reference/reference.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

double sp_reference_activation(enum sp_activation act, double x)
{
	if (act == SP_ACT_GELU)
		return x * 0.5 * (1 + erf(x / sqrt(2)));
	if (act == SP_ACT_GELU_TANH)
		return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x)));
	return x;
}

double sp_reference_activation_slope(enum sp_activation act, double x)
{
	if (act == SP_ACT_GELU)
		return 0.5 * (1 + erf(x / sqrt(2))) + x * exp(-0.5 * x * x) / sqrt(2 * pi);
	if (act == SP_ACT_GELU_TANH) {
		const double t = tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x));
		return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * sqrt(2 / pi) * (1 + 3 * 0.044715 * x * x);
	}
	return 1;
}

void sp_reference_linear_forward(const struct sp_linear_forward *args)
{
	for (int64_t t = 0; t < args->y.rows; t++)
		for (int64_t n = 0; n < args->y.cols; n++) {
			double z = args->bias.data ? *sp_at(args->bias, 0, n) : 0;
			for (int64_t k = 0; k < args->x.cols; k++)
				z += *sp_at(args->x, t, k) * *sp_at(args->w, n, k);
			if (args->pre.data)
				*sp_at(args->pre, t, n) = z;
			*sp_at(args->y, t, n) = sp_reference_activation(args->act, z);
		}
}

void sp_reference_linear_backward_input(const struct sp_linear_backward_input *args)
{
	for (int64_t t = 0; t < args->dx.rows; t++)
		for (int64_t k = 0; k < args->dx.cols; k++) {
			double z = 0;
			for (int64_t n = 0; n < args->dy.cols; n++)
				z += *sp_at(args->dy, t, n) * *sp_at(args->w, n, k);
			if (args->act != SP_ACT_NONE)
				z *= sp_reference_activation_slope(args->act, *sp_at(args->pre, t, k));
			if (args->accumulate)
				z += *sp_at(args->dx, t, k);
			*sp_at(args->dx, t, k) = z;
			if (args->dbias.data)
				*sp_at(args->dbias, 0, k) += z;
		}
}

void sp_reference_linear_backward_weight(const struct sp_linear_backward_weight *args)
{
	for (int64_t n = 0; n < args->dw.rows; n++)
		for (int64_t k = 0; k < args->dw.cols; k++)
			for (int64_t t = 0; t < args->x.rows; t++)
				*sp_at(args->dw, n, k) += *sp_at(args->dy, t, n) * *sp_at(args->x, t, k);
	if (args->dbias.data)
		for (int64_t t = 0; t < args->dy.rows; t++)
			for (int64_t n = 0; n < args->dy.cols; n++)
				*sp_at(args->dbias, 0, n) += *sp_at(args->dy, t, n);
}

void sp_reference_activation_backward(const struct sp_activation_backward *args)
{
	for (int64_t t = 0; t < args->dx.rows; t++)
		for (int64_t n = 0; n < args->dx.cols; n++)
			*sp_at(args->dx, t, n) *= sp_reference_activation_slope(args->act, *sp_at(args->pre, t, n));
}
