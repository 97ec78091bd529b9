# The communication table: the same program for self, as a row of its own, and for 1 to 4 ranks of mpi.
rank_programs += tests/ranks/test_comm
rank_rows += tests/ranks/test_comm_np1.mpi tests/ranks/test_comm_np2.mpi tests/ranks/test_comm_np3.mpi \
	tests/ranks/test_comm_np4.mpi
tests_ranks_test_comm_LDFLAGS = $(test_ldflags)
script_tests += tests/ranks/test_comm_self.sh
