# SP_CUDA: the cuda module. Shows that nvcc compiles a kernel for the chosen architectures and that CC links the runtime and
# cuBLASLt; runs nothing, so neither GPU nor driver is needed. Sets sp_cuda_why, empty if the module is built.
AC_DEFUN([SP_CUDA], [
SP_WITH([cuda], [CUDA Toolkit with cuBLASLt])
AC_ARG_WITH([cuda-arch], [AS_HELP_STRING([--with-cuda-arch=LIST],
  [GPU architectures to compile for, such as "80 90" (default: 80, 90, and code for later GPUs)])],
  [AS_CASE([$with_cuda], [guess], [with_cuda=yes])], [with_cuda_arch=default])
AC_ARG_VAR([NVCC], [CUDA compiler]) AC_ARG_VAR([NVCCFLAGS], [flags for NVCC])
: ${NVCCFLAGS="-O3 -lineinfo"}
sp_why=disabled
AS_IF([test "$with_cuda" != no], [
  sp_path=${sp_cuda_dir:+$sp_cuda_dir/bin}
  AC_PATH_PROG([NVCC], [nvcc], [], [${sp_path:-${CUDA_HOME:+$CUDA_HOME/bin:}$PATH:/usr/local/cuda/bin}])
  sp_why="nvcc not found${sp_path:+ in $sp_path}"
  AS_IF([test -n "$NVCC"], [
    : ${sp_cuda_dir:=`cd "\`AS_DIRNAME(["$NVCC"])\`/.." && pwd`}
    SP_LIBRARY([CUDART], [$sp_cuda_dir], [-lcudart], [cuda_runtime_api.h], [int n; return cudaGetDeviceCount(&n);])])
  AS_IF([test -z "$sp_why"], [
    SP_LIBRARY([CUBLASLT], [$sp_cuda_dir], [-lcublasLt], [cublasLt.h], [return !cublasLtGetVersion();],
      [], [$CUDART_LIBS])])
  AS_IF([test -z "$sp_why"], [SP_CUDA_ARCH])
])
# System headers, so that warnings about CUDA's own declarations are not ours.
AC_SUBST([CUDA_CPPFLAGS], ["-isystem $sp_cuda_dir/include"])
AM_CONDITIONAL([HAVE_CUDA], [test -z "$sp_why"])
sp_cuda_why=$sp_why
AS_IF([test -n "$sp_why"], [SP_ABSENT([cuda], [cuda], [$sp_why])], [
  sp_version=`$NVCC --version | sed -n 's/.*release \(@<:@0-9.@:>@*\).*/\1/p'`
  SP_BUILT([cuda], [compute], [CUDA $sp_version; $sp_archs])
])
])

# SP_CUDA_ARCH: CUDA_GENCODE from --with-cuda-arch, tried on a kernel with an instruction of GPUs of compute capability 8.0. Code for each, and PTX, which later GPUs compile
# themselves, of the last; by default of the newest that nvcc knows.
AC_DEFUN([SP_CUDA_ARCH], [
AC_SUBST([CUDA_GENCODE])
AS_IF([test "$with_cuda_arch" = default], [
  with_cuda_arch="80 90"
  sp_newest=`$NVCC --list-gpu-arch 2>&AS_MESSAGE_LOG_FD | sed -n 's/^compute_\(@<:@0-9@:>@*\)$/\1/p' | sort -n | tail -n 1`],
  [sp_newest=])
CUDA_GENCODE= sp_archs= sp_lowest=
for sp_arch in `AS_ECHO(["$with_cuda_arch"]) | tr , ' '`; do
  AS_VAR_APPEND([CUDA_GENCODE], [" -gencode=arch=compute_$sp_arch,code=sm_$sp_arch"])
  AS_VAR_APPEND([sp_archs], ["sm_$sp_arch "])
  sp_number=`AS_ECHO(["$sp_arch"]) | tr -d -c 0-9`
  AS_IF([test -z "$sp_lowest" || test "$sp_number" -lt "$sp_lowest"], [sp_lowest=$sp_number])
done
: ${sp_newest:=$sp_arch}
AS_VAR_APPEND([CUDA_GENCODE], [" -gencode=arch=compute_$sp_newest,code=compute_$sp_newest"])
AS_VAR_APPEND([sp_archs], ["compute_$sp_newest"])
AC_MSG_CHECKING([whether $NVCC compiles for $sp_archs])
AS_ECHO(['__global__ void f(float *x) { asm volatile("cp.async.commit_group;"); x[[threadIdx.x]] = 0; }']) > conftest.cu
AS_IF([test -n "$sp_lowest" && $NVCC $NVCCFLAGS $CUDA_GENCODE -c conftest.cu -o conftest.o >&AS_MESSAGE_LOG_FD 2>&1],
  [sp_why=], [sp_why="nvcc cannot compile for $with_cuda_arch: 80 and later are known to it and to this"])
rm -f conftest.cu conftest.o
AC_MSG_RESULT([${sp_why:-yes}])
AS_IF([test -z "$sp_why"],
  [AC_DEFINE_UNQUOTED([SP_CUDA_LOWEST_ARCH], [$sp_lowest], [the oldest GPUs that the cuda module is compiled for])])
])
