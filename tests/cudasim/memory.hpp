/* Device memory of the simulated device: memory of this process that the host cannot touch except where it stands for the
 * device, and that ends where its pages end. May include: libc. */
#ifndef SP_TESTS_CUDASIM_MEMORY_HPP
#define SP_TESTS_CUDASIM_MEMORY_HPP

#include <stddef.h>

namespace simulator {

/* NULL if there is none; aligned to 256 bytes. */
void *reserve(size_t bytes);
void release(void *memory); /* NULL accepted */

/* Between the two, which nest, device memory can be read and written. */
void open();
void close();

/* As long as one of these lives it is open. */
struct opened {
	opened() { open(); }
	~opened() { close(); }
};

} // namespace simulator

#endif
