#!/bin/sh
# The frame of the program: help, version, unknown words, exit codes.
. "${srcdir:-.}/tests/cli/common.sh"

run 0 "$SEQPAR" --help
says 'usage: seqpar COMMAND'
for command_name in train check vocab tokenize launch info help; do
	says "  $command_name "
done
cp "$dir/out" "$dir/help"
run 0 "$SEQPAR" -h
run 0 "$SEQPAR" help
cmp -s "$dir/out" "$dir/help" || fail "seqpar help is not seqpar --help"
for command_name in train check vocab tokenize launch info; do
	run 0 "$SEQPAR" $command_name --help
	says "seqpar $command_name"
	cp "$dir/out" "$dir/help"
	run 0 "$SEQPAR" help $command_name
	cmp -s "$dir/out" "$dir/help" || fail "seqpar help $command_name is not seqpar $command_name --help"
done
run 0 "$SEQPAR" --version
grep -qE '^seqpar [0-9]+\.[0-9]+\.[0-9]+$' "$dir/out" || fail "version: $(cat "$dir/out")"

run 2 "$SEQPAR"
ends_with_the_only_error 'seqpar --help'
run 2 "$SEQPAR" trian
ends_with_the_only_error 'did you mean "train"'
run 2 "$SEQPAR" help tokenise
ends_with_the_only_error 'did you mean "tokenize"'
run 2 "$SEQPAR" --verbose
ends_with_the_only_error 'no command "--verbose"'

run 0 "$SEQPAR" info
for words in 'seqpar ' 'modules' '  self ' '  mpi ' '  cpu ' 'ranks '; do
	says "$words"
done
run 2 "$SEQPAR" info train.iters=3
ends_with_the_only_error 'train.iters=3'
run 0 "$SEQPAR" info --grid -n 8 parallel.sequence=2 parallel.tensor=2
says '8 ranks = 2 data x 1 pipeline x 2 sequence x 2 tensor'
grep -qE '^ +5 +1 +0 +0 +1 +5 7 +4 5 +5 +1 3 5 7 *$' "$dir/out" || fail "rank 5 does not stand where it should: $(cat "$dir/out")"
run 2 "$SEQPAR" info --grid -n 6 parallel.sequence=4
ends_with_the_only_error 'set parallel.sequence to 3 or 6'
run 2 "$SEQPAR" info --mesure
run 1 env SEQPAR_MODULE_PATH=/nonexistent "$SEQPAR" info backend.comm=nccl
# A program whose modules are not where it looks says so; one that has them inside looks nowhere.
if test -e backends/.libs/self.so; then
	run 1 env SEQPAR_MODULE_PATH=/nonexistent "$SEQPAR" info
	ends_with_the_only_error 'one rank, and no module for it: /nonexistent/self.so: '
else
	run 0 env SEQPAR_MODULE_PATH=/nonexistent "$SEQPAR" info
	says '  self     one rank, no library'
fi
if "$SEQPAR" info | grep -q '^compute '; then
	run 0 "$SEQPAR" info --measure backend.threads=1
	says 'GFLOP/s in fp32'
	says 'GB/s'
	says '1 per rank'
	run 0 "$SEQPAR" info --measure backend.threads=1 backend.device=cpu train.precision=bf16
	says 'GFLOP/s in bf16'
	run 1 "$SEQPAR" info --measure backend.device=cpu train.precision=fp16
	ends_with_the_only_error 'not in f16'
fi

if test -e /dev/full; then
	"$SEQPAR" --help >/dev/full 2>"$dir/err"
	test $? = 1 || fail "a full device is not noticed"
	complains 'standard output cannot be written'
fi
exit $failed
