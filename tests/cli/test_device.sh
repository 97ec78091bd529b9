#!/bin/sh
# A device that cannot be used: info says why, asking for it is an error of one line, and the processor is not affected.
. "${srcdir:-.}/tests/cli/common.sh"
need_compute

run 0 "$SEQPAR" info
if grep -q '^  cuda  *[0-9]* GPU' "$dir/out"; then
	echo "skipped: there is a GPU here"
	exit 77
fi
grep -qE '^  cuda +(built, not usable|not built): .' "$dir/out" || fail "info does not say why cuda cannot be used"

run 1 "$SEQPAR" train backend.device=cuda train.iters=1
ends_with_the_only_error 'backend.device=cuda cannot be used'
run 1 "$SEQPAR" info backend.device=cuda
ends_with_the_only_error 'backend.device=cuda cannot be used'
run 0 "$SEQPAR" train model.preset=tiny model.layers=1 model.vocab_size=100 train.sequence_length=16 train.micro_batch=2 \
	train.global_batch=2 train.eval_interval=0 train.iters=1 backend.device=cpu
exit $failed
