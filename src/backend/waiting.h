/* What the main thread waits for: the one operation of communication it is inside of. The main thread writes, any thread
 * may read. May include: libc. */
#ifndef SP_BACKEND_WAITING_H
#define SP_BACKEND_WAITING_H

#include <stddef.h>
#include <stdint.h>

/* Borrowed pointers, valid while the operation lasts. Ranks are those of the job. */
struct sp_waiting {
	const char *operation; /* "all_reduce" */
	const char *group;     /* "sequence" */
	const int32_t *member; /* the ranks of the group; NULL: all ranks of the job */
	int size;              /* how many */
	int to, from;          /* of an exchange; -1: nothing is sent, or awaited. Both -1: it is between all of the group */
};

/* Between the two the main thread may block. They do not nest. A few stores: cheap. */
void sp_waiting_begin(const struct sp_waiting *what);
void sp_waiting_end(void);

/* Fills *what and returns a number that no other operation has; 0 when the main thread is inside of none. What the
 * pointers point to may be read while a later call gives the same number. */
uint64_t sp_waiting_now(struct sp_waiting *what);

/* "exchange of group sequence, to rank 1, from rank 3"; "all_reduce of group data (ranks 0, 4)". */
void sp_waiting_text(const struct sp_waiting *what, char *text, size_t size);

#endif
