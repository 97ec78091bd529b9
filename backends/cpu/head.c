#include "config.h"

#include "cpu/cpu.h"

#include "base/size.h"

#include <seqpar/status.h>
#include <string.h>

int sp_cpu_gather_rows(void *ctx, const struct sp_row_move *args)
{
	struct sp_cpu *cpu = ctx;
	const size_t bytes = (size_t)args->x.cols * sizeof(float);
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < args->n; i++)
		if (bytes)
			memcpy((float *)args->y.data + i * args->y.stride,
			       (const float *)args->x.data + args->index[i] * args->x.stride, bytes);
	return SP_OK;
}

int sp_cpu_scatter_add_rows(void *ctx, const struct sp_row_move *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t parts = sp_min(cpu->threads, args->n);
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t p = 0; p < parts; p++) {
		int64_t first, end;
		sp_cpu_part(args->n, 1, parts, p, &first, &end);
		cpu->kernels->add_rows(args, first, end);
	}
	return SP_OK;
}

int sp_cpu_cross_entropy(void *ctx, const struct sp_cross_entropy *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t rows = args->logits.rows;
	double *losses = sp_cpu_scratch(cpu, (size_t)rows * (sizeof(double) + sizeof(int)));
	if (!losses)
		return SP_ERR_MEMORY;
	int *correct = (int *)(losses + rows);
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < rows; i++)
		cpu->kernels->cross_entropy_row((float *)args->logits.data + i * args->logits.stride, args->logits.cols,
		                                args->label[i], args->scale, args->gradient, losses + i, correct + i);
	for (int64_t i = 0; i < rows; i++) {
		*args->loss += losses[i];
		if (args->correct)
			*args->correct += correct[i];
	}
	return SP_OK;
}

int sp_cpu_tanh_forward(void *ctx, struct sp_matrix x)
{
	struct sp_cpu *cpu = ctx;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < x.rows; i++)
		cpu->kernels->tanh_forward((float *)x.data + i * x.stride, x.cols);
	return SP_OK;
}

int sp_cpu_tanh_backward(void *ctx, const struct sp_tanh_backward *args)
{
	struct sp_cpu *cpu = ctx;
	const struct sp_matrix y = args->y, dx = args->dx;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < dx.rows; i++)
		cpu->kernels->tanh_backward((const float *)y.data + i * y.stride, (float *)dx.data + i * dx.stride, dx.cols);
	return SP_OK;
}

int sp_cpu_activation_backward(void *ctx, const struct sp_activation_backward *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t parts = sp_min(cpu->threads, args->dx.rows);
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t p = 0; p < parts; p++) {
		int64_t first, end;
		sp_cpu_part(args->dx.rows, 1, parts, p, &first, &end);
		const struct sp_matrix pre = sp_matrix_rows(args->pre, first, end - first);
		const struct sp_matrix dx = sp_matrix_rows(args->dx, first, end - first);
		cpu->kernels->activate_backward(args->act, &pre, &dx, NULL);
	}
	return SP_OK;
}
