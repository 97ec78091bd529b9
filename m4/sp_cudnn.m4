# SP_CUDNN: cuDNN's attention in the cuda module, which needs cuDNN's header. The library is looked for when it is used, so it may be
# missing here. After SP_CUDA. Sets sp_cudnn_why, empty if it is built in.
AC_DEFUN([SP_CUDNN], [
SP_WITH([cudnn], [cuDNN 9.13.1 or later])
AC_SUBST([CUDNN_CPPFLAGS], ["${sp_cudnn_dir:+-isystem $sp_cudnn_dir/include }$CUDA_CPPFLAGS"])
AC_SUBST([CUDNN_RPATH], ["${sp_cudnn_dir:+-R $sp_cudnn_dir/lib }$CUDART_RPATH"])
sp_why=disabled
AS_IF([test "$with_cudnn" != no], [
  sp_why="no cuda: $sp_cuda_why"
  AS_IF([test -z "$sp_cuda_why"], [
    sp_why="cudnn.h not found"
    AC_MSG_CHECKING([for cudnn.h${sp_cudnn_dir:+ in $sp_cudnn_dir/include}])
    sp_save_CPPFLAGS=$CPPFLAGS CPPFLAGS="$CPPFLAGS $CUDNN_CPPFLAGS"
    AC_PREPROC_IFELSE([AC_LANG_SOURCE([@%:@include <cudnn.h>])], [
      sp_why="its header is of a version before 9.13.1"
      AC_COMPILE_IFELSE([AC_LANG_PROGRAM([@%:@include <cudnn.h>],
        [int cudnn_9_13_1[[CUDNN_VERSION >= 91301 ? 1 : -1]] = { 0 };
        return cudnn_9_13_1[[0]] + CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR;])], [sp_why=])])
    CPPFLAGS=$sp_save_CPPFLAGS
    AS_IF([test -z "$sp_why" && test -n "$sp_cudnn_dir" && test ! -f "$sp_cudnn_dir/include/cudnn.h"],
      [sp_why="cudnn.h not found in $sp_cudnn_dir/include"])
    AC_MSG_RESULT([${sp_why:-yes}])
  ])
])
AM_CONDITIONAL([HAVE_CUDNN], [test -z "$sp_why"])
AC_DEFINE_UNQUOTED([SP_CUDNN_ABSENT], ["$sp_why"], [why cuDNN is not built in, or nothing])
sp_cudnn_why=$sp_why
AS_IF([test -z "$sp_why"],
  [AS_VAR_APPEND([sp_line_compute], ["; its attention also by cuDNN, libcudnn.so.9 is looked for when it is used"])],
  [test -z "$sp_cuda_why"], [AS_VAR_APPEND([sp_line_absent], ["  cuDNN's attention ($sp_why)"])])
AS_IF([test "$with_cudnn" = yes && test -n "$sp_why"],
  [AC_MSG_ERROR([--with-cudnn was asked for, but: $sp_why (see config.log)])])
])
