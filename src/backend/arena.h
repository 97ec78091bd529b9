/* A block of device memory handed out from the front, like a stack. The same code that carves it also counts it: with no
 * memory behind it (base NULL) an arena only adds up, so a plan and a run cannot disagree.
 * May include: base, seqpar/tensor.h. */
#ifndef SP_BACKEND_ARENA_H
#define SP_BACKEND_ARENA_H

#include <seqpar/tensor.h>
#include <stddef.h>
#include <stdint.h>

struct sp_arena {
	char *base;  /* NULL: counting only, every pointer handed out is NULL */
	size_t size; /* bytes behind base */
	size_t used, high;
};

/* `count` elements of `size` bytes, aligned to 64 bytes. SP_ERR_MEMORY (logged) if it does not fit or overflows; *memory is
 * then NULL. count may be 0. */
int sp_arena_take(struct sp_arena *arena, int64_t count, size_t size, void **memory);

/* A float32 matrix without gaps between its rows, or one of another dtype. The same errors; *m is then without data. */
int sp_arena_take_matrix(struct sp_arena *arena, int64_t rows, int64_t cols, struct sp_matrix *m);
int sp_arena_take_matrix_of(struct sp_arena *arena, int64_t rows, int64_t cols, enum sp_dtype dtype, struct sp_matrix *m);

/* Gives back all that was taken since `used` had this value. */
static inline void sp_arena_release(struct sp_arena *arena, size_t used)
{
	arena->used = used;
}

#endif
