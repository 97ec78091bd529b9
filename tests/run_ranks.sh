#!/bin/sh
# One row of the tests: run_ranks.sh PATH/PROGRAM_npN.mpi starts N ranks of PATH/PROGRAM.
# TESTMPIRUN starts ranks, their number follows ("mpirun -n"); without it the row is skipped.
row=$1
program=${row%_np*}
ranks=${row##*_np}
ranks=${ranks%.mpi}

launcher=${TESTMPIRUN%% *}
if ! command -v "${launcher:-none}" >/dev/null; then
	echo "skipped: no launcher (TESTMPIRUN='$TESTMPIRUN')"
	exit 77
fi

# More ranks than cores, and root in a container, are normal here. Other MPIs ignore these.
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS=1

# mpirun may ignore SIGTERM while a rank hangs: -k ends it. Word splitting of TESTMPIRUN is wanted.
timeout -k 5 "${TEST_TIMEOUT:-600}" $TESTMPIRUN "$ranks" "$program"
