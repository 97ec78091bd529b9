/* What a thread widens activations into that are not float32. */
#include "config.h"

#include "cpu/cpu.h"

#include "base/log.h"
#include "base/size.h"

#ifdef _OPENMP
#include <omp.h>
#endif

int sp_cpu_thread(void)
{
#ifdef _OPENMP
	return omp_get_thread_num();
#else
	return 0;
#endif
}

int sp_cpu_room_open(struct sp_cpu *cpu, enum sp_dtype element, int64_t floats, size_t front, struct sp_cpu_room *room)
{
	const size_t first = (size_t)sp_round_up((int64_t)front, 64), each = (size_t)sp_round_up(floats, 16);
	size_t bytes;
	*room = (struct sp_cpu_room){ NULL, NULL, 0 };
	if (sp_size_mul(element == SP_F32 ? 0 : each, (size_t)cpu->threads * sizeof(float), &bytes) || sp_size_add(bytes, first, &bytes))
		return sp_fail(SP_ERR_MEMORY, "cpu: work space of %d threads overflows the address space", cpu->threads);
	if (!(room->front = sp_cpu_scratch(cpu, bytes)))
		return SP_ERR_MEMORY;
	if (element != SP_F32) {
		room->floats = (float *)(void *)((char *)room->front + first);
		room->each = each;
	}
	return SP_OK;
}

float *sp_cpu_room_of_thread(const struct sp_cpu_room *room)
{
	return room->floats ? room->floats + (size_t)sp_cpu_thread() * room->each : NULL;
}

struct sp_matrix sp_cpu_widened(const struct sp_cpu *cpu, struct sp_matrix m, float *room)
{
	if (m.dtype == SP_F32)
		return m;
	const struct sp_matrix wide = sp_matrix(room, m.rows, m.cols);
	cpu->kernels->convert(&m, &wide);
	return wide;
}

void sp_cpu_put_back(const struct sp_cpu *cpu, const struct sp_matrix *from, const struct sp_matrix *to)
{
	if (to->dtype != SP_F32)
		cpu->kernels->convert(from, to);
}
