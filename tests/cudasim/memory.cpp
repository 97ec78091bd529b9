#include "cudasim/memory.hpp"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

namespace simulator {

enum { ALIGN = 256 };

/* | page with this | room ... memory up to the page's end | page without access | */
struct head {
	struct head *next, **from;
	size_t room;
};

static struct head *all;
static int open_count;

static size_t page_size()
{
	static const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	return size;
}

static size_t up(size_t bytes, size_t multiple)
{
	return (bytes + multiple - 1) / multiple * multiple;
}

static void protect(struct head *h, int protection)
{
	if (mprotect(reinterpret_cast<char *>(h) + page_size(), h->room, protection)) {
		perror("simulator: mprotect");
		abort();
	}
}

void *reserve(size_t bytes)
{
	const size_t page = page_size(), own = up(bytes ? bytes : 1, ALIGN), room = up(own, page);
	void *mapping = mmap(NULL, page + room + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapping == MAP_FAILED)
		return NULL;
	if (mprotect(mapping, page, PROT_READ | PROT_WRITE))
		return NULL;
	struct head *h = static_cast<struct head *>(mapping);
	*h = { all, &all, room };
	if (all)
		all->from = &h->next;
	all = h;
	if (open_count > 0)
		protect(h, PROT_READ | PROT_WRITE);
	return static_cast<char *>(mapping) + page + room - own;
}

void release(void *memory)
{
	if (!memory)
		return;
	/* It starts in the first page of its room; the head is the page before. */
	const uintptr_t page = page_size(), at = reinterpret_cast<uintptr_t>(memory) / page * page - page;
	struct head *h = reinterpret_cast<struct head *>(at);
	*h->from = h->next;
	if (h->next)
		h->next->from = h->from;
	munmap(h, page + h->room + page);
}

void open()
{
	if (open_count++ == 0)
		for (struct head *h = all; h; h = h->next)
			protect(h, PROT_READ | PROT_WRITE);
}

void close()
{
	if (--open_count == 0)
		for (struct head *h = all; h; h = h->next)
			protect(h, PROT_NONE);
}

} // namespace simulator
