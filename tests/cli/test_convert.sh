#!/bin/sh
# seqpar convert: whatever form a model comes in, the same directory goes out; what cannot be converted leaves nothing.
. "${top_srcdir:-.}/tests/cli/common.sh"
make_model=$(dirname "$SEQPAR")/tests/cli/make_model
cd "$dir" || exit 1

model() # KIND: makes the model $dir/KIND
{
	mkdir "$1" && "$make_model" "$1" "$1" || { echo "FAIL: make_model $1"; exit 1; }
}

nothing_left() # NAME
{
	for left in "$1" "$1".*; do
		test ! -e "$left" || fail "$command: $left is left"
	done
}

# --- every form of one model becomes the same files
for kind in plain old shards; do
	model $kind
	run 0 "$SEQPAR" convert $kind -o out-$kind
	says "out-$kind: 2 layers of 32 features, 16 positions, 20 tokens"
	test ! -s "$dir/err" || fail "$command: warnings"
	test "$(echo out-$kind/*)" = "out-$kind/config.json out-$kind/model.safetensors out-$kind/special_tokens_map.json \
out-$kind/tokenizer_config.json out-$kind/vocab.txt" || fail "$command: $(echo out-$kind/*)"
	diff -r out-plain out-$kind >/dev/null || fail "$kind makes another directory than plain"
	cmp $kind/vocab.txt out-$kind/vocab.txt || fail "$kind: the vocabulary differs"
done
nothing_left 'out-plain.part*'
cmp plain/model.safetensors out-plain/model.safetensors || fail "the weights are not copied bit for bit"
run 0 "$SEQPAR" convert out-plain/ -o again/
diff -r out-plain again >/dev/null || fail "what was converted is not converted to itself"
grep -q '"do_lower_case": true' out-plain/tokenizer_config.json || fail "tokenizer_config.json"
grep -q '"architectures": \[' out-plain/config.json && grep -q '"BertForPreTraining"' out-plain/config.json ||
	fail "config.json: architectures"

# --- half the bits, and back
size=$(wc -c <out-plain/model.safetensors)
for dtype in fp16 bf16; do
	run 0 "$SEQPAR" convert plain -o $dtype --dtype $dtype
	run 0 "$SEQPAR" convert $dtype -o $dtype-32
	run 0 "$SEQPAR" convert $dtype-32 -o $dtype-again --dtype=$dtype
	diff -r $dtype $dtype-again >/dev/null || fail "$dtype: numbers of 16 bits do not survive 32 bits"
	cmp -s $dtype-32/model.safetensors out-plain/model.safetensors && fail "$dtype: nothing was rounded"
	test "$(wc -c <$dtype/model.safetensors)" -lt $((size * 7 / 10)) || fail "$dtype: the file is not smaller"
done
grep -q '"torch_dtype": "float16"' fp16/config.json || fail "fp16: config.json"
grep -q '"torch_dtype": "bfloat16"' bf16/config.json || fail "bf16: config.json"
grep -q '"torch_dtype": "float32"' bf16-32/config.json || fail "bf16-32: config.json"

# --- pre-LN models say what they are
model pre
run 0 "$SEQPAR" convert pre -o out-pre
grep -q '"model_type": "megatron-bert"' out-pre/config.json || fail "pre: model_type"
grep -q '"norm": "pre"' out-pre/config.json || fail "pre: norm"
cmp pre/model.safetensors out-pre/model.safetensors || fail "pre: the weights are not copied bit for bit"

# --- heads that are missing, tensors of other tasks
model headless
run 0 "$SEQPAR" convert headless -o out-headless
complains 'tensors of the heads are not there (cls.predictions.transform.dense.weight ...), so out-headless lacks them too'
complains 'headless: not used: classifier.weight'
grep -q cls.predictions out-headless/model.safetensors && fail "headless: heads came from nowhere"

# --- numbers that do not fit
model large
run 1 "$SEQPAR" convert large -o out-large --dtype fp16
ends_with_the_only_error "tensor 'bert.encoder.layer.1.output.dense.bias': 1 of its numbers, of up to 100000, are too large for fp16"
nothing_left out-large
run 0 "$SEQPAR" convert large -o out-large --dtype bf16
model strange
run 0 "$SEQPAR" convert strange -o out-strange
complains "tensor 'cls.predictions.bias': 1 of its numbers are not finite"

# --- what is there stays as it is
cp -r out-plain before
mkdir empty
run 1 "$SEQPAR" convert plain -o out-plain --dtype bf16
ends_with_the_only_error 'out-plain: is there already and is not overwritten'
run 1 "$SEQPAR" convert plain -o empty/
ends_with_the_only_error 'empty/: is there already'
run 1 "$SEQPAR" convert plain -o plain
diff -r before out-plain >/dev/null || fail "an existing directory was changed"
test -z "$(ls empty)" || fail "something was written to an existing directory"

# --- bad input
model other
run 1 "$SEQPAR" convert other -o x
ends_with_the_only_error 'other/vocab.txt: 21 tokens, but the model has 20: they do not belong together'
run 1 "$SEQPAR" convert absent -o x
ends_with_the_only_error 'absent/config.json: No such file'
cp -r plain cut
head -c 2000 plain/model.safetensors >cut/model.safetensors
run 1 "$SEQPAR" convert cut -o x
ends_with_the_only_error 'cut/model.safetensors: '
echo '[PAD]' >plain/vocab.txt
run 1 "$SEQPAR" convert plain -o x
ends_with_the_only_error 'plain/vocab.txt: no line of its 1 holds [UNK]'
rm -r other
run 1 "$SEQPAR" convert out-plain -o nowhere/x
ends_with_the_only_error 'No such file'
nothing_left x

# --- a full disk: no file can be longer than a few kB
(trap '' XFSZ; ulimit -f 8; "$SEQPAR" convert out-plain -o full >out 2>err)
test $? = 1 || fail "a full disk is not noticed"
grep -q 'error: cannot write full.part-[0-9]*/model.safetensors: File too large' err || fail "a full disk: $(cat err)"
nothing_left full

# --- a model without words
rm plain/vocab.txt
run 0 "$SEQPAR" convert plain -o wordless
complains 'plain: there is no vocab.txt, so wordless gets no tokenizer'
test "$(echo wordless/*)" = 'wordless/config.json wordless/model.safetensors' || fail "$command: $(echo wordless/*)"

# --- a checkpoint, whole and damaged
if "$SEQPAR" info | grep -q '^compute '; then
	run 0 "$SEQPAR" train model.preset=tiny model.layers=1 model.hidden=64 model.vocab_size=100 train.sequence_length=16 \
		train.micro_batch=2 train.global_batch=2 train.iters=2 checkpoint.dir=saved backend.threads=1
	run 0 "$SEQPAR" convert saved/step-00000002 -o exported
	cmp saved/step-00000002/model.safetensors exported/model.safetensors || fail "a checkpoint's weights are not copied bit for bit"
	test ! -e exported/optimizer.safetensors || fail "the optimizer was copied"
	printf x | dd of=saved/step-00000002/model.safetensors bs=1 seek=20000 conv=notrunc 2>/dev/null
	run 1 "$SEQPAR" convert saved/step-00000002 -o x
	ends_with_the_only_error 'saved/step-00000002: model.safetensors is damaged: checksum'
	nothing_left x
fi

# --- usage
run 0 "$SEQPAR" convert --help
says 'usage: seqpar convert DIR -o OUT'
run 2 "$SEQPAR" convert -o x
complains 'which DIR?'
run 2 "$SEQPAR" convert a b -o x
complains 'more than one DIR'
run 2 "$SEQPAR" convert out-plain
complains '-o OUT is missing'
run 2 "$SEQPAR" convert out-plain -o x --dtype int8
complains '--dtype is not one of fp32, fp16 and bf16'
exit $failed
