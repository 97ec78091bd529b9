#!/bin/sh
# seqpar launch: what it refuses, and that the ranks it starts are as many as asked for and find each other.
. "${srcdir:-.}/tests/cli/common.sh"

run 2 "$SEQPAR" launch
ends_with_the_only_error '-n N is missing'
for number in x 0 -1 2x ''; do
	run 2 "$SEQPAR" launch -n "$number" -- info
	ends_with_the_only_error 'number of ranks'
done
run 2 "$SEQPAR" launch -n 2
ends_with_the_only_error 'no command to start'
run 2 "$SEQPAR" launch -q -n 2 -- info
ends_with_the_only_error 'unknown option'
run 2 "$SEQPAR" launch -n 1 -- inof
ends_with_the_only_error 'did you mean "info"'
run 0 "$SEQPAR" launch -n 1 -- --version

if "$SEQPAR" info | grep -q '^  mpi .*not built'; then
	run 1 "$SEQPAR" launch -n 2 -- info
	ends_with_the_only_error 'the mpi module, which cannot be used: not built'
	exit $failed
fi

need_ranks
unset OMPI_MCA_rmaps_base_oversubscribe OMPI_MCA_hwloc_base_binding_policy
unset OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM
for ranks in 2 5; do
	run 0 "$SEQPAR" launch -n $ranks -- info
	test "$(grep -c '^ranks ' "$dir/out")" = 1 || fail "$ranks ranks do not speak once"
	says "ranks      $ranks, $ranks of them on this machine; messages by mpi"
	says "; MPI moves messages "
done
run 0 env SEQPAR_MPI_WINDOWS=no "$SEQPAR" launch -n 2 -- info
says 'messages   keys and values of rings are sent by messages'
run 0 "$SEQPAR" launch -n 2 info
says 'ranks      2'
run 2 "$SEQPAR" launch -n 2 -- launch -n 2 -- info
ends_with_the_only_error 'already one of several ranks'

# Standard input is left to whoever comes next.
printf 'one\ntwo\n' >"$dir/in"
{ "$SEQPAR" launch -n 2 -- info >"$dir/out" 2>"$dir/err"; cat; } <"$dir/in" >"$dir/rest"
cmp -s "$dir/in" "$dir/rest" || fail "launch has read what was not meant for it"
exit $failed
