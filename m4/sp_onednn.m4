# SP_ONEDNN: matrix products of the cpu module by oneDNN. After SP_BLAS, without which there is no cpu module.
AC_DEFUN([SP_ONEDNN], [
SP_WITH([onednn], [oneDNN 2.5 or later, for products in bf16 on processors with AVX512_BF16 or AMX])
sp_why=disabled
AS_IF([test "$with_onednn" != no], [
  sp_why="no cpu module"
  AM_COND_IF([HAVE_BLAS], [
    SP_LIBRARY([ONEDNN], [$sp_onednn_dir], [-ldnnl], [dnnl.h], [return !dnnl_version();])
    AS_IF([test -z "$sp_why"], [
      # A library with a pool of threads would use it inside of each of ours.
      SP_TRY_LINK([$ONEDNN_CPPFLAGS], [$ONEDNN_LIBS], [dnnl.h], [
        int onednn_2_5[[DNNL_VERSION_MAJOR * 100 + DNNL_VERSION_MINOR >= 205 ? 1 : -1]] = { 0 };
        int no_pool[[DNNL_CPU_RUNTIME == DNNL_RUNTIME_OMP || DNNL_CPU_RUNTIME == DNNL_RUNTIME_SEQ ? 1 : -1]] = { 0 };
        return onednn_2_5[[0]] + no_pool[[0]] + (dnnl_get_effective_cpu_isa() == dnnl_cpu_isa_avx512_core_bf16);])
      AS_IF([test -n "$sp_why"], [sp_why="it is older than 2.5, or built for other threads than OpenMP's"])
    ])
  ])
])
AM_CONDITIONAL([HAVE_ONEDNN], [test -z "$sp_why"])
AS_IF([test -z "$sp_why"], [AS_VAR_APPEND([sp_line_compute], [" with oneDNN"])],
  [test "$with_onednn" = yes], [AC_MSG_ERROR([--with-onednn was asked for, but: $sp_why (see config.log)])],
  [AS_VAR_APPEND([sp_line_absent], ["  onednn ($sp_why; bf16 on cpu is slow)"])])
])
