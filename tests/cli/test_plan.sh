#!/bin/sh
# seqpar plan: the table, what fits into a rank's memory, the paper's comparison, and what it refuses.
. "${srcdir:-.}/tests/cli/common.sh"

small="model.preset=tiny model.vocab_size=1001 train.sequence_length=64 train.micro_batch=2 train.global_batch=8"

# total SETTING...: bytes of the first class.
total()
{
	"$SEQPAR" plan --bytes -n 4 "$@" | sed -n 's/^total *\([0-9]*\).*/\1/p' | head -n 1
}

# Word splitting of $small is wanted.
run 0 "$SEQPAR" plan -n 4 $small parallel.sequence=2
says '4 ranks = 2 data x 1 pipeline x 2 sequence x 1 tensor'
says 'gradients and parameters'
grep -q '^A ' "$dir/out" && fail "equal ranks are told apart"
run 0 "$SEQPAR" plan -n 4 $small parallel.tensor=2
says 'A    ranks 0 2'
says 'B    ranks 1 3'
says 'A, MiB'

run 0 "$SEQPAR" plan -n 8 $small parallel.pipeline=2 parallel.sequence=2 train.global_batch=16
says '8 ranks = 2 data x 2 pipeline x 2 sequence x 1 tensor'
says 'stage 0  embeddings, layers 0'
says 'stage 1  layers 1, heads'
says 'waits for others 20.0 % of a step'
says 'A    ranks 0-3'
says 'B    ranks 4-7'
run 0 "$SEQPAR" plan -n 2 $small model.layers=8 parallel.pipeline=2 parallel.virtual_stages=2
says 'stage 0  embeddings, layers 0-1 4-5'
says 'stage 1  layers 2-3 6-7, heads'
run 2 "$SEQPAR" plan -n 2 $small model.layers=8 parallel.pipeline=2 parallel.virtual_stages=2 train.global_batch=6
ends_with_the_only_error 'in groups of parallel.pipeline = 2'

# Attention that these ranks and heads cannot have.
run 2 "$SEQPAR" plan -n 4 $small parallel.sequence=4 parallel.attention=full
ends_with_the_only_error 'parallel.attention = full needs whole sequences on one rank'
run 2 "$SEQPAR" plan -n 4 $small parallel.sequence=4 parallel.attention=ulysses
ends_with_the_only_error 'parallel.attention = ulysses shares the 2 heads of a rank'
run 2 "$SEQPAR" plan -n 4 $small parallel.sequence=4 parallel.attention=hybrid parallel.ulysses=3
ends_with_the_only_error 'parallel.ulysses = 3 does not divide parallel.sequence = 4'
run 2 "$SEQPAR" plan -n 4 $small parallel.sequence=4 parallel.attention=hybrid parallel.ulysses=4
ends_with_the_only_error 'parallel.ulysses = 4 is more than the 2 heads of a rank'
for kind in ring allgather hybrid "hybrid parallel.ulysses=2" "ulysses model.heads=4"; do
	run 0 "$SEQPAR" plan -n 4 $small parallel.sequence=4 parallel.attention=$kind
done

# The most that fits does, and one more does not.
run 0 "$SEQPAR" plan -n 4 --memory 200MiB $small parallel.sequence=2
says ' and fits.'
room=$((200 * 1024 * 1024 - $(sed -n 's/^Of 200 MiB per rank, \([0-9]*\).* MiB are for.*/\1/p' "$dir/out") * 1024 * 1024))
length=$(sed -n 's/^longest sequence .*sequence_length=\([0-9]*\) .*/\1/p' "$dir/out")
batch=$(sed -n 's/^largest batch .*micro_batch=\([0-9]*\) .*/\1/p' "$dir/out")
says "model.max_positions=$length"
says "train.global_batch=$((batch * 4))"
for more in 0 1; do
	words="train.sequence_length=$((length + more)) model.max_positions=$((length + more))"
	test $(($(total $small parallel.sequence=2 $words) > room)) = $more || fail "longest sequence: $length + $more"
	words="train.micro_batch=$((batch + more)) train.global_batch=$((batch * 4 + more * 4))"
	test $(($(total $small parallel.sequence=2 $words) > room)) = $more || fail "largest batch: $batch + $more"
done
cp "$dir/out" "$dir/words"
for words in --memory=200mib "--memory 209715200" "--memory 0.1953125GiB"; do
	run 0 "$SEQPAR" plan -n 4 $words $small parallel.sequence=2
	cmp -s "$dir/out" "$dir/words" || fail "$words is not 200MiB"
done

run 0 "$SEQPAR" plan -n 1 --memory 100MiB $small train.micro_batch=512 train.global_batch=512
says 'does not fit'
says 'longest sequence   train.sequence_length=4 '
run 0 "$SEQPAR" plan -n 1 --memory 1GB $small train.sequence_length=60000 model.max_positions=60000
says 'largest batch      none: train.sequence_length=60000 is too long'
run 1 "$SEQPAR" plan -n 4 --memory 60MiB $small
ends_with_the_only_error 'too little'
for words in 0 -5GiB GiB 16foo 2000TiB "" 1e400 nan "16 G B"; do
	run 2 "$SEQPAR" plan -n 4 "--memory=$words" $small
	ends_with_the_only_error 'not an amount of memory'
done
run 2 "$SEQPAR" plan $small --memory
run 2 "$SEQPAR" plan $small
ends_with_the_only_error '-n RANKS'
for ranks in 0 -1 two 4x 99999999999; do
	run 2 "$SEQPAR" plan -n $ranks $small
	ends_with_the_only_error '-n RANKS'
done
run 2 "$SEQPAR" plan -n 4 $small --memry=3
run 2 "$SEQPAR" plan -n 3 $small parallel.sequence=2
ends_with_the_only_error 'parallel.sequence = 2 does not divide 3 ranks'
run 0 "$SEQPAR" plan --help
says '--memory AMOUNT'

# BERT-base: the paper's crossovers, and this program's.
run 0 "$SEQPAR" plan --paper -n 4 model.preset=base train.micro_batch=1
says '24580 tokens, above 32 H = 24576'
says '12292 tokens, above 16 A Z = 12288'
grep -q '^layer .*460[48] tokens' "$dir/out" || fail "crossover of the own layout: $(cat "$dir/out")"
run 2 "$SEQPAR" plan --paper -n 1 model.preset=base
ends_with_the_only_error 'two or more'
run 2 "$SEQPAR" plan --paper -n 5 model.preset=base train.global_batch=5 train.micro_batch=1
ends_with_the_only_error 'does not divide model.heads'

# matches PATTERN: a line of standard output does.
matches()
{
	grep -q -- "$1" "$dir/out" || fail "$command: no line of standard output matches \"$1\""
}

# What fits by the paper's tables: BERT-base, 16 GiB, 64 sequence ranks against 12 tensor ranks.
run 0 "$SEQPAR" plan --paper -n 64 --memory 16GiB model.preset=base train.sequence_length=512
matches 'tensor ranks .*none: 64 ranks do not divide 12 heads'
matches 'sequence ranks  *2980 '
run 0 "$SEQPAR" plan --paper -n 12 --memory 16GiB model.preset=base train.sequence_length=512
matches 'tensor ranks  *271 '
run 0 "$SEQPAR" plan --paper -n 12 --memory 16GiB model.preset=base parallel.pipeline=4
says '3 layers on each of 12 ranks'
for words in --json --bytes "--time gemm=1,attention=1"; do
	run 2 "$SEQPAR" plan --paper -n 4 $words model.preset=base
	ends_with_the_only_error '--paper counts elements'
done

# One JSON object has the figures of the table, what fits, and the time.
exact="parallel.sequence=2 parallel.tensor=2"
run 0 "$SEQPAR" plan -n 4 --json --memory 200MiB --time gemm=2,forward=1,backward=1,memory=5,latency=3,bandwidth=1,gradients=1,copied=1 $small $exact
matches '"total": '"$(total $small $exact)"'[,]*$'
for key in grid base classes arena fitting longest micro_batch global_batch time products tokens_per_s; do
	says "\"$key\": "
done
says '"sequence": 2,'
run 0 "$SEQPAR" plan -n 4 --json --memory 60MiB $small
says '"longest": 0,'
run 0 "$SEQPAR" plan -n 4 --time gemm=2,attention=1 $small
says 'time by these rates in fp32'
matches '^products of layers  *[0-9.]*$'
matches '^[0-9]* tokens/s'
sed -n 's/^step  *//p' "$dir/out" >"$dir/step"
run 0 "$SEQPAR" plan -n 4 --time gemm=2,attention=1,latency=500 $small
sed -n 's/^step  *//p' "$dir/out" | cmp -s - "$dir/step" && fail "latency costs nothing"
run 0 "$SEQPAR" plan -n 4 --time gemm=2,attention=1,copied=0 $small
sed -n 's/^step  *//p' "$dir/out" | cmp -s - "$dir/step" || fail "copied=0 is not what it is when left out"
for words in gemm=2 attention=2 gemm=2,attention=0 gemm=2,attention=x gemm=2,attention=1,warp=9 gemm=2,,attention=1 gemm=,attention=1 \
	gemm=2,attention=1,copied=1.5 gemm=2,attention=1,copied=-1 gemm=2,attention=1,latency=0 gemm=2,attention=1e999 gemm=2,attention=1x; do
	run 2 "$SEQPAR" plan -n 4 --time $words $small
	ends_with_the_only_error '--time'
done
exit $failed
