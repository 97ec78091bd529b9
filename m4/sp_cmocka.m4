# SP_CMOCKA: the unit and rank tests; without it make check runs the scripts only, and says so here.
AC_DEFUN([SP_CMOCKA], [
SP_WITH([cmocka], [CMocka, for make check])
sp_why=disabled
# cmocka.h does not include what it needs.
AS_IF([test "$with_cmocka" != no], [
  SP_LIBRARY([CMOCKA], [$sp_cmocka_dir], [-lcmocka], [cmocka.h], [assert_true(1);],
    [-include stdarg.h -include stddef.h -include stdint.h -include setjmp.h])])
AM_CONDITIONAL([HAVE_CMOCKA], [test -z "$sp_why"])
AS_IF([test -z "$sp_why"], [sp_line_tests="CMocka; ranks started by ${TESTMPIRUN:-nothing: skipped}"],
  [test "$with_cmocka" = yes], [AC_MSG_ERROR([--with-cmocka was asked for, but: $sp_why])],
  [sp_line_tests="scripts only ($sp_why)"])
])
