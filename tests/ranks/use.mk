# Rows of this part of the tests; tests/local.mk says how.
rank_programs += tests/ranks/test_use
tests_ranks_test_use_SOURCES = tests/ranks/test_use.c $(ranks_sources)
tests_ranks_test_use_LDFLAGS = $(test_ldflags)
rank_rows += tests/ranks/test_use_np1.mpi tests/ranks/test_use_np2.mpi tests/ranks/test_use_np3.mpi tests/ranks/test_use_np4.mpi
