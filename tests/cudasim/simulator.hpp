/* Runs the thread blocks of a CUDA kernel on the processor, one fibre a CUDA thread, blocks one after the other.
 * May include: libc.
 *
 * A thread runs until it reaches a barrier, so the order in which threads have their turn decides which missing barrier
 * shows. Shared memory holds NaN before each block. Only for tests. */
#ifndef SP_TESTS_CUDASIM_SIMULATOR_HPP
#define SP_TESTS_CUDASIM_SIMULATOR_HPP

#include <stddef.h>
#include <stdint.h>

namespace simulator {

enum schedule {
	FORWARD, /* all threads in turn */
	UP,      /* one warp until it waits for the block, then the next */
	DOWN     /* the same from the last warp and the last lane */
};
extern enum schedule schedule;

struct thread {
	unsigned index, lane, warp;
};
extern const struct thread *thread; /* the one that runs */
extern unsigned block, blocks, threads;
extern unsigned char *shared; /* of the block that runs, as large as the launch asked for */

/* Calls body(context) once for each thread of each block. */
void launch(unsigned blocks, unsigned threads, size_t shared_bytes, void (*body)(const void *), const void *context);

void wait_for_block();
/* The same, and whether any thread gave something other than 0. */
int wait_for_any(int given);
/* Waits for the threads of the warp that `mask` names. */
void wait_for_warp(unsigned mask);
/* What `lane` gave, once all of `mask` have given. */
uint64_t exchange(unsigned mask, uint64_t given, unsigned lane);
/* What all lanes of the warp give, `size` bytes each, at most MOST_SHOWN, one behind the other; until the next time. */
enum { MOST_SHOWN = 48 };
const void *show(const void *given, size_t size);

template <class Body> void launch_body(unsigned blocks, unsigned threads, size_t shared_bytes, const Body &body)
{
	launch(blocks, threads, shared_bytes, [](const void *context) { (*static_cast<const Body *>(context))(); }, &body);
}

} // namespace simulator

#endif
