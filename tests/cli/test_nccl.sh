#!/bin/sh
# Which module passes the memory of a device, and how a job ends when it cannot: on the simulated device, by the simulated NCCL.
. "${srcdir:-.}/tests/cli/common.sh"
need_ranks
need_compute

small="train model.preset=tiny model.layers=1 model.hidden=32 model.heads=2 model.intermediate=64 model.vocab_size=100
	train.sequence_length=16 train.micro_batch=2 train.global_batch=2 train.eval_interval=0 train.iters=2 parallel.sequence=2
	optimizer.decay_iters=2 backend.device=cudasim"

# Told a fault, or nothing. What hangs is ended by run().
with() # STATUS FAULT SETTING...
{
	expected_status=$1
	fault=$2
	shift 2
	run "$expected_status" env SEQPAR_NCCLSIM="$fault" $TESTMPIRUN 2 "$SEQPAR" $small "$@"
}

# It is chosen where every rank has a GPU of its own, and passes what is on the device.
with 0 ''
says '2 ranks (ncclsim)'
says 'device memory is passed by NCCL'
with 0 '' backend.comm=ncclsim
says '2 ranks (ncclsim)'
run 0 $TESTMPIRUN 2 "$SEQPAR" check $(echo "$small" | sed 's/^train//; s/train.iters=2//') backend.comm=ncclsim

# Where they share one, or a rank lacks the library, the choice is the host's memory, and says why.
with 0 crowd
says '2 ranks (mpi)'
says 'device memory goes through the host: ranks 0 and 1 share a GPU'
with 0 absent
says '2 ranks (mpi)'
says 'device memory goes through the host: module ncclsim: no libncclsim-is-absent.so'
with 0 '' backend.comm=mpi
says '2 ranks (mpi)'
grep -q 'device memory' "$dir/out" && fail "$command: gives a reason for what was asked for"

# What was asked for and cannot be had is an error, once.
with 1 crowd backend.comm=ncclsim
ends_with_the_only_error 'backend.comm=ncclsim cannot be used: ranks 0 and 1 share a GPU, and NCCL wants one for each'
tail -n 1 "$dir/err" | grep -q 'backend.comm=mpi' || fail "$command: names no remedy"
with 1 absent backend.comm=ncclsim
ends_with_the_only_error 'backend.comm=ncclsim cannot be used: no libncclsim-is-absent.so'
with 2 '' backend.comm=ncclsim backend.device=cpu
ends_with_the_only_error 'backend.comm=ncclsim cannot be used: it does not pass memory of backend.device=cpu'
for comm in auto ncclsim; do
	with 1 version backend.comm=$comm
	ends_with_the_only_error 'rank 0 has NCCL 2.28.9, rank 1 has 2.28.10: all ranks need the same'
done

# A beginning that does not end, ends by backend.timeout; an error in the middle of training at once.
with 1 init backend.timeout=2
complains 'error: waited 2 seconds (backend.timeout) in join of group world (ranks 0, 1)'
with 1 error train.iters=1000000
complains 'rank 1: error: nccl: a transfer: remote process exited or there was a network error (the network is simulated to fail)'
grep -qE 'rank 1: error: step [0-9]+.* failed in group [a-z]+ on rank [0-9] of 2; communication ends here' "$dir/err" ||
	fail "$command: does not say what failed"

# A rank that is silent while the others' devices wait for it: they say for what.
$TESTMPIRUN 2 "$SEQPAR" $small train.iters=100000000 backend.timeout=2 >"$dir/out" 2>"$dir/err" &
mpirun=$!
tries=0
until grep -q '^step ' "$dir/out" || test $tries -ge 60; do
	sleep 1
	tries=$((tries + 1))
done
victim=$(children_of $mpirun | sort -n | sed -n 2p)
kill -STOP "$victim"
begin=$(date +%s)
wait $mpirun
status=$?
seconds=$(($(date +%s) - begin))
kill -KILL "$victim" 2>/dev/null
command="train, rank 1 stopped"
test $status = 1 || fail "$command: exit status $status"
test $seconds -le 10 || fail "$command: took $seconds seconds"
grep -q "rank 0: error: step [0-9]*[,:].* waited 2 seconds (backend.timeout) in .* of group .*; rank 1 (process $victim) is stopped" \
	"$dir/err" || fail "$command: not said who is silent"
exit $failed
