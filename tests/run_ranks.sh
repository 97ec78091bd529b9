#!/bin/sh
# One row of the tests: run_ranks.sh PATH/PROGRAM_npN.mpi starts N ranks of PATH/PROGRAM; PATH/PROGRAM_DxPxSxT.mpi starts
# D x P x S x T ranks of PATH/PROGRAM DxPxSxT.
# TESTMPIRUN starts ranks, their number follows ("mpirun -n"); without it the row is skipped.
# PATH/PROGRAM_..._ncclsim.mpi: messages are passed by module ncclsim.
# PATH/PROGRAM_..._messages.mpi: where ranks could read each other's memory in place, they send messages all the same.
row=${1%.mpi}
case $row in
*_messages)
	row=${row%_messages}
	export SEQPAR_MPI_WINDOWS=no
	;;
*_ncclsim)
	row=${row%_ncclsim}
	export SEQPAR_TEST_COMM=ncclsim
	;;
esac
case $row in
*_np*)
	program=${row%_np*}
	ranks=${row##*_np}
	grid=
	;;
*)
	program=${row%_*}
	grid=${row##*_}
	ranks=$(($(echo "$grid" | tr x '*')))
	;;
esac

launcher=${TESTMPIRUN%% *}
if ! command -v "${launcher:-none}" >/dev/null; then
	echo "skipped: no launcher (TESTMPIRUN='$TESTMPIRUN')"
	exit 77
fi

# More ranks than cores, and root in a container, are normal here. Other MPIs ignore these.
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS=1

# mpirun may ignore SIGTERM while a rank hangs: -k ends it. Word splitting of TESTMPIRUN, and
# no argument where there is no grid, are wanted.
timeout -k 5 "${TEST_TIMEOUT:-600}" $TESTMPIRUN "$ranks" "$program" $grid
