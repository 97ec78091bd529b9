/* What the simulated device gives for its queue, which is done at once: the way to its memory, for who passes that to other
 * ranks. May include: libc. */
#ifndef SP_TESTS_CUDASIM_QUEUE_H
#define SP_TESTS_CUDASIM_QUEUE_H

struct cudasim_queue {
	void (*open)(void);  /* device memory can be read and written */
	void (*close)(void); /* no more */
};

#endif
