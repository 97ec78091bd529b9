# SP_MPI: the mpi module and the launcher of the rank tests. mpicc is only asked for its flags; CC stays what it is, as
# nothing but the mpi module sees MPI.
AC_DEFUN([SP_MPI], [
SP_WITH([mpi], [MPI 3, through its mpicc])
AC_ARG_VAR([MPICC], [MPI compiler wrapper, asked for its flags])
AC_ARG_VAR([TESTMPIRUN], [starts ranks in make check, their number follows (default: mpirun -n)])
AC_SUBST([MPI_CPPFLAGS]) AC_SUBST([MPI_LIBS])
sp_why=disabled
AS_IF([test "$with_mpi" != no], [
  sp_path=${sp_mpi_dir:+$sp_mpi_dir/bin} sp_path=${sp_path:-$PATH}
  AC_PATH_PROG([MPICC], [mpicc], [], [$sp_path])
  sp_why="mpicc not found"
  AS_IF([test -n "$MPICC"], [
    for sp_word in `$MPICC -show 2>&AS_MESSAGE_LOG_FD`; do
      AS_CASE([$sp_word],
        [-I*|-D*], [AS_VAR_APPEND([MPI_CPPFLAGS], [" $sp_word"])],
        [-L*|-l*|-Wl,*|-pthread], [AS_VAR_APPEND([MPI_LIBS], [" $sp_word"])])
    done
    AC_MSG_CHECKING([for MPI 3])
    SP_TRY_LINK([$MPI_CPPFLAGS], [$MPI_LIBS], [mpi.h],
      [int mpi_3[[MPI_VERSION >= 3 ? 1 : -1]] = { 0 }; return MPI_Init(0, 0) + mpi_3[[0]];])
    AC_MSG_RESULT([${sp_why:-yes}])
    AC_PATH_PROGS([MPIRUN], [mpirun mpiexec], [], [$sp_path])
    AS_IF([test -n "$MPIRUN"], [: ${TESTMPIRUN="$MPIRUN -n"}
      AC_DEFINE_UNQUOTED([SP_MPIRUN], ["$MPIRUN"], [starts ranks of the MPI that is built in])])
  ])
])
AM_CONDITIONAL([HAVE_MPI], [test -z "$sp_why"])
AS_IF([test -n "$sp_why"], [SP_ABSENT([mpi], [mpi], [$sp_why])], [SP_BUILT([mpi], [comm], [$MPICC])])
])
