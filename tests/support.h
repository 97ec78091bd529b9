/* What every test program includes first: CMocka with what it needs, and numbers to compare. May include: libc, cmocka. */
#ifndef SP_TESTS_SUPPORT_H
#define SP_TESTS_SUPPORT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <math.h>

/* |a - b| / |b| in L2, b being the reference; |a| if b is zero. Not a number if either holds one that is none. */
static inline double relative_l2(const float *a, const double *b, size_t n)
{
	double difference = 0, size = 0;
	for (size_t i = 0; i < n; i++) {
		difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		size += b[i] * b[i];
	}
	return sqrt(difference) / (size > 0 ? sqrt(size) : 1);
}

#endif
