# SP_CUDASIM: the kernels of the cuda module on the processor, for make check. Needs a C++17 compiler and CBLAS, no CUDA.
AC_DEFUN([SP_CUDASIM], [
sp_why="no CBLAS"
AM_COND_IF([HAVE_BLAS], [
  AC_MSG_CHECKING([whether $CXX compiles C++17])
  AC_LANG_PUSH([C++])
  sp_save_CXXFLAGS=$CXXFLAGS CXXFLAGS="$CXXFLAGS -std=c++17"
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [static_assert(__cplusplus >= 201703L); auto f = [@<:@@:>@] { return 0; }; return f();])],
    [sp_why=], [sp_why="no C++17 compiler"])
  # A GPU refuses accesses of 16 bytes that are not aligned to them; this processor would not.
  sp_checks="-fsanitize=alignment -fsanitize-undefined-trap-on-error"
  AS_IF([test -n "$SANITIZE_CFLAGS"], [sp_checks=])
  CXXFLAGS="$sp_save_CXXFLAGS $sp_checks"
  AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [], [sp_checks=])
  CXXFLAGS=$sp_save_CXXFLAGS
  AC_LANG_POP([C++])
  AC_MSG_RESULT([${sp_why:-yes}])
])
AC_SUBST([CUDASIM_CXXFLAGS], [$sp_checks])
AM_CONDITIONAL([HAVE_CUDASIM], [test -z "$sp_why"])
AS_VAR_APPEND([sp_line_tests], ["; CUDA kernels simulated${sp_why:+: no, $sp_why}"])
])
