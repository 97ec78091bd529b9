# One row for each grid of data x pipeline x sequence x tensor ranks; tests/local.mk says how.
rank_programs += tests/ranks/test_grid
training_sources = tests/ranks/training.c tests/ranks/training.h $(ranks_sources)
tests_ranks_test_grid_SOURCES = tests/ranks/test_grid.c $(training_sources)
tests_ranks_test_grid_LDFLAGS = $(test_ldflags)
grid_rows = tests/ranks/test_grid_1x1x1x1.mpi tests/ranks/test_grid_1x1x1x2.mpi tests/ranks/test_grid_1x1x2x1.mpi \
	tests/ranks/test_grid_1x2x1x1.mpi tests/ranks/test_grid_2x1x1x1.mpi tests/ranks/test_grid_1x1x1x3.mpi \
	tests/ranks/test_grid_1x1x3x1.mpi tests/ranks/test_grid_1x3x1x1.mpi tests/ranks/test_grid_3x1x1x1.mpi \
	tests/ranks/test_grid_1x1x1x4.mpi tests/ranks/test_grid_1x1x2x2.mpi tests/ranks/test_grid_1x1x4x1.mpi \
	tests/ranks/test_grid_1x2x1x2.mpi tests/ranks/test_grid_1x2x2x1.mpi tests/ranks/test_grid_1x4x1x1.mpi \
	tests/ranks/test_grid_2x1x1x2.mpi tests/ranks/test_grid_2x1x2x1.mpi tests/ranks/test_grid_2x2x1x1.mpi \
	tests/ranks/test_grid_4x1x1x1.mpi tests/ranks/test_grid_1x1x1x6.mpi tests/ranks/test_grid_1x1x2x3.mpi \
	tests/ranks/test_grid_1x1x3x2.mpi tests/ranks/test_grid_1x1x6x1.mpi tests/ranks/test_grid_1x2x1x3.mpi \
	tests/ranks/test_grid_1x2x3x1.mpi tests/ranks/test_grid_1x3x1x2.mpi tests/ranks/test_grid_1x3x2x1.mpi \
	tests/ranks/test_grid_1x6x1x1.mpi tests/ranks/test_grid_2x1x1x3.mpi tests/ranks/test_grid_2x1x3x1.mpi \
	tests/ranks/test_grid_2x3x1x1.mpi tests/ranks/test_grid_3x1x1x2.mpi tests/ranks/test_grid_3x1x2x1.mpi \
	tests/ranks/test_grid_3x2x1x1.mpi tests/ranks/test_grid_6x1x1x1.mpi tests/ranks/test_grid_1x1x1x8.mpi \
	tests/ranks/test_grid_1x1x2x4.mpi tests/ranks/test_grid_1x1x4x2.mpi tests/ranks/test_grid_1x1x8x1.mpi \
	tests/ranks/test_grid_1x2x1x4.mpi tests/ranks/test_grid_1x2x2x2.mpi tests/ranks/test_grid_1x2x4x1.mpi \
	tests/ranks/test_grid_1x4x1x2.mpi tests/ranks/test_grid_1x4x2x1.mpi tests/ranks/test_grid_1x8x1x1.mpi \
	tests/ranks/test_grid_2x1x1x4.mpi tests/ranks/test_grid_2x1x2x2.mpi tests/ranks/test_grid_2x1x4x1.mpi \
	tests/ranks/test_grid_2x2x1x2.mpi tests/ranks/test_grid_2x2x2x1.mpi tests/ranks/test_grid_2x4x1x1.mpi \
	tests/ranks/test_grid_4x1x1x2.mpi tests/ranks/test_grid_4x1x2x1.mpi tests/ranks/test_grid_4x2x1x1.mpi \
	tests/ranks/test_grid_8x1x1x1.mpi
grid_rows += tests/ranks/test_grid_1x1x2x1_messages.mpi tests/ranks/test_grid_1x1x4x1_messages.mpi \
	tests/ranks/test_grid_1x2x2x2_messages.mpi
rank_rows += $(grid_rows)
