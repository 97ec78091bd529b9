# Sourced by tests of the program. SEQPAR is the program, TESTMPIRUN starts ranks. Ends in `exit $failed`.
# shellcheck shell=sh
dir=$(mktemp -d "${TMPDIR:-/tmp}/seqpar-cli-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
limit=120 # seconds for a command
test -z "$INSTRUMENTED" || limit=1200

fail()
{
	echo "FAIL: $*"
	sed 's/^/  out: /' "$dir/out" | tail -5
	sed 's/^/  err: /' "$dir/err" | tail -20
	failed=1
}

# run STATUS COMMAND...: the exit status must be STATUS; standard output and error go to $dir/out and $dir/err, the time in
# whole seconds to $seconds.
run()
{
	expected=$1
	shift
	begin=$(date +%s)
	timeout -k 5 $limit "$@" >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
	seconds=$(($(date +%s) - begin))
	command=$*
	test $status = "$expected" || fail "$command: exit status $status, expected $expected"
}

says()
{
	grep -qF -- "$1" "$dir/out" || fail "$command: standard output lacks \"$1\""
}

complains()
{
	grep -qF -- "$1" "$dir/err" || fail "$command: standard error lacks \"$1\""
}

# One error line on standard error, holding these words, and nothing after it.
ends_with_the_only_error()
{
	test "$(grep -c '^seqpar: .*error: ' "$dir/err")" = 1 || fail "$command: not one error line"
	tail -n 1 "$dir/err" | grep -F -- "$1" | grep -q '^seqpar: .*error: ' || fail "$command: the last line is not \"$1\""
}

# Rows that need ranks: as in run_ranks.sh.
need_ranks()
{
	launcher=${TESTMPIRUN%% *}
	if ! command -v "${launcher:-none}" >/dev/null || ! "$SEQPAR" info | grep -q '^  mpi .*[0-9]'; then
		echo "skipped: no launcher (TESTMPIRUN='$TESTMPIRUN') or no mpi module"
		exit 77
	fi
	export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
	export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1
}

need_compute()
{
	"$SEQPAR" info | grep -q '^compute ' && return
	echo "skipped: no compute module"
	exit 77
}

children_of() # PID: a machine may have no ps
{
	for status in /proc/[0-9]*/status; do
		grep -qs "^PPid:[[:space:]]*$1\$" "$status" && echo "$status" | tr -dc '0-9\n'
	done
}
