# Rows of this part of the tests; tests/local.mk says how.
unit_tests += tests/unit/use/test_use
tests_unit_use_test_use_SOURCES = tests/unit/use/test_use.c tests/unit/use/small.h
tests_unit_use_test_use_LDFLAGS = $(test_ldflags)
