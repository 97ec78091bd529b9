# The lists of backend modules, and the summary that closes configure.

# SP_BUILT(MODULE, compute|comm, DESCRIPTION): the module will be built.
AC_DEFUN([SP_BUILT], [
AS_VAR_APPEND([sp_built], [" X($1)"])
AS_VAR_APPEND([sp_line_$2], ["  $1 ($3)"])
])

# SP_ABSENT(MODULE, OPTION, REASON): it will not be built. An error if --with-OPTION asked for it.
AC_DEFUN([SP_ABSENT], [
AS_IF([test "$with_$2" = yes], [AC_MSG_ERROR([--with-$2 was asked for, but: $3 (see config.log)])])
AS_VAR_APPEND([sp_absent], [" X($1, \"$3\")"])
AS_VAR_APPEND([sp_line_absent], ["  $1 ($3)"])
])

# SP_MODULES: --disable-modules. Without shared libraries the modules are linked in as well.
AC_DEFUN([SP_MODULES], [
AC_ARG_ENABLE([modules], [AS_HELP_STRING([--disable-modules], [link the backends into libseqpar])],
  [], [enable_modules=$enable_shared])
AS_CASE([$enable_modules,$enable_shared], [yes,no], [AC_MSG_ERROR([--enable-modules needs --enable-shared])])
AM_CONDITIONAL([MODULES], [test "$enable_modules" = yes])
AC_CONFIG_COMMANDS_PRE([
  AS_IF([test "$enable_modules" = yes], [sp_loaded=$sp_built sp_linked=], [sp_loaded= sp_linked=$sp_built])
  AC_DEFINE_UNQUOTED([SP_MODULES_LOADED], [$sp_loaded], [X(name) of each module opened at run time])
  AC_DEFINE_UNQUOTED([SP_MODULES_LINKED], [$sp_linked], [X(name) of each module linked in])
  AC_DEFINE_UNQUOTED([SP_MODULES_ABSENT], [$sp_absent], [X(name, reason) of each module not built])
])
])

# SP_SUMMARY: what configure decided, in the words each dependency's own file chose.
AC_DEFUN([SP_SUMMARY], [
AS_IF([test "$enable_modules" = yes], [sp_how="opened at run time"], [sp_how="linked in"])
AS_ECHO(["
$PACKAGE_STRING
  prefix       $prefix
  compiler     $CC $CFLAGS $OPENMP_CFLAGS $SANITIZE_CFLAGS
  modules      $sp_how
  compute    ${sp_line_compute:-  none: nothing can be trained}
  comm       $sp_line_comm
  not built  ${sp_line_absent:-  nothing left out}
  tests        $sp_line_tests

  make            the library, the modules and build/seqpar
  make check      all tests     make install     make distcheck
"])
])
