# Rows of this part of the tests; tests/local.mk says how.
unit_tests += tests/unit/checkpoint/test_directory tests/unit/checkpoint/test_manifest
tests_unit_checkpoint_test_directory_LDFLAGS = $(test_ldflags)
tests_unit_checkpoint_test_manifest_LDFLAGS = $(test_ldflags)

script_tests += tests/cli/test_checkpoint.sh tests/kill/test_kill.sh

rank_programs += tests/ranks/test_resume
tests_ranks_test_resume_SOURCES = tests/ranks/test_resume.c $(ranks_sources)
tests_ranks_test_resume_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CPPFLAGS)
tests_ranks_test_resume_LDADD = $(LDADD) $(JANSSON_LIBS)
tests_ranks_test_resume_LDFLAGS = $(test_ldflags)
rank_rows += tests/ranks/test_resume_np4.mpi

unit_tests += tests/unit/train/test_record
tests_unit_train_test_record_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CPPFLAGS)
tests_unit_train_test_record_LDADD = $(LDADD) $(JANSSON_LIBS)
tests_unit_train_test_record_LDFLAGS = $(test_ldflags)
