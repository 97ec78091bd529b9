# One shape of option and one link test for every dependency.

# SP_WITH(NAME, WHAT): --with-NAME=guess|yes|no|DIR. Leaves with_NAME as guess, yes or no, sp_NAME_dir as DIR or nothing.
AC_DEFUN([SP_WITH], [
AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=guess|yes|no|DIR], [$2 (default: guess)])], [], [with_$1=guess])
sp_$1_dir=
AS_CASE([$with_$1],
  [guess|yes|no], [],
  [/*], [sp_$1_dir=$with_$1 with_$1=yes
         AS_IF([test ! -d "$sp_$1_dir"], [AC_MSG_ERROR([--with-$1: there is no directory $sp_$1_dir])])],
  [AC_MSG_ERROR([--with-$1=$with_$1: expected guess, yes, no or an absolute directory])])
])

# SP_TRY_LINK(CPPFLAGS, LIBS, HEADER, STATEMENT): compiles and links, runs nothing, restores the global flags. sp_why is
# empty on success, else the reason.
AC_DEFUN([SP_TRY_LINK], [
sp_save_CPPFLAGS=$CPPFLAGS sp_save_LIBS=$LIBS
CPPFLAGS="$CPPFLAGS $1" LIBS="$2 $LIBS"
sp_why="$3 not found"
AC_PREPROC_IFELSE([AC_LANG_SOURCE([@%:@include <$3>])], [
  sp_why="cannot link with $2"
  AC_LINK_IFELSE([AC_LANG_PROGRAM([@%:@include <$3>], [$4])], [sp_why=])])
CPPFLAGS=$sp_save_CPPFLAGS LIBS=$sp_save_LIBS
])

# SP_LIBRARY(PREFIX, DIR, LIBS, HEADER, STATEMENT, [MORE_CPPFLAGS], [MORE_LIBS]): a library in DIR, or where the compiler
# looks if DIR is empty. Sets sp_why and PREFIX_CPPFLAGS, _LIBS, _RPATH. What DIR does not hold is never taken from
# elsewhere unasked.
AC_DEFUN([SP_LIBRARY], [
AC_SUBST([$1_CPPFLAGS]) AC_SUBST([$1_LIBS]) AC_SUBST([$1_RPATH])
sp_dir=$2 sp_libs="$3" sp_found=
sp_name=${sp_libs%% *} sp_name=${sp_name@%:@-l}
AC_MSG_CHECKING([for $sp_libs${sp_dir:+ in $sp_dir}])
AS_IF([test -z "$sp_dir"],
  [$1_CPPFLAGS= $1_LIBS=$sp_libs $1_RPATH= sp_found=yes],
  [for sp_file in "$sp_dir"/lib64/lib$sp_name.* "$sp_dir"/lib/lib$sp_name.* "$sp_dir"/lib/*/lib$sp_name.*; do
    AS_IF([test -f "$sp_file"], [sp_found=`AS_DIRNAME(["$sp_file"])`; break])
  done
  $1_CPPFLAGS=-I$sp_dir/include $1_LIBS="-L$sp_found $sp_libs" $1_RPATH="-R $sp_found"])
AS_IF([test -z "$sp_found"], [sp_why="no library lib$sp_name in $sp_dir"],
  [test -n "$sp_dir" && test ! -f "$sp_dir/include/$4"], [sp_why="$4 not found in $sp_dir/include"],
  [SP_TRY_LINK([$6 $$1_CPPFLAGS], [$$1_LIBS $7], [$4], [$5])])
AC_MSG_RESULT([${sp_why:-yes}])
])

# SP_REQUIRED(PREFIX, NAME, LIBS, HEADER, STATEMENT, DEBIAN_PACKAGE): a library without which nothing is built.
AC_DEFUN([SP_REQUIRED], [
AC_ARG_WITH([$2], [AS_HELP_STRING([--with-$2=DIR], [where $2 is (default: where the compiler looks)])],
  [AS_CASE([$with_$2], [yes], [with_$2=], [no], [AC_MSG_ERROR([seqpar cannot be built without $2])])], [with_$2=])
SP_LIBRARY([$1], [$with_$2], [$3], [$4], [$5])
AS_IF([test -n "$sp_why"],
  [AC_MSG_ERROR([$2 is needed: $sp_why. On Debian and Ubuntu: apt-get install $6; elsewhere --with-$2=DIR])])
])
