#!/bin/sh
# The gradients of keys and values divided by the number of ranks, as in the paper's code.
. "$srcdir/tests/mutations/run.sh"
mutation src/attention/ring.c \
	'/return rc ? rc : sp_compute_copy_rows(.*sum/i\
	{ float *g = sum.data;\
	for (int64_t i = 0; i < sum.rows * sum.cols; i++) g[i] /= (float)r->places; }' \
	ranks 2 tests/ranks/test_attention
