# Rows of this part of the tests; tests/local.mk says how.
unit_tests += tests/unit/train/test_batch tests/unit/train/test_flops tests/unit/train/test_metrics \
	tests/unit/train/test_rate tests/unit/train/test_report tests/unit/train/test_schedule
tests_unit_train_test_rate_LDFLAGS = $(test_ldflags)
tests_unit_train_test_report_LDFLAGS = $(test_ldflags)
tests_unit_train_test_batch_LDFLAGS = $(test_ldflags)
tests_unit_train_test_flops_LDFLAGS = $(test_ldflags)
tests_unit_train_test_metrics_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CPPFLAGS)
tests_unit_train_test_metrics_LDADD = $(LDADD) $(JANSSON_LIBS)
tests_unit_train_test_metrics_LDFLAGS = $(test_ldflags)
unit_tests += tests/unit/train/test_planned tests/unit/train/test_adopt tests/unit/train/test_draw_ahead
tests_unit_train_test_draw_ahead_LDFLAGS = $(test_ldflags)
tests_unit_train_test_adopt_LDFLAGS = $(test_ldflags)
tests_unit_train_test_planned_LDFLAGS = $(test_ldflags)
tests_unit_train_test_schedule_LDFLAGS = $(test_ldflags)

rank_programs += tests/ranks/test_reduce tests/ranks/test_training
tests_ranks_test_reduce_SOURCES = tests/ranks/test_reduce.c $(ranks_sources)
tests_ranks_test_reduce_LDFLAGS = $(test_ldflags)
tests_ranks_test_training_SOURCES = tests/ranks/test_training.c $(training_sources)
tests_ranks_test_training_LDFLAGS = $(test_ldflags)
rank_rows += tests/ranks/test_reduce_np1.mpi tests/ranks/test_reduce_np2.mpi tests/ranks/test_reduce_np3.mpi \
	tests/ranks/test_reduce_np5.mpi tests/ranks/test_training_np1.mpi tests/ranks/test_training_np2.mpi \
	tests/ranks/test_training_np3.mpi tests/ranks/test_training_np4.mpi tests/ranks/test_training_np5.mpi

script_tests += tests/cli/test_train.sh tests/mutations/loss_mean_per_rank.sh
