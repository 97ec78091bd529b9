#include "config.h"

#include "backend/arena.h"

#include "base/log.h"
#include "base/size.h"

int sp_arena_take(struct sp_arena *arena, int64_t count, size_t size, void **memory)
{
	size_t bytes, end;
	*memory = NULL;
	if (count < 0 || sp_size_mul((size_t)count, size, &bytes) || sp_size_add(bytes, 63, &bytes) ||
	    sp_size_add(arena->used, bytes & ~(size_t)63, &end))
		return sp_fail(SP_ERR_MEMORY, "a buffer of %lld elements of %zu bytes overflows the address space", (long long)count,
		               size);
	if (arena->base && end > arena->size)
		return sp_fail(SP_ERR_MEMORY, "activation memory is %zu bytes, %zu more were asked for after %zu", arena->size,
		               bytes & ~(size_t)63, arena->used);
	if (arena->base)
		*memory = arena->base + arena->used;
	arena->used = end;
	if (arena->used > arena->high)
		arena->high = arena->used;
	return SP_OK;
}

int sp_arena_take_matrix_of(struct sp_arena *arena, int64_t rows, int64_t cols, enum sp_dtype dtype, struct sp_matrix *m)
{
	void *memory;
	int64_t count;
	if (__builtin_mul_overflow(rows, cols, &count))
		count = INT64_MAX; /* refused as too large */
	int rc = sp_arena_take(arena, count, sp_dtype_size(dtype), &memory);
	*m = sp_matrix_of(memory, rows, cols, dtype);
	return rc;
}

int sp_arena_take_matrix(struct sp_arena *arena, int64_t rows, int64_t cols, struct sp_matrix *m)
{
	return sp_arena_take_matrix_of(arena, rows, cols, SP_F32, m);
}
