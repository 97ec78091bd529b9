# SP_CUDASIM: the kernels of the cuda module on the processor, for make check. Needs a C++17 compiler and CBLAS, no CUDA.
AC_DEFUN([SP_CUDASIM], [
sp_why="no CBLAS"
AM_COND_IF([HAVE_BLAS], [
  AC_MSG_CHECKING([whether $CXX compiles C++17])
  AC_LANG_PUSH([C++])
  sp_save_CXXFLAGS=$CXXFLAGS CXXFLAGS="$CXXFLAGS -std=c++17"
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [static_assert(__cplusplus >= 201703L); auto f = [@<:@@:>@] { return 0; }; return f();])],
    [sp_why=], [sp_why="no C++17 compiler"])
  CXXFLAGS=$sp_save_CXXFLAGS
  AC_LANG_POP([C++])
  AC_MSG_RESULT([${sp_why:-yes}])
])
AM_CONDITIONAL([HAVE_CUDASIM], [test -z "$sp_why"])
AS_VAR_APPEND([sp_line_tests], ["; CUDA kernels simulated${sp_why:+: no, $sp_why}"])
])
