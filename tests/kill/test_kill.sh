#!/bin/sh
# A random rank is killed at a random moment, KILLS times in a row (5 if not set; 50 by hand), while checkpoints are saved
# all the time. The next run always finds a whole checkpoint, and in the end every parameter and moment is, to the last
# bit, that of a run that was never disturbed.
. "${srcdir:-.}/tests/cli/common.sh"
need_ranks
need_compute

kills=${KILLS:-5}
settings="model.preset=tiny model.layers=1 model.vocab_size=100 train.sequence_length=16 train.micro_batch=1
	train.global_batch=2 train.eval_interval=0 parallel.sequence=2 optimizer.decay_iters=5000 checkpoint.interval=3
	checkpoint.keep=2 log.interval=1000000"

random() # BELOW
{
	echo $(($(od -An -N4 -tu4 /dev/urandom) % $1))
}
newest()
{
	sed 's/^step-0*\(.\)/\1/' "$dir/run/latest" 2>/dev/null || echo 0
}

# Ends before it is killed only if it fails. What a killed run leaves must not even be passed over.
disturb()
{
	before=$(newest)
	$TESTMPIRUN 2 "$SEQPAR" train $settings train.iters=1000000 checkpoint.dir="$dir/run" >"$dir/out" 2>"$dir/err" \
		</dev/null &
	mpirun=$!
	command="run $1, from step $before"
	until test "$(children_of $mpirun | wc -l)" = 2 || ! kill -0 $mpirun 2>/dev/null; do
		sleep 0.05
	done
	until test $(($1 % 4)) = 0 || grep -q 'GEMM rate' "$dir/out" || ! kill -0 $mpirun 2>/dev/null; do
		sleep 0.05 # three of four in the middle of training, the fourth perhaps earlier
	done
	pause=$(random 1500)
	sleep $((pause / 1000)).$(printf %03d $((pause % 1000)))
	kill -KILL "$(children_of $mpirun | sed -n $(($(random 2) + 1))p)" 2>/dev/null || fail "no rank is there to be killed"
	wait $mpirun && fail "a killed rank is a success"
	grep 'error:\|passed over' "$dir/err" | grep -v 'rank [01] (process [0-9]*) has died' && fail "it fails on its own"
	test "$before" = 0 || ! grep -q '^[0-9]* parameters' "$dir/out" || says "resuming from $dir/run/step-"
	test "$(newest)" -ge "$before" || fail "the newest checkpoint is older than before"
	echo "kill $1 after $pause ms: from step $before to $(newest)"
}

count=0
while test $count -lt "$kills" && test $failed = 0; do
	count=$((count + 1))
	disturb $count
done

end=$(($(newest) + 5))
run 0 $TESTMPIRUN 2 "$SEQPAR" train $settings train.iters=$end checkpoint.dir="$dir/run"
run 0 $TESTMPIRUN 2 "$SEQPAR" train $settings train.iters=$end checkpoint.dir="$dir/whole" checkpoint.interval=0
last=step-$(printf %08d $end)
for file in model.safetensors optimizer.safetensors; do
	cmp "$dir/run/$last/$file" "$dir/whole/$last/$file" || fail "$file differs after $end steps"
done
test -z "$(ls "$dir/run" | grep -v '^step-[0-9]*$\|^latest$')" || fail "left over: $(ls "$dir/run")"
test "$(ls "$dir/run" | grep -c '^step-')" = 2 || fail "not two checkpoints: $(ls "$dir/run")"
echo "$count kills, $end steps"
exit $failed
