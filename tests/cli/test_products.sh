#!/bin/sh
# Training in bf16 with products by oneDNN's place-holder (tests/conformance/standin): said in the first lines, split as unsplit, and
# only if all ranks have it.
. "${srcdir:-.}/tests/cli/common.sh"
need_ranks
need_compute
standin=tests/conformance/standin/.libs/cpu.so
test -f $standin || { echo "skipped: modules are linked in"; exit 77; }
mkdir "$dir/modules"
for module in backends/.libs/*.so; do
	ln -s "$PWD/$module" "$dir/modules/"
done
ln -sf "$PWD/$standin" "$dir/modules/cpu.so"

small="model.preset=tiny model.layers=1 model.vocab_size=100 train.sequence_length=64 train.micro_batch=2 train.global_batch=2
	parallel.sequence=2 backend.device=cpu train.precision=bf16"
steps="train.eval_interval=0 train.iters=2 optimizer.decay_iters=2"

# with RANKS COMMAND...: those of the two ranks have it.
with()
{
	# shellcheck disable=SC2016 # the rank's own number
	ranks=$1 modules=$dir/modules run 0 $TESTMPIRUN 2 sh -c 'case $ranks in
	*${OMPI_COMM_WORLD_RANK:-$PMI_RANK}*) export SEQPAR_MODULE_PATH=$modules ;;
	esac
	exec "$0" "$@"' "$SEQPAR" "$2" $small $3
}

with 01 train "$steps"
says 'stand-in for bf16'
grep -q 'bf16' "$dir/err" && fail "$command: warns of bf16"
# The rate that steps are held against is that of these products: nothing else has made any yet.
says 'GFLOP/s in bf16'
grep -q 'oneDNN, [1-9][0-9]* kinds made' "$dir/out" || fail "$command: the rate is of other products than bf16's"
with 01 train "$steps train.precision=fp32"
says 'GFLOP/s in fp32'
says 'oneDNN, 0 kinds made'
with 01 check ""

# The place-holder is slower than the BLAS by far, and so are the rates in bf16 alone.
rate()
{
	run 0 env SEQPAR_MODULE_PATH="$dir/modules" "$SEQPAR" bench attention --only full --repeats 1 $small parallel.sequence=1 backend.threads=1 "$1"
	sed -n 's/^# gemm: \([0-9.]*\) GFLOP.*/\1/p' "$dir/out"
}
echo "$(rate train.precision=fp32) $(rate train.precision=bf16)" | awk '{ exit !($1 > 3 * $2 && $2 > 0) }' || fail "attention in bf16 is held against fp32's rate"
run 0 env SEQPAR_MODULE_PATH="$dir/modules" "$SEQPAR" bench gemm --csv --only 'qkv forward none' --rows 64 --repeats 3 $small backend.threads=1
says 'plain product in bf16'
awk -F, '$1 == "qkv" { good = $5 == "onednn" && $15 > 20 } END { exit !good }' "$dir/out" || fail "products in bf16 are held against fp32's rate"

# A rank that has not makes all do without. (So where oneDNN is really fast, this is no case.)
if ! env SEQPAR_LOG=error "$SEQPAR" info 2>/dev/null | grep -q 'oneDNN.* for bf16'; then
	for ranks in 0 1; do
		with $ranks train "$steps"
		complains 'by oneDNN on 1 of 2 ranks'
		complains 'bf16 halves the memory'
		grep -q 'stand-in' "$dir/out" && fail "$command: uses oneDNN on some ranks"
	done
fi
exit $failed
