#include "config.h"

#include "backend/waiting.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { NAMED = 8 }; /* members of a group that a text names */

/* `number` is odd inside of an operation. Who reads the same odd number before and after the rest has read one operation's. */
static struct {
	atomic_uint_fast64_t number;
	_Atomic(const char *) operation, group;
	_Atomic(const int32_t *) member;
	atomic_int size, to, from;
} now;

#define SET(field) atomic_store_explicit(&now.field, what->field, memory_order_relaxed)
#define GET(field) what->field = atomic_load_explicit(&now.field, memory_order_relaxed)

void sp_waiting_begin(const struct sp_waiting *what)
{
	SET(operation);
	SET(group);
	SET(member);
	SET(size);
	SET(to);
	SET(from);
	atomic_fetch_add_explicit(&now.number, 1, memory_order_release);
}

/* Nothing that comes after may be seen by who still reads the number of before. */
void sp_waiting_end(void)
{
	atomic_fetch_add_explicit(&now.number, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

uint64_t sp_waiting_now(struct sp_waiting *what)
{
	const uint64_t before = atomic_load_explicit(&now.number, memory_order_acquire);
	GET(operation);
	GET(group);
	GET(member);
	GET(size);
	GET(to);
	GET(from);
	atomic_thread_fence(memory_order_acquire);
	const uint64_t after = atomic_load_explicit(&now.number, memory_order_relaxed);
	return before == after && before % 2 ? before : 0;
}

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void append(char *text, size_t size, const char *format, ...)
{
	const size_t used = strlen(text);
	va_list args;
	va_start(args, format);
	vsnprintf(text + used, size - used, format, args);
	va_end(args);
}

static void add_members(const struct sp_waiting *w, char *text, size_t size)
{
	append(text, size, " (ranks ");
	for (int i = 0; i < w->size && i < NAMED; i++)
		append(text, size, "%s%d", i ? ", " : "", w->member ? (int)w->member[i] : i);
	if (w->size > NAMED)
		append(text, size, ", ... of %d", w->size);
	append(text, size, ")");
}

void sp_waiting_text(const struct sp_waiting *w, char *text, size_t size)
{
	snprintf(text, size, "%s of group %s", w->operation, w->group);
	if (w->to >= 0)
		append(text, size, ", to rank %d", w->to);
	if (w->from >= 0)
		append(text, size, ", from rank %d", w->from);
	if (w->to < 0 && w->from < 0)
		add_members(w, text, size);
}
