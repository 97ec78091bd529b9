#include "config.h"

#include "cpu/cpu.h"

#include "base/size.h"

#include <seqpar/status.h>

int sp_cpu_norm_forward(void *ctx, const struct sp_norm_forward *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t parts = sp_min(cpu->threads, args->x.rows);
	struct sp_cpu_room room;
	if (sp_cpu_room_open(cpu, args->x.dtype, SP_CPU_ROOM_ROWS * (args->x.cols + 15), 0, &room))
		return SP_ERR_MEMORY;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t p = 0; p < parts; p++) {
		int64_t first, end;
		sp_cpu_part(args->x.rows, 1, parts, p, &first, &end);
		cpu->kernels->norm_forward(args, first, end, sp_cpu_room_of_thread(&room));
	}
	return SP_OK;
}

int sp_cpu_norm_backward(void *ctx, const struct sp_norm_backward *args)
{
	struct sp_cpu *cpu = ctx;
	const int64_t h = args->dx.cols, parts = sp_cpu_sum_parts(cpu, args->dx.rows);
	struct sp_cpu_room room;
	if (sp_cpu_room_open(cpu, args->dx.dtype, SP_CPU_ROOM_ROWS * (h + 15), (size_t)(parts * 3 * h) * sizeof(float), &room))
		return SP_ERR_MEMORY;
	float *sums = room.front;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
	for (int64_t p = 0; p < parts; p++) {
		float *own = sums + p * 3 * h;
		int64_t first, end;
		sp_cpu_part(args->dx.rows, 1, parts, p, &first, &end);
		cpu->kernels->norm_backward(args, first, end, own, own + h, own + 2 * h, sp_cpu_room_of_thread(&room));
	}
	float *const totals[] = { args->dgamma.data, args->dbeta.data, args->dbias.data };
	sp_cpu_sum_up(cpu, sums, parts, 3, h, totals);
	return SP_OK;
}
