#include "config.h"

#include "attention/passing.h"

int sp_passing_rank(const struct sp_passing *p, int hops)
{
	const int ranks = p->places * p->stride;
	return (p->setup->shape.rank + ranks + hops * p->stride) % ranks;
}

static int64_t up_to_page(int64_t bytes)
{
	return (bytes + SP_WINDOW_PAGE - 1) / SP_WINDOW_PAGE * SP_WINDOW_PAGE;
}

static int take_all(struct sp_arena *arena, int64_t rows, int64_t cols, struct sp_matrix *const *message, int count)
{
	int rc = SP_OK;
	for (int i = 0; rc == SP_OK && i < count; i++)
		rc = sp_arena_take_matrix(arena, rows, cols, message[i]);
	return rc;
}

/* What others may read fills whole pages, alone, wherever the arena begins: `count` messages one after the other. */
static int take_readable(struct sp_passing *p, int64_t rows, int64_t cols, struct sp_arena *arena, size_t *bytes)
{
	struct sp_matrix *const message[] = { &p->kv[0], &p->fresh, &p->travel[0], &p->travel[1] };
	const int count = p->setup->forward_only ? 1 : 4;
	struct sp_arena inside = { 0 };
	void *memory;
	int rc = take_all(&inside, rows, cols, message, count);
	*bytes = (size_t)up_to_page((int64_t)inside.used);
	if (rc == SP_OK)
		rc = sp_arena_take(arena, (int64_t)*bytes + SP_WINDOW_PAGE - 1, 1, &memory);
	if (rc || !memory)
		return rc;
	inside = (struct sp_arena){ .base = (char *)up_to_page((int64_t)(uintptr_t)memory), .size = *bytes };
	p->first = inside.base;
	return take_all(&inside, rows, cols, message, count);
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

int sp_passing_create(struct sp_passing *p, int64_t rows, int64_t cols, struct sp_arena *arena)
{
	size_t bytes;
	p->way = &sp_passing_by_messages;
	int rc = take_readable(p, rows, cols, arena, &bytes);
	if (rc == SP_OK)
		rc = sp_arena_take_matrix(arena, rows, cols, &p->kv[1]);
	return rc ? rc : open_window(p, bytes);
}

void sp_passing_narrow(struct sp_passing *p, int64_t cols)
{
	struct sp_matrix *const message[] = { &p->kv[0], &p->kv[1], &p->fresh, &p->travel[0], &p->travel[1] };
	for (int i = 0; i < 5; i++)
		if (message[i]->data)
			*message[i] = sp_matrix(message[i]->data, message[i]->rows, cols);
}

void sp_passing_destroy(struct sp_passing *p)
{
	sp_comm_window_close(p->window);
	p->window = NULL;
}
