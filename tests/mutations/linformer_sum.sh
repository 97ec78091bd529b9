#!/bin/sh
# Each rank attends to the projection of its own tokens alone: what is not said of it in the paper, and not in table 3.
. "$srcdir/tests/mutations/run.sh"
mutation src/attention/linformer.c 's/if (l->setup.shape.ranks == 1)/if (1)/' ranks 2 tests/ranks/test_linformer
