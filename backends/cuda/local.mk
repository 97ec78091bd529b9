# Kernels go through nvcc, or in tests/cudasim through the C++ compiler; only runtime.c, graph.c, gemm.c and cudnn*.c see CUDA's libraries.
cuda_kernels = backends/cuda/activation.cu backends/cuda/attention_backward.cu backends/cuda/attention_forward.cu \
	backends/cuda/attention_cores_backward.cu backends/cuda/attention_cores_forward.cu \
	backends/cuda/attention_found.cu backends/cuda/attention_rows.cu backends/cuda/convert.cu backends/cuda/cross_entropy.cu backends/cuda/embedding.cu \
	backends/cuda/head.cu backends/cuda/norm.cu backends/cuda/rotate.cu backends/cuda/scores.cu backends/cuda/sums.cu backends/cuda/update.cu \
	backends/cuda/words.cu
cuda_headers = backends/cuda/cuda.h backends/cuda/gemm.h backends/cuda/kernels.h backends/cuda/sdpa.h backends/cuda/steps.h backends/cuda/attention_fragments.cuh backends/cuda/attention_tiles.cuh \
	backends/cuda/common.cuh backends/cuda/device.cuh backends/cuda/elements.cuh backends/cuda/normal.cuh \
	backends/cuda/tensor_cores.cuh
cuda_host_sources = backends/cuda/attention.c backends/cuda/steps.c backends/cuda/steps_check.c backends/cuda/steps_queue.c \
	backends/cuda/table.c backends/cuda/context.c backends/cuda/linear.c backends/cuda/measure.c

backends_cuda_la_SOURCES = $(cuda_headers) $(cuda_host_sources) backends/cuda/module.c backends/cuda/runtime.c backends/cuda/graph.c \
	backends/cuda/gemm.c $(cuda_kernels)
# Only the first of these calls cuDNN on a device; tests hold the others' plans against the library without one.
cudnn_plan_sources = backends/cuda/cudnn_library.h backends/cuda/cudnn_library.c backends/cuda/cudnn_graph.h \
	backends/cuda/cudnn_graph.c backends/cuda/cudnn_forward.c backends/cuda/cudnn_backward.c backends/cuda/cudnn_plan.c
if HAVE_CUDNN
backends_cuda_la_SOURCES += backends/cuda/cudnn.c $(cudnn_plan_sources)
else
backends_cuda_la_SOURCES += backends/cuda/cudnn_absent.c
endif
backends_cuda_la_CPPFLAGS = $(AM_CPPFLAGS) $(CUDNN_CPPFLAGS)
backends_cuda_la_LDFLAGS = $(module_ldflags) $(CUDNN_RPATH)
backends_cuda_la_LIBADD = $(module_libadd) $(CUBLASLT_LIBS) $(CUDART_LIBS)

### nvcc as one more compiler under libtool; C linkage, and linked by $(CC)
AM_V_NVCC = $(am__v_NVCC_@AM_V@)
am__v_NVCC_ = $(am__v_NVCC_@AM_DEFAULT_V@)
am__v_NVCC_0 = @echo "  NVCC    " $@;
am__v_NVCC_1 =

# Unknown flags, libtool's -fPIC among them, go to the host compiler; not by -Xcompiler, which libtool takes for itself. A
# kernel that is launched holds a guarded static, which would need the C++ library.
NVCC_COMPILE = $(NVCC) -forward-unknown-to-host-compiler -std=c++17 $(CUDA_GENCODE) $(NVCCFLAGS) \
	-Wall -Wextra -Werror all-warnings -fvisibility=hidden -fno-exceptions -fno-rtti -fno-threadsafe-statics \
	$(SANITIZE_CFLAGS) $(DEFS) $(DEFAULT_INCLUDES) $(AM_CPPFLAGS) $(CPPFLAGS)
SUFFIXES = .cu
.cu.lo:
	@$(MKDIR_P) $(@D)
	$(AM_V_NVCC)$(LIBTOOL) $(AM_V_lt) --tag=CC --mode=compile $(NVCC_COMPILE) -MD -MP -MF $(@:.lo=.d) -MT $@ -c -o $@ $<

# Automake follows headers only for the languages it knows.
cuda_deps = $(cuda_kernels:.cu=.d)
MOSTLYCLEANFILES += $(cuda_deps)
-include $(cuda_deps)
