#include "config.h"

#include "cpu/cpu.h"

#include "base/size.h"

#include <seqpar/status.h>
#include <string.h>

int sp_cpu_gather_rows(void *ctx, const struct sp_row_move *args)
{
	struct sp_cpu *cpu = ctx;
	const size_t size = sp_dtype_size(args->x.dtype), bytes = (size_t)args->x.cols * size;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < args->n; i++)
		if (bytes)
			memcpy((char *)args->y.data + (size_t)(i * args->y.stride) * size,
			       (const char *)args->x.data + (size_t)(args->index[i] * args->x.stride) * size, bytes);
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
	struct sp_cpu_room room;
	if (sp_cpu_room_open(cpu, args->logits.dtype, args->logits.cols, (size_t)rows * (sizeof(double) + sizeof(int)), &room))
		return SP_ERR_MEMORY;
	double *losses = room.front;
	int *correct = (int *)(losses + rows);
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < rows; i++) {
		const struct sp_matrix row = sp_matrix_rows(args->logits, i, 1), logits = sp_cpu_widened(cpu, row, sp_cpu_room_of_thread(&room));
		cpu->kernels->cross_entropy_row(logits.data, logits.cols, args->label[i], args->scale, args->gradient, losses + i,
		                                correct + i);
		if (args->gradient)
			sp_cpu_put_back(cpu, &logits, &row);
	}
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
		cpu->kernels->tanh_forward(&x, i);
	return SP_OK;
}

int sp_cpu_tanh_backward(void *ctx, const struct sp_tanh_backward *args)
{
	struct sp_cpu *cpu = ctx;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t i = 0; i < args->dx.rows; i++)
		cpu->kernels->tanh_backward(args, i);
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
