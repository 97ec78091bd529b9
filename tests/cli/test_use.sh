#!/bin/sh
# seqpar eval, fill-mask and embed: what they print, the same for any number of ranks, and what they refuse.
. "${srcdir:-.}/tests/cli/common.sh"
need_compute
make_small=${SEQPAR%/seqpar}/tests/cli/make_small
model=$dir/model
export OMP_NUM_THREADS=1

# same FILE FILE: the same words, and numbers that differ by no more than rounding does.
same()
{
	awk '{ gsub(/[][{}:,"]/, " ") }
	     NR == FNR { line[FNR] = $0; n = FNR; next }
	     { words = split(line[FNR], a); if (words != NF) exit bad = 1
	       for (i = 1; i <= NF; i++) {
	           d = a[i] - $i; if (d < 0) d = -d
	           m = $i < 0 ? -$i : $i
	           if (a[i] != $i && ($i !~ /^[-+0-9.e]+$/ || d > 2e-6 * m + 2e-6)) exit bad = 1
	       } }
	     END { exit bad || n != FNR || n == 0 }' "$1" "$2" || fail "$command: $(cat "$1") and $(cat "$2") differ"
}

mkdir "$model" "$dir/bare" "$dir/single" "$dir/empty"
"$make_small" "$model" 48 2 && "$make_small" "$dir/bare" 48 0 && "$make_small" "$dir/single" 200 1 || fail "no model"
for i in 1 2 3 4 5 6 7 8 9; do
	printf 'The cat sat on the mat. A dog sat on the cat! The cats, the dogs.\n\nOn the mat sat %d dogs. A cat sat. The mat!\n\n' $i
done >"$dir/text"
run 0 "$SEQPAR" tokenize --vocab "$model/vocab.txt" -o "$dir/tokens" "$dir/text"

### fill-mask
run 0 "$SEQPAR" fill-mask "$model" "The [MASK] sat on the [MASK]." -k 3
test "$(grep -c '^\[MASK\] at token' "$dir/out")" = 2 || fail "not two masks"
test "$(grep -c '^  0\.[0-9]*  [^ ]*$' "$dir/out")" = 6 || fail "not three tokens each"
says '[MASK] at token 2'
says '[MASK] at token 6'
cp "$dir/out" "$dir/lines"
printf 'The [MASK] sat on\nthe [MASK].\n' | "$SEQPAR" fill-mask "$model" -k 3 >"$dir/out" 2>"$dir/err" || fail "standard input"
cmp "$dir/lines" "$dir/out" || fail "standard input gives something else"
printf 'The [MASK] sat on the [MASK].' | "$SEQPAR" fill-mask "$model" - -k3 >"$dir/out" 2>"$dir/err" || fail "-"
cmp "$dir/lines" "$dir/out" || fail "- gives something else"
run 0 "$SEQPAR" fill-mask "$model" "the [MASK] sat [MASK]" --json backend.threads=1
says '{"tokens": 6, "masks": [{"position": 2, "predictions": [{"token": '
says '{"position": 4, '
cp "$dir/out" "$dir/json"
printf 'the \377[MASK]' | "$SEQPAR" fill-mask "$model" >"$dir/out" 2>"$dir/err" || fail "invalid bytes"
complains '1 bytes of the text are not UTF-8 and were left out'
run 0 "$SEQPAR" fill-mask --help
says 'usage: seqpar fill-mask DIR'

run 2 "$SEQPAR" fill-mask
ends_with_the_only_error 'the directory of a model is missing'
run 1 "$SEQPAR" fill-mask "$dir/nowhere" '[MASK]'
ends_with_the_only_error 'nowhere/config.json'
run 1 "$SEQPAR" fill-mask "$dir/empty" '[MASK]'
ends_with_the_only_error 'empty/config.json'
run 1 "$SEQPAR" fill-mask "$dir/bare" '[MASK]'
ends_with_the_only_error 'has no masked-language-model head'
run 2 "$SEQPAR" fill-mask "$model" 'the cat'
ends_with_the_only_error 'holds no [MASK]'
run 2 "$SEQPAR" fill-mask "$model" '[MASK]' -k 0
ends_with_the_only_error '--top-k 0: expected a whole number from 1'
run 2 "$SEQPAR" fill-mask "$model" '[MASK]' -k 22
ends_with_the_only_error 'give 1 to 21'
run 2 "$SEQPAR" fill-mask "$model" the '[MASK]'
ends_with_the_only_error 'takes one text'
run 2 "$SEQPAR" fill-mask "$model" '[MASK]' model.hidden=32
ends_with_the_only_error 'model.hidden = 32 contradicts the model'
run 2 "$SEQPAR" fill-mask "$model" '[MASK]' parallel.sequence=2
ends_with_the_only_error 'leave out parallel.sequence'
run 2 "$SEQPAR" fill-mask "$model" '[MASK]' backend.attention_kernel=cudnn
ends_with_the_only_error 'fill-mask computes in fp32, and cuDNN'
tail -n 1 "$dir/err" | grep -q 'leave out backend.attention_kernel=cudnn' || fail "$command: names no remedy"
run 2 "$SEQPAR" embed "$model" --format jsonl backend.attention_kernel=cudnn
ends_with_the_only_error 'embed computes in fp32, and cuDNN'
run 0 "$SEQPAR" fill-mask "$model" '[MASK]' backend.attention_kernel=flash
run 2 "$SEQPAR" fill-mask "$model" '[MASK]' backend.treads=1
ends_with_the_only_error 'unknown setting backend.treads'
long="[MASK] $(printf 'the cat %.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23)"
run 1 "$SEQPAR" fill-mask "$model" "$long"
ends_with_the_only_error 'has 49 tokens, [CLS] and [SEP] among them, but model.max_positions = 48'
run 0 "$SEQPAR" fill-mask "$model" "$long" model.max_positions=49 model.extend_positions=tile
run 0 "$SEQPAR" fill-mask "$dir/single" "$long" --json
cp "$dir/out" "$dir/long"

### embed
printf 'The cat sat.\n\nthe dogs,\non a mat\n' >"$dir/two"
run 0 "$SEQPAR" embed "$model" "$dir/two"
test "$(wc -l <"$dir/out")" = 2 || fail "not two vectors"
says '{"index": 0, "tokens": 6, "truncated": false, "vector": ['
says '{"index": 1, "tokens": 9, '
cp "$dir/out" "$dir/vectors"
run 0 "$SEQPAR" embed "$model" --batch-tokens 1 "$dir/two"
same "$dir/vectors" "$dir/out"
run 0 "$SEQPAR" embed "$model" --pool cls "$dir/two"
cmp -s "$dir/vectors" "$dir/out" && fail "[CLS] is the mean"
run 0 "$SEQPAR" embed "$model" --format npy -o "$dir/v.npy" "$dir/two"
test "$(wc -c <"$dir/v.npy")" = $((128 + 2 * 16 * 4)) || fail "size of the array"
first=$(od -An -v -tf4 -j128 -N4 "$dir/v.npy" | tr -d ' ')
awk -v x="$first" '{ sub(/.*\[/, ""); sub(/,.*/, ""); d = $0 - x; if (NR == 1) exit !(d < 1e-5 && d > -1e-5) }' "$dir/vectors" ||
	fail "the array holds $first first"
printf 'the cat\n\n\377\n' | "$SEQPAR" embed "$model" --document-per-line >"$dir/out" 2>"$dir/err" || fail "lines"
test "$(grep -c '"tokens": 2,' "$dir/out")" = 2 || fail "empty lines: $(cat "$dir/out")"
complains '1 bytes of the text are not UTF-8 and were replaced'
: | "$SEQPAR" embed "$model" --format npy -o "$dir/none.npy" 2>"$dir/err" || fail "no text"
test "$(wc -c <"$dir/none.npy")" = 128 || fail "an array without rows"
run 0 "$SEQPAR" embed "$dir/bare" "$dir/two"
run 0 "$SEQPAR" embed --help
says 'usage: seqpar embed DIR'

echo "$long" >"$dir/longer"
run 1 "$SEQPAR" embed "$model" "$dir/longer" -o "$dir/cut"
ends_with_the_only_error 'document 1 has more tokens than model.max_positions = 48'
test ! -e "$dir/cut" || fail "a file is left"
run 0 "$SEQPAR" embed "$model" --truncate "$dir/longer"
complains '1 of 1 documents were cut to 48 tokens'
says '"tokens": 48, "truncated": true'
run 2 "$SEQPAR" embed
ends_with_the_only_error 'the directory of a model is missing'
run 2 "$SEQPAR" embed "$model" --pool max "$dir/two"
ends_with_the_only_error 'expected mean or cls'
run 2 "$SEQPAR" embed "$model" --format npy "$dir/two"
ends_with_the_only_error 'needs -o FILE'
run 2 "$SEQPAR" embed "$model" --document-per-line --document-per-file "$dir/two"
ends_with_the_only_error 'contradict each other'
run 1 "$SEQPAR" embed "$model" "$dir/absent"
ends_with_the_only_error 'absent: cannot find the file'
run 1 "$SEQPAR" embed "$model" -o "$dir/no/place" "$dir/two"
ends_with_the_only_error 'must exist and be writable'
test -z "$(ls "$dir" | grep '\.tmp\.')" || fail "temporary files are left"

### eval
settings="data.source=$dir/tokens data.split=1,1,1 train.sequence_length=40"
# Word splitting of $settings is wanted from here on.
run 0 "$SEQPAR" eval "$model" $settings --json
says '{"split": "valid", '
says '"order_accuracy": '
cp "$dir/out" "$dir/eval"
for micro in 1 2 16; do
	run 0 "$SEQPAR" eval "$model" $settings --json train.micro_batch=$micro
	same "$dir/eval" "$dir/out"
done
run 0 "$SEQPAR" eval --split=test $settings "$model"
says 'split           test of'
run 0 "$SEQPAR" eval "$dir/single" $settings train.eval_iters=2 train.global_batch=8
says 'samples         16 of 40 tokens'
grep -q order "$dir/out" && fail "a model without that head has an order"
printf '[data]\nsource = %s\nsplit = 1,1,1\n[train]\nsequence_length = 40\n' "$dir/tokens" >"$dir/e.ini"
run 0 "$SEQPAR" eval -c "$dir/e.ini" "$model" --json
same "$dir/eval" "$dir/out"
# What training says of the model that it then saves.
field()
{
	sed -n 's/.*"event": "eval".*"'"$1"'": *\([-+0-9.e]*\).*/\1/p' "$2" | tail -n 1
}
small="data.vocab=$model/vocab.txt model.layers=2 model.hidden=16 model.heads=2 model.max_positions=48 model.sentence_order=true"
batches="train.global_batch=4 train.micro_batch=2 train.eval_iters=3"
run 0 "$SEQPAR" train $settings $small $batches train.iters=4 train.eval_interval=4 log.metrics="$dir/log" checkpoint.dir="$dir/run"
run 0 "$SEQPAR" eval "$dir/run/$(cat "$dir/run/latest")" $settings $batches --json
for name in loss mlm_loss perplexity accuracy order_loss order_accuracy predicted; do
	sed 's/^{/{"event": "eval", /' "$dir/out" >"$dir/line"
	test -n "$(field $name "$dir/line")" || fail "no $name"
	field $name "$dir/log" >"$dir/trained"
	field $name "$dir/line" >"$dir/evaluated"
	same "$dir/trained" "$dir/evaluated"
done
run 0 "$SEQPAR" fill-mask "$dir/run/$(cat "$dir/run/latest")" "the [MASK]"
run 0 "$SEQPAR" eval --help
says 'usage: seqpar eval DIR'
run 2 "$SEQPAR" eval
ends_with_the_only_error 'the directory of a model is missing'
run 2 "$SEQPAR" eval "$model"
ends_with_the_only_error 'data.source=PREFIX is missing'
run 2 "$SEQPAR" eval "$model" $settings --split all
ends_with_the_only_error '--split all: expected train, valid or test'
run 2 "$SEQPAR" eval "$model" $settings data.split=1,0,0
ends_with_the_only_error 'leaves no documents'
run 1 "$SEQPAR" eval "$dir/empty" $settings
ends_with_the_only_error 'empty/config.json'
run 1 "$SEQPAR" eval "$dir/bare" $settings
ends_with_the_only_error 'has no masked-language-model head'
run 1 "$SEQPAR" eval "$dir/single" $settings model.sentence_order=true
ends_with_the_only_error 'has no sentence-order head'

### several ranks
test $failed = 0 || exit 1
need_ranks
for ranks in 2 3; do
	run 0 $TESTMPIRUN $ranks "$SEQPAR" fill-mask "$model" "the [MASK] sat [MASK]" --json
	same "$dir/json" "$dir/out"
	run 0 $TESTMPIRUN $ranks "$SEQPAR" fill-mask "$dir/single" "$long" --json
	same "$dir/long" "$dir/out"
	for tokens in 1 7 4096; do
		run 0 $TESTMPIRUN $ranks "$SEQPAR" embed "$model" --batch-tokens $tokens "$dir/two"
		same "$dir/vectors" "$dir/out"
	done
	for sequence in 1 $ranks; do
		run 0 $TESTMPIRUN $ranks "$SEQPAR" eval "$model" $settings --json parallel.sequence=$sequence
		same "$dir/eval" "$dir/out"
	done
	printf 'the [MASK] sat [MASK]\n' | $TESTMPIRUN $ranks "$SEQPAR" fill-mask "$model" --json >"$dir/out" 2>"$dir/err"
	same "$dir/json" "$dir/out"
done
run 0 $TESTMPIRUN 4 "$SEQPAR" eval "$model" $settings --json parallel.sequence=2 parallel.tensor=2
same "$dir/eval" "$dir/out"
printf 'the [MASK] sat [MASK]\n' | "$SEQPAR" launch -n 2 -- fill-mask "$model" --json >"$dir/out" 2>"$dir/err"
same "$dir/json" "$dir/out"
run 2 $TESTMPIRUN 2 "$SEQPAR" fill-mask "$model" 'the cat'
complains 'holds no [MASK]'
run 1 $TESTMPIRUN 2 "$SEQPAR" embed "$model" "$dir/longer"
complains 'document 1 has more tokens'
run 1 $TESTMPIRUN 2 "$SEQPAR" embed "$model" "$dir/absent"
complains 'absent: cannot find the file'
run 1 $TESTMPIRUN 2 "$SEQPAR" eval "$dir/bare" $settings
complains 'has no masked-language-model head'

exit $failed
