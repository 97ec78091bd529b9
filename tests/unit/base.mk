# Rows of this part of the tests; tests/local.mk says how.
unit_tests += tests/unit/base/test_rng tests/unit/base/test_log tests/unit/base/test_size tests/unit/base/test_trace \
	tests/unit/base/test_where
tests_unit_base_test_rng_SOURCES = tests/unit/base/test_rng.c tests/reference/dropout.c tests/reference/reference.h
tests_unit_base_test_rng_LDFLAGS = $(test_ldflags)
tests_unit_base_test_log_LDFLAGS = $(test_ldflags)
tests_unit_base_test_size_LDFLAGS = $(test_ldflags)
tests_unit_base_test_trace_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CPPFLAGS)
tests_unit_base_test_trace_LDFLAGS = $(test_ldflags) $(JANSSON_RPATH)
tests_unit_base_test_trace_LDADD = $(LDADD) $(JANSSON_LIBS)
tests_unit_base_test_where_LDFLAGS = $(test_ldflags)
