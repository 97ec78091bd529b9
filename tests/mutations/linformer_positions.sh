#!/bin/sh
# Tokens projected by their positions in the rank's part of the sequence.
. "$srcdir/tests/mutations/run.sh"
mutation src/attention/linformer.c 's/s->rank \* s->chunk + t->first, t->count/t->first, t->count/' \
	ranks 2 tests/ranks/test_linformer
