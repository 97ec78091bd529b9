#include "config.h"

#include "attention/passing.h"

int sp_passing_rank(const struct sp_passing *p, int hops)
{
	const int ranks = p->places * p->stride;
	return (p->setup->shape.rank + ranks + hops * p->stride) % ranks;
}

struct sp_matrix sp_passing_block(const struct sp_passing *p, struct sp_matrix m, int hops)
{
	const struct sp_attention_setup *s = p->setup;
	if (!s->parts.chunk)
		return m;
	return sp_matrix_rows(m, 0, s->shape.batch * s->parts.chunk[sp_passing_rank(p, -hops % p->places)]);
}

static int64_t up_to_page(int64_t bytes)
{
	return (bytes + SP_WINDOW_PAGE - 1) / SP_WINDOW_PAGE * SP_WINDOW_PAGE;
}

/* What others may read: one matrix of `cols`, and in training three of gradients. */
static int take_all(struct sp_passing *p, struct sp_arena *arena, int64_t rows, int64_t cols, int64_t gradient_cols)
{
	struct sp_matrix *const gradient[] = { &p->fresh, &p->travel[0], &p->travel[1] };
	int rc = sp_arena_take_matrix_of(arena, rows, cols, p->setup->shape.element, &p->kv[0]);
	for (int i = 0; rc == SP_OK && i < 3 && !p->setup->forward_only; i++)
		rc = sp_arena_take_matrix(arena, rows, gradient_cols, gradient[i]);
	return rc;
}

/* That fills whole pages, alone, wherever the arena begins. */
static int take_readable(struct sp_passing *p, int64_t rows, int64_t cols, int64_t gradient_cols, struct sp_arena *arena,
                         size_t *bytes)
{
	struct sp_arena inside = { 0 };
	void *memory;
	int rc = take_all(p, &inside, rows, cols, gradient_cols);
	*bytes = (size_t)up_to_page((int64_t)inside.used);
	if (rc == SP_OK)
		rc = sp_arena_take(arena, (int64_t)*bytes + SP_WINDOW_PAGE - 1, 1, &memory);
	if (rc || !memory)
		return rc;
	inside = (struct sp_arena){ .base = (char *)up_to_page((int64_t)(uintptr_t)memory), .size = *bytes };
	p->first = inside.base;
	return take_all(p, &inside, rows, cols, gradient_cols);
}

/* Where each transfer is to be waited for at once, nothing can be read at leisure. */
static int open_window(struct sp_passing *p, size_t bytes)
{
	if (!p->first || !p->setup->overlap || bytes == 0)
		return SP_OK;
	int rc = sp_comm_window_open(p->setup->comm, p->setup->compute, (void *)p->first, bytes, &p->window);
	if (p->window)
		p->way = &sp_passing_in_place;
	return rc;
}

/* In place gradients of the own keys are summed where messages bring the next ones. */
static int take_second(struct sp_passing *p, int64_t rows, int64_t cols, int64_t gradient_cols, struct sp_arena *arena)
{
	const enum sp_dtype element = p->setup->shape.element;
	struct sp_matrix room;
	if (element == SP_F32 || p->setup->forward_only)
		return sp_arena_take_matrix_of(arena, rows, cols, element, &p->kv[1]);
	int rc = sp_arena_take_matrix(arena, rows, gradient_cols, &room);
	p->kv[1] = sp_matrix_of(room.data, rows, cols, element);
	return rc;
}

int sp_passing_create(struct sp_passing *p, int64_t rows, int64_t cols, int64_t gradient_cols, struct sp_arena *arena)
{
	size_t bytes;
	p->way = &sp_passing_by_messages;
	int rc = take_readable(p, rows, cols, gradient_cols, arena, &bytes);
	if (rc == SP_OK)
		rc = take_second(p, rows, cols, gradient_cols, arena);
	return rc ? rc : open_window(p, bytes);
}

void sp_passing_narrow(struct sp_passing *p, int64_t cols, int64_t gradient_cols)
{
	struct sp_matrix *const matrix[] = { &p->kv[0], &p->kv[1], &p->fresh, &p->travel[0], &p->travel[1] };
	for (int i = 0; i < 5; i++)
		if (matrix[i]->data)
			*matrix[i] = sp_matrix_of(matrix[i]->data, matrix[i]->rows, i < 2 ? cols : gradient_cols, matrix[i]->dtype);
}

void sp_passing_destroy(struct sp_passing *p)
{
	sp_comm_window_close(p->window);
	p->window = NULL;
}
