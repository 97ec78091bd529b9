#!/bin/sh
# A loss scaled by the rank's own number of predicted tokens, instead of the global one, is noticed.
. "${srcdir:-.}/tests/mutations/run.sh"
mutation src/train/flow.c 's/struct sp_pass own = \*pass;/&\
	own.mlm_scale = f->batch.predictions ? 1.0f \/ (float)f->batch.predictions : 0;/' \
	ranks 2 tests/ranks/test_training
