#!/bin/sh
# Keys of a neighbour's halo counted from the beginning of its share.
. "$srcdir/tests/mutations/run.sh"
mutation src/attention/window.c 's/p->rank \* s->chunk + p->first);/p->rank * s->chunk);/' ranks 2 tests/ranks/test_neighbours
