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

alive() # PID...: a dead process that nobody has asked after yet is none
{
	for pid; do
		grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$pid/status" && return 0
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

# The other has begun to train, and would notice that the first is gone.
if test -c /dev/full; then
	run 1 $TESTMPIRUN 2 "$SEQPAR" $small train.iters=1000000 log.metrics=/dev/full
	ends_with_the_only_error 'rank 0: error: log.metrics = /dev/full'
	in_time
fi

# A rank gets a signal in the middle of training; the others end, and say where they waited.
middle() # RANKS VICTIM SIGNAL SETTING...: leaves the process of the victim in $victim, and mpirun's status in $status
{
	ranks=$1
	which=$2
	number=$3
	shift 3
	command="train, rank $which of $ranks gets SIG$number"
	: >"$dir/out"
	$TESTMPIRUN "$ranks" "$SEQPAR" $small parallel.sequence="$ranks" model.layers=4 train.sequence_length=200 \
		train.iters=100000000 "$@" >"$dir/out" 2>"$dir/err" &
	mpirun=$!
	tries=0
	until grep -q '^step ' "$dir/out" || test $tries -ge 60; do
		sleep 1
		tries=$((tries + 1))
	done
	children=$(children_of $mpirun | sort -n)
	test "$(echo $children | wc -w)" = "$ranks" || fail "not $ranks ranks: $children"
	victim=$(echo "$children" | sed -n "$((which + 1))p")
	begin=$(date +%s)
	kill "-$number" "$victim"
	while alive $mpirun && test $(($(date +%s) - begin)) -le 20; do
		sleep 0.2
	done
	alive $mpirun && kill -KILL $mpirun $children
	wait $mpirun
	status=$?
	while alive $children && test $(($(date +%s) - begin)) -le 10; do
		sleep 1
	done
	seconds=$(($(date +%s) - begin))
	in_time
	test $status -ne 0 || fail "$command: this is a success"
}
# Which part of a step it meets is left to chance, and so is whether two notice it at the same moment: until one was inside
# a layer, and one of two spoke for both.
inside= once=
for try in 1 2 3 4 5 6 7 8 9; do
	middle $((2 + try % 2)) 1 KILL
	grep -q "^seqpar: rank [02]: error: step [0-9]*[,:].* rank 1 (process $victim) has died while this one" "$dir/err" ||
		fail "$command: not said who has died"
	grep -qE ": error: step [0-9]+, (for|back)ward layer [0-3]: .* waited in exchange of group sequence, (to|from) rank" "$dir/err" &&
		inside=yes
	test "$ranks" = 3 && test "$(grep -c '^seqpar: .*error: ' "$dir/err")" = 1 && once=yes
	test "$inside$once" = yesyes && break
done
test "$inside" = yes || fail "$command: never said that it waited inside a layer"
test "$once" = yes || fail "$command: both always speak"

# The same for the ranks of a pipeline.
inside=
for try in 1 2 3 4 5 6 7 8 9; do
	middle 2 1 KILL parallel.sequence=1 parallel.pipeline=2 train.global_batch=8
	grep -q "^seqpar: rank 0: error: step [0-9]*[,:].* rank 1 (process $victim) has died while this one" "$dir/err" ||
		fail "$command: not said who has died"
	grep -qE ": error: step [0-9]+, before (for|back)ward of layer [01]: .* waited in exchange of group pipeline" "$dir/err" &&
		inside=yes && break
done
test "$inside" = yes || fail "$command: never said which layer it waited for"

# One that is silent, not dead: as long as backend.timeout allows.
middle 3 1 STOP backend.timeout=2
kill -KILL "$victim" 2>/dev/null
test $status = 1 || fail "$command: exit status $status"
test $seconds -ge 2 || fail "$command: given up after $seconds seconds"
grep -q "^seqpar: rank [02]: error: step [0-9]*[,:].* waited 2 seconds (backend.timeout) in .* of group .*; rank 1 (process $victim) is stopped" \
	"$dir/err" || fail "$command: not said who is silent"

# A stop takes no living rank for dead, and what is stopped as a whole is not silent.
command="train, stopped as a whole"
"$SEQPAR" launch -n 2 -- $small train.iters=100000000 backend.timeout=4 >"$dir/out" 2>"$dir/err" &
launch=$!
tries=0
until grep -q '^step ' "$dir/out" || test $tries -ge 60; do
	sleep 1
	tries=$((tries + 1))
done
ranks=$(children_of "$(children_of $launch)")
one=$(echo "$ranks" | head -n 1)
other=$(echo "$ranks" | tail -n 1)
kill -STOP "$one"
sleep 0.5
kill -STOP "$other" # which waits for the first
sleep 6
kill -CONT "$other"
sleep 0.5
kill -CONT "$one"
sleep 1
kill -TERM $launch
wait $launch
test $? = 3 || fail "$command: not stopped in good order"
grep -q 'seqpar: .*\(error\|warning\)' "$dir/err" && fail "$command: somebody complains"

# Alone, but for two.
run 2 env -u OMPI_COMM_WORLD_SIZE "$SEQPAR" $small
ends_with_the_only_error 'seqpar launch -n 2'
# Ranks that cannot talk to each other.
run 2 $TESTMPIRUN 2 "$SEQPAR" $small backend.comm=self
ends_with_the_only_error 'backend.comm=self'
in_time
exit $failed
