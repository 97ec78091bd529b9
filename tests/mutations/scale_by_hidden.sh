#!/bin/sh
# Scores divided by sqrt(hidden) in place of sqrt(head_dim), as in the paper's code.
. "$srcdir/tests/mutations/run.sh"
mutation src/attention/variants.c \
	's/sqrtf((float)s->head_dim)/sqrtf((float)(s->heads * s->head_dim))/' \
	tests/golden/test_gradients
