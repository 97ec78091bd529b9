# Rows of this part of the tests; tests/local.mk says how.
unit_tests += tests/unit/settings/test_settings tests/unit/settings/test_manual
tests_unit_settings_test_settings_LDFLAGS = $(test_ldflags)
tests_unit_settings_test_manual_LDFLAGS = $(test_ldflags)
