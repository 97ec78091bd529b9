#!/bin/sh
# The two copies of the word table each updated with the gradient of their own stage only.
. "$srcdir/tests/mutations/run.sh"
mutation src/parallel/tied.c \
	's/if (status || own.count == 0)/if (1 || own.count == 0)/' \
	ranks 2 tests/ranks/test_grid 1x2x1x1
