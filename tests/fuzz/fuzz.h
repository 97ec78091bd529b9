/* What the fuzz targets share. Each is one file with the function that libFuzzer calls, and nothing of libFuzzer's. May
 * include: libc. */
#ifndef SP_TESTS_FUZZ_H
#define SP_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold of everything that was accepted. */
static inline void fuzz_must(int holds)
{
	if (!holds)
		abort();
}

#endif
