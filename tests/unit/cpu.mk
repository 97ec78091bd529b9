# Rows of this part of the tests; tests/local.mk says how.
cpu_math_test = tests/unit/cpu/test_math.c
cpu_math_cflags = $(AM_CFLAGS) $(KERNEL_OPT) -fopenmp-simd -ffp-contract=fast -fno-math-errno -fno-trapping-math

unit_tests += tests/unit/cpu/test_math
tests_unit_cpu_test_math_SOURCES = $(cpu_math_test)
tests_unit_cpu_test_math_CFLAGS = $(cpu_math_cflags)
tests_unit_cpu_test_math_LDFLAGS = $(test_ldflags)
if X86_KERNELS
unit_tests += tests/unit/cpu/test_math_avx2 tests/unit/cpu/test_math_avx512
endif
tests_unit_cpu_test_math_avx2_SOURCES = $(cpu_math_test)
tests_unit_cpu_test_math_avx2_CFLAGS = $(cpu_math_cflags) $(AVX2_CFLAGS)
tests_unit_cpu_test_math_avx2_LDFLAGS = $(test_ldflags)
tests_unit_cpu_test_math_avx512_SOURCES = $(cpu_math_test)
tests_unit_cpu_test_math_avx512_CFLAGS = $(cpu_math_cflags) $(AVX512_CFLAGS)
tests_unit_cpu_test_math_avx512_LDFLAGS = $(test_ldflags)

if HAVE_ONEDNN
unit_tests += tests/unit/cpu/test_onednn
endif
tests_unit_cpu_test_onednn_SOURCES = tests/unit/cpu/test_onednn.c backends/cpu/onednn.c
tests_unit_cpu_test_onednn_CPPFLAGS = $(AM_CPPFLAGS) $(ONEDNN_CPPFLAGS)
tests_unit_cpu_test_onednn_CFLAGS = $(AM_CFLAGS) $(OPENMP_CFLAGS)
tests_unit_cpu_test_onednn_LDFLAGS = $(test_ldflags) $(ONEDNN_RPATH)
tests_unit_cpu_test_onednn_LDADD = $(LDADD) $(ONEDNN_LIBS)

unit_tests += tests/unit/cpu/test_products
tests_unit_cpu_test_products_LDFLAGS = $(test_ldflags)

unit_tests += tests/unit/cpu/test_context
tests_unit_cpu_test_context_LDFLAGS = $(test_ldflags)
