# The cuda module with its kernels on the simulator, CBLAS in the place of cuBLASLt and memory of this process: a module that
# only tests open. It lies beside the others and is never installed. Each file in kernels/ holds one include, of a kernel.
cudasim_sources = tests/cudasim/simulator.hpp tests/cudasim/simulator.cpp tests/cudasim/memory.hpp tests/cudasim/memory.cpp \
	tests/cudasim/sixteen.hpp tests/cudasim/graph.hpp tests/cudasim/graph.cpp tests/cudasim/sdpa.cpp tests/cudasim/runtime.cpp tests/cudasim/queue.h tests/cudasim/cublasLt.h tests/cudasim/cublaslt.cpp \
	tests/cudasim/cuda/device.cuh tests/cudasim/cuda/tensor_cores.cuh backends/cuda/gemm.c $(cuda_host_sources) \
	tests/cudasim/kernels/activation.cpp tests/cudasim/kernels/attention_backward.cpp \
	tests/cudasim/kernels/attention_found.cpp tests/cudasim/kernels/attention_cores_backward.cpp tests/cudasim/kernels/attention_cores_forward.cpp \
	tests/cudasim/kernels/attention_forward.cpp tests/cudasim/kernels/attention_rows.cpp tests/cudasim/kernels/convert.cpp \
	tests/cudasim/kernels/cross_entropy.cpp tests/cudasim/kernels/embedding.cpp tests/cudasim/kernels/head.cpp \
	tests/cudasim/kernels/norm.cpp tests/cudasim/kernels/rotate.cpp tests/cudasim/kernels/scores.cpp \
	tests/cudasim/kernels/sums.cpp tests/cudasim/kernels/update.cpp tests/cudasim/kernels/words.cpp

if HAVE_CUDASIM
if MODULES
check_LTLIBRARIES += backends/cudasim.la
conformance_rows += tests/conformance/cudasim-forward-1.conform tests/conformance/cudasim-tf32-up-1.conform \
	tests/conformance/cudasim-tf32-down-1.conform tests/conformance/cudasim-bf16-up-1.conform tests/conformance/cudasim-f16-down-1.conform \
	tests/conformance/cudasim-cudnn-bf16-up-1.conform tests/conformance/cudasim-cudnn-f16-down-1.conform
unit_tests += tests/cudasim/test_attention_kernel tests/cudasim/test_rate
rank_programs += tests/cudasim/test_training tests/ranks/test_device_comm
rank_rows += tests/ranks/test_device_comm_np1.mpi tests/ranks/test_device_comm_np2.mpi tests/ranks/test_device_comm_np3.mpi
rank_rows += tests/cudasim/test_training_np1.mpi tests/cudasim/test_training_np2.mpi
script_tests += tests/cli/test_fp16.sh tests/cli/test_graph.sh
endif
endif
tests_cudasim_test_attention_kernel_LDFLAGS = $(test_ldflags)
tests_cudasim_test_rate_LDFLAGS = $(test_ldflags)
EXTRA_DIST += tests/cli/test_fp16.sh tests/cli/test_graph.sh
tests_ranks_test_device_comm_SOURCES = tests/ranks/test_device_comm.c $(ranks_sources)
tests_ranks_test_device_comm_LDFLAGS = $(test_ldflags)
tests_cudasim_test_training_SOURCES = tests/cudasim/test_training.c $(ranks_sources)
tests_cudasim_test_training_LDFLAGS = $(test_ldflags)
backends_cudasim_la_SOURCES = $(cudasim_sources) $(cuda_headers)
# tests/cudasim comes first: its cuda/device.cuh takes the place of the one in backends/.
backends_cudasim_la_CPPFLAGS = -I$(top_srcdir)/tests/cudasim $(AM_CPPFLAGS) $(BLAS_CPPFLAGS)
backends_cudasim_la_CXXFLAGS = $(cudasim_cxxflags)
backends_cudasim_la_LDFLAGS = $(test_module_ldflags)
backends_cudasim_la_LIBADD = libseqpar.la $(BLAS_LIBS)
cudasim_cxxflags = -std=c++17 -O2 -Wall -Wextra -Wno-unknown-pragmas -fno-exceptions -fno-rtti $(SANITIZE_CFLAGS) $(CUDASIM_CXXFLAGS)
