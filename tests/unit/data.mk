# Rows of this part of the tests; tests/local.mk says how.
unit_tests += tests/unit/data/test_blend tests/unit/data/test_dataset tests/unit/data/test_map tests/unit/data/test_mask
tests_unit_data_test_blend_LDFLAGS = $(test_ldflags)
tests_unit_data_test_dataset_LDFLAGS = $(test_ldflags)
tests_unit_data_test_map_LDFLAGS = $(test_ldflags)
tests_unit_data_test_mask_LDFLAGS = $(test_ldflags)
EXTRA_DIST += tests/unit/data/token_files.h
