# The compute table against float64 loops. tests/local.mk says how rows are made. A row BACKEND-VARIANT-THREADS.conform is
# an empty file; test_conformance takes its name as what to run. BACKEND-VARIANT-bf16-THREADS has activations in that dtype.
conformance_rows = tests/conformance/cpu-generic-1.conform tests/conformance/cpu-generic-2.conform \
	tests/conformance/cpu-avx2-1.conform tests/conformance/cpu-avx2-2.conform \
	tests/conformance/cpu-avx512-1.conform tests/conformance/cpu-avx512-2.conform \
	tests/conformance/cpu-auto-3.conform tests/conformance/cpu-onednn-2.conform \
	tests/conformance/cpu-bf16-2.conform tests/conformance/cpu-onednn-bf16-2.conform \
	tests/conformance/cpu-generic-bf16-1.conform tests/conformance/cpu-avx512-bf16-1.conform \
	tests/conformance/cpu-avx512bf16-2.conform tests/conformance/cpu-avx512bf16-bf16-1.conform \
	tests/conformance/cpu-avx512bf16-bf16-2.conform
rank_programs += tests/conformance/test_conformance
rank_rows += $(conformance_rows)
unit_tests += tests/conformance/test_reference
# Thousands of short operations: threads that spin between them would stall each other on a machine that does more.
CONFORM_LOG_COMPILER = timeout
AM_CONFORM_LOG_FLAGS = -k 5 $(row_seconds) env OMP_WAIT_POLICY=passive tests/conformance/test_conformance

# The cpu module with loops in place of oneDNN.
if MODULES
if HAVE_BLAS
check_LTLIBRARIES += tests/conformance/standin/cpu.la
conformance_rows += tests/conformance/cpu-standin-bf16-2.conform
endif
endif
tests_conformance_standin_cpu_la_SOURCES = tests/conformance/standin/onednn.c
tests_conformance_standin_cpu_la_LDFLAGS = $(test_module_ldflags) $(BLAS_RPATH) $(HWLOC_RPATH)
tests_conformance_standin_cpu_la_LIBADD = libseqpar.la $(cpu_main)

reference_sources = tests/reference/reference.h tests/reference/dropout.c tests/reference/element.c tests/reference/linear.c tests/reference/norm.c \
	tests/reference/attention.c tests/reference/embedding.c tests/reference/head.c tests/reference/parts.c tests/reference/rotate.c \
	tests/reference/scores.c tests/reference/update.c

tests_conformance_test_reference_SOURCES = tests/conformance/test_reference.c $(reference_sources)
tests_conformance_test_reference_LDFLAGS = $(test_ldflags)

tests_conformance_test_conformance_SOURCES = tests/conformance/test_conformance.c tests/conformance/cases.h \
	tests/conformance/bench.c tests/conformance/bench.h tests/conformance/bounds.c tests/conformance/bounds.h \
	tests/conformance/memory.c tests/conformance/convert.c tests/conformance/linear.c tests/conformance/norm.c tests/conformance/attention.c \
	tests/conformance/embedding.c tests/conformance/graphs.c tests/conformance/head.c tests/conformance/parts.c tests/conformance/rotate.c tests/conformance/scores.c tests/conformance/update.c \
	$(reference_sources)
tests_conformance_test_conformance_LDFLAGS = $(test_ldflags)
