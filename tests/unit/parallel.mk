# Rows of this part of the tests; tests/local.mk says how.
unit_tests += tests/unit/parallel/test_grid
tests_unit_parallel_test_grid_LDFLAGS = $(test_ldflags)
unit_tests += tests/unit/parallel/test_pipeline
tests_unit_parallel_test_pipeline_LDFLAGS = $(test_ldflags)
unit_tests += tests/unit/parallel/test_balance
tests_unit_parallel_test_balance_LDFLAGS = $(test_ldflags)
