#!/bin/sh
# parallel.attention = window: a loss that falls, checkpoints that go on under other numbers of ranks and are used, and what is
# refused.
. "${srcdir:-.}/tests/cli/common.sh"
need_compute
export OMP_NUM_THREADS=1
small="model.layers=2 model.hidden=32 model.heads=4 model.max_positions=96 train.sequence_length=93 train.global_batch=8"
small="$small train.micro_batch=4 parallel.attention=window model.window=9 model.globals=4 backend.threads=1 log.interval=1"

# Word splitting of $small is wanted, here and below.
# losses FILE: of every step.
losses()
{
	sed -n 's/.*"event": *"step".*"loss": *\([^,]*\),.*/\1/p' "$1"
}

### refused by name
run 2 "$SEQPAR" plan -n 1 $small model.window=0
ends_with_the_only_error 'model.window'
run 2 "$SEQPAR" plan -n 1 $small model.globals=0
ends_with_the_only_error 'model.globals'
run 0 "$SEQPAR" plan -n 4 $small parallel.pipeline=2 parallel.tensor=2

### each packed sample has a first token, if there is room
run 0 "$SEQPAR" train $small data.packing=true train.iters=1 model.globals=1
complains 'of the samples in a sequence only the first has a global token'
run 0 "$SEQPAR" train $small data.packing=true train.iters=1
grep -q 'only the first has a global token' "$dir/err" && fail "there is room for more"

### memory of a rank is a straight line in S
memory()
{
	"$SEQPAR" plan --bytes -n 4 model.preset=base parallel.attention=window parallel.sequence=4 \
		train.recompute=layer train.micro_batch=1 train.global_batch=1 "train.sequence_length=$1" "model.max_positions=$1" |
		sed -n 's/^total *\([0-9]*\).*/\1/p' | head -n 1
}
a=$(memory 32768) b=$(memory 65536) c=$(memory 131072)
awk "BEGIN { x = ($c - $b) / ($b - $a); exit !(x > 1.99 && x < 2.01) }" || fail "memory is no straight line: $a $b $c"

### the loss falls
run 0 "$SEQPAR" train $small train.iters=200 optimizer.lr=3e-3 model.vocab_size=64 log.metrics="$dir/falls"
losses "$dir/falls" | awk 'NR <= 5 { first += $1 } { last[NR % 5] = $1 }
	END { for (i in last) sum += last[i]; exit !(NR == 200 && sum < 0.96 * first) }' || fail "the loss does not fall"

### a text, a model of it, and what is made of that
printf '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\ndog\nsat\non\nmat\n##s\n.\n,\n!\na\nb\nc\nd\ne\nf\n' >"$dir/vocab.txt"
for i in 1 2 3 4 5 6 7 8 9; do
	printf 'The cat sat on the mat. A dog sat on the cat! The cats, the dogs.\n\nOn the mat sat %d dogs. A cat sat. The mat!\n\n' $i
done >"$dir/text"
run 0 "$SEQPAR" tokenize --vocab "$dir/vocab.txt" -o "$dir/tokens" "$dir/text"
words="$small data.source=$dir/tokens data.vocab=$dir/vocab.txt data.split=1,0,0 train.iters=6 model.sentence_order=true"
words="$words model.global_tokens=separators model.global_every=2"
run 0 "$SEQPAR" train $words checkpoint.dir="$dir/c" checkpoint.interval=3 checkpoint.keep=9 log.metrics="$dir/whole"
model=$dir/c/step-00000006
grep -q '"model_type": "seqpar-window-bert"' "$model/config.json" || fail "config.json does not say what it is"
cp -r "$dir/c" "$dir/half" && rm -r "$dir/half/step-00000006"
run 0 "$SEQPAR" train $words checkpoint.dir="$dir/half" log.metrics="$dir/again"
losses "$dir/whole" | tail -n 3 >"$dir/out"
losses "$dir/again" | cmp -s - "$dir/out" || fail "resumed, other losses"
cmp "$model/model.safetensors" "$dir/half/step-00000006/model.safetensors" || fail "resumed, other weights"
run 2 "$SEQPAR" train $words checkpoint.dir="$dir/half" parallel.attention=full train.iters=7
complains 'parallel.attention = full, but the model of'
run 2 "$SEQPAR" train $words checkpoint.dir="$dir/half" model.window=13 train.iters=7
complains 'model.window = 13, but the model of'

run 0 "$SEQPAR" fill-mask "$model" 'The [MASK] sat on the [MASK].' --json backend.threads=1
cp "$dir/out" "$dir/masks"
run 0 "$SEQPAR" embed "$model" "$dir/text" backend.threads=1
run 0 "$SEQPAR" eval "$model" data.source="$dir/tokens" data.split=0,1,0 train.sequence_length=93 backend.threads=1
run 2 "$SEQPAR" fill-mask "$model" '[MASK]' parallel.attention=ring
ends_with_the_only_error 'parallel.attention = ring contradicts the model'
run 0 "$SEQPAR" convert "$model" -o "$dir/converted"
complains 'transformers has no such model'
run 0 "$SEQPAR" fill-mask "$dir/converted" 'The [MASK] sat on the [MASK].' --json backend.threads=1
cmp "$dir/out" "$dir/masks" || fail "converted, other guesses"

### a BERT may be given a window
mkdir "$dir/bert"
"${SEQPAR%/seqpar}/tests/cli/make_small" "$dir/bert" 48 2 || fail "no model"
run 0 "$SEQPAR" train checkpoint.init="$dir/bert" parallel.attention=window model.window=7 train.sequence_length=48 \
	train.iters=2 train.global_batch=2 train.micro_batch=1 data.source="$dir/tokens" data.split=1,0,0

### over several ranks
need_ranks
export OMP_NUM_THREADS=1
run 0 $TESTMPIRUN 3 "$SEQPAR" check $small parallel.sequence=3
says 'the split step equals the unsplit one'
run 0 $TESTMPIRUN 2 "$SEQPAR" check $small parallel.sequence=2 data.packing=true model.global_every=2
says 'the split step equals the unsplit one'
rm -r "$dir/half/step-00000006"
run 0 $TESTMPIRUN 3 "$SEQPAR" train $words parallel.sequence=3 train.micro_batch=8 checkpoint.dir="$dir/half" \
	log.metrics="$dir/others"
losses "$dir/whole" | tail -n 3 >"$dir/out"
losses "$dir/others" | paste - "$dir/out" |
	awk '{ d = $1 - $2; if (d < 0) d = -d; bad += d > 1e-5 * $2; n++ } END { exit bad || n != 3 }' || fail "three ranks, other losses"
run 0 $TESTMPIRUN 3 "$SEQPAR" fill-mask "$model" 'The [MASK] sat on the [MASK].' --json backend.threads=1
sed 's/[0-9]\.[0-9e-]*//g' "$dir/out" >"$dir/ranks"
sed 's/[0-9]\.[0-9e-]*//g' "$dir/masks" | cmp -s - "$dir/ranks" || fail "three ranks, other guesses"
run 0 $TESTMPIRUN 3 "$SEQPAR" bench attention --only window --repeats 2 --warm-up 1 $small train.sequence_length=90
says 'right: all 4 checked results'
exit $failed
