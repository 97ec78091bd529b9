# SP_DEBUG: --enable-debug: no optimisation, assertions on; otherwise assertions off.
AC_DEFUN([SP_DEBUG], [
AC_ARG_ENABLE([debug], [AS_HELP_STRING([--enable-debug], [assertions, -O0 -g3; slow])], [], [enable_debug=no])
AS_IF([test "$enable_debug" = yes], [CFLAGS="$CFLAGS -O0 -g3" KERNEL_OPT=-O1], [KERNEL_OPT=-O3])
AC_SUBST([KERNEL_OPT])
AS_IF([test "$enable_debug" != yes], [AC_DEFINE([NDEBUG], [1], [assertions are off])])
])

# SP_SANITIZERS: --enable-sanitizers[=LIST]
AC_DEFUN([SP_SANITIZERS], [
AC_ARG_ENABLE([sanitizers],
  [AS_HELP_STRING([--enable-sanitizers@<:@=LIST@:>@], [instrument everything (yes: address,undefined)])],
  [], [enable_sanitizers=no])
AS_CASE([$enable_sanitizers], [yes], [enable_sanitizers=address,undefined])
SANITIZE_CFLAGS=
AS_IF([test "$enable_sanitizers" != no],
  [SANITIZE_CFLAGS="-fsanitize=$enable_sanitizers -fno-sanitize-recover=undefined -fno-omit-frame-pointer"])
AC_SUBST([SANITIZE_CFLAGS])
AM_CONDITIONAL([SANITIZERS], [test "$enable_sanitizers" != no])
])
