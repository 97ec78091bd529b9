# Rows of this part of the tests; tests/local.mk says how.
unit_tests += tests/unit/bench/test_output tests/unit/bench/test_times tests/unit/bench/test_judge
tests_unit_bench_test_output_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CPPFLAGS)
tests_unit_bench_test_output_LDADD = $(LDADD) $(JANSSON_LIBS)
tests_unit_bench_test_output_LDFLAGS = $(test_ldflags)
tests_unit_bench_test_times_LDFLAGS = $(test_ldflags)
tests_unit_bench_test_judge_SOURCES = tests/unit/bench/test_judge.c tests/reference/reference.h tests/reference/attention.c \
	tests/reference/dropout.c
tests_unit_bench_test_judge_LDFLAGS = $(test_ldflags)
tests_unit_bench_test_judge_LDADD = $(LDADD) -lm
