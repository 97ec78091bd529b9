#include "config.h"

#include "base/where.h"

#include <stdatomic.h>
#include <stdio.h>

enum { DEPTH = 8 };

static struct {
	_Atomic(const char *) name;
	atomic_int index;
} open_spans[DEPTH];
static atomic_int depth;
static atomic_llong current_step;

void sp_where_step(int64_t step)
{
	atomic_store_explicit(&current_step, step, memory_order_relaxed);
}

void sp_where_enter(const char *name, int index)
{
	const int at = atomic_load_explicit(&depth, memory_order_relaxed);
	if (at < DEPTH) {
		atomic_store_explicit(&open_spans[at].index, index, memory_order_relaxed);
		atomic_store_explicit(&open_spans[at].name, name, memory_order_relaxed);
	}
	atomic_store_explicit(&depth, at + 1, memory_order_release);
}

void sp_where_leave(void)
{
	const int at = atomic_load_explicit(&depth, memory_order_relaxed);
	if (at > 0)
		atomic_store_explicit(&depth, at - 1, memory_order_release);
}

/* Appends one part, if there is room for more than its beginning. */
static size_t add(char *text, size_t size, size_t used, const char *name, long long number)
{
	if (used + 1 >= size)
		return used;
	int n = number < 0 ? snprintf(text + used, size - used, "%s%s", used ? ", " : "", name) :
	                     snprintf(text + used, size - used, "%s%s %lld", used ? ", " : "", name, number);
	return n < 0 ? used : used + (size_t)n;
}

void sp_where_text(char *text, size_t size)
{
	const long long step = atomic_load_explicit(&current_step, memory_order_relaxed);
	const int open = atomic_load_explicit(&depth, memory_order_acquire);
	size_t used = 0;
	if (size)
		text[0] = 0;
	if (step > 0)
		used = add(text, size, used, "step", step);
	for (int i = 0; i < open && i < DEPTH; i++)
		used = add(text, size, used, atomic_load_explicit(&open_spans[i].name, memory_order_relaxed),
		           atomic_load_explicit(&open_spans[i].index, memory_order_relaxed));
	if (used && used + 1 < size)
		snprintf(text + used, size - used, ": ");
}
