#!/bin/sh
# Rotary positions from end to end: trained, saved, resumed, used on longer texts than before, converted; and what is refused.
. "${srcdir:-.}/tests/cli/common.sh"
need_compute
export OMP_NUM_THREADS=1

for i in 1 2 3 4 5 6 7 8 9; do
	printf 'The cat sat on the mat. A dog sat on the cat! The cats, the dogs.\n\nOn the mat sat %d dogs. A cat sat. The mat!\n\n' $i
done >"$dir/text"
run 0 "$SEQPAR" vocab --size 60 -o "$dir/vocab.txt" "$dir/text"
run 0 "$SEQPAR" tokenize --vocab "$dir/vocab.txt" -o "$dir/tokens" "$dir/text"

# The table of positions would end at 8.
small="train model.preset=tiny model.position=rope model.rope_base=500 model.max_positions=8 model.sentence_order=true \
data.source=$dir/tokens data.vocab=$dir/vocab.txt data.split=1,0,0 train.global_batch=4 train.micro_batch=2 \
train.sequence_length=32 train.iters=4 log.interval=1"
run 0 "$SEQPAR" $small checkpoint.dir="$dir/a"
run 0 "$SEQPAR" $small checkpoint.dir="$dir/b" train.iters=2 optimizer.decay_iters=4
run 0 "$SEQPAR" $small checkpoint.dir="$dir/b"
model=$dir/a/step-00000004
cmp "$model/model.safetensors" "$dir/b/step-00000004/model.safetensors" || fail "resumed: other weights"
grep -q position_embeddings "$model/model.safetensors" && fail "there is a table of positions"
for words in '"model_type": "seqpar-rope-bert"' '"rope_theta": 500' '"position_embedding_type": "rotary"' \
	'transformers has no such model'; do
	grep -q "$words" "$model/config.json" || fail "config.json lacks $words"
done
run 0 "$SEQPAR" $small checkpoint.dir="$dir/packed" model.norm=pre data.packing=true train.recompute=layer
grep -q '"model_type": "seqpar-rope-megatron-bert"' "$dir/packed/step-00000004/config.json" || fail "pre-LN: another model_type"

### put to use, on texts of any length
run 0 "$SEQPAR" fill-mask "$model" "The [MASK] sat on the mat, and so did the dog that sat on the mat with the cat."
says '[MASK] at token 2'
run 0 "$SEQPAR" embed "$model" "$dir/text" -o "$dir/vectors.jsonl" --format jsonl
run 0 "$SEQPAR" eval "$model" data.source="$dir/tokens" data.split=0,1,0 train.sequence_length=64
says mlm_loss
run 0 "$SEQPAR" convert "$model" -o "$dir/half" --dtype bf16
says '8 rotary positions'
complains 'which no class of transformers has'
run 0 "$SEQPAR" fill-mask "$dir/half" "The [MASK] sat."
run 0 "$SEQPAR" $small checkpoint.init="$dir/half" train.iters=1

### the unsplit step and the split one, and plans
run 0 "$SEQPAR" check $(echo "$small" | cut -d ' ' -f 2-) data.packing=true
run 0 "$SEQPAR" plan -n 4 model.position=rope model.max_positions=8 train.sequence_length=4096 parallel.sequence=4

### refused
run 2 "$SEQPAR" $small checkpoint.dir="$dir/b" train.iters=6 model.position=learned train.sequence_length=8
complains 'error: model.position = learned, but the model of'
run 2 "$SEQPAR" $small checkpoint.dir="$dir/b" train.iters=6 model.rope_base=501
ends_with_the_only_error 'model.rope_base = 501, but the model of'
run 2 "$SEQPAR" $small checkpoint.init="$dir/half" model.rope_base=501
ends_with_the_only_error 'model.rope_base = 501 contradicts the model in'
run 2 "$SEQPAR" $small model.max_positions=32 parallel.attention=linformer
ends_with_the_only_error 'parallel.attention = linformer does not go with model.position = rope'
run 2 "$SEQPAR" $small model.hidden=6 model.heads=2
ends_with_the_only_error 'heads have 3'
run 2 "$SEQPAR" $small checkpoint.init="$dir/half" model.extend_positions=tile
ends_with_the_only_error 'which model.position = rope does not have'
run 2 "$SEQPAR" $small model.position=learned
ends_with_the_only_error 'or take model.position = rope'
run 2 "$SEQPAR" $small model.rope_base=1
ends_with_the_only_error 'model.rope_base: 1 is out of range'
exit $failed
