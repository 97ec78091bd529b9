#!/bin/sh
# Each rank keeps what it has found of the gradients of global tokens to itself.
. "$srcdir/tests/mutations/run.sh"
mutation src/attention/window.c 's/int rc = sum_start(w, w->dqkv);/int rc = SP_OK;/' ranks 2 tests/ranks/test_neighbours
