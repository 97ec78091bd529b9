#!/bin/sh
# A loss scaled by the rank's own number of predicted tokens, instead of the global one, is noticed.
. "${srcdir:-.}/tests/mutations/run.sh"
# The struct that replaces `pass` in the call has the members of struct sp_pass in their order.
mutation src/train/setup.c 's/sp_model_run(setup->model, &batch, pass)/sp_model_run(setup->model, \&batch, \&(struct sp_pass){ pass->seed, pass->step, pass->training, batch.predictions ? 1.0f \/ (float)batch.predictions : 0, pass->order_scale })/' \
	ranks 2 tests/ranks/test_training
