# Rows of this part of the tests; tests/local.mk says how.
unit_tests += tests/unit/checkpoint/test_dtype tests/unit/checkpoint/test_export \
	tests/unit/checkpoint/test_hf_config tests/unit/checkpoint/test_safetensors \
	tests/unit/checkpoint/test_tokenizer_files tests/unit/checkpoint/test_weights
tests_unit_checkpoint_test_dtype_LDFLAGS = $(test_ldflags)
tests_unit_checkpoint_test_export_LDFLAGS = $(test_ldflags)
tests_unit_checkpoint_test_hf_config_LDFLAGS = $(test_ldflags)
tests_unit_checkpoint_test_safetensors_LDFLAGS = $(test_ldflags)
tests_unit_checkpoint_test_tokenizer_files_LDFLAGS = $(test_ldflags)
tests_unit_checkpoint_test_weights_LDFLAGS = $(test_ldflags)
EXTRA_DIST += tests/unit/checkpoint/model_files.h

# The command that converts, and the program that makes what it converts.
check_PROGRAMS += tests/cli/make_model
tests_cli_make_model_LDADD = libseqpar.la
tests_cli_make_model_LDFLAGS = $(AM_LDFLAGS) -no-install
script_tests += tests/cli/test_convert.sh
