# cpu.c and the files that share out work between threads are compiled for the baseline; *_kernels.c once per
# instruction set (SP_ISA in m4/sp_blas.m4). No other file may get -m flags.
cpu_sources = backends/cpu/cpu.h backends/cpu/blas.h backends/cpu/kernels.h backends/cpu/vmath.h backends/cpu/bf16.h backends/cpu/elements.h backends/cpu/rows.h \
	backends/cpu/attention.h backends/cpu/attention_products.h backends/cpu/attention_pairs.h backends/cpu/attention_tiles.h backends/cpu/cpu.c backends/cpu/kernels.c backends/cpu/blas.c \
	backends/cpu/context.c backends/cpu/threads.c backends/cpu/describe.c backends/cpu/memory.c backends/cpu/room.c backends/cpu/linear.c \
	backends/cpu/products.h backends/cpu/products.c backends/cpu/onednn.h \
	backends/cpu/sums.c backends/cpu/norm.c backends/cpu/rotate.c backends/cpu/attention.c backends/cpu/attention_tiles.c \
	backends/cpu/attention_forward.c backends/cpu/attention_backward.c backends/cpu/embedding.c \
	backends/cpu/head.c backends/cpu/parts.c backends/cpu/scores.c backends/cpu/update.c backends/cpu/measure.c
cpu_kernel_sources = backends/cpu/table_kernels.c backends/cpu/convert_kernels.c backends/cpu/norm_kernels.c \
	backends/cpu/attention_kernels.c backends/cpu/attention_pack_kernels.c backends/cpu/attention_rows_kernels.c \
	backends/cpu/embedding_kernels.c backends/cpu/activation_kernels.c backends/cpu/head_kernels.c \
	backends/cpu/update_kernels.c backends/cpu/rotate_kernels.c backends/cpu/scores_kernels.c

if HAVE_ONEDNN
cpu_onednn_sources = backends/cpu/onednn.c backends/cpu/onednn_versions.h
else
cpu_onednn_sources = backends/cpu/onednn_absent.c
endif

# All but oneDNN, in whose place a test puts something else.
backends_cpu_libmain_la_SOURCES = $(cpu_sources)
backends_cpu_libmain_la_CPPFLAGS = $(AM_CPPFLAGS) $(BLAS_CPPFLAGS) $(HWLOC_CPPFLAGS)
backends_cpu_libmain_la_CFLAGS = $(AM_CFLAGS) $(OPENMP_CFLAGS)
cpu_main = backends/cpu/libmain.la $(cpu_variants) $(BLAS_LIBS) $(HWLOC_LIBS)

backends_cpu_la_SOURCES = $(cpu_onednn_sources)
backends_cpu_la_CPPFLAGS = $(AM_CPPFLAGS) $(ONEDNN_CPPFLAGS)
backends_cpu_la_CFLAGS = $(AM_CFLAGS) $(OPENMP_CFLAGS)
backends_cpu_la_LDFLAGS = $(module_ldflags) $(BLAS_RPATH) $(HWLOC_RPATH) $(ONEDNN_RPATH)
backends_cpu_la_LIBADD = $(module_libadd) $(cpu_main) $(ONEDNN_LIBS)

cpu_kernel_cflags = $(AM_CFLAGS) $(KERNEL_OPT) -fopenmp-simd -ffp-contract=fast -fno-math-errno -fno-trapping-math \
	-fvisibility=hidden
cpu_variants = backends/cpu/libgeneric.la
backends_cpu_libgeneric_la_SOURCES = $(cpu_kernel_sources)
backends_cpu_libgeneric_la_CPPFLAGS = $(AM_CPPFLAGS) -DISA=generic
backends_cpu_libgeneric_la_CFLAGS = $(cpu_kernel_cflags)
if X86_KERNELS
cpu_variants += backends/cpu/libavx2.la backends/cpu/libavx512.la
endif
if AVX512BF16_KERNELS
cpu_variants += backends/cpu/libavx512bf16.la
endif
backends_cpu_libavx2_la_SOURCES = $(cpu_kernel_sources)
backends_cpu_libavx2_la_CPPFLAGS = $(AM_CPPFLAGS) -DISA=avx2
backends_cpu_libavx2_la_CFLAGS = $(cpu_kernel_cflags) $(AVX2_CFLAGS)
backends_cpu_libavx512_la_SOURCES = $(cpu_kernel_sources)
backends_cpu_libavx512_la_CPPFLAGS = $(AM_CPPFLAGS) -DISA=avx512
backends_cpu_libavx512_la_CFLAGS = $(cpu_kernel_cflags) $(AVX512_CFLAGS)
backends_cpu_libavx512bf16_la_SOURCES = $(cpu_kernel_sources)
backends_cpu_libavx512bf16_la_CPPFLAGS = $(AM_CPPFLAGS) -DISA=avx512bf16 -DSP_PAIRS
backends_cpu_libavx512bf16_la_CFLAGS = $(cpu_kernel_cflags) $(AVX512BF16_CFLAGS)
if HAVE_BLAS
noinst_LTLIBRARIES += backends/cpu/libmain.la $(cpu_variants)
endif
