# Rows of this part of the tests; tests/local.mk says how.
unit_tests += tests/unit/data/test_blend tests/unit/data/test_dataset tests/unit/data/test_map tests/unit/data/test_mask \
	tests/unit/data/test_pack
tests_unit_data_test_blend_LDFLAGS = $(test_ldflags)
tests_unit_data_test_dataset_LDFLAGS = $(test_ldflags)
tests_unit_data_test_map_LDFLAGS = $(test_ldflags)
tests_unit_data_test_mask_LDFLAGS = $(test_ldflags)
tests_unit_data_test_pack_LDFLAGS = $(test_ldflags)
EXTRA_DIST += tests/unit/data/token_files.h
unit_tests += tests/unit/data/test_indexed tests/unit/data/test_text tests/unit/data/test_vocab \
	tests/unit/data/test_vocab_train tests/unit/data/test_wordpiece
tests_unit_data_test_indexed_LDFLAGS = $(test_ldflags)
tests_unit_data_test_text_LDFLAGS = $(test_ldflags)
tests_unit_data_test_text_LDADD = $(LDADD) $(ZLIB_LIBS)
tests_unit_data_test_vocab_LDFLAGS = $(test_ldflags)
tests_unit_data_test_vocab_train_LDFLAGS = $(test_ldflags)
tests_unit_data_test_wordpiece_LDFLAGS = $(test_ldflags)
EXTRA_DIST += tests/unit/data/make_wordpiece_golden.py tests/unit/data/messages.h tests/unit/data/scratch.h \
	tests/unit/data/wordpiece.golden tests/unit/data/wordpiece.vocab
