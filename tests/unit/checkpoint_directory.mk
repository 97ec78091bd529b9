# Rows of this part of the tests; tests/local.mk says how.
unit_tests += tests/unit/checkpoint/test_directory tests/unit/checkpoint/test_manifest
tests_unit_checkpoint_test_directory_LDFLAGS = $(test_ldflags)
tests_unit_checkpoint_test_manifest_LDFLAGS = $(test_ldflags)
