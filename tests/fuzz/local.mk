# The fuzz targets, each a row that replays its corpus; tests/fuzz/run builds them for the fuzzer itself.
fuzz_targets = tests/fuzz/fuzz_hf_config tests/fuzz/fuzz_idx tests/fuzz/fuzz_safetensors tests/fuzz/fuzz_settings \
	tests/fuzz/fuzz_vocab
fuzz_common = tests/fuzz/replay.c tests/fuzz/fuzz.h
check_PROGRAMS += $(fuzz_targets)
TESTS += $(fuzz_targets)
tests_fuzz_fuzz_hf_config_SOURCES = tests/fuzz/fuzz_hf_config.c $(fuzz_common)
tests_fuzz_fuzz_idx_SOURCES = tests/fuzz/fuzz_idx.c $(fuzz_common)
tests_fuzz_fuzz_safetensors_SOURCES = tests/fuzz/fuzz_safetensors.c $(fuzz_common)
tests_fuzz_fuzz_settings_SOURCES = tests/fuzz/fuzz_settings.c $(fuzz_common)
tests_fuzz_fuzz_vocab_SOURCES = tests/fuzz/fuzz_vocab.c $(fuzz_common)
tests_fuzz_fuzz_hf_config_LDFLAGS = $(AM_LDFLAGS) -no-install
tests_fuzz_fuzz_idx_LDFLAGS = $(AM_LDFLAGS) -no-install
tests_fuzz_fuzz_safetensors_LDFLAGS = $(AM_LDFLAGS) -no-install
tests_fuzz_fuzz_settings_LDFLAGS = $(AM_LDFLAGS) -no-install
tests_fuzz_fuzz_vocab_LDFLAGS = $(AM_LDFLAGS) -no-install
tests_fuzz_fuzz_hf_config_LDADD = libseqpar.la
tests_fuzz_fuzz_idx_LDADD = libseqpar.la
tests_fuzz_fuzz_safetensors_LDADD = libseqpar.la
tests_fuzz_fuzz_settings_LDADD = libseqpar.la
tests_fuzz_fuzz_vocab_LDADD = libseqpar.la
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/run tests/fuzz/words.dict
