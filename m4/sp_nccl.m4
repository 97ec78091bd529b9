# SP_NCCL: the nccl module, which needs NCCL's header and the CUDA runtime. The library is looked for when the module is used, so it
# may be missing here. After SP_CUDA. Sets sp_nccl_why, empty if the module is built.
AC_DEFUN([SP_NCCL], [
SP_WITH([nccl], [NCCL 2.18 or later])
AC_SUBST([NCCL_CPPFLAGS], ["${sp_nccl_dir:+-isystem $sp_nccl_dir/include }$CUDA_CPPFLAGS"])
AC_SUBST([NCCL_RPATH], ["${sp_nccl_dir:+-R $sp_nccl_dir/lib }$CUDART_RPATH"])
sp_why=disabled
AS_IF([test "$with_nccl" != no], [
  sp_why="no cuda: $sp_cuda_why"
  AS_IF([test -z "$sp_cuda_why"], [
    sp_why="nccl.h not found"
    AC_MSG_CHECKING([for nccl.h${sp_nccl_dir:+ in $sp_nccl_dir/include}])
    sp_save_CPPFLAGS=$CPPFLAGS CPPFLAGS="$CPPFLAGS $NCCL_CPPFLAGS"
    AC_PREPROC_IFELSE([AC_LANG_SOURCE([@%:@include <nccl.h>])], [
      sp_why="its header is of a version before 2.18"
      AC_COMPILE_IFELSE([AC_LANG_PROGRAM([@%:@include <nccl.h>],
        [int nccl_2_18[[NCCL_VERSION_CODE >= 21800 ? 1 : -1]] = { 0 };
        return nccl_2_18[[0]] + (ncclCommSplit != 0) + NCCL_SPLIT_NOCOLOR;])], [sp_why=])])
    CPPFLAGS=$sp_save_CPPFLAGS
    AS_IF([test -z "$sp_why" && test -n "$sp_nccl_dir" && test ! -f "$sp_nccl_dir/include/nccl.h"],
      [sp_why="nccl.h not found in $sp_nccl_dir/include"])
    AC_MSG_RESULT([${sp_why:-yes}])
  ])
])
AM_CONDITIONAL([HAVE_NCCL], [test -z "$sp_why"])
sp_nccl_why=$sp_why
AS_IF([test -n "$sp_why"], [SP_ABSENT([nccl], [nccl], [$sp_why])],
  [SP_BUILT([nccl], [comm], [between GPUs, beside mpi; libnccl.so.2 is looked for when it is used])])
])
