/* Fibres: each CUDA thread has a stack of its own and hands over at barriers. On x86-64 the switch is ten instructions; with
 * ucontext, which elsewhere and under the address sanitizer takes its place, each switch is a system call. */
#include "cudasim/simulator.hpp"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__) || !defined(__x86_64__)
#define WITH_UCONTEXT 1
#include <ucontext.h>
#endif

namespace simulator {

enum { WARP = 32, MOST_THREADS = 1024 };
static const size_t STACK = 64 << 10;

enum state { READY, AT_BLOCK, AT_WARP, DONE };

struct fibre {
	struct thread thread;
	enum state state;
	unsigned mask; /* AT_WARP: who is waited for */
	int given;     /* AT_BLOCK: for wait_for_any */
	char *stack;
#ifdef WITH_UCONTEXT
	ucontext_t context;
#else
	void *top;
#endif
};

enum schedule schedule = FORWARD;
const struct thread *thread;
unsigned block, blocks, threads;
unsigned char *shared;

static struct fibre fibres[MOST_THREADS];
static uint64_t given[MOST_THREADS];
static struct fibre *running;
static void (*current_body)(const void *);
static const void *current_context;
static int any;

/* ---- switching ---- */

static void enter()
{
	current_body(current_context);
	running->state = DONE;
}

#ifdef WITH_UCONTEXT

static ucontext_t scheduler;

static void start(struct fibre *f)
{
	getcontext(&f->context);
	f->context.uc_stack.ss_sp = f->stack;
	f->context.uc_stack.ss_size = STACK;
	f->context.uc_link = &scheduler;
	makecontext(&f->context, enter, 0);
}

static void to_fibre(struct fibre *f)
{
	swapcontext(&scheduler, &f->context);
}

static void to_scheduler()
{
	swapcontext(&running->context, &scheduler);
}

#else

static void *scheduler;

/* Saves what a function must keep, then exchanges stacks. */
extern "C" void sp_simulator_switch(void **from, void *to) __attribute__((visibility("hidden")));
asm(".text\n"
    ".hidden sp_simulator_switch\n"
    ".globl sp_simulator_switch\n"
    ".type sp_simulator_switch, @function\n"
    "sp_simulator_switch:\n"
    "	pushq %rbp\n	pushq %rbx\n	pushq %r12\n	pushq %r13\n	pushq %r14\n	pushq %r15\n"
    "	movq %rsp, (%rdi)\n"
    "	movq %rsi, %rsp\n"
    "	popq %r15\n	popq %r14\n	popq %r13\n	popq %r12\n	popq %rbx\n	popq %rbp\n"
    "	ret\n"
    ".size sp_simulator_switch, . - sp_simulator_switch\n");

static void begin()
{
	enter();
	sp_simulator_switch(&running->top, scheduler);
	abort();
}

/* A stack as if sp_simulator_switch had been called at the start of begin(). */
static void start(struct fibre *f)
{
	void **top = reinterpret_cast<void **>(f->stack + STACK - 72); /* as after a call: 8 past a multiple of 16 */
	*top = NULL;
	*--top = reinterpret_cast<void *>(begin);
	for (int i = 0; i < 6; i++)
		*--top = NULL;
	f->top = top;
}

static void to_fibre(struct fibre *f)
{
	sp_simulator_switch(&scheduler, f->top);
}

static void to_scheduler()
{
	sp_simulator_switch(&running->top, scheduler);
}

#endif

/* ---- barriers ---- */

static void wait(enum state state, unsigned mask)
{
	running->state = state;
	running->mask = mask;
	to_scheduler();
}

void wait_for_block()
{
	running->given = 0;
	wait(AT_BLOCK, 0);
}

int wait_for_any(int given)
{
	running->given = given;
	wait(AT_BLOCK, 0);
	return any;
}

void wait_for_warp(unsigned mask)
{
	wait(AT_WARP, mask);
}

uint64_t exchange(unsigned mask, uint64_t value, unsigned lane)
{
	uint64_t *slots = given + thread->warp * WARP;
	slots[thread->lane] = value;
	wait_for_warp(mask);
	value = slots[lane % WARP];
	wait_for_warp(mask);
	return value;
}

/* In turns: who gives again has passed a barrier that all came to when they had read what lies in the other. */
static unsigned char shown[2][MOST_THREADS][MOST_SHOWN], turn[MOST_THREADS];

const void *show(const void *value, size_t size)
{
	unsigned char *const slots = shown[turn[thread->index] ^= 1][thread->warp * WARP];
	memcpy(slots + thread->lane * size, value, size);
	wait_for_warp(~0u);
	return slots;
}

/* ---- scheduling ---- */

static void fail(const char *what)
{
	fprintf(stderr, "simulator: block %u: %s\n", block, what);
	abort();
}

static unsigned in_order(unsigned i, unsigned n)
{
	return schedule == DOWN ? n - 1 - i : i;
}

static void run(struct fibre *f)
{
	running = f;
	thread = &f->thread;
	to_fibre(f);
}

static int run_warp(unsigned warp)
{
	int ran = 0;
	for (unsigned i = 0; i < WARP; i++) {
		const unsigned t = warp * WARP + in_order(i, WARP);
		if (t < threads && fibres[t].state == READY) {
			run(&fibres[t]);
			ran = 1;
		}
	}
	return ran;
}

/* Lets the threads of a warp pass their barrier when all that are waited for, and have not ended, are there. */
static void release_warp(unsigned warp)
{
	unsigned there = 0, wanted = 0, alive = 0;
	for (unsigned i = 0; i < WARP && warp * WARP + i < threads; i++) {
		const struct fibre *f = &fibres[warp * WARP + i];
		alive |= f->state != DONE ? 1u << i : 0;
		if (f->state == AT_WARP) {
			there |= 1u << i;
			wanted |= f->mask;
		}
	}
	if (wanted & alive & ~there)
		return;
	for (unsigned i = 0; i < WARP && warp * WARP + i < threads; i++)
		if (there >> i & 1)
			fibres[warp * WARP + i].state = READY;
}

static unsigned count(enum state state)
{
	unsigned n = 0;
	for (unsigned t = 0; t < threads; t++)
		n += fibres[t].state == state;
	return n;
}

/* All threads are at the block's barrier or have ended. */
static void release_block()
{
	if (count(DONE) > 0)
		fail("some threads ended, others wait for them at a barrier of the block");
	any = 0;
	for (unsigned t = 0; t < threads; t++)
		any |= fibres[t].given != 0;
	for (unsigned t = 0; t < threads; t++)
		fibres[t].state = READY;
}

/* One turn of each warp, or, greedily, of one warp as long as it can go on. Whether anything ran. */
static int run_warps()
{
	const unsigned warps = (threads + WARP - 1) / WARP;
	int ran = 0;
	for (unsigned i = 0; i < warps; i++) {
		const unsigned warp = in_order(i, warps);
		while (run_warp(warp)) {
			ran = 1;
			release_warp(warp);
			if (schedule == FORWARD)
				break;
		}
	}
	return ran;
}

static void run_block()
{
	for (unsigned t = 0; t < threads; t++) {
		fibres[t].state = READY;
		fibres[t].thread = { t, t % WARP, t / WARP };
		start(&fibres[t]);
	}
	while (count(DONE) < threads) {
		if (run_warps())
			continue;
		if (count(AT_WARP) > 0)
			fail("threads of a warp wait for others that do not come");
		release_block();
	}
}

static void give_stacks()
{
	if (fibres[0].stack)
		return;
	void *memory = mmap(NULL, STACK * MOST_THREADS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		fail("no memory for stacks");
	for (unsigned t = 0; t < MOST_THREADS; t++)
		fibres[t].stack = static_cast<char *>(memory) + t * STACK;
}

void launch(unsigned n_blocks, unsigned n_threads, size_t shared_bytes, void (*body)(const void *), const void *context)
{
	block = 0;
	blocks = n_blocks;
	threads = n_threads;
	if (n_threads == 0 || n_threads > MOST_THREADS || n_blocks == 0)
		fail("a launch without blocks or threads, or with more than 1024 threads");
	give_stacks();
	current_body = body;
	current_context = context;
	shared = static_cast<unsigned char *>(aligned_alloc(16, (shared_bytes + 15 + !shared_bytes) / 16 * 16));
	if (!shared)
		fail("no shared memory");
	for (; block < blocks; block++) {
		memset(shared, 0xFF, shared_bytes);
		run_block();
	}
	free(shared);
}

} // namespace simulator
