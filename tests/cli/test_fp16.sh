#!/bin/sh
# train.precision = fp16 on the simulated device: the loss scale is found, steps that overflow change nothing else, and a run that
# is resumed goes on with it.
. "${srcdir:-.}/tests/cli/common.sh"
need_compute

common="model.preset=tiny model.layers=1 model.hidden=32 model.heads=2 model.intermediate=64 model.vocab_size=100 model.dropout=0
	model.attention_dropout=0 train.sequence_length=16 train.micro_batch=2 train.global_batch=2 train.eval_interval=0
	optimizer.lr=1e-2 optimizer.warmup_fraction=0 optimizer.decay_iters=100 optimizer.decay_style=constant backend.device=cudasim
	train.precision=fp16"

# The value of a member in all steps of a file, one a line.
each() # MEMBER FILE
{
	sed -n '/"event": *"step"/s/.*"'"$1"'": *\([^,}]*\)[,}].*/\1/p' "$2"
}

# 2^24 is too much for what a few tokens' logits are given; halves follow until gradients fit, and every third step that fits doubles.
run 0 "$SEQPAR" train $common train.iters=24 train.loss_scale=16777216 train.loss_scale_window=3 log.metrics="$dir/whole"
says 'loss scale 131072, 7 skipped'
each loss_scale "$dir/whole" >"$dir/scales"
each skipped "$dir/whole" >"$dir/skipped"
each grad_norm "$dir/whole" >"$dir/norms"
paste "$dir/scales" "$dir/skipped" "$dir/norms" | awk '
	NR > 1 && was == "true" && $1 != before / 2 { print "step " NR ": the scale is not half of what overflowed"; exit 1 }
	NR > 1 && was == "false" && $1 != before && ($1 != 2 * before || good < 3) { print "step " NR ": the scale changed"; exit 1 }
	NR > 1 && was == "false" && $1 == before && good >= 3 { print "step " NR ": the scale did not grow"; exit 1 }
	{ good = $2 == "true" || $1 != before ? 0 : good; good += $2 == "false"; before = $1; was = $2 }
	$2 == "true" { skipped++; if ($3 != "null") { print "step " NR ": a norm that is no number"; exit 1 } }
	$2 == "false" { taken++ }
	END { if (skipped < 2 || taken < 8) { print skipped " skipped, " taken " taken"; exit 1 } }' >"$dir/said" ||
	fail "loss scales of fp16: $(cat "$dir/said")"

grep '"event": *"summary"' "$dir/whole" | grep -q '"skipped": *'"$(grep -c true "$dir/skipped")"'[,}]' ||
	fail "the summary of fp16 counts other skipped steps than there were"

# Where nothing was skipped and the scale was right from the start, the losses are those of fp32.
run 0 "$SEQPAR" train $common train.iters=12 train.loss_scale=1024 log.metrics="$dir/good"
each skipped "$dir/good" | grep -q true && fail "fp16 with a scale of 1024 skips steps"
each loss "$dir/good" >"$dir/losses"
run 0 "$SEQPAR" train $common train.iters=12 train.precision=fp32 log.metrics="$dir/single"
each loss "$dir/single" | paste - "$dir/losses" | awk '{ d = ($1 - $2) / $1 } d > 2e-3 || d < -2e-3 { bad = 1 } END { exit bad || NR != 12 }' ||
	fail "losses of fp16 are far from those of fp32: $(tr '\n' ' ' <"$dir/losses")"

# Resumed in the middle of a climb: the same losses and scales as without a stop.
run 0 "$SEQPAR" train $common train.iters=17 train.loss_scale=16777216 train.loss_scale_window=3 checkpoint.dir="$dir/ck" \
	log.metrics="$dir/part"
grep -q '"loss_scale_steps": [12]' "$dir"/ck/step-*17/trainer.json || fail "the checkpoint is not one in the middle of a climb"
run 0 "$SEQPAR" train $common train.iters=24 train.loss_scale=16777216 train.loss_scale_window=3 checkpoint.dir="$dir/ck" \
	log.metrics="$dir/rest"
for member in loss loss_scale; do
	each $member "$dir/whole" >"$dir/want"
	{
		each $member "$dir/part"
		each $member "$dir/rest" | tail -n 7
	} | cmp -s - "$dir/want" || fail "a run of fp16 that is resumed has another $member"
done

# Gradients that overflow whatever is done.
run 1 "$SEQPAR" train $common train.iters=4 train.loss_scale=16777216 train.loss_scale_window=0
ends_with_the_only_error 'step 1: a gradient is not finite and train.loss_scale_window = 0; lower optimizer.lr'
run 2 "$SEQPAR" train $common train.loss_scale=0.5
run 1 "$SEQPAR" train $common backend.device=cpu
complains 'backend.device=cpu cannot do this'

# The small step of seqpar check in 16 bits, by own kernels and by a library, which drops nothing.
small="model.preset=tiny model.vocab_size=100 train.sequence_length=40 train.micro_batch=1 train.global_batch=1 backend.device=cudasim"
if command -v "${TESTMPIRUN%% *}" >/dev/null; then
	need_ranks
	run 0 $TESTMPIRUN 2 "$SEQPAR" check $small parallel.sequence=2 train.precision=fp16
	says 'equals the unsplit one (bounds: loss 0.0002'
	run 0 $TESTMPIRUN 2 "$SEQPAR" check $small parallel.sequence=2 train.precision=bf16 model.attention_dropout=0 \
		backend.attention_kernel=cudnn
fi
exit $failed
