#!/bin/sh
# Layers as graphs, by the program: the same losses as without, through evaluations and a resumed run; and where they cannot be.
. "${srcdir:-.}/tests/cli/common.sh"
need_compute

common="model.preset=tiny model.layers=3 model.vocab_size=100 train.sequence_length=24 train.micro_batch=1 train.global_batch=2 train.eval_interval=2
	train.eval_iters=1 optimizer.decay_iters=100"

# losses NAME: those of its metrics.
losses()
{
	grep -oE '"(loss|mlm_loss|grad_norm)": *[^,}]*' "$dir/$1"
}

run 0 "$SEQPAR" train $common backend.device=cudasim train.iters=4 backend.graph=off log.metrics="$dir/off"
grep -q graphs "$dir/out" && fail "a run without graphs speaks of them"
run 0 "$SEQPAR" train $common backend.device=cudasim train.iters=4 log.metrics="$dir/auto"
says 'layers are queued as graphs'
grep -q '"graphs": *0' "$dir/off" || fail "layers were graphs where they must not be"
grep -q '"graphs": *[1-9]' "$dir/auto" || fail "no layer was a graph"
losses off >"$dir/want"
losses auto | cmp -s - "$dir/want" || fail "graphs change a loss"
[ "$(wc -l <"$dir/want")" -ge 10 ] || fail "too few losses were compared"

run 0 "$SEQPAR" train $common backend.device=cudasim train.iters=3 backend.graph=on checkpoint.dir="$dir/saved" log.metrics="$dir/resumed"
run 0 "$SEQPAR" train $common backend.device=cudasim train.iters=4 backend.graph=on checkpoint.dir="$dir/saved" log.metrics="$dir/resumed"
losses resumed | tail -n 3 >"$dir/last"
tail -n 3 "$dir/want" | cmp -s - "$dir/last" || fail "a run that is resumed has another loss with graphs"

run 0 "$SEQPAR" train $common backend.device=cudasim train.iters=2 backend.graph=on log.shares=true log.metrics="$dir/shares"
grep -q graphs "$dir/out" && fail "a run speaks of graphs while it times operations"
grep -q '"graphs": *0' "$dir/shares" || fail "operations of a graph were timed"

run 2 "$SEQPAR" train $common backend.device=cpu train.iters=1 backend.graph=on
complains 'backend.graph = on: layers cannot be graphs, for this device has none'
run 2 "$SEQPAR" train $common backend.device=cudasim train.iters=1 backend.graph=on parallel.attention=rsa
complains 'for they take parallel.attention = ring or full'
run 2 "$SEQPAR" train $common backend.device=cudasim train.iters=1 backend.graph=on parallel.balance=cost
complains 'for parallel.balance = cost makes'
exit $failed
