#!/bin/sh
# Gradients summed over a group that mixes the stages of a pipeline, as in the code of Li et al. 2021.
. "$srcdir/tests/mutations/run.sh"
mutation src/parallel/grid.c \
	's/\[SP_GROUP_REPLICAS\] = { "replicas", { /&[SP_AXIS_PIPELINE] = 1, /' \
	tests/unit/model/test_groups
