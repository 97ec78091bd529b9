#include "config.h"

#include "cpu/cpu.h"

#include "base/log.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, MOVE_GRAIN = 64 << 10 };

int sp_cpu_alloc(void *ctx, size_t bytes, void **memory)
{
	(void)ctx;
	/* Large arrays in huge pages: activations and weights are walked with strides of kilobytes, one TLB miss a row. */
	const size_t align = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : 64;
	if (posix_memalign(memory, align, bytes ? bytes : 1))
		return sp_fail(SP_ERR_MEMORY, "cpu: no memory for %zu bytes", bytes);
#ifdef MADV_HUGEPAGE
	if (align == HUGE_PAGE)
		(void)madvise(*memory, bytes, MADV_HUGEPAGE); /* a wish; without it things are only slower */
#endif
	return SP_OK;
}

void sp_cpu_free(void *ctx, void *memory)
{
	(void)ctx;
	free(memory);
}

/* Small amounts stay on one thread, large ones want the bandwidth of all. */
static int64_t move_parts(const struct sp_cpu *cpu, size_t bytes)
{
	return sp_min(cpu->threads, (int64_t)(bytes / (4 * MOVE_GRAIN)) + 1);
}

static int copy_bytes(struct sp_cpu *cpu, char *to, const char *from, size_t bytes)
{
	const int64_t parts = move_parts(cpu, bytes);
#pragma omp parallel for schedule(static) num_threads(cpu->threads) if (parts > 1)
	for (int64_t p = 0; p < parts; p++) {
		int64_t first, end;
		sp_cpu_part((int64_t)bytes, MOVE_GRAIN, parts, p, &first, &end);
		if (end > first)
			memcpy(to + first, from + first, (size_t)(end - first));
	}
	return SP_OK;
}

int sp_cpu_copy_in(void *ctx, void *device, const void *host, size_t bytes)
{
	return copy_bytes(ctx, device, host, bytes);
}

int sp_cpu_copy_out(void *ctx, void *host, const void *device, size_t bytes)
{
	return copy_bytes(ctx, host, device, bytes);
}

int sp_cpu_zero(void *ctx, void *device, size_t bytes)
{
	struct sp_cpu *cpu = ctx;
	const int64_t parts = move_parts(cpu, bytes);
#pragma omp parallel for schedule(static) num_threads(cpu->threads) if (parts > 1)
	for (int64_t p = 0; p < parts; p++) {
		int64_t first, end;
		sp_cpu_part((int64_t)bytes, MOVE_GRAIN, parts, p, &first, &end);
		if (end > first)
			memset((char *)device + first, 0, (size_t)(end - first));
	}
	return SP_OK;
}

int sp_cpu_copy_rows(void *ctx, struct sp_matrix from, struct sp_matrix to)
{
	struct sp_cpu *cpu = ctx;
	const size_t size = sp_dtype_size(from.dtype), row = (size_t)from.cols * size;
	if (row == 0)
		return SP_OK;
	const int64_t parts = move_parts(cpu, row * (size_t)from.rows);
#pragma omp parallel for schedule(static) num_threads(cpu->threads) if (parts > 1)
	for (int64_t p = 0; p < parts; p++) {
		int64_t first, end;
		sp_cpu_part(from.rows, 1, parts, p, &first, &end);
		for (int64_t i = first; i < end; i++)
			memcpy((char *)to.data + (size_t)(i * to.stride) * size,
			       (const char *)from.data + (size_t)(i * from.stride) * size, row);
	}
	return SP_OK;
}

int sp_cpu_convert(void *ctx, struct sp_matrix from, struct sp_matrix to)
{
	struct sp_cpu *cpu = ctx;
	const int64_t parts = sp_min(from.rows, move_parts(cpu, (size_t)(from.rows * from.cols) * sizeof(float)));
#pragma omp parallel for schedule(static) num_threads(cpu->threads) if (parts > 1)
	for (int64_t p = 0; p < parts; p++) {
		int64_t first, end;
		sp_cpu_part(from.rows, 1, parts, p, &first, &end);
		const struct sp_matrix source = sp_matrix_rows(from, first, end - first), target = sp_matrix_rows(to, first, end - first);
		cpu->kernels->convert(&source, &target);
	}
	return SP_OK;
}

int sp_cpu_sync(void *ctx)
{
	(void)ctx;
	return SP_OK;
}
