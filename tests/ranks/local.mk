# Rows of this part of the tests; tests/local.mk says how.
rank_programs += tests/ranks/test_layout tests/ranks/test_attention
tests_ranks_test_layout_SOURCES = tests/ranks/test_layout.c $(ranks_sources)
tests_ranks_test_layout_LDFLAGS = $(test_ldflags)
tests_ranks_test_attention_SOURCES = tests/ranks/test_attention.c $(ranks_sources)
tests_ranks_test_attention_LDFLAGS = $(test_ldflags)
rank_programs += tests/ranks/test_window
tests_ranks_test_window_SOURCES = tests/ranks/test_window.c $(ranks_sources)
tests_ranks_test_window_LDFLAGS = $(test_ldflags)
rank_programs += tests/ranks/test_packing
tests_ranks_test_packing_SOURCES = tests/ranks/test_packing.c $(training_sources)
tests_ranks_test_packing_LDFLAGS = $(test_ldflags)
rank_programs += tests/ranks/test_linformer
tests_ranks_test_linformer_SOURCES = tests/ranks/test_linformer.c tests/reference/dropout.c tests/reference/reference.h \
	$(ranks_sources)
tests_ranks_test_linformer_LDFLAGS = $(test_ldflags)
rank_programs += tests/ranks/test_neighbours
tests_ranks_test_neighbours_SOURCES = tests/ranks/test_neighbours.c tests/reference/dropout.c tests/reference/reference.h \
	$(ranks_sources)
tests_ranks_test_neighbours_LDFLAGS = $(test_ldflags)
script_tests += tests/mutations/linformer_sum.sh tests/mutations/linformer_positions.sh \
	tests/mutations/window_places.sh tests/mutations/window_sum.sh
ranks_sources = tests/ranks/ranks.c tests/ranks/ranks.h

rank_rows += tests/ranks/test_attention_np1.mpi tests/ranks/test_attention_np2.mpi tests/ranks/test_attention_np3.mpi \
	tests/ranks/test_attention_np4.mpi tests/ranks/test_attention_np5.mpi tests/ranks/test_attention_np6.mpi \
	tests/ranks/test_attention_np8.mpi \
	tests/ranks/test_linformer_np1.mpi tests/ranks/test_linformer_np2.mpi tests/ranks/test_linformer_np3.mpi \
	tests/ranks/test_linformer_np4.mpi tests/ranks/test_linformer_np6.mpi \
	tests/ranks/test_neighbours_np1.mpi tests/ranks/test_neighbours_np2.mpi tests/ranks/test_neighbours_np3.mpi \
	tests/ranks/test_neighbours_np4.mpi tests/ranks/test_neighbours_np6.mpi \
	tests/ranks/test_layout_np1.mpi tests/ranks/test_layout_np2.mpi tests/ranks/test_layout_np3.mpi \
	tests/ranks/test_layout_np4.mpi tests/ranks/test_layout_np5.mpi tests/ranks/test_layout_np8.mpi \
	tests/ranks/test_layout_np2_messages.mpi tests/ranks/test_layout_np4_messages.mpi \
	tests/ranks/test_window_np1.mpi tests/ranks/test_window_np2.mpi tests/ranks/test_window_np3.mpi \
	tests/ranks/test_window_np4.mpi \
	tests/ranks/test_packing_np1.mpi tests/ranks/test_packing_np2.mpi tests/ranks/test_packing_np3.mpi \
	tests/ranks/test_packing_np4.mpi
