# Rows of this part of the tests; tests/local.mk says how.
unit_tests += tests/unit/plan/test_fit tests/unit/plan/test_paper tests/unit/plan/test_time
tests_unit_plan_test_fit_LDFLAGS = $(test_ldflags)
tests_unit_plan_test_paper_LDFLAGS = $(test_ldflags)
tests_unit_plan_test_time_LDFLAGS = $(test_ldflags)

script_tests += tests/cli/test_plan.sh
