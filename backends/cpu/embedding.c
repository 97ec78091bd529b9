#include "config.h"

#include "cpu/cpu.h"

#include "base/size.h"

#include <seqpar/status.h>

enum { COLUMN_GRAIN = 16 }; /* a cache line of floats: slices of two threads share none */

int sp_cpu_embedding_forward(void *ctx, const struct sp_embedding_forward *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t parts = sp_min(cpu->threads, args->s.rows);
	struct sp_cpu_room room;
	if (sp_cpu_room_open(cpu, args->s.dtype, SP_CPU_ROOM_ROWS * (args->s.cols + 15), 0, &room))
		return SP_ERR_MEMORY;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t p = 0; p < parts; p++) {
		int64_t first, end;
		sp_cpu_part(args->s.rows, 1, parts, p, &first, &end);
		cpu->kernels->embedding_forward(args, first, end, sp_cpu_room_of_thread(&room));
	}
	return SP_OK;
}

static void rows_backward(struct sp_cpu *cpu, const struct sp_embedding_backward *args, int64_t parts, const struct sp_cpu_room *room)
{
	const int64_t h = args->dy.cols;
	float *sums = room->front;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t p = 0; p < parts; p++) {
		float *own = sums + p * 2 * h;
		int64_t first, end;
		sp_cpu_part(args->dy.rows, 1, parts, p, &first, &end);
		cpu->kernels->embedding_rows_backward(args, first, end, own, own + h, sp_cpu_room_of_thread(room));
	}
	float *const totals[] = { args->dgamma.data, args->dbeta.data };
	sp_cpu_sum_up(cpu, sums, parts, 2, h, totals);
}

int sp_cpu_embedding_backward(void *ctx, const struct sp_embedding_backward *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t h = args->dy.cols, parts = sp_cpu_sum_parts(cpu, args->dy.rows);
	struct sp_cpu_room room;
	if (sp_cpu_room_open(cpu, args->dy.dtype, SP_CPU_ROOM_ROWS * (h + 15), (size_t)(parts * 2 * h) * sizeof(float), &room))
		return SP_ERR_MEMORY;
	rows_backward(cpu, args, parts, &room);
	/* Rows of the same id meet in the tables, so threads take columns: no two write the same place, and every place is
	 * added to in the order of the rows. */
	const int64_t slices = sp_min(cpu->threads, sp_ceil_div(h, COLUMN_GRAIN));
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t p = 0; p < slices; p++) {
		int64_t first, end;
		sp_cpu_part(h, COLUMN_GRAIN, slices, p, &first, &end);
		cpu->kernels->embedding_tables_backward(args, first, end);
	}
	return SP_OK;
}
