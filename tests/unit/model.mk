# Rows of this part of the tests; tests/local.mk says how.
unit_tests += tests/unit/model/test_gradients
tests_unit_model_test_gradients_SOURCES = tests/unit/model/test_gradients.c tests/golden/harness.c tests/golden/harness.h
tests_unit_model_test_gradients_LDFLAGS = $(test_ldflags)
unit_tests += tests/unit/model/test_forward_only
tests_unit_model_test_forward_only_SOURCES = tests/unit/model/test_forward_only.c tests/golden/harness.c tests/golden/harness.h
tests_unit_model_test_forward_only_LDFLAGS = $(test_ldflags)
unit_tests += tests/unit/model/test_recompute
tests_unit_model_test_recompute_SOURCES = tests/unit/model/test_recompute.c tests/golden/harness.c tests/golden/harness.h
tests_unit_model_test_recompute_LDFLAGS = $(test_ldflags)
unit_tests += tests/unit/model/test_groups
tests_unit_model_test_groups_LDFLAGS = $(test_ldflags)
script_tests += tests/mutations/stages_in_one_group.sh tests/mutations/tied_words_apart.sh
unit_tests += tests/unit/model/test_read_rows
tests_unit_model_test_read_rows_SOURCES = tests/unit/model/test_read_rows.c tests/golden/harness.c tests/golden/harness.h
tests_unit_model_test_read_rows_LDFLAGS = $(test_ldflags)
