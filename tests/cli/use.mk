# Rows of this part of the tests; tests/local.mk says how.
script_tests += tests/cli/test_use.sh tests/cli/test_linformer.sh tests/cli/test_window.sh tests/cli/test_rope.sh
rank_programs += tests/cli/make_small
tests_cli_make_small_LDFLAGS = $(test_ldflags)
