#!/bin/sh
# However a rank fails, the others are gone within 10 seconds, and its message is there once and last.
. "${srcdir:-.}/tests/cli/common.sh"
need_ranks
need_compute

small="train model.preset=tiny model.layers=1 model.vocab_size=100 train.sequence_length=16 train.micro_batch=2
	train.global_batch=2 train.eval_interval=0 parallel.sequence=2"
in_time()
{
	test $seconds -le 10 || fail "$command: took $seconds seconds"
}

alive() # PID...
{
	for pid; do
		kill -0 "$pid" 2>/dev/null && return 0
	done
	return 1
}

# All ranks meet the same error: before they have joined, and after.
run 2 $TESTMPIRUN 4 "$SEQPAR" trian
ends_with_the_only_error 'did you mean "train"'
in_time
run 2 $TESTMPIRUN 4 "$SEQPAR" $small train.itres=3
ends_with_the_only_error 'train.itres'
in_time
run 2 $TESTMPIRUN 3 "$SEQPAR" $small
ends_with_the_only_error 'does not divide 3 ranks'
in_time
run 1 $TESTMPIRUN 2 "$SEQPAR" $small data.source=/nonexistent data.vocab=/nonexistent.txt
ends_with_the_only_error '/nonexistent'
in_time

# One rank alone fails, either of two, while the other goes on.
for bad in 0 1; do
	first= second=
	test $bad = 0 && first=train.itres=3 || second=train.itres=3
	run 2 $TESTMPIRUN 1 "$SEQPAR" $small train.iters=1000000 $first : -n 1 "$SEQPAR" $small train.iters=1000000 $second
	ends_with_the_only_error 'train.itres'
	in_time
done
run 1 $TESTMPIRUN 2 "$SEQPAR" $small log.metrics=/nonexistent/metrics.jsonl
ends_with_the_only_error 'rank 0: error: log.metrics'
in_time

# A rank is killed in the middle.
$TESTMPIRUN 2 "$SEQPAR" $small train.iters=100000000 >"$dir/out" 2>"$dir/err" &
mpirun=$!
command="train, a rank killed"
tries=0
until grep -q '^step ' "$dir/out" || test $tries -ge 60; do
	sleep 1
	tries=$((tries + 1))
done
children=$(children_of $mpirun)
test "$(echo $children | wc -w)" = 2 || fail "not two ranks: $children"
begin=$(date +%s)
kill -KILL $(echo "$children" | tail -n 1)
wait $mpirun
test $? -ne 0 || fail "a killed rank is a success"
while alive $children && test $(($(date +%s) - begin)) -le 10; do
	sleep 1
done
seconds=$(($(date +%s) - begin))
in_time
grep -q '^seqpar: .*error' "$dir/err" && fail "the other rank complains"

# Alone, but for two.
run 2 env -u OMPI_COMM_WORLD_SIZE "$SEQPAR" $small
ends_with_the_only_error 'seqpar launch -n 2'
# Ranks that cannot talk to each other.
run 2 $TESTMPIRUN 2 "$SEQPAR" $small backend.comm=self
ends_with_the_only_error 'backend.comm=self'
in_time
exit $failed
