# SP_BLAS: the cpu module. Any CBLAS, OpenBLAS preferred; and the instruction sets its kernels are compiled for.
AC_DEFUN([SP_BLAS], [
SP_WITH([blas], [CBLAS library])
AC_ARG_VAR([BLAS_LIBS], [how to link CBLAS (default: -lopenblas, else -lcblas)])
AS_IF([test -n "$BLAS_LIBS" && test "$with_blas" = guess], [with_blas=yes])
sp_why=disabled
AS_IF([test "$with_blas" != no], [
  SP_LIBRARY([BLAS], [$sp_blas_dir], [${BLAS_LIBS:--lopenblas}], [cblas.h], [(void)cblas_sdot(0, 0, 1, 0, 1);])
  AS_IF([test -n "$sp_why" && test "$with_blas" = guess],
    [SP_LIBRARY([BLAS], [], [-lcblas], [cblas.h], [(void)cblas_sdot(0, 0, 1, 0, 1);])])
])
AM_CONDITIONAL([HAVE_BLAS], [test -z "$sp_why"])
SP_ISA
AS_IF([test -n "$sp_why"], [SP_ABSENT([cpu], [blas], [$sp_why])], [
  SP_BUILT([cpu], [compute], [$BLAS_LIBS; $sp_isa; OpenMP ${OPENMP_CFLAGS:-missing: one thread}])
  SP_TRY_LINK([$BLAS_CPPFLAGS], [$BLAS_LIBS], [cblas.h], [return !openblas_get_config() + openblas_get_parallel();])
  AS_IF([test -z "$sp_why"], [AC_DEFINE([HAVE_OPENBLAS], [1], [CBLAS is OpenBLAS and can describe itself])])
])
])

# SP_ISA: kernel variants, best first. All that the compiler knows are built; the choice is made at run time.
AC_DEFUN([SP_ISA], [
AC_SUBST([AVX2_CFLAGS], ["-mavx2 -mfma"])
AC_SUBST([AVX512_CFLAGS], ["-mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512"])
AC_SUBST([AVX512BF16_CFLAGS], ["$AVX512_CFLAGS -mavx512bf16"])
AC_MSG_CHECKING([for kernel instruction sets])
sp_save_CFLAGS=$CFLAGS CFLAGS="$CFLAGS $AVX512_CFLAGS $AVX2_CFLAGS"
AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [return __builtin_cpu_supports("avx512f");])],
  [sp_isa="avx512 avx2 generic"], [sp_isa=generic])
# Compilers learnt this later than the others.
CFLAGS="$sp_save_CFLAGS $AVX512BF16_CFLAGS"
AS_IF([test "$sp_isa" != generic], [AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <immintrin.h>]],
  [[__m512 x = _mm512_setzero_ps();
   x = _mm512_dpbf16_ps(x, _mm512_cvtne2ps_pbh(x, x), _mm512_cvtne2ps_pbh(x, x));
   return __builtin_cpu_supports("avx512bf16") + (int)_mm512_reduce_add_ps(x);]])],
  [sp_isa="avx512bf16 $sp_isa"])])
CFLAGS=$sp_save_CFLAGS
AC_MSG_RESULT([$sp_isa])
AM_CONDITIONAL([X86_KERNELS], [test "$sp_isa" != generic])
AM_CONDITIONAL([AVX512BF16_KERNELS], [test "${sp_isa%% *}" = avx512bf16])
AC_DEFINE_UNQUOTED([SP_CPU_ISAS], [$(printf 'X(%s) ' $sp_isa)], [X(isa) of each compiled kernel variant, best first])
])
