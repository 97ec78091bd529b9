# Sourced by the scripts beside it: proof that a certain error in the source makes a certain test fail.
#
# `mutation SOURCE SED_SCRIPT COMMAND...` compiles a copy of SOURCE as it is, and one with SED_SCRIPT applied, each into a
# small shared library, and runs COMMAND with each of them preloaded over libseqpar: it must pass with the first and fail
# with the second. (libseqpar's functions call each other through the dynamic linker, so one file can be replaced; nothing
# in the product knows of it.) A test that is killed, or skips, has not failed.
# `ranks N PROGRAM` as COMMAND starts N ranks.

fail()
{
	echo "$0: $*" >&2
	exit 1
}

ranks()
{
	[ -n "$TESTMPIRUN" ] || return 77
	export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
	export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1
	# Word splitting of TESTMPIRUN is wanted. The launcher itself runs without the preloaded library.
	preload=$LD_PRELOAD
	n=$1
	shift
	LD_PRELOAD='' timeout -k 5 60 $TESTMPIRUN "$n" env LD_PRELOAD="$preload" "$@"
}

# compile SOURCE LIBRARY
compile()
{
	${CC:-cc} -std=gnu11 -O1 -fPIC -shared -I. -I"$srcdir/include" -I"$srcdir/src" -I"$srcdir/$(dirname "$source")" \
		-o "$2" "$1" -L.libs -lseqpar -Wl,-rpath,"$PWD/.libs" || fail "cannot compile $1"
}

# attempt LIBRARY COMMAND...: the command's status, with the library preloaded; its output goes to the log.
attempt()
(
	LD_PRELOAD=$1
	shift
	export LD_PRELOAD
	"$@"
)

mutation()
{
	source=$1
	script=$2
	shift 2
	[ -f .libs/libseqpar.so ] || { echo "skipped: needs a shared libseqpar"; exit 77; }
	nm .libs/libseqpar.so 2>/dev/null | grep -q __asan && { echo "skipped: cannot preload over sanitizers"; exit 77; }
	scratch=$(mktemp -d) || fail "cannot make a scratch directory"
	trap 'rm -rf "$scratch"' EXIT
	cp "$srcdir/$source" "$scratch/same.c"
	sed -e "$script" "$srcdir/$source" >"$scratch/mutant.c" || fail "bad script"
	cmp -s "$scratch/same.c" "$scratch/mutant.c" && fail "the mutation no longer changes $source: adapt it"
	diff "$scratch/same.c" "$scratch/mutant.c"
	compile "$scratch/same.c" "$scratch/same.so"
	compile "$scratch/mutant.c" "$scratch/mutant.so"

	echo "--- unchanged:"
	attempt "$scratch/same.so" "$@"
	status=$?
	[ $status = 77 ] && exit 77
	[ $status = 0 ] || fail "fails (status $status) without the mutation"
	echo "--- mutated:"
	attempt "$scratch/mutant.so" "$@"
	status=$?
	[ $status = 0 ] && fail "SURVIVED: the test passes in spite of the mutation"
	[ $status = 77 ] && fail "the test skips with the mutation"
	[ $status -lt 124 ] || fail "killed (status $status) instead of failing"
	echo "caught: the test fails with the mutation (status $status)"
}
