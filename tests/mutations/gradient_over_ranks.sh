#!/bin/sh
# The gradients of keys and values divided by the number of ranks, as in the paper's code.
. "$srcdir/tests/mutations/run.sh"
mutation src/attention/ring.c \
	'/rc = sp_compute_copy_rows(.*travel\[r->places % 2\]/i\
	{ float *g = r->travel[r->places % 2].data;\
	for (int64_t i = 0; i < r->travel[0].rows * r->travel[0].cols; i++) g[i] /= (float)r->places; }' \
	ranks 2 tests/ranks/test_attention
